// A judged circuit: beside random ones, complete, minimal; and the table of findings.
import { segmented } from "../core/controls.js";
import { h, plural, s } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { figure, pText, table } from "./card.js";
import { round, valueText } from "./model.js";
import { frame, histogram, line, padded } from "./plot.js";

type Part = "all" | "faithfulness" | "completeness" | "minimality";

interface Finding {
  finding: string;
  value: number | null;
  low: number | null;
  high: number | null;
  p: number | null;
  reading: string;
}

const PARTS = [
  ["all", "All"],
  ["faithfulness", "Faithfulness"],
  ["completeness", "Completeness"],
  ["minimality", "Minimality"],
] as const;
const KINDS: Record<string, string> = {
  nothing: "nothing",
  class: "a class",
  random: "random",
  greedy: "greedy",
};
const MOST = 24;

export class Judgement {
  private readonly plots = h("div", { class: "iw-cl-plots" });
  private readonly told = h("p", { class: "iw-cl-told", role: "status" });
  private width = 640;

  constructor(private readonly view: View) {
    const part = segmented<Part>("Show", PARTS, view.state.part ?? "all", (key) =>
      view.update({ part: key }),
    );
    view.toolbar.append(part.el);
    view.body.append(this.plots, this.told, h("div", { class: "iw-cl-findings" }));
    view.onState(() => {
      part.set(view.state.part ?? "all");
      this.draw();
    });
    view.onSpec(() => this.draw());
    view.onResize((width) => {
      this.width = width;
      this.draw();
    });
    this.draw();
  }

