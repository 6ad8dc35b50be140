// A circuit as a layered graph: size slider, pointing, cutting edges, ablating components.

import { Cuts } from "../circuit/cuts.js";
import { spokenLabel } from "../circuit/graph.js";
import { naturalHeight } from "../circuit/layout.js";
import { edgesOf, follow, neighbour } from "../circuit/navigate.js";
import { Nodes, nodeRows, portMark } from "../circuit/nodes.js";
import {
  difference,
  type EdgeList,
  edgeList,
  join,
  type LayoutKind,
  Scene,
} from "../circuit/scene.js";
import { sizeBar } from "../circuit/sizebar.js";
import { Stage } from "../circuit/stage.js";
import { button, segmented, toggle } from "../core/controls.js";
import { h, s, signed } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import { defineView, type View } from "../core/view.js";

const ARROWS = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
} as const;

const KEYS = [
  ["← → ↑ ↓", "next component in the row, the layer above or below"],
  ["Shift ↑ ↓", "along the strongest edge out or in"],
  ["E, Shift E", "next or previous edge of the component"],
  ["Enter, Space", "cut or restore the edge; without one, ablate or restore the component"],
  ["+ − 0", "zoom in, out, all; Ctrl and wheel zoom too"],
  ["Home, End", "input, logits"],
  ["Page ↑ ↓", "on the slider: next measured size"],
] as const;

function mount(view: View): void {
  new CircuitView(view);
}

class CircuitView {
  private readonly scene: Scene;
  private readonly nodes: Nodes;
  private readonly stage: Stage;
  private readonly cuts: Cuts;
  private readonly tip: Tooltip;
  private lists: { current: EdgeList; base?: EdgeList };
  private size: number;
  private width = 640;
  private pinned = -1; // focused component
  private edge = -1; // edge picked by keyboard
  private hovered = -1;
  private readonly bar = sizeBar((size, settled) => this.resize(size, settled));
  private readonly key = h("span", { class: "iw-legend" });
  private readonly counts = h("span", {});

  constructor(private readonly view: View) {
    const { spec, signal } = view;
    this.lists = { current: edgeList(view.first as never) };
    this.scene = new Scene(spec.forward, spec.backward, this.lists.current);
    this.size = view.state.size ?? 200;
    this.tip = new Tooltip(view.el, signal);
    this.cuts = new Cuts(
      view,
      () => this.scene.edges,
      () => this.refresh(false),
    );
    this.nodes = new Nodes({
      enter: (node, event) => this.point(node, event),
      leave: () => this.leave(),
      focus: (node) => this.focus(node),
      blur: () => this.blur(),
      press: (node) => this.ablate(node),
    });
    this.stage = new Stage(
      this.nodes,
      { hover: (e, x, y) => this.hover(e, x, y), press: (e) => this.cut(e) },
      signal,
    );
    this.controls();
    view.body.append(this.cuts.el, this.stage.el);
    view.foot.append(this.key, this.counts);
    this.stage.el.addEventListener("keydown", (event) => this.keyDown(event), { signal });
    view.onTheme(() => this.colours());
    view.onResize((width) => this.reshape(width));
    view.onSpec(() => this.renew());
    view.onState(() => this.stateChanged());
    view.onSelection((at) => this.nodes.select(at.node, at.layer, at.head));
    this.colours();
    this.reshape(view.body.clientWidth || 640);
  }

  // Controls.

  private controls(): void {
    const { view } = this;
    const kind = segmented<LayoutKind>(
      "Layout",
      [
        ["columns", "Columns"],
        ["packed", "Packed"],
      ],
      this.kind,
      (layout) => view.update({ layout }),
    );
    const connected = toggle("Connected only", this.connected, (on) =>
      view.update({ connected: on }),
    );
    connected.el.title = "Leave out edges on no path from the input to the logits";
    view.onState(() => {
      kind.set(this.kind);
      connected.set(this.connected);
    });
    view.toolbar.append(this.bar.el, kind.el, connected.el);
    this.stage.el.append(
      h(
        "div",
        { class: "iw-zoom", role: "group", "aria-label": "Zoom" },
        button("Zoom in", () => this.stage.zoom(1.4), { icon: "+" }),
        button("Zoom out", () => this.stage.zoom(1 / 1.4), { icon: "−" }),
        button("Show all", () => this.stage.fit(), { icon: "▢" }),
      ),
    );
  }

