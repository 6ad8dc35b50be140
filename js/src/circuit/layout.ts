// Where nodes stand: layers from the input at the bottom to the logits at the top, heads in
// columns, MLPs in a column of their own half a row above the heads they may read.

import type { Graph, Port } from "./graph.js";

export interface Layout {
  x: Float32Array;
  y: Float32Array;
  /** Width of each node's box. */
  boxes: Float32Array;
  boxHeight: number;
  /** Height of each node's box where they differ. */
  heights?: Float32Array;
  columnPitch: number;
  rowPitch: number;
  width: number;
  height: number;
  rows: { label: string; y: number }[];
  columns: { label: string; x: number; width?: number }[];
  /** Column names stand under the drawing, and are tokens. */
  columnsBelow?: boolean;
  /** Boxes hold text and stand in rows, as papers draw them. */
  boxed?: boolean;
}

export const heightOf = (layout: Layout, node: number): number =>
  layout.heights?.[node] || layout.boxHeight;

export const MARGIN = { left: 34, right: 12, top: 26, bottom: 14 };

const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));

/** Height that shows a graph of `layers` without crowding. */
export function naturalHeight(layers: number, full = false): number {
  const pitch = clamp(480 / (layers + 1), 38, 72);
  const height = MARGIN.top + MARGIN.bottom + (layers + 1.3) * pitch + 24;
  return full ? height : clamp(height, 260, 660);
}

export function layoutGraph(graph: Graph, width: number, height: number): Layout {
  const { nodes, layers, heads } = graph;
  const gap = heads ? 0.55 : 0;
  const slots = Math.max(1, heads + gap + 1);
  const usable = Math.max(120, width - MARGIN.left - MARGIN.right);
  const columnPitch = clamp(usable / slots, 14, 110);
  const rowPitch = clamp((height - MARGIN.top - MARGIN.bottom - 24) / (layers + 1.3), 22, 96);
  const boxHeight = clamp(rowPitch * 0.4, 12, 20);
  const head = clamp(columnPitch - 8, 10, 34);
  const mlp = clamp(columnPitch - 4, 12, 52);
  const spare = Math.max(0, usable - columnPitch * slots);
  const left = MARGIN.left + spare / 2;
  const total = MARGIN.top + MARGIN.bottom + 24 + rowPitch * (layers + 1.3);
  const rowY = (layer: number): number => total - MARGIN.bottom - 12 - rowPitch * (layer + 1);
  const headX = (h: number): number => left + (h + 0.5) * columnPitch;
  const mlpX = left + (heads + gap + 0.5) * columnPitch;
  const middle = heads ? left + (heads * columnPitch) / 2 : mlpX;

  const x = new Float32Array(nodes.length);
  const y = new Float32Array(nodes.length);
  const boxes = new Float32Array(nodes.length);
  let others = 0;
  nodes.forEach((node, i) => {
    boxes[i] = node.kind === "head" ? head : node.kind === "mlp" ? mlp : 56;
    if (node.kind === "head") [x[i], y[i]] = [headX(node.head), rowY(node.layer)];
    else if (node.kind === "mlp") [x[i], y[i]] = [mlpX, rowY(node.layer) - rowPitch * 0.42];
    else if (node.kind === "input") [x[i], y[i]] = [middle, rowY(-1)];
    else if (node.kind === "logits") [x[i], y[i]] = [middle, rowY(layers) - rowPitch * 0.15];
    else [x[i], y[i]] = [left + (others++ + 0.5) * 64, rowY(-1)];
  });
  const rows = Array.from({ length: layers }, (_, l) => ({ label: `L${l}`, y: rowY(l) }));
  const columns = Array.from({ length: heads }, (_, h) => ({ label: String(h), x: headX(h) }));
  return {
    x,
    y,
    boxes,
    boxHeight,
    columnPitch,
    rowPitch,
    width: Math.max(width, left + columnPitch * slots + MARGIN.right),
    height: total,
    rows,
    columns,
  };
}

/**
 * Only the components of a circuit: rows that hold some, packed and centred, as in a paper's figure.
 * Components that are not shown have no place (NaN).
 */
