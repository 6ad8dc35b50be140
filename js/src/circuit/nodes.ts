// Components as SVG buttons over the canvas: one tab stop, arrow keys, spoken names.
import { num, plural, s, signed } from "../core/dom.js";
import type { Viewport } from "./draw.js";
import {
  type Circuit,
  type Edges,
  type GraphNode,
  PORT_NAMES,
  type Port,
  shortLabel,
  spokenLabel,
} from "./graph.js";
import { entering, type Layout } from "./layout.js";
import type { Scene } from "./scene.js";

export interface NodeEvents {
  enter(node: number, event: PointerEvent): void;
  leave(): void;
  focus(node: number): void;
  blur(): void;
  press(node: number): void;
}

/** `head 9.6, layer 9, 4 incoming edges, 2 outgoing, strongest from MLP 0 +0.31, ablated`. */
export function nodeName(edges: Edges, circuit: Circuit, index: number, ablated = false): string {
  const node = edges.graph.nodes[index] as GraphNode;
  const parts = [spokenLabel(node)];
  if (node.kind === "head" || node.kind === "mlp") parts.push(`layer ${node.layer}`);
  const incoming = circuit.incoming.get(index) ?? [];
  const outgoing = circuit.outgoing.get(index) ?? [];
  if (node.reads) parts.push(plural(incoming.length, "incoming edge"));
  if (node.writes) parts.push(plural(outgoing.length, "outgoing edge"));
  const first = incoming[0];
  if (first !== undefined) {
    const from = shortLabel(edges.graph.nodes[edges.from[first] as number] as GraphNode);
    const port = PORT_NAMES[edges.portOf(first)];
    parts.push(
      `strongest from ${from}${port ? ` into ${port}` : ""} ${signed(edges.score[first] as number)}`,
    );
  }
  if (ablated) parts.push("ablated");
  return parts.join(", ");
}

/** A label for a box of a dozen pixels: the head without its layer, `M9`. */
const tightLabel = (node: GraphNode): string =>
  node.kind === "head" ? String(node.head) : node.kind === "mlp" ? `M${node.layer}` : node.id;

/** A port's mark: a circle for q, a square for k, a triangle for v. */
export function portMark(port: Port, x: number, y: number, r: number): SVGElement {
  const cls = `iw-port iw-port-${port}`;
  if (port === "q") return s("circle", { class: cls, cx: x, cy: y, r });
  if (port === "k")
    return s("rect", {
      class: cls,
      x: x - r * 0.9,
      y: y - r * 0.9,
      width: r * 1.8,
      height: r * 1.8,
    });
  const w = r * 1.2;
  return s("path", { class: cls, d: `M${x - w},${y + r}L${x + w},${y + r}L${x},${y - r * 1.1}Z` });
}

export class Nodes {
  readonly el = s("svg", { class: "iw-circuit-nodes", role: "group", "aria-label": "Components" });
  private readonly world = s("g", {});
  private readonly edgeLabels = s("g", { class: "iw-circuit-axes", "aria-hidden": "true" });
  private readonly drawn = new Map<number, SVGGElement>();
  private layout: Layout | undefined;
  /** The node that Tab reaches. */
  current = -1;

  constructor(private readonly events: NodeEvents) {
    this.el.append(this.edgeLabels, this.world);
  }

  show(scene: Scene, ablated: ReadonlySet<number>): void {
    const { layout, circuit, edges } = scene;
    const held = this.el.contains(document.activeElement) ? this.current : -1;
    const order = [...scene.shown].sort(
      (a, b) =>
        (layout.y[b] as number) - (layout.y[a] as number) ||
        (layout.x[a] as number) - (layout.x[b] as number),
    );
    const before = new Map(this.drawn);
    this.drawn.clear();
    for (const i of order) {
      const ports = [
        ...new Set((circuit.incoming.get(i) ?? []).map((e) => edges.portOf(e))),
      ].sort();
      const place = [layout.x[i], layout.y[i], layout.boxes[i], layout.boxHeight];
      const look = [...place, ablated.has(i), ...ports].join();
      const known = before.get(i);
      const g = known?.dataset.look === look ? known : this.draw(scene, i, ports, ablated.has(i));
      g.dataset.look = look;
      g.setAttribute("aria-label", nodeName(edges, circuit, i, ablated.has(i)));
      this.drawn.set(i, g);
    }
    const wanted = [...this.drawn.values()];
    const same =
      wanted.length === this.world.childElementCount &&
      wanted.every((g, i) => g === this.world.children[i]);
    if (!same) this.world.replaceChildren(...wanted);
    if (layout !== this.layout) this.axes(layout);
    this.layout = layout;
    const start = this.drawn.has(this.current) ? this.current : (order[order.length - 1] ?? -1);
    this.roam(start);
    if (held >= 0 && !same) this.focus(start);
  }