  private get kind(): LayoutKind {
    return this.view.state.layout === "packed" ? "packed" : "columns";
  }

  private get connected(): boolean {
    return this.view.state.connected !== false;
  }

  private resize(size: number, settled: boolean): void {
    this.size = size;
    this.refresh(!settled);
    if (settled) {
      this.view.update({ size });
      this.view.say(`${size} edges, ${this.scene.circuit.edges.length} drawn`);
    }
    void this.load();
  }

  private stateChanged(): void {
    this.cuts.follow();
    const { size } = this.view.state;
    if (typeof size === "number") this.size = size;
    void this.load();
    this.refresh(false);
  }

  private reshape(width: number): void {
    if (width < 40) return;
    this.width = width;
    this.refresh(false);
  }

  private colours(): void {
    const style = getComputedStyle(this.view.el);
    const read = (name: string, otherwise: string) =>
      style.getPropertyValue(name).trim() || otherwise;
    this.stage.paint = {
      positive: read("--iw-positive", "#d55e00"),
      negative: read("--iw-negative", "#0072b2"),
      ghost: read("--iw-line", "#d8dee4"),
      cut: read("--iw-muted", "#59636e"),
    };
    this.stage.redraw(false);
  }

  // Data.

  private shownList(): EdgeList {
    const { mode } = this.view;
    const { current, base } = this.lists;
    if (mode === "base" && base) return base;
    return mode === "difference" && base ? difference(current, base) : current;
  }

  private shown: EdgeList | undefined;

  /** Fetches what the mode or the size needs and is not here yet. */
  private async load(): Promise<void> {
    const { view, lists } = this;
    const { total } = view.spec;
    try {
      if (this.size > lists.current.flat.length && lists.current.flat.length < total) {
        const start = lists.current.flat.length;
        const more = await view.request("edges", { mode: "current", start, stop: total });
        if (this.lists === lists) lists.current = join(lists.current, edgeList(more));
        this.shown = undefined;
        this.refresh(false);
      }
      if (view.mode !== "current" && !lists.base) {
        lists.base = edgeList(await view.request("edges", { mode: "base", start: 0, stop: 1e9 }));
        this.shown = undefined;
        this.refresh(false);
      }
    } catch (error) {
      view.report(error, () => void this.load());
    }
  }

  private async renew(): Promise<void> {
    const { view } = this;
    const base = this.lists.base;
    this.lists = { current: edgeList(view.first as never) };
    if (base) this.lists.base = base;
    this.shown = undefined;
    this.nodes.pending(-1);
    this.refresh(false);
    this.cuts.show();
    await this.load();
    await this.cuts.again();
  }

  private mode = "";

  private refresh(moving: boolean): void {
    const { view, scene } = this;
    if (!this.shown || this.mode !== view.mode) {
      this.mode = view.mode;
      this.shown = this.shownList();
      scene.take(this.shown);
      this.key.replaceChildren(...legend(view.mode === "difference"));
    }
    const height = naturalHeight(scene.graph.layers);
    const full = document.fullscreenElement === view.el;
    const room = full ? Math.max(height, innerHeight - 220) : height;
    const ablated = this.ablated();
    scene.update({
      also: [...ablated],
      size: this.size,
      connected: this.connected,
      kind: this.kind,
      width: this.width,
      height: room,
    });
    this.nodes.show(scene, ablated);
    this.stage.resize(this.width, Math.min(room, scene.layout.height));
    this.stage.show(scene, this.cuts.positions(), moving);
    this.bar.set(this.size, scene.edges.length, view.spec.faithfulness ?? null);
    const drawn = scene.circuit.edges.length;
    const left = scene.circuit.asked - drawn;
    const words = [`${drawn.toLocaleString("en")} edges, ${scene.circuit.nodes.length} components`];
    if (left) words.push(`${left.toLocaleString("en")} on no path left out`);
    if (view.spec.unscored) words.push(`${view.spec.unscored} without a finite score`);
    this.counts.textContent = words.join("; ");
    const empty = !drawn && scene.edges.length > 0;
    view.note(
      empty
        ? `The ${scene.circuit.asked} strongest edges form no path from the input to the logits.`
        : "",
      "info",
      empty ? { label: "Show them", call: () => view.update({ connected: false }) } : undefined,
      "empty",
    );
    const at = view.selection.get();
    this.nodes.select(at.node, at.layer, at.head);
    if (this.pinned >= 0) this.light(this.pinned);
  }