  private draw(): void {
    const { spec, state } = this.view;
    const part: Part = state.part ?? "all";
    const shown = PARTS.slice(1).filter(([key]) => part === "all" || part === key);
    const columns = this.width < 620 ? 1 : shown.length;
    this.plots.style.setProperty("--iw-columns", String(columns));
    const width = Math.floor((this.width - 16 * (columns - 1)) / columns);
    const height = part === "all" ? 220 : 300;
    const drawers = {
      faithfulness: () => this.faithfulness(width, height),
      completeness: () => this.completeness(width, height),
      minimality: () => this.minimality(width, height),
    };
    this.plots.replaceChildren(...shown.map(([key]) => drawers[key as keyof typeof drawers]()));
    this.told.textContent = "";
    const findings = spec.findings as Finding[];
    const nulls = spec.nulls as Record<string, string>;
    const body = h(
      "tbody",
      {},
      ...findings.map((row) => {
        const null_ = nulls[row.finding.replace("test of ", "")];
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, row.finding, null_ ? h("small", {}, `null: ${null_}`) : null),
          h("td", { class: "iw-num" }, valueText(row, round)),
          h("td", { class: "iw-num" }, row.p === null ? "" : pText(row.p)),
          h("td", {}, row.reading),
        );
      }),
    );
    const heads = ["finding", "value (95 % limits)", "p", "reading"];
    this.view.body
      .querySelector(".iw-cl-findings")
      ?.replaceChildren(table("Findings", heads, body));
    this.view.foot.replaceChildren(
      h(
        "span",
        {},
        `${Number(spec.size).toLocaleString("en")} of ${plural(spec.total, spec.level)} · ` +
          `${plural(spec.n_pairs, "pair")} · ${spec.metric} · cut edges carry: ${spec.ablation}`,
      ),
      h("span", {}, String(spec.note)),
    );
  }

  private faithfulness(width: number, height: number): HTMLElement {
    const random = [...(this.view.first.random as NdArray).data];
    const own = Number(this.view.spec.faithfulness);
    const better = random.filter((v) => v >= own).length;
    return figure(
      "Faithful?",
      histogram(
        random,
        [
          { at: 1, words: "whole network 1", cls: "iw-cl-bound" },
          { at: own, words: `this circuit ${round(own)}`, cls: "iw-cl-own" },
        ],
        {
          width,
          height,
          xLabel: "faithfulness",
          yLabel: "random circuits of its size",
          label: `faithfulness ${round(own)}; ${better} of ${random.length} random circuits reach it`,
        },
      ),
      hint(`${better} of ${random.length} random circuits reach it`),
    );
  }

  private completeness(width: number, height: number): HTMLElement {
    const { spec, first } = this.view;
    const x = [...(first.network as NdArray).data];
    const y = [...(first.circuit as NdArray).data];
    const names = spec.sets as string[];
    const kinds = spec.kinds as string[];
    const range = padded([...x, ...y, 0, 1]);
    const gaps = x.map((v, i) => Math.abs((y[i] ?? 0) - v));
    const worst = gaps.indexOf(Math.max(...gaps));
    const plot = frame({
      width,
      height,
      x: range,
      y: range,
      xLabel: "network without K",
      yLabel: "circuit without K",
      label: `${x.length} sets K; largest distance from the diagonal ${round(gaps[worst] ?? 0)}, without ${names[worst]}`,
    });
    plot.svg.append(
      line(plot.x(range[0]), plot.y(range[0]), plot.x(range[1]), plot.y(range[1]), "iw-cl-rule"),
    );
    const dots = x.map((v, i) => {
      const cx = plot.x(v);
      const cy = plot.y(y[i] ?? 0);
      const at = `M${cx} ${cy}`;
      const kind = kinds[i] ?? "random";
      const shape =
        kind === "class"
          ? s("path", { d: `${at}m-4 -4h8v8h-8z`, class: "iw-cl-dot iw-cl-class" })
          : kind === "greedy"
            ? s("path", { d: `${at}m0 -5l5 9h-10z`, class: "iw-cl-dot iw-cl-greedy" })
            : kind === "nothing"
              ? s("path", { d: `${at}m0 -6l6 6l-6 6l-6 -6z`, class: "iw-cl-dot iw-cl-nothing" })
              : s("circle", { cx, cy, r: 4, class: "iw-cl-dot" });
      plot.svg.append(shape);
      return { cx, cy, shape };
    });
    const tell = (i: number): void => {
      for (const d of dots) d.shape.classList.remove("iw-cl-chosen");
      dots[i]?.shape.classList.add("iw-cl-chosen");
      const gap = (y[i] ?? 0) - (x[i] ?? 0);
      this.told.textContent = `K = ${names[i]} (${KINDS[kinds[i] ?? ""] ?? kinds[i]}): network ${round(x[i] ?? 0)}, circuit ${round(y[i] ?? 0)}, difference ${round(gap)}`;
    };
    const nearest = (event: MouseEvent): void => {
      const box = plot.svg.getBoundingClientRect();
      const far = dots.map(
        (d) => (d.cx - event.clientX + box.left) ** 2 + (d.cy - event.clientY + box.top) ** 2,
      );
      const i = far.indexOf(Math.min(...far));
      if ((far[i] ?? 1e9) < 24 ** 2) tell(i);
    };
    for (const kind of ["click", "pointermove"] as const)
      plot.svg.addEventListener(kind, (event) => nearest(event as MouseEvent), {
        signal: this.view.signal,
      });
    return figure("Complete?", plot.svg, hint("◆ nothing  ■ a class  ● random  ▲ greedy: K"));
  }

  private minimality(width: number, height: number): HTMLElement {
    const { spec, first } = this.view;
    const values = [...(first.largest as NdArray).data];
    const limits = [...(first.limits as NdArray).data];
    const names = spec.nodes as string[];
    const idle = new Set(spec.superfluous as string[]);
    const most = Math.max(4, Math.min(MOST, Math.floor((height - 52) / 14)));
    const order = values
      .map((_, i) => i)
      .sort((a, b) => Math.abs(values[b] ?? 0) - Math.abs(values[a] ?? 0))
      .slice(0, most);
    const ends = order.flatMap((i) => [limits[2 * i] ?? 0, limits[2 * i + 1] ?? 0, values[i] ?? 0]);
    const plot = frame({
      width,
      height,
      x: padded([0, ...ends]),
      y: [order.length - 0.4, -0.6],
      xLabel: "faithfulness lost without it",
      yLabel: "",
      label: order.map((i) => `${names[i]} ${round(values[i] ?? 0)}`).join(", "),
      yTicks: order.map((_, at) => at),
      yNames: order.map((i) => `${names[i]}${idle.has(names[i] ?? "") ? " (idle)" : ""}`),
      left: 62,
    });
    const zero = plot.x(0);
    const each = (plot.bottom - plot.top) / order.length;
    for (const [at, i] of order.entries()) {
      const x = plot.x(values[i] ?? 0);
      const y = plot.y(at);
      plot.svg.append(
        s("rect", {
          x: Math.min(zero, x),
          y: y - 0.35 * each,
          width: Math.max(1, Math.abs(x - zero)),
          height: 0.7 * each,
          class: "iw-cl-bar",
        }),
        line(plot.x(limits[2 * i] ?? 0), y, plot.x(limits[2 * i + 1] ?? 0), y, "iw-cl-limit"),
      );
    }
    plot.svg.append(line(zero, plot.top, zero, plot.bottom, "iw-cl-axis"));
    const more = values.length - order.length;
    const rest = more > 0 ? `; ${plural(more, "node")} with less not drawn` : "";
    return figure("Minimal?", plot.svg, hint(`what each node adds${rest}`));
  }
}

function hint(words: string): HTMLElement {
  return h("p", { class: "iw-cl-hint" }, words);
}
