// Nodes as SVG buttons over the canvas: one tab stop, arrow keys, spoken names. Of a graph with more
// nodes than a page can hold only the named, pinned and focused ones are elements; the others are
// marks on the canvas.
import { plural, s, signed } from "../core/dom.js";
import type { Viewport } from "./draw.js";
import {
  type Circuit,
  type GraphNode,
  type Links,
  PORT_NAMES,
  type Port,
  shortLabel,
  spokenLabel,
  tag,
  tagWidth,
} from "./graph.js";
import { entering, heightOf } from "./layout.js";
import { BETWEEN } from "./layout-classes.js";
import { markPath } from "./marks.js";
import type { Scene } from "./scene.js";

/** More nodes than this become marks on the canvas. */
export const MOST_ELEMENTS = 400;

export interface NodeEvents {
  enter(node: number, event: PointerEvent): void;
  leave(): void;
  focus(node: number): void;
  blur(): void;
  press(node: number, event: MouseEvent): void;
}

/** What is special about nodes now. */
export interface Marks {
  ablated: ReadonlySet<number>;
  pins: ReadonlySet<string>;
  notes: Readonly<Record<string, string>>;
  chosen: ReadonlySet<string>;
  /** Found in a reference, missed, or not part of it. */
  reference: (node: GraphNode) => "" | "hit" | "miss" | "extra";
  veiled: (node: GraphNode) => boolean;
  /** Whether links of the node are hidden. */
  covered: (index: number) => boolean;
}