  private ablated(): Set<number> {
    const found = new Set<number>();
    for (const item of this.view.spec.interventions ?? []) {
      if (item.kind !== "ablate" || item.position || item.unit) continue;
      const heads = item.site === "z" ? ((item.head as number[]) ?? [...Array(64).keys()]) : [];
      for (const head of heads) {
        const node = this.scene.graph.find(`a${item.layer}.h${head}`);
        if (node >= 0) found.add(node);
      }
      const mlp = item.site === "mlp_out" ? this.scene.graph.find(`m${item.layer}`) : -1;
      if (mlp >= 0) found.add(mlp);
    }
    return found;
  }

  // Pointing.

  private light(node: number): void {
    const edges = edgesOf(this.scene.circuit, node);
    const near = new Set([node]);
    for (const e of edges) {
      near.add(this.scene.edges.from[e] as number);
      near.add(this.scene.edges.to[e] as number);
    }
    this.nodes.emphasise(near, node);
    this.stage.highlight(edges, true);
  }

  private dark(): void {
    if (this.pinned >= 0) {
      this.light(this.pinned);
      return;
    }
    this.nodes.emphasise(null);
    this.stage.highlight(null, false);
  }

  private point(node: number, event: PointerEvent): void {
    this.light(node);
    const { edges, circuit, graph } = this.scene;
    const kind = graph.nodes[node]?.kind;
    const hint = kind === "head" || kind === "mlp" ? this.hint("Click to ablate or restore") : [];
    this.tip.show(
      event.clientX,
      event.clientY,
      spokenLabel(graph.nodes[node] as never),
      nodeRows(edges, circuit, node),
      this.view.spec.can_ablate ? hint : [],
    );
  }

  private leave(): void {
    this.tip.leave();
    this.dark();
  }

  private hint(text: string): Node[] {
    return [h("em", { class: "iw-hint" }, text)];
  }

  private hover(edge: number, x: number, y: number): void {
    if (edge === this.hovered && edge < 0) return;
    const fresh = edge !== this.hovered;
    this.hovered = edge;
    this.stage.el.classList.toggle("iw-on-edge", edge >= 0);
    if (edge < 0) {
      this.tip.leave();
      this.dark();
      return;
    }
    const { edges } = this.scene;
    if (fresh) {
      this.stage.highlight([edge], false);
      const ends = [edges.from[edge] as number, edges.to[edge] as number];
      this.nodes.emphasise(null);
      this.nodes.emphasise(new Set(ends));
    }
    const cut = this.cuts.has(edges.flat[edge] as number);
    const rows: [string, string][] = [
      [
        this.view.mode === "difference" ? "change of score" : "score",
        signed(edges.score[edge] as number),
      ],
      ["rank", `${(edge + 1).toLocaleString("en")} of ${edges.length.toLocaleString("en")}`],
    ];
    const hint = cut ? "Cut. Click to restore" : "Click to cut";
    this.tip.show(x, y, edges.label(edge), rows, this.view.spec.can_cut ? this.hint(hint) : []);
  }

  // Acting.

  private cut(edge: number): void {
    this.tip.hide();
    this.view.guard(() => this.cuts.toggle(this.scene.edges.flat[edge] as number))();
  }

  private ablate(node: number): void {
    const { view, scene } = this;
    const at = scene.graph.nodes[node];
    if (!at) return;
    view.selection.set({
      layer: at.layer < 0 || at.kind === "logits" ? null : at.layer,
      head: at.head < 0 ? null : at.head,
      node: at.id,
    });
    if (at.kind !== "head" && at.kind !== "mlp") return;
    if (!view.spec.can_ablate) return;
    this.tip.hide();
    this.nodes.pending(node);
    const was = this.ablated().has(node);
    const what =
      at.kind === "head"
        ? { kind: "ablate", site: "z", layer: at.layer, head: at.head }
        : { kind: "ablate", site: "mlp_out", layer: at.layer };
    view.guard(() => view.intervene(what, `${spokenLabel(at)} ${was ? "restored" : "ablated"}`))();
  }

