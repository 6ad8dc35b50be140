// What the views of circuits and of attribution graphs share: the picture, pointing, the keyboard,
// and arranging. A view says what is drawn (`options`), how, and what a press does.

import { button, toggle } from "../core/controls.js";
import { h, num, plural, signed } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import type { View } from "../core/view.js";
import { Arrangement } from "./arrange.js";
import { ArrangeBar } from "./arrangebar.js";
import { Axes } from "./axes.js";
import { enlarged } from "./camera.js";
import type { Look } from "./draw.js";
import { groupId } from "./fold.js";
import type { GraphNode, Links } from "./graph.js";
import { spokenLabel } from "./graph.js";
import { hulls } from "./hulls.js";
import { type BoardKeys, boardKey, groupKey } from "./keys.js";
import { edgesOf } from "./navigate.js";
import { type Marks, Nodes } from "./nodes.js";
import { StagePointer, zoomButtons } from "./pointer.js";
import { Scene, type SceneOptions } from "./scene.js";
import { Stage } from "./stage.js";

/** Links of a node that follow it while it is dragged; the others follow when it is let go. */
const WHILE_DRAGGED = 120;

export type Rows = [string, string][];

export abstract class Board implements BoardKeys {
  readonly scene: Scene;
  readonly nodes: Nodes;
  readonly stage: Stage;
  readonly arrangement: Arrangement;
  readonly tip: Tooltip;
  readonly bar: ArrangeBar;
  /** The node that has the focus, and the link that was picked by keyboard. */
  focused = -1;
  edge = -1;
  /** The member of the focused class that was picked by keyboard. */
  member = -1;
  moving = false;
  protected width = 640;
  protected height = 400;
  private hovered = -1;
  private readonly pointer: StagePointer;

  constructor(
    readonly view: View,
    links: Links,
  ) {
    const { signal } = view;
    this.scene = new Scene(links);
    this.tip = new Tooltip(view.el, signal);
    this.arrangement = new Arrangement(view, () => this.refresh(false));
    this.bar = new ArrangeBar({
      arrangement: this.arrangement,
      label: (name) => this.labelOf(name),
      leave: () => this.nodes.focus(this.nodes.current),
    });
    this.nodes = new Nodes({
      enter: (node, event) => this.point(node, event.clientX, event.clientY),
      leave: () => this.leave(),
      focus: (node) => this.focusOn(node),
      blur: () => this.blur(),
      press: (node, event) => this.press(node, event),
    });
    this.stage = new Stage(this.nodes, new Axes(), signal);
    this.stage.look = (edge) => (this.edgeVeiled(edge) ? "veiled" : this.lookOf(edge));
    this.pointer = new StagePointer(this.stage, {
      over: (edge, mark, event) => this.over(edge, mark, event),
      pressEdge: (edge) => this.pressLink(edge),
      pressMark: (mark, event) => this.press(mark, event),
      drag: (node, dx, dy, done) => this.drag(node, dx, dy, done),
      lasso: (inside, add) => this.lasso(inside, add),
    });
    const make = (label: string, icon: string, call: () => void) => button(label, call, { icon });
    this.stage.el.append(zoomButtons(this.stage, make));
    view.body.append(this.stage.el, this.bar.el); // below, so that nothing moves under the pointer
    const keys = (event: KeyboardEvent) => boardKey(this, event);
    this.stage.el.addEventListener("keydown", keys, { signal });
    view.onTheme(() => this.colours());
    view.onVeil(() => this.refresh(false));
    view.onHover((value) => this.otherHover(value?.node ?? "", value?.layer, value?.head));
    view.onSelection(() => this.marked());
  }

  // What a view says.

  protected abstract options(): SceneOptions;
  /** Rows of the tooltip of a link, and what a press does to it. */
  protected abstract linkRows(edge: number): Rows;
  protected abstract pressEdge(edge: number): void;
  protected abstract pressNode(node: number): void;
  protected lookOf(_edge: number): Look {
    return "";
  }
  protected linkHint(_edge: number): string {
    return "";
  }
  protected nodeHint(_node: GraphNode): string {
    return "";
  }
  protected nodeRows(node: number): Rows {
    return sums(this.scene, node);
  }
  protected special(): Pick<Marks, "ablated" | "reference"> {
    return { ablated: new Set(), reference: () => "" };
  }
  protected select(_node: GraphNode): void {}
  protected selected(): (node: GraphNode) => boolean {
    return () => false;
  }
  protected drew(): void {}
  abstract ends(): [number, number];