/** `head 9.6, layer 9, 4 incoming edges, 2 outgoing, strongest from MLP 0 +0.31, ablated`. */
export function nodeName(
  edges: Links,
  circuit: Circuit,
  index: number,
  covered: boolean,
  ...marks: string[]
): string {
  const node = edges.graph.nodes[index] as GraphNode;
  const parts = [spokenLabel(node)];
  if (node.kind === "head" || node.kind === "mlp") parts.push(`layer ${node.layer}`);
  const incoming = circuit.incoming.get(index) ?? [];
  const outgoing = circuit.outgoing.get(index) ?? [];
  if (node.reads) parts.push(plural(incoming.length, "incoming edge"));
  if (node.writes) parts.push(plural(outgoing.length, "outgoing edge"));
  const first = incoming[0];
  if (first !== undefined && !covered) {
    const from = shortLabel(edges.graph.nodes[edges.from[first] as number] as GraphNode);
    const port = PORT_NAMES[edges.portOf(first)];
    parts.push(
      `strongest from ${from}${port ? ` into ${port}` : ""} ${signed(edges.score[first] as number)}`,
    );
  }
  return [...parts, ...marks.filter(Boolean)].join(", ");
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

const dots: readonly string[] = ["feature", "error", "embedding", "logit"];

export class Nodes {
  readonly el = s("svg", { class: "iw-circuit-nodes", role: "group", "aria-label": "Nodes" });
  /** Where boxes of groups are drawn. */
  readonly under = s("g", {});
  private readonly world = s("g", {});
  private readonly drawn = new Map<number, SVGGElement>();
  private scene: Scene | undefined;
  private marks: Marks | undefined;
  /** Nodes that are marks on the canvas. */
  marked: readonly number[] = [];
  /** The node that Tab reaches. */
  current = -1;

  constructor(private readonly events: NodeEvents) {
    this.world.classList.add("iw-world");
    this.world.append(this.under);
    this.el.append(this.world);
  }

  show(scene: Scene, marks: Marks): void {
    const held = this.el.contains(document.activeElement) ? this.current : -1;
    this.scene = scene;
    this.marks = marks;
    const { layout } = scene;
    const order = [...scene.shown].sort(
      (a, b) =>
        (layout.y[b] as number) - (layout.y[a] as number) ||
        (layout.x[a] as number) - (layout.x[b] as number),
    );
    const many = order.length > MOST_ELEMENTS;
    const wanted = many ? order.filter((i) => this.matters(i)) : order;
    const inPage = new Set(wanted);
    this.marked = many ? order.filter((i) => !inPage.has(i)) : [];
    const before = new Map(this.drawn);
    this.drawn.clear();
    for (const i of wanted) this.drawn.set(i, this.renew(i, before.get(i)));
    const elements = [this.under, ...this.drawn.values()];
    const same =
      elements.length === this.world.childElementCount &&
      elements.every((g, i) => g === this.world.children[i]);
    if (!same) this.arrange(elements);
    const last = wanted[wanted.length - 1] ?? order[order.length - 1] ?? -1;
    const start = this.drawn.has(this.current) ? this.current : last;
    this.roam(start);
    if (held >= 0 && !same) this.focus(start);
  }

  /** Gives the world these children; those that stay are not taken out, which would cost a layout. */
  private arrange(elements: readonly SVGElement[]): void {
    const keep = new Set<Element>(elements);
    for (const old of [...this.world.children]) if (!keep.has(old)) old.remove();
    let at = this.world.firstElementChild;
    for (const el of elements) {
      if (el === at) at = at.nextElementSibling;
      else this.world.insertBefore(el, at);
    }
  }

  /** Whether a node stays an element in a graph of many. */
  private matters(i: number): boolean {
    const node = this.scene?.graph.nodes[i] as GraphNode;
    const { pins, notes, chosen } = this.marks as Marks;
    const { id } = node;
    return (
      i === this.current ||
      Boolean(node.members) ||
      node.kind === "logit" ||
      pins.has(id) ||
      id in notes ||
      chosen.has(id)
    );
  }

  /** Makes an element of a mark, for as long as it has the focus. */
  private ensure(i: number): SVGGElement | undefined {
    const known = this.drawn.get(i);
    if (known || !this.scene?.shown.includes(i)) return known;
    const g = this.renew(i, undefined);
    this.drawn.set(i, g);
    this.world.append(g);
    return g;
  }

  private renew(i: number, known: SVGGElement | undefined): SVGGElement {
    const { layout, circuit, edges, graph, inside } = this.scene as Scene;
    const { ablated, pins, notes, chosen, reference, veiled } = this.marks as Marks;
    const node = graph.nodes[i] as GraphNode;
    const found = reference(node);
    const hidden = veiled(node);
    const key = node.members ? (node.label ?? node.id) : node.id;
    const [pinned, noted, selected] = [pins.has(key), notes[key], chosen.has(node.id)];
    const ports = [...new Set((circuit.incoming.get(i) ?? []).map((e) => edges.portOf(e)))].sort();
    const size = [layout.x[i], layout.y[i], layout.boxes[i], heightOf(layout, i)];
    const off = node.members?.filter((m) => ablated.has(m)).join();
    const flags = [ablated.has(i), off, pinned, noted, selected, found, hidden];
    const look = [...size, ...flags, ...ports, node.label, ...inside(node)].join("|");
    const g = known?.dataset.look === look ? known : this.element(i, ports, key);
    g.dataset.look = look;
    const said = { hit: "in the reference", miss: "missed", extra: "not in the reference", "": "" };
    const words = [
      ablated.has(i) ? "ablated" : "",
      pinned ? "pinned" : "",
      said[found],
      selected ? "chosen" : "",
    ];
    const note = noted ? `note: ${noted}` : "";
    const name = hidden
      ? `${node.members ? "group" : spokenLabel(node)}, hidden`
      : nodeName(edges, circuit, i, this.marks?.covered(i) ?? false, ...words, note);
    g.setAttribute("aria-label", name);
    return g;
  }

  private element(i: number, ports: readonly Port[], key: string): SVGGElement {
    const { layout, graph, inside } = this.scene as Scene;
    const { ablated, pins, notes, chosen, reference, veiled } = this.marks as Marks;
    const node = graph.nodes[i] as GraphNode;
    const [x, y] = [layout.x[i] as number, layout.y[i] as number];
    const width = layout.boxes[i] as number;
    const height = heightOf(layout, i);
    const off = ablated.has(i);
    const acts = node.kind === "head" || node.kind === "mlp";
    const g = s("g", {
      class: `iw-node iw-node-${node.kind}`,
      role: "button",
      tabindex: -1,
      "aria-roledescription": node.members ? "group" : "node",
      "aria-pressed": acts ? String(off) : undefined,
    });
    const found = reference(node);
    for (const [name, on] of Object.entries({
      "iw-ablated": off,
      "iw-pinned": pins.has(key),
      "iw-chosen": chosen.has(node.id),
      "iw-veiled": veiled(node),
      [`iw-reference-${found}`]: found !== "",
    }))
      g.classList.toggle(name, on);
    const [wide, high] = [
      Math.max(width, 20),
      Math.max(height, dots.includes(node.kind) ? 16 : 24),
    ];
    g.append(
      s("rect", {
        class: "iw-node-target",
        x: x - wide / 2,
        y: y - high / 2,
        width: wide,
        height: high,
      }),
    );
    const dot = dots.includes(node.kind) && !layout.boxed;
    if (dot) g.append(s("path", { class: "iw-node-box", d: markPath(node.kind, x, y, width / 2) }));
    else this.box(g, node, x, y, width, height, inside(node));
    if (dot && (pins.has(key) || node.kind === "logit") && !veiled(node)) {
      const text = tag(node);
      const half = tagWidth(node) / 2; // the whole label in sight
      const at = Math.max(half, Math.min(x, layout.width - half));
      g.append(s("text", { class: "iw-node-tag", x: at, y: y - width / 2 - 4 }, text));
    }
    if (off) {
      const d = `M${x - width / 2},${y - height / 2}L${x + width / 2},${y + height / 2}`;
      g.append(s("path", { class: "iw-node-strike", d }));
    }
    for (const port of ports) {
      if (!port) continue;
      const [px, py] = entering(layout, i, port);
      g.append(portMark(port, px, py, Math.min(3, Math.max(1.8, width / 9))));
    }
    if (pins.has(key) && !dot)
      g.append(s("circle", { class: "iw-pin", cx: x + width / 2, cy: y - height / 2, r: 3.5 }));
    if (notes[key]) {
      const [nx, ny] = [x - width / 2 - 1, y - height / 2 - 1];
      g.append(s("path", { class: "iw-note-mark", d: `M${nx},${ny}h7v5h-3l-2,3v-3h-2Z` }));
    }
    this.attach(g, i, node);
    return g;
  }

  private box(
    g: SVGGElement,
    node: GraphNode,
    x: number,
    y: number,
    width: number,
    height: number,
    lines: readonly string[],
  ): void {
    const hidden = (this.marks as Marks).veiled(node);
    const short = node.label ?? (width < 24 ? tightLabel(node) : shortLabel(node));
    const room = Math.max(4, Math.floor((width - 8) / 6));
    const cut = node.label && short.length > room ? `${short.slice(0, room - 1)}…` : short;
    const text = hidden ? "?" : cut;
    const size = node.label
      ? 11
      : Math.min(11, height * 0.62, (width / Math.max(2, text.length)) * 1.7);
    const square = node.kind === "mlp" || node.kind === "embedding" || node.kind === "logit";
    g.append(
      s("rect", {
        class: "iw-node-box",
        x: x - width / 2,
        y: y - height / 2,
        width,
        height,
        rx: square ? 1.5 : Math.min(6, height / 2.4),
      }),
    );
    const head = lines.length ? y - height / 2 + 15 : y + size * 0.36;
    const title = s("text", { x, y: head, "font-size": size.toFixed(1) }, text);
    if (node.members) title.classList.add("iw-node-title");
    g.append(title);
    if (hidden) return;
    let nth = 0;
    lines.forEach((line, n) => {
      const text = s("text", { x, y: y - height / 2 + 31 + n * 15, "font-size": 10.5 });
      g.append(text);
      const at = Boolean(node.at) && n === lines.length - 1;
      if (at || line.startsWith("… ")) text.append(line);
      else
        line.split(BETWEEN).forEach((name, k) => {
          if (k) text.append(BETWEEN);
          text.append(this.member(node.members?.[nth++] as number, name));
        });
      text.classList.toggle("iw-node-at", at);
    });
  }

  /** A member's name inside the box of its class. */
  private member(i: number, name: string): SVGElement {
    const el = s("tspan", { class: "iw-member" }, name);
    el.dataset.member = String(i);
    el.classList.toggle("iw-ablated", (this.marks as Marks).ablated.has(i));
    el.addEventListener("pointerenter", (event) => this.events.enter(i, event as PointerEvent));
    return el;
  }

  /** Marks one member inside its box; -1 marks none. */
  markMember(member: number): void {
    for (const el of this.el.querySelectorAll<SVGElement>(".iw-member"))
      el.classList.toggle("iw-member-on", el.dataset.member === String(member));
  }

  private attach(g: SVGGElement, i: number, node: GraphNode): void {
    g.dataset.node = node.id;
    g.dataset.at = String(i);
    g.addEventListener("pointerenter", (event) => this.events.enter(i, event));
    g.addEventListener("pointerleave", () => this.events.leave());
    g.addEventListener("focus", () => {
      this.roam(i);
      this.events.focus(i);
    });
    g.addEventListener("blur", () => this.events.blur());
    g.addEventListener("click", (event) => {
      event.stopPropagation();
      const inside = (event.target as Element).closest<SVGElement>(".iw-member");
      this.events.press(inside ? Number(inside.dataset.member) : i, event);
    });
  }

  place(view: Viewport): void {
    this.world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
    this.el.classList.toggle("iw-far", view.scale < 0.62);
  }

  /** Shows a node elsewhere while it is dragged. */
  drag(node: number, dx: number, dy: number): void {
    this.drawn.get(node)?.setAttribute("transform", `translate(${dx} ${dy})`);
  }

  private roam(node: number): void {
    this.drawn.get(this.current)?.setAttribute("tabindex", "-1");
    this.current = node;
    this.ensure(node)?.setAttribute("tabindex", "0");
  }

  focus(node: number): void {
    this.ensure(node)?.focus({ preventScroll: true });
  }

  /** Fades all but these; null shows all alike. */
  emphasise(nodes: ReadonlySet<number> | null, main = -1): void {
    this.el.classList.toggle("iw-dimmed", nodes !== null);
    for (const [i, g] of this.drawn) {
      g.classList.toggle("iw-lit", nodes?.has(i) ?? false);
      g.classList.toggle("iw-main", i === main);
    }
  }

  /** Gives a class to the nodes that a test names. */
  flag(name: string, test: (node: GraphNode) => boolean): void {
    for (const [i, g] of this.drawn)
      g.classList.toggle(name, test(this.scene?.graph.nodes[i] as GraphNode));
  }

  /** Marks a node whose intervention is on its way; -1 when it has arrived. */
  pending(node: number): void {
    for (const g of this.drawn.values()) g.classList.remove("iw-pending");
    this.drawn.get(node)?.classList.add("iw-pending");
  }

  /** Whether a node has the focus because of the keyboard, not of a click. */
  walked(node: number): boolean {
    return this.drawn.get(node)?.matches(":focus-visible") ?? false;
  }

  at(node: number): DOMRect | undefined {
    return this.ensure(node)?.getBoundingClientRect();
  }
}