  // Keyboard.

  private focus(node: number): void {
    this.pinned = node;
    this.edge = -1;
    this.light(node);
    this.stage.reveal(this.scene.layout.x[node] as number, this.scene.layout.y[node] as number);
    const at = this.scene.graph.nodes[node];
    if (at?.kind === "head")
      this.view.selection.set({ layer: at.layer, head: at.head, node: at.id });
    else if (at) this.view.selection.set({ node: at.id });
  }

  private blur(): void {
    this.pinned = -1;
    this.edge = -1;
    this.dark();
  }

  private keyDown(event: KeyboardEvent): void {
    const node = this.pinned;
    if (event.key === "+" || event.key === "=") this.stage.zoom(1.4);
    else if (event.key === "-") this.stage.zoom(1 / 1.4);
    else if (event.key === "0") this.stage.fit();
    else if (node < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key in ARROWS)
      this.move(node, ARROWS[event.key as keyof typeof ARROWS], event.shiftKey);
    else if (event.key === "Home") this.nodes.focus(this.scene.graph.find("input"));
    else if (event.key === "End") this.nodes.focus(this.scene.graph.find("logits"));
    else if (event.key.toLowerCase() === "e") this.nextEdge(node, event.shiftKey ? -1 : 1);
    else if (event.key === "Enter" || event.key === " ") {
      if (this.edge >= 0) this.cut(this.edge);
      else this.ablate(node);
    } else if (event.key === "Escape" && this.edge >= 0) {
      this.edge = -1;
      this.light(node);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private move(node: number, way: (typeof ARROWS)[keyof typeof ARROWS], along: boolean): void {
    const { scene } = this;
    const to =
      along && (way === "up" || way === "down")
        ? follow(scene.edges, scene.circuit, node, way)
        : neighbour(scene.layout, scene.shown, node, way);
    this.nodes.focus(to);
  }

  private nextEdge(node: number, by: 1 | -1): void {
    const { edges, circuit } = this.scene;
    const list = edgesOf(circuit, node);
    if (!list.length) return;
    const at = list.indexOf(this.edge);
    this.edge = list[
      at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length
    ] as number;
    this.stage.highlight([this.edge], true);
    const cut = this.cuts.has(edges.flat[this.edge] as number) ? ", cut" : "";
    const text = `${edges.label(this.edge)}, score ${signed(edges.score[this.edge] as number)}, rank ${this.edge + 1}${cut}`;
    this.view.say(text);
    const other = edges.from[this.edge] === node ? edges.to[this.edge] : edges.from[this.edge];
    this.nodes.emphasise(new Set([node, other as number]), node);
    const box = this.nodes.at(node);
    if (box) {
      const rows: [string, string][] = [["score", signed(edges.score[this.edge] as number)]];
      this.tip.show(box.right, box.top, edges.label(this.edge) + cut, rows);
    }
  }
}

/** What colours, dashes, widths and marks mean. */
function legend(difference: boolean): Node[] {
  const line = (cls: string) =>
    s(
      "svg",
      { width: 24, height: 10, "aria-hidden": "true" },
      s("path", { class: cls, d: "M0 5H24" }),
    );
  const item = (picture: SVGElement, text: string) => h("span", { class: "iw-key" }, picture, text);
  const port = (p: "q" | "k" | "v", text: string) =>
    item(s("svg", { width: 10, height: 10, "aria-hidden": "true" }, portMark(p, 5, 5, 3.5)), text);
  return [
    item(line("iw-line-positive"), difference ? "score rose" : "raises the metric"),
    item(line("iw-line-negative"), difference ? "score fell" : "lowers it"),
    port("q", "query"),
    port("k", "key"),
    port("v", "value"),
    h("span", { class: "iw-key" }, difference ? "width: |change|" : "width: |score|"),
  ];
}

export default defineView("circuit", mount, { keys: KEYS, modes: true });