  private draw(scene: Scene, i: number, ports: readonly Port[], ablated: boolean): SVGGElement {
    const { layout } = scene;
    const node = scene.graph.nodes[i] as GraphNode;
    const [x, y] = [layout.x[i] as number, layout.y[i] as number];
    const width = layout.boxes[i] as number;
    const height = layout.boxHeight;
    const text = width < 24 ? tightLabel(node) : shortLabel(node);
    const size = Math.min(11, height * 0.62, (width / Math.max(2, text.length)) * 1.7);
    const [wide, high] = [Math.max(width, 20), Math.max(height, 24)];
    const acts = node.kind === "head" || node.kind === "mlp";
    const g = s(
      "g",
      {
        class: `iw-node iw-node-${node.kind}${ablated ? " iw-ablated" : ""}`,
        role: "button",
        tabindex: -1,
        "aria-roledescription": "component",
        "aria-pressed": acts ? String(ablated) : undefined,
      },
      s("rect", {
        class: "iw-node-target",
        x: x - wide / 2,
        y: y - high / 2,
        width: wide,
        height: high,
      }),
      s("rect", {
        class: "iw-node-box",
        x: x - width / 2,
        y: y - height / 2,
        width,
        height,
        rx: node.kind === "mlp" ? 1.5 : Math.min(6, height / 2.4),
      }),
      s("text", { x, y: y + size * 0.36, "font-size": size.toFixed(1) }, text),
    );
    if (ablated) {
      const d = `M${x - width / 2},${y - height / 2}L${x + width / 2},${y + height / 2}`;
      g.append(s("path", { class: "iw-node-strike", d }));
    }
    for (const port of ports) {
      if (!port) continue;
      const [px, py] = entering(layout, i, port);
      g.append(portMark(port, px, py, Math.min(3, Math.max(1.8, width / 9))));
    }
    g.dataset.node = node.id;
    g.addEventListener("pointerenter", (event) => this.events.enter(i, event));
    g.addEventListener("pointerleave", () => this.events.leave());
    g.addEventListener("focus", () => {
      this.roam(i);
      this.events.focus(i);
    });
    g.addEventListener("blur", () => this.events.blur());
    g.addEventListener("click", (event) => {
      event.stopPropagation();
      this.events.press(i);
    });
    return g;
  }

  private axes(layout: Layout): void {
    this.edgeLabels.replaceChildren();
    for (const row of layout.rows)
      this.edgeLabels.append(s("text", { class: "iw-axis-row" }, row.label));
    for (const column of layout.columns) {
      this.edgeLabels.append(s("text", { class: "iw-axis-column" }, column.label));
    }
    if (layout.columns.length) this.edgeLabels.append(s("text", { x: 4, y: 14 }, "head"));
  }

  place(view: Viewport, height: number): void {
    this.world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
    this.el.classList.toggle("iw-far", view.scale < 0.62);
    const layout = this.layout;
    if (!layout) return;
    const labels = [...this.edgeLabels.children];
    layout.rows.forEach((row, i) => {
      labels[i]?.setAttribute("x", "4");
      labels[i]?.setAttribute("y", (row.y * view.scale + view.y + 4).toFixed(1));
    });
    layout.columns.forEach((column, i) => {
      const el = labels[layout.rows.length + i];
      el?.setAttribute("x", (column.x * view.scale + view.x).toFixed(1));
      el?.setAttribute("y", String(Math.min(14, height)));
    });
  }

  private roam(node: number): void {
    this.drawn.get(this.current)?.setAttribute("tabindex", "-1");
    this.current = node;
    this.drawn.get(node)?.setAttribute("tabindex", "0");
  }

  focus(node: number): void {
    this.drawn.get(node)?.focus({ preventScroll: true });
  }

  /** Fades all but these; null shows all alike. */
  emphasise(nodes: ReadonlySet<number> | null, main = -1): void {
    this.el.classList.toggle("iw-dimmed", nodes !== null);
    for (const [i, g] of this.drawn) {
      g.classList.toggle("iw-lit", nodes?.has(i) ?? false);
      g.classList.toggle("iw-main", i === main);
    }
  }

  select(id: string | null, layer: number | null, head: number | null): void {
    for (const g of this.drawn.values()) {
      const here = id ? g.dataset.node === id : g.dataset.node === `a${layer}.h${head}`;
      g.classList.toggle("iw-selected", here);
    }
  }

  /** Marks a node whose intervention is on its way; -1 when it has arrived. */
  pending(node: number): void {
    for (const g of this.drawn.values()) g.classList.remove("iw-pending");
    this.drawn.get(node)?.classList.add("iw-pending");
  }

  at(node: number): DOMRect | undefined {
    return this.drawn.get(node)?.getBoundingClientRect();
  }
}

export function nodeRows(edges: Edges, circuit: Circuit, node: number): [string, string][] {
  const incoming = circuit.incoming.get(node) ?? [];
  const outgoing = circuit.outgoing.get(node) ?? [];
  const rows: [string, string][] = [];
  const total = (list: number[]): string =>
    num(list.reduce((sum, e) => sum + Math.abs(edges.score[e] as number), 0));
  if (incoming.length)
    rows.push([`${plural(incoming.length, "edge")} in, Σ|score|`, total(incoming)]);
  if (outgoing.length)
    rows.push([`${plural(outgoing.length, "edge")} out, Σ|score|`, total(outgoing)]);
  return rows;
}
