// Causal mediation: effects of all mediators, and the way x → M → Y of the chosen one.
import { legend } from "../core/color.js";
import { segmented, select, stepper } from "../core/controls.js";
import { h, num, plural } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";
import { Board } from "../mediation/board.js";
import { Card } from "../mediation/card.js";
import { Mediation } from "../mediation/model.js";
import { drawPoints, value } from "../mediation/pairs.js";

function mount(view: View): Promise<void> {
  const data = new Mediation(view);
  const board = new Board(data);
  const card = new Card(data);
  const tip = new Tooltip(view.el, view.signal);
  const key = h("div", { class: "iw-mediation-key" });
  const facts = h("span", {});
  const left = h(
    "div",
    { class: "iw-mediation-left" },
    h("div", { class: "iw-mediation-scroll" }, board.el),
    key,
  );
  const compare = h("div", { class: "iw-mediation-compare" });
  const both = h("div", { class: "iw-mediation-both" }, left, card.el);
  view.body.append(both, compare);
  view.foot.append(facts);
  const options = data.names.map((name) => [name, data.label(name)] as const);
  const quantity = select("Effect", options, data.quantity, (name) => {
    view.update({ quantity: name });
    draw();
  });
  const pages = segmented(
    "Page",
    [
      ["effects", "Effects"],
      ["compare", "Compare"],
    ],
    view.state.show ?? "effects",
    (show) => {
      view.update({ show });
      draw();
    },
  );
  const dims: string[] = view.spec.dims;
  const slice = stepper(
    dims[2] ?? "",
    data.depth,
    data.slice,
    (at) => {
      view.update({ slice: at });
      draw();
    },
    { labels: dims[2] ? data.labels(2) : undefined },
  );
  slice.el.hidden = data.depth < 2;
  pages.el.hidden = !view.spec.two_sided || data.mediators.length < 2;
  view.toolbar.prepend(pages.el, quantity.el, slice.el);

  let width = 0;
  function draw(): void {
    if (width <= 0) return;
    const comparing = view.state.show === "compare" && view.spec.two_sided;
    both.hidden = comparing;
    compare.hidden = !comparing;
    quantity.el.hidden = comparing;
    const { spec } = view;
    facts.textContent = [
      `${spec.direction}: ${spec.put}`,
      `Y: ${spec.metric}`,
      plural(spec.pairs, "pair"),
      spec.ends[1] === null ? "" : `Y(x) ${num(spec.ends[0])}, Y(x′) ${num(spec.ends[1])}`,
      spec.interchange
        ? `TE = NDE − NIE reverse holds ${spec.identity ? `to ${num(spec.identity)}` : "exactly"}`
        : "",
    ]
      .filter(Boolean)
      .join(" · ");
    if (comparing) {
      comparison();
      return;
    }
    const wide = width >= 680;
    both.classList.toggle("iw-wide", wide);
    const own = wide ? Math.min(400, Math.round(0.42 * width)) : width;
    both.style.setProperty("--iw-card", `${own}px`);
    board.resize(wide ? width - own - 16 : width);
    card.resize(Math.min(own, 480));
    board.draw();
    const marks = data.isGrid && spec.pairs > 1 ? ["+ −  95 % interval without 0"] : [];
    key.replaceChildren(
      ...(data.isGrid
        ? [legend(board.scale, `${data.label(data.quantity)}, ${spec.quantity}`, marks)]
        : [h("span", {}, `${data.label(data.quantity)}, ${spec.quantity}`)]),
    );
    card.draw();
  }

  function comparison(): void {
    const order = data.mediators
      .map((_, i) => i)
      .sort(
        (a, b) => Math.abs(data.effect(b, "effect").mean) - Math.abs(data.effect(a, "effect").mean),
      );
    const named = new Set(order.slice(0, 5));
    const sizes = data.mediators.map((m) => m.dims);
    const points = data.mediators.map((m, i) => ({
      x: m.dims,
      y: data.hidden(i) ? Number.NaN : data.number("faithfulness", i),
      name: `${m.name} (${m.type})`,
      rows: [
        ["faithfulness", value(data.number("faithfulness", i))],
        ["dimensions", num(m.dims)],
        ...data.facts(i),
      ] as const,
      mark: i === data.chosen,
      label: named.has(i) ? m.name : "",
    }));
    const plot = {
      points,
      xLabel: "dimensions at a position",
      yLabel: "faithfulness",
      width: Math.min(width, 720),
      height: 320,
      log: Math.max(...sizes) > 4 * Math.min(...sizes),
      one: true,
      pick: (i: number) => {
        data.choose(i);
        draw();
      },
    };
    compare.replaceChildren(drawPoints(plot, tip));
  }

  const load = async () => {
    board.forget();
    try {
      await data.load();
    } catch (error) {
      view.report(error, load);
      return;
    }
    draw();
  };
  view.onResize((to) => {
    if (to > 0 && to !== width) {
      width = to;
      draw();
    }
  });
  let mode = view.mode;
  view.onSpec(load);
  view.onState(() => {
    quantity.set(data.quantity);
    pages.set(view.state.show ?? "effects");
    slice.set(data.slice);
    if (view.mode !== mode) {
      mode = view.mode;
      return load();
    }
    draw();
    return undefined;
  });
  view.onTheme(draw);
  view.onVeil(draw);
  view.onSelection((selected) => {
    const at = data.fitting(selected);
    if (at === undefined || at === data.chosen) return;
    view.update({ mediator: at, ...(data.depth > 1 ? { slice: at % data.depth } : {}) });
    draw();
  });
  return load();
}

export default defineView("mediation", mount, {
  modes: true,
  keys: [
    ["← → ↑ ↓", "the mediators"],
    ["Enter", "choose the mediator: its path and its pairs (also a click)"],
    ["Esc", "leave the mediators"],
  ],
});
