// A circuit of heads and MLPs: size slider, cutting edges, ablating components, a reference beside.
import { segmented, toggle } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { Board, type Rows, score } from "./board.js";
import { Cuts } from "./cuts.js";
import type { Look } from "./draw.js";
import { CircuitGraph, Edges, type GraphNode, spokenLabel } from "./graph.js";
import { naturalHeight } from "./layout.js";
import { circuitLegend, signsOf } from "./legend.js";
import type { Marks } from "./nodes.js";
import { Reference } from "./reference.js";
import {
  difference,
  type EdgeList,
  edgeList,
  join,
  type LayoutKind,
  type SceneOptions,
} from "./scene.js";
import { sizeBar } from "./sizebar.js";

export class CircuitView extends Board {
  private readonly cuts: Cuts;
  private readonly graph: CircuitGraph;
  private readonly sizes = sizeBar((size, settled) => this.resize(size, settled));
  private readonly key = h("span", { class: "iw-legend" });
  private readonly counts = h("span", {});
  private lists: { current: EdgeList; base?: EdgeList };
  private exact: Float32Array | undefined;
  private reference: Reference | undefined;
  private size: number;
  private mode: string;

  constructor(view: View) {
    const { spec, first } = view;
    const graph = new CircuitGraph(spec.forward, spec.backward);
    const list = edgeList(first as never);
    super(view, new Edges(graph, list.flat, list.score));
    this.graph = graph;
    this.lists = { current: list };
    this.size = view.state.size ?? 200;
    this.mode = "current";
    this.cuts = new Cuts(
      view,
      () => this.scene.links,
      () => this.refresh(false),
    );
    this.readFirst();
    this.controls();
    view.body.prepend(this.cuts.el);
    view.foot.append(this.key, this.counts);
    view.onResize((width) => this.reshape(width));
    view.onSpec(() => this.renew());
    view.onState(() => this.stateChanged());
    this.reshape(view.body.clientWidth || 640);
    this.colours();
    void this.load();
  }

  // Controls.