  // Controls.

  /** A switch that makes dragging on empty ground draw a loop around nodes. */
  protected chooser(): HTMLElement {
    const control = toggle("Select", false, (on) => {
      this.pointer.choosing = on;
      this.stage.el.classList.toggle("iw-choosing", on);
    });
    control.el.title = "Draw a loop around nodes to choose them; so does dragging with Shift";
    return control.el;
  }

  protected colours(): void {
    const style = getComputedStyle(this.view.el);
    const read = (name: string, otherwise: string) =>
      style.getPropertyValue(name).trim() || otherwise;
    this.stage.paint = {
      positive: read("--iw-positive", "#d55e00"),
      negative: read("--iw-negative", "#0072b2"),
      ghost: read("--iw-line", "#d8dee4"),
      cut: read("--iw-muted", "#59636e"),
      faint: read("--iw-control", "#6e7781"),
      node: read("--iw-control", "#6e7781"),
    };
    this.stage.background = read("--iw-bg", "#ffffff");
    this.stage.redraw(true);
  }

  // Drawing.

  /** In full screen how many times the picture is enlarged, and its height; else once and 0. */
  protected get room(): { most: number; height: number } {
    if (!this.view.full) return { most: 1, height: 0 };
    return { most: enlarged(this.width), height: innerHeight - 175 };
  }

  refresh(moving: boolean): void {
    const { scene, stage, arrangement } = this;
    const options = this.options();
    const before = this.focused >= 0 ? scene.graph.nodes[this.focused]?.id : undefined;
    scene.update(options);
    if (before !== undefined) this.focused = scene.graph.find(before);
    const marks: Marks = {
      ...this.special(),
      pins: new Set(arrangement.pins),
      notes: arrangement.notes,
      chosen: arrangement.chosen,
      veiled: (node) => this.veiled(node),
      covered: (node) => this.covered(node),
    };
    this.nodes.show(scene, marks);
    const { groups } = arrangement;
    const boxes = hulls(scene, groups, {
      veiled: (group) => this.view.veiled(group.name),
      press: (group) => this.pressGroup(group.name),
      key: (group, event) => groupKey(this, group.name, event),
      focus: (group) => this.bar.show(group.name),
    });
    this.nodes.under.replaceChildren(...boxes);
    this.height = options.height;
    const { most } = this.room;
    const height = Math.min(options.height, scene.layout.height) * most;
    stage.resize(this.width, this.room.height ? Math.min(height, this.room.height) : height, most);
    stage.show(scene, moving);
    this.bar.show(this.groupUnder(this.focused));
    this.drew();
    this.marked();
    this.nodes.markMember(this.member);
    if (this.nodes.walked(this.focused)) this.light(this.focused);
  }

  private marked(): void {
    this.nodes.flag("iw-selected", this.selected());
  }

  /** What a node is called. */
  labelOf(name: string): string {
    const at = this.scene.graph.find(name);
    return at < 0 ? name : spokenLabel(this.scene.graph.nodes[at] as GraphNode);
  }

  /** Name under which a node is arranged: a group's own name, or the node's id. */
  nameOf(node: number): string {
    const at = this.scene.graph.nodes[node];
    return at ? (at.members ? (at.label ?? at.id) : at.id) : "";
  }

  /** The group that a node is, or is in. */
  groupUnder(node: number): string {
    const at = this.scene.graph.nodes[node];
    if (!at) return "";
    return at.members ? this.nameOf(node) : (this.arrangement.groupOf(at.id)?.name ?? "");
  }

  // Veil.

  veiled(node: GraphNode): boolean {
    if (["input", "logits", "embedding"].includes(node.kind)) return false; // nothing to guess
    return this.view.veiled(node.members ? (node.label ?? node.id) : node.id);
  }

  private edgeVeiled(edge: number): boolean {
    if (!this.view.veil.covers) return false;
    const { edges, graph } = this.scene;
    return [edges.from[edge], edges.to[edge]].some((i) =>
      this.veiled(graph.nodes[i as number] as GraphNode),
    );
  }

  private covered(node: number): boolean {
    return (
      this.view.veil.covers &&
      edgesOf(this.scene.circuit, node).some((edge) => this.edgeVeiled(edge))
    );
  }

  private reveal(node: number): boolean {
    const at = this.scene.graph.nodes[node];
    if (!at || !this.veiled(at)) return false;
    this.view.reveal(this.nameOf(node));
    return true;
  }

  // Pointing.

