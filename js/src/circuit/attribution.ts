// An attribution graph: rows are layers, columns tokens; two thresholds, a card of the selected node.
import { segmented, slider } from "../core/controls.js";
import { h, num, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { Board, type Rows, score } from "./board.js";
import { type Card, cardOf } from "./card.js";
import { Graph, type GraphNode, Links, type NodeKind, spokenLabel } from "./graph.js";
import { attributionLegend, signsOf } from "./legend.js";
import { fixed, prune } from "./prune.js";
import type { LayoutKind, SceneOptions } from "./scene.js";

const KINDS: readonly NodeKind[] = ["feature", "error", "embedding", "logit"];
const SIDE = 264; // px of the card beside the picture
const NARROW = 720; // below this width the card stands under it

interface LinkData {
  source: NdArray;
  target: NdArray;
  weight: NdArray;
  share: NdArray;
}

export class AttributionView extends Board {
  private readonly card = h("aside", { class: "iw-card", "aria-label": "Selected node" });
  private readonly key = h("span", { class: "iw-legend" });
  private readonly counts = h("span", {});
  private readonly graph: Graph;
  private readonly influence: Float32Array;
  private readonly activation: Float32Array;
  private share: Float32Array;
  private wanted: { key: string; edges: Int32Array } = { key: "", edges: new Int32Array() };
  private asked = "";

  constructor(view: View) {
    const { spec } = view;
    const first = view.first as unknown as LinkData & Record<string, NdArray>;
    const kinds = (first.kind as NdArray).data;
    const graph = Graph.of(
      (spec.ids as string[]).map((id, i): GraphNode => {
        const kind = KINDS[kinds[i] as number] as NodeKind;
        return {
          id,
          kind,
          layer: spec.row[i],
          head: -1,
          position: spec.position[i],
          writes: kind !== "logit",
          reads: kind !== "embedding" && kind !== "error",
          ...named(spec, i, kind),
        };
      }),
    );
    super(view, linksOf(graph, first));
    this.graph = graph;
    this.influence = Float32Array.from((first.influence as NdArray).data);
    this.activation = Float32Array.from((first.activation as NdArray).data);
    this.share = Float32Array.from(first.share.data);
    this.controls();
    view.body.classList.add("iw-with-card");
    const left = h("div", { class: "iw-graph-pane" }, this.stage.el, this.bar.el);
    view.body.replaceChildren(left, this.card);
    view.foot.append(this.key, this.counts);
    if (spec.note) view.note(spec.note, "warning", undefined, "file");
    view.onResize((width) => this.reshape(width));
    view.onState(() => this.refresh(false));
    this.reshape(view.body.clientWidth || 960);
    this.colours();
    void this.showCard();
    void this.load();
  }

  private controls(): void {
    const { view } = this;
    const { state } = view;
    const set = (key: string) => (value: number) => view.update({ [key]: value });
    const nodes = slider("Node influence", 0.05, 1, state.nodes ?? 0.8, set("nodes"), {
      step: 0.01,
    });
    const edges = slider("Edge influence", 0.05, 1, state.edges ?? 0.98, set("edges"), {
      step: 0.01,
    });
    nodes.el.title = "Keep the smallest set of nodes with this share of all influence";
    edges.el.title = "Keep the smallest set of links with this share of all influence";
    const kind = segmented<LayoutKind>(
      "Layout",
      [
        ["positions", "All"],
        ["classes", "Pinned"],
      ],
      this.kind,
      (layout) => view.update({ layout }),
    );
    view.onState(() => {
      nodes.set(view.state.nodes);
      edges.set(view.state.edges);
      kind.set(this.kind);
    });
    view.toolbar.append(nodes.el, edges.el, kind.el, this.chooser());
  }

  private get kind(): LayoutKind {
    return this.view.state.layout === "classes" ? "classes" : "positions";
  }

  private reshape(width: number): void {
    if (width < 40) return;
    const beside = width >= NARROW;
    this.view.body.classList.toggle("iw-card-below", !beside);
    this.width = beside ? width - SIDE - 12 : width;
    this.refresh(false);
  }

  private async load(): Promise<void> {
    const { view } = this;
    const have = this.scene.links.length;
    if (have >= view.spec.total) return;
    try {
      const more = await view.request<LinkData>("links", { start: have, stop: 1_000_000_000 });
      this.scene.take(linksOf(this.graph, more, this.scene.links));
      this.share = Float32Array.from([...this.share, ...Float32Array.from(more.share.data)]);
      this.wanted.key = "";
      this.refresh(false);
    } catch (error) {
      view.report(error, () => void this.load());
    }
  }

  protected options(): SceneOptions {
    const { view, arrangement, graph } = this;
    const { nodes = 0.8, edges = 0.98 } = view.state;
    const { pins, groups } = arrangement;
    const names = [...pins, ...groups.flatMap((g) => g.members)];
    const own = new Set(names.map((name) => graph.find(name)).filter((i) => i >= 0));
    const key = [nodes, edges, this.scene.links.length, ...own].join();
    if (this.wanted.key !== key) {
      const { links } = this.scene;
      const kept = prune(links, this.influence, this.share, nodes, edges, own);
      this.wanted = { key, edges: kept };
    }
    const { most, height: room } = this.room;
    const logits = graph.nodes.map((_, i) => i).filter((i) => fixed(graph.nodes[i] as GraphNode));
    return {
      wanted: this.wanted.edges,
      connected: false,
      kind: this.kind,
      width: this.width / most,
      height: room ? room / most : 520,
      also: this.kind === "classes" ? [] : [...own, ...logits],
      groups,
      positions: arrangement.positions,
      only: own,
      tokens: view.spec.tokens,
      layers: (view.spec.layers as string[]).map((l, i, all) => (i === all.length - 1 ? "out" : l)),
    };
  }

  protected override drew(): void {
    const { scene, view } = this;
    this.key.replaceChildren(...attributionLegend(signsOf(scene.strokes)));
    const total = view.spec.ids.length.toLocaleString("en");
    const shown = scene.shown.length.toLocaleString("en");
    const words = [
      `${shown} of ${total} nodes`,
      `${scene.circuit.edges.length.toLocaleString("en")} of ${view.spec.total.toLocaleString("en")} links`,
    ];
    if (this.kind === "classes" && !scene.shown.length)
      words.push("nothing is pinned yet: choose nodes and pin or group them");
    this.counts.textContent = words.join("; ");
    if (view.state.clicked !== this.asked) void this.showCard();
    else this.fillCard();
  }

  // The card.

  private details: Card | null = null;

  private async showCard(): Promise<void> {
    const { view } = this;
    const id: string = view.state.clicked ?? "";
    this.asked = id;
    this.details = null;
    this.fillCard();
    if (!id || this.graph.find(id) < 0) return;
    try {
      const card = await view.request<Card>("card", { node: id });
      if (this.asked !== id) return;
      this.details = card;
    } catch {
      return; // a page without a kernel has the cards of pinned nodes only
    }
    this.fillCard();
  }

  private fillCard(): void {
    const { scene, graph } = this;
    const at = graph.find(this.asked);
    if (at < 0) {
      const text = "Click a node, or focus it and press Enter, to see what goes in and out.";
      this.card.replaceChildren(h("p", { class: "iw-hint" }, text));
      return;
    }
    const node = graph.nodes[at] as GraphNode;
    if (this.veiled(node)) {
      this.card.replaceChildren(h("p", { class: "iw-hint" }, "hidden"));
      return;
    }
    const { kept, links } = scene;
    const shown = (i: number | undefined) =>
      !this.veiled(links.graph.nodes[i as number] as GraphNode);
    const clear = (edge: number) => shown(links.from[edge]) && shown(links.to[edge]);
    const facts = {
      node,
      influence: this.influence[at] as number,
      activation: this.activation[at] as number,
      token: this.view.spec.tokens[node.position ?? -1] ?? "",
    };
    const parts = cardOf(facts, this.details, {
      links,
      incoming: (kept.incoming.get(at) ?? []).filter(clear),
      outgoing: (kept.outgoing.get(at) ?? []).filter(clear),
      press: (other) => this.pressNode(other),
    });
    this.card.replaceChildren(...parts);
  }

  ends(): [number, number] {
    const { shown, layout } = this.scene;
    const by = [...shown].sort((a, b) => (layout.y[b] as number) - (layout.y[a] as number));
    return [by[0] ?? -1, by[by.length - 1] ?? -1];
  }

  protected linkRows(edge: number): Rows {
    const { edges } = this.scene;
    const parts = edges.flats(edge);
    const rows: Rows = [[parts.length > 1 ? "Σ weight" : "weight", score(edges, edge)]];
    if (parts.length > 1) rows.push(["links", String(parts.length)]);
    else rows.push(["cumulative influence", num(this.share[parts[0] as number], 2)]);
    return rows;
  }

  protected override nodeRows(node: number): Rows {
    const at = this.scene.graph.nodes[node] as GraphNode;
    const { circuit } = this.scene;
    const rows: Rows = [];
    const own = this.graph.find(at.id);
    const activation = this.activation[own];
    if (activation !== undefined && Number.isFinite(activation))
      rows.push(["activation", num(activation)]);
    const influence = this.influence[own];
    if (influence !== undefined && Number.isFinite(influence))
      rows.push(["cumulative influence", num(influence, 2)]);
    const token = at.members ? undefined : this.view.spec.tokens[at.position ?? -1];
    if (token !== undefined) rows.push(["token", visible(token)]);
    rows.push([
      "in, out",
      `${circuit.incoming.get(node)?.length ?? 0}, ${circuit.outgoing.get(node)?.length ?? 0}`,
    ]);
    return rows;
  }

  protected override nodeHint(node: GraphNode): string {
    return node.members ? "Click to unfold or fold" : "Click for inputs and outputs";
  }

  protected pressEdge(edge: number): void {
    const { edges, graph } = this.scene;
    const to = graph.nodes[edges.to[edge] as number];
    if (to && !to.members) this.pressNode(edges.to[edge] as number);
  }

  protected override select(at: GraphNode): void {
    this.view.selection.set({ node: at.id, token: at.position ?? null });
  }

  protected override selected(): (node: GraphNode) => boolean {
    const { clicked } = this.view.state;
    return (at) => at.id === clicked;
  }

  protected pressNode(node: number): void {
    const at = this.graph.nodes[node];
    if (!at) return;
    this.select(at);
    this.view.update({ clicked: at.id });
    this.view.say(`${spokenLabel(at)} selected`);
    void this.showCard();
    this.nodes.flag("iw-selected", (n) => n.id === at.id);
  }
}

function named(spec: View["spec"], i: number, kind: NodeKind): { label: string; name: string } {
  const clerp = (spec.clerps[i] as string).trim();
  const token = visible(spec.tokens[spec.position[i]] ?? "");
  const layer = spec.layers[spec.row[i]];
  if (clerp) {
    const output = kind === "logit" ? clerp.replace(/^Output\s*/, "") : clerp;
    return { label: output, name: clerp };
  }
  if (kind === "embedding") return { label: token, name: `token ${token}` };
  if (kind === "error") return { label: `error ${layer}`, name: `error, layer ${layer}, ${token}` };
  const index = (spec.ids[i] as string).split("_")[1] ?? "";
  if (kind === "logit") return { label: `token ${index}`, name: `output, token ${index}` };
  return { label: `${layer}.${index}`, name: `feature ${layer}.${index}, ${token}` };
}

function linksOf(graph: Graph, data: LinkData, before?: Links): Links {
  const ints = (a: Int32Array | undefined, b: NdArray) =>
    Int32Array.from([...(a ?? []), ...Int32Array.from(b.data)]);
  const from = ints(before?.from, data.source);
  const to = ints(before?.to, data.target);
  const weight = Float32Array.from([
    ...(before?.score ?? []),
    ...Float32Array.from(data.weight.data),
  ]);
  return new Links(graph, from, to, new Uint8Array(from.length), weight);
}