  private controls(): void {
    const { view } = this;
    const kind = segmented<LayoutKind>(
      "Layout",
      [
        ["columns", "Columns"],
        ["packed", "Packed"],
        ["classes", "Classes"],
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
    view.toolbar.append(this.sizes.el, kind.el, connected.el, this.chooser());
  }

  private get kind(): LayoutKind {
    const { layout } = this.view.state;
    return layout === "packed" || layout === "classes" ? layout : "columns";
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

  // Data.

  private readFirst(): void {
    const { spec, first } = this.view;
    const exact = first.exact as NdArray | undefined;
    this.exact = exact ? Float32Array.from(exact.data) : undefined;
    this.reference = spec.reference ? new Reference(spec.reference) : undefined;
  }

  private retake(): void {
    const { mode } = this.view;
    const { current, base } = this.lists;
    const list =
      mode === "base" && base
        ? base
        : mode === "difference" && base
          ? difference(current, base)
          : current;
    this.mode = mode;
    this.scene.take(new Edges(this.graph, list.flat, list.score));
  }

  /** Fetches what the mode or the size needs and is not here yet. */
  private async load(): Promise<void> {
    const { view, lists } = this;
    const { total } = view.spec;
    try {
      if (this.size > lists.current.flat.length && lists.current.flat.length < total) {
        const start = lists.current.flat.length;
        const more = await view.request("edges", { mode: "current", start, stop: total });
        if (this.lists === lists) lists.current = join(lists.current, edgeList(more));
        this.retake();
        this.refresh(false);
      }
      if (view.mode !== "current" && !lists.base) {
        lists.base = edgeList(await view.request("edges", { mode: "base", start: 0, stop: 1e9 }));
        this.retake();
        this.refresh(false);
      }
    } catch (error) {
      view.report(error, () => void this.load());
    }
  }

  private async renew(): Promise<void> {
    const { base } = this.lists;
    this.lists = { current: edgeList(this.view.first as never), ...(base ? { base } : {}) };
    this.readFirst();
    this.retake();
    this.nodes.pending(-1);
    this.refresh(false);
    this.cuts.show();
    await this.load();
    await this.cuts.again();
  }

  // Drawing.

  protected options(): SceneOptions {
    const { view, scene, arrangement } = this;
    if (this.mode !== view.mode) this.retake();
    const height = naturalHeight(this.graph.layers);
    const { most, height: room } = this.room;
    const { links } = scene;
    const missed = this.reference?.missedNodes(scene) ?? [];
    const { flat = [] } = this.reference?.spec ?? {};
    const beside = flat.map((f) => links.position(f)).filter((e) => e >= this.size);
    const pins = arrangement.pins.map((name) => this.graph.find(name)).filter((i) => i >= 0);
    const grouped = arrangement.groups.flatMap((g) => (g.collapsed ? [] : g.members));
    const members = grouped.map((name) => this.graph.find(name)).filter((i) => i >= 0);
    const ends = flat.length ? beside.flatMap((e) => [links.from[e]!, links.to[e]!]) : [];
    return {
      wanted: this.size,
      connected: this.connected,
      kind: this.kind,
      width: this.width / most,
      height: room ? Math.max(height, room / most) : height,
      also: [...this.ablated(), ...missed, ...pins, ...members, ...ends],
      groups: arrangement.groups,
      positions: arrangement.positions,
      beside,
    };
  }

  protected override drew(): void {
    const { view, scene } = this;
    this.sizes.set(this.size, scene.links.length, view.spec.faithfulness ?? null);
    const reference = this.reference?.spec.level;
    const difference = this.mode === "difference";
    const signs = signsOf(scene.strokes);
    const key = JSON.stringify([signs, difference, reference]);
    if (this.key.dataset.shows !== key) {
      this.key.dataset.shows = key;
      this.key.replaceChildren(...circuitLegend({ drawn: signs, difference, reference }));
    }
    const drawn = scene.circuit.edges.length;
    const whole = scene.kept.edges.length;
    const left = scene.circuit.asked - whole;
    const nodes = scene.kept.nodes.length;
    const words = [`${whole.toLocaleString("en")} edges, ${nodes} components`];
    if (drawn !== whole) words.push(`drawn as ${drawn.toLocaleString("en")} between groups`);
    if (left) words.push(`${left.toLocaleString("en")} on no path left out`);
    if (view.spec.unscored) words.push(`${view.spec.unscored} without a finite score`);
    if (this.reference) {
      const { precision, recall, hits, missed, extra } = this.reference.compare(
        scene.kept,
        scene.links,
      );
      words.push(
        `reference: precision ${num(precision, 2)}, recall ${num(recall, 2)} (${hits} shared, ${missed} missed, ${extra} extra)`,
      );
    }
    this.counts.textContent = words.join("; ");
    const empty = !whole && scene.links.length > 0;
    view.note(
      empty
        ? `The ${scene.circuit.asked} strongest edges form no path from the input to the logits.`
        : "",
      "info",
      empty ? { label: "Show them", call: () => view.update({ connected: false }) } : undefined,
      "empty",
    );
  }

  protected override lookOf(edge: number): Look {
    const { edges, circuit } = this.scene;
    const flats = edges.flats(edge);
    if (flats.length && flats.every((flat) => this.cuts.has(flat))) return "cut";
    if (!this.reference) return "";
    const { outgoing } = circuit;
    const inside = outgoing.get(edges.from[edge] as number)?.includes(edge) ?? false;
    if (!inside) return "miss";
    return this.reference.ofEdge(edges, edge) === "extra" ? "extra" : "";
  }

  protected override special(): Pick<Marks, "ablated" | "reference"> {
    const { reference, scene } = this;
    const inside = new Set(scene.kept.nodes);
    return {
      ablated: this.ablated(),
      reference: (node) => reference?.ofNode(node, inside.has(this.graph.find(node.id))) ?? "",
    };
  }

  private ablated(): Set<number> {
    const found = new Set<number>();
    for (const item of this.view.spec.interventions ?? []) {
      if (item.kind !== "ablate" || item.position || item.unit) continue;
      const heads = item.site === "z" ? ((item.head as number[]) ?? [...Array(64).keys()]) : [];
      for (const head of heads) {
        const node = this.graph.find(`a${item.layer}.h${head}`);
        if (node >= 0) found.add(node);
      }
      const mlp = item.site === "mlp_out" ? this.graph.find(`m${item.layer}`) : -1;
      if (mlp >= 0) found.add(mlp);
    }
    return found;
  }

  ends(): [number, number] {
    const { graph } = this.scene;
    return [graph.find("input"), graph.find("logits")];
  }

  // Words.

  protected linkRows(edge: number): Rows {
    const { edges } = this.scene;
    const flats = edges.flats(edge);
    const word = this.view.mode === "difference" ? "change of score" : "score";
    const rows: Rows = [[flats.length > 1 ? `Σ ${word}` : word, score(edges, edge)]];
    if (flats.length > 1) {
      rows.push(["edges", String(flats.length)]);
      return rows;
    }
    const at = this.scene.links.position(flats[0] as number);
    const exact = this.view.mode === "current" ? this.exact?.[at] : undefined;
    if (exact !== undefined && Number.isFinite(exact)) rows.push(["exact effect", signed(exact)]);
    const of = this.scene.links.length.toLocaleString("en");
    rows.push(["rank", `${(at + 1).toLocaleString("en")} of ${of}`]);
    if (this.reference?.spec.level === "edge") {
      const look = this.lookOf(edge);
      const said = look === "extra" ? "not in it" : look === "miss" ? "missed" : "in it";
      rows.push(["reference", said]);
    }
    return rows;
  }

  protected override linkHint(edge: number): string {
    if (!this.view.spec.can_cut) return "";
    const flats = this.scene.edges.flats(edge);
    return flats.every((flat) => this.cuts.has(flat)) ? "Cut. Click to restore" : "Click to cut";
  }

  protected override nodeHint(node: GraphNode): string {
    if (node.members)
      return this.kind === "classes" ? "Click to show or hide its members" : "Click to unfold";
    const acts = node.kind === "head" || node.kind === "mlp";
    return acts && this.view.spec.can_ablate ? "Click to ablate or restore; drag to move" : "";
  }

  // Acting.

  protected pressEdge(edge: number): void {
    this.view.guard(() => this.cuts.toggle(this.scene.edges.flats(edge)))();
  }

  protected override select(at: GraphNode): void {
    const { selection } = this.view;
    if (at.kind === "head") selection.set({ layer: at.layer, head: at.head, node: at.id });
    else selection.set({ node: at.id });
  }

  protected override selected(): (node: GraphNode) => boolean {
    const { node, layer, head } = this.view.selection.get();
    return (at) => (node ? at.id === node : at.id === `a${layer}.h${head}`);
  }

  protected pressNode(node: number): void {
    const { view } = this;
    const at = this.scene.graph.nodes[node];
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
}