  light(node: number): void {
    const { edges, circuit } = this.scene;
    const near = new Set([node]);
    const own = edgesOf(circuit, node);
    for (const e of own) {
      near.add(edges.from[e] as number);
      near.add(edges.to[e] as number);
    }
    this.nodes.emphasise(near, node);
    this.stage.highlight(own, true);
  }

  dark(): void {
    if (this.nodes.walked(this.focused)) {
      this.light(this.focused);
      return;
    }
    this.nodes.emphasise(null);
    this.stage.highlight(null, false);
  }

  point(node: number, x: number, y: number): void {
    const at = this.scene.graph.nodes[node];
    if (!at) return;
    this.light(this.scene.holder(node));
    const name = this.nameOf(node);
    if (!at.members) {
      const head = at.kind === "head" ? { layer: at.layer, head: at.head } : {};
      const token = at.position === undefined ? {} : { token: at.position };
      this.view.hover({ node: at.id, ...head, ...token });
    }
    if (this.veiled(at)) {
      this.tip.show(x, y, "hidden", [], [hint("Press to reveal")]);
      return;
    }
    const rows: Rows = this.covered(node) ? [["links", "hidden"]] : this.nodeRows(node);
    const group = at.members ? undefined : this.arrangement.groupOf(at.id);
    if (group) rows.push(["group", this.view.veiled(group.name) ? "hidden" : group.name]);
    const note = this.arrangement.notes[name];
    const extra = note ? [h("p", { class: "iw-note-text" }, note)] : [];
    const says = this.nodeHint(at);
    this.tip.show(x, y, spokenLabel(at), rows, [...extra, ...(says ? [hint(says)] : [])]);
  }

  leave(): void {
    this.tip.leave();
    this.view.hover(null);
    this.dark();
  }

  private over(edge: number, mark: number, event: PointerEvent): void {
    if (mark >= 0) {
      this.hovered = -1;
      this.point(mark, event.clientX, event.clientY);
      return;
    }
    if (edge === this.hovered && edge < 0) return;
    const fresh = edge !== this.hovered;
    this.hovered = edge;
    this.stage.el.classList.toggle("iw-on-edge", edge >= 0);
    if (edge < 0) {
      this.leave();
      return;
    }
    if (fresh) {
      const { edges } = this.scene;
      this.stage.highlight([edge], false);
      this.nodes.emphasise(new Set([edges.from[edge] as number, edges.to[edge] as number]));
    }
    this.tipOfEdge(edge, event.clientX, event.clientY);
  }

  private tipOfEdge(edge: number, x: number, y: number): void {
    const { edges } = this.scene;
    if (this.edgeVeiled(edge)) {
      this.tip.show(x, y, "hidden", [], [hint("Reveal both of its ends to see it")]);
      return;
    }
    const says = this.linkHint(edge);
    this.tip.show(x, y, edges.label(edge), this.linkRows(edge), says ? [hint(says)] : []);
  }

  private otherHover(node: string, layer?: number | null, head?: number | null): void {
    const { graph } = this.scene;
    const id = node || (head === null || head === undefined ? "" : `a${layer}.h${head}`);
    const at = id ? this.scene.holder(graph.find(id)) : -1;
    this.nodes.flag("iw-hovered", (n) => at >= 0 && n === graph.nodes[at]);
  }

  // Acting.