export function layoutPacked(
  graph: Graph,
  shown: readonly number[],
  width: number,
  height: number,
  rank: (node: number) => number = () => 0,
): Layout {
  const { nodes } = graph;
  const levels = new Map<number, number[]>();
  for (const i of shown) {
    const node = nodes[i]!;
    const level = node.kind === "mlp" ? node.layer + 0.5 : Math.round(node.layer);
    const list = levels.get(level);
    if (list) list.push(i);
    else levels.set(level, [i]);
  }
  const order = [...levels.keys()].sort((a, b) => a - b);
  const isMlp = (list: number[]): boolean => nodes[list[0] as number]?.kind === "mlp";
  const own = [...levels.values()].some(isMlp) ? 1 : 0; // MLPs have a column of their own
  const widest = Math.max(1, ...[...levels.values()].map((l) => l.length)) + own;
  const usable = Math.max(120, width - MARGIN.left - MARGIN.right);
  const columnPitch = clamp(usable / widest, 14, 96);
  const room = height - MARGIN.top - MARGIN.bottom - 24;
  const rowPitch = clamp(room / Math.max(1, order.length - 1), 26, 72);
  const boxHeight = clamp(rowPitch * 0.45, 12, 22);
  const total = MARGIN.top + MARGIN.bottom + 24 + rowPitch * Math.max(0, order.length - 1);
  const middle = MARGIN.left + (Math.max(usable, columnPitch * widest) - own * columnPitch) / 2;
  const mlpX = middle + (widest * columnPitch) / 2;

  const x = new Float32Array(nodes.length).fill(NaN);
  const y = new Float32Array(nodes.length).fill(NaN);
  const boxes = new Float32Array(nodes.length);
  const rows: Layout["rows"] = [];
  order.forEach((level, r) => {
    const list = levels
      .get(level)!
      .sort((a, b) => rank(a) - rank(b) || nodes[a]!.head - nodes[b]!.head || a - b);
    const at = total - MARGIN.bottom - 12 - r * rowPitch;
    list.forEach((i, place) => {
      const kind = nodes[i]!.kind;
      x[i] = isMlp(list) ? mlpX : middle + (place - (list.length - 1) / 2) * columnPitch;
      y[i] = at;
      const text = nodes[i]!.label?.length ?? 0;
      boxes[i] =
        kind === "group"
          ? clamp(text * 6 + 14, 34, columnPitch - 4)
          : kind === "head"
            ? clamp(columnPitch - 8, 10, 38)
            : clamp(columnPitch - 4, 34, 56);
    });
    const layer = nodes[list[0]!]!.layer;
    if (layer >= 0 && layer < graph.layers && level === layer)
      rows.push({ label: `L${layer}`, y: at });
  });
  return {
    x,
    y,
    boxes,
    boxHeight,
    columnPitch,
    rowPitch,
    width: Math.max(width, MARGIN.left + columnPitch * widest + MARGIN.right),
    height: total,
    rows,
    columns: [],
  };
}

const SHIFT: Record<Port, number> = { "": 0, q: -0.3, k: 0, v: 0.3 };

/** Where an edge leaves its writer (top) and enters a port of its reader (bottom). */
export const leaving = (layout: Layout, node: number): [number, number] => [
  layout.x[node]!,
  layout.y[node]! - heightOf(layout, node) / 2,
];

export const entering = (layout: Layout, node: number, port: Port): [number, number] => [
  layout.x[node]! + SHIFT[port] * layout.boxes[node]!,
  layout.y[node]! + heightOf(layout, node) / 2 + (layout.boxHeight < 9 ? 0 : 3),
];

/** Folded groups stand in the middle of their members, which lose their place. */
export function placeGroups(graph: Graph, layout: Layout, shown: readonly number[]): void {
  for (const i of shown) {
    const { members, label = "" } = graph.nodes[i]!;
    if (!members || layout.boxed) continue;
    const known = members.filter((m) => Number.isFinite(layout.x[m]!));
    const mean = (of: Float32Array) => known.reduce((sum, m) => sum + of[m]!, 0) / known.length;
    if (!known.length) continue;
    [layout.x[i], layout.y[i]] = [mean(layout.x), mean(layout.y)];
    layout.boxes[i] = Math.max(30, Math.min(150, label.length * 6.6 + 14));
    layout.heights ??= new Float32Array(graph.nodes.length);
    layout.heights[i] = Math.max(18, layout.boxHeight);
  }
}

/** Moves nodes to where a reader put them: shares of width and of height from below. */
export function movePlaces(
  graph: Graph,
  layout: Layout,
  positions: Readonly<Record<string, readonly [number, number]>>,
): void {
  for (const [id, [fx, fy]] of Object.entries(positions)) {
    for (const i of [graph.find(id), graph.find(`group:${id}`)]) {
      if (i < 0 || !Number.isFinite(layout.x[i]!)) continue;
      layout.x[i] = fx * layout.width;
      layout.y[i] = (1 - fy) * layout.height;
    }
  }
}