  protected press(node: number, event: MouseEvent): void {
    if (this.reveal(node)) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey || this.pointer.choosing) {
      if (!this.scene.graph.nodes[node]?.members) this.arrangement.toggle(this.nameOf(node));
      return;
    }
    this.act(node);
  }

  /** What Enter or a click does to a node. */
  act(node: number): void {
    const at = this.scene.graph.nodes[node];
    if (!at || this.reveal(node)) return;
    if (at.members) this.arrangement.fold(this.nameOf(node));
    else this.pressNode(node);
  }

  pressLink(edge: number): void {
    this.tip.hide();
    if (this.edgeVeiled(edge)) {
      const { edges } = this.scene;
      for (const i of [edges.from[edge], edges.to[edge]]) this.reveal(i as number);
    } else this.pressEdge(edge);
  }

  private drag(node: number, dx: number, dy: number, done: boolean): void {
    const { scene, stage, nodes } = this;
    const { layout } = scene;
    if (!this.held || this.held.node !== node)
      this.held = { node, x: layout.x[node] as number, y: layout.y[node] as number };
    const x = this.held.x + dx;
    const y = this.held.y + dy;
    this.tip.hide();
    if (done) {
      this.held = undefined;
      this.arrangement.move(this.nameOf(node), [x / layout.width, 1 - y / layout.height]);
      return;
    }
    [layout.x[node], layout.y[node]] = [x, y];
    const own = edgesOf(scene.circuit, node).sort((a, b) => a - b);
    const strongest = new Set(own.slice(0, WHILE_DRAGGED));
    scene.moveStrokes(strongest);
    nodes.drag(node, dx, dy);
    stage.highlight([...strongest], true);
  }
  private held: { node: number; x: number; y: number } | undefined;

  /** Moves a node by keyboard, in steps of the drawing. */
  nudge(node: number, dx: number, dy: number): void {
    const { layout } = this.scene;
    const x = (layout.x[node] as number) / layout.width + dx;
    const y = 1 - (layout.y[node] as number) / layout.height + dy;
    this.arrangement.move(this.nameOf(node), [x, y]);
    this.nodes.focus(node);
  }

  private lasso(inside: (x: number, y: number) => boolean, add: boolean): void {
    const { shown, layout, graph } = this.scene;
    const found = shown.filter((i) => inside(layout.x[i] as number, layout.y[i] as number));
    const names = found.flatMap((i) => {
      const node = graph.nodes[i] as GraphNode;
      return node.members ? node.members.map((m) => graph.nodes[m]?.id ?? "") : [node.id];
    });
    this.arrangement.choose(names, add);
  }

  // Keyboard.

  private focusOn(node: number): void {
    if (this.focused === node) return;
    this.focused = node;
    this.edge = -1;
    this.pickMember(-1);
    this.light(node);
    const { layout, graph } = this.scene;
    this.stage.reveal(layout.x[node] as number, layout.y[node] as number);
    const at = graph.nodes[node];
    if (at && !at.members) this.select(at);
    this.bar.show(this.groupUnder(node));
  }

  private blur(): void {
    this.focused = -1;
    this.edge = -1;
    this.pickMember(-1);
    this.dark();
  }

  /** Folds or unfolds a group, or shows what is hidden; the focus follows. */
  pressGroup(name: string): void {
    if (this.view.veiled(name)) {
      this.view.reveal(name);
      return;
    }
    this.arrangement.fold(name);
    const { graph } = this.scene;
    const first = this.arrangement.named(name)?.members[0] ?? "";
    const box = graph.find(groupId(name));
    this.nodes.focus(box >= 0 ? box : graph.find(first));
  }

  /** Picks a member inside the box of the focused class; -1 ends it. */
  pickMember(member: number): void {
    this.member = member;
    this.nodes.markMember(member);
    const at = this.scene.graph.nodes[member];
    if (!at) return;
    this.select(at);
    const rows = this.nodeRows(member).map((row) => row.join(" "));
    const off = this.special().ablated.has(member) ? "ablated" : "";
    this.view.say([spokenLabel(at), ...rows, off].filter(Boolean).join(", "));
  }

  /** Picks a link by keyboard and says what it is. */
  pick(edge: number, node: number): void {
    this.edge = edge;
    const { edges } = this.scene;
    this.stage.highlight([edge], true);
    const ends = new Set([edges.from[edge] as number, edges.to[edge] as number]);
    this.nodes.emphasise(ends, node);
    const box = this.nodes.at(node);
    if (box) this.tipOfEdge(edge, box.right, box.top);
    if (this.edgeVeiled(edge)) this.view.say("hidden");
    else {
      const rows = this.linkRows(edge).map(([name, value]) => `${name} ${value}`);
      const hinted = this.linkHint(edge);
      this.view.say([edges.label(edge), ...rows, hinted].filter(Boolean).join(", "));
    }
  }
}

export const hint = (text: string): Node => h("em", { class: "iw-hint" }, text);

/** How many links go in and out, and how much they carry. */
export function sums(scene: Scene, node: number): Rows {
  const drawn = scene.shown.includes(node); // or inside the box of a class
  const [circuit, edges] = drawn ? [scene.circuit, scene.edges] : [scene.kept, scene.links];
  const rows: Rows = [];
  for (const [word, list] of [
    ["in", circuit.incoming.get(node) ?? []],
    ["out", circuit.outgoing.get(node) ?? []],
  ] as const) {
    const total = list.reduce((sum, e) => sum + Math.abs(edges.score[e] as number), 0);
    if (list.length) rows.push([`${plural(list.length, "edge")} ${word}, Σ|score|`, num(total)]);
  }
  return rows;
}

export const score = (links: Links, edge: number): string => signed(links.score[edge] as number);
