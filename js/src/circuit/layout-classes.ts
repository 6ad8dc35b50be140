// As papers draw a circuit: a box per group, single nodes beside them, rows from input to output.
import { type Circuit, type Graph, type GraphNode, type Links, shortLabel } from "./graph.js";
import { type Layout, MARGIN } from "./layout.js";

const LINE = 15; // height of a line of members
const PAD = 10;
const GAP = 26; // least between boxes of a row
const WIDE = 90; // and most
const LETTER = 6.4;

const wide = (text: string): number => text.length * LETTER + 2 * PAD;

/** Between the members of a line; names may hold a comma and a plain space. */
export const BETWEEN = ",\u00a0";

/** Members of a group in lines of about equal length. */
export function chips(graph: Graph, node: GraphNode): string[] {
  const names = (node.members ?? []).map((i) => shortLabel(graph.nodes[i] as GraphNode));
  const total = names.join(BETWEEN).length;
  const room = Math.max(14, Math.sqrt(total * 9), shortLabel(node).length);
  const lines: string[] = [];
  for (const name of names) {
    const cut = name.length > 28 ? `${name.slice(0, 27)}…` : name;
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + cut.length + 2 <= room)
      lines[lines.length - 1] = `${last}${BETWEEN}${cut}`;
    else lines.push(cut);
  }
  const few = lines.length > 6 ? [...lines.slice(0, 5), `… ${names.length} in all`] : lines;
  return node.at ? [...few, `at ${node.at}`] : few;
}

export function layoutClasses(
  graph: Graph,
  circuit: Circuit,
  links: Links,
  shown: readonly number[],
  inside: (node: GraphNode) => readonly string[],
  width: number,
  height: number,
): Layout {
  const { nodes, layers } = graph;
  const node = (i: number) => nodes[i] as GraphNode;
  const fed = new Map<number, Set<number>>();
  for (const e of circuit.edges) {
    const to = links.to[e] as number;
    const list = fed.get(to);
    if (list) list.add(links.from[e] as number);
    else fed.set(to, new Set([links.from[e] as number]));
  }
  // An MLP reads the heads of its own layer.
  const level = (i: number) => node(i).layer + (node(i).kind === "mlp" ? 0.5 : 0);
  const order = [...shown].sort((a, b) => level(a) - level(b) || a - b);
  const rows: number[][] = [];
  const near = Math.max(1, layers / 10);
  for (const i of order) {
    const row = rows[rows.length - 1];
    const ends = ["input", "logits", "embedding", "logit"];
    const end = ends.includes(node(i).kind);
    const first = row?.[0];
    const joins =
      row &&
      first !== undefined &&
      (end ? node(first).kind === node(i).kind : !ends.includes(node(first).kind)) &&
      level(i) - level(first) < near &&
      !row.some((other) => fed.get(i)?.has(other));
    if (joins) row.push(i);
    else rows.push([i]);
  }
  const x = new Float32Array(nodes.length).fill(Number.NaN);
  const y = new Float32Array(nodes.length).fill(Number.NaN);
  const boxes = new Float32Array(nodes.length);
  const heights = new Float32Array(nodes.length);
  for (const i of shown) {
    const lines = inside(node(i));
    const label = shortLabel(node(i));
    const text = label.length > 30 ? `${label.slice(0, 29)}…` : label;
    boxes[i] = Math.max(44, wide(text), ...lines.map(wide));
    heights[i] = lines.length ? 22 + lines.length * LINE + 6 : 24;
  }
  const filledBy = (row: number[]) => row.reduce((sum, i) => sum + (boxes[i] as number), 0);
  const least = rows.map((row) => filledBy(row) + GAP * (row.length - 1));
  const room = Math.max(width - MARGIN.left - MARGIN.right, ...least);
  const tall = rows.map((row) => Math.max(...row.map((i) => heights[i] as number)));
  const filled = tall.reduce((a, b) => a + b, 0);
  const gap = Math.min(
    72,
    Math.max(34, (height - MARGIN.top - MARGIN.bottom - filled) / Math.max(1, rows.length - 1)),
  );
  const total = MARGIN.top + MARGIN.bottom + filled + gap * Math.max(0, rows.length - 1);
  const middle = MARGIN.left + room / 2;
  let from = total - MARGIN.bottom;
  rows.forEach((row, r) => {
    // Above what feeds it, so that links are short; ends of equal wish keep their order.
    const wish = (i: number): number => {
      const sources = [...(fed.get(i) ?? [])].filter((s) => Number.isFinite(x[s]));
      if (!sources.length) return node(i).position ?? node(i).head;
      return sources.reduce((sum, s) => sum + (x[s] as number), 0) / sources.length;
    };
    const wishes = new Map(row.map((i) => [i, wish(i)]));
    row.sort((a, b) => (wishes.get(a) as number) - (wishes.get(b) as number) || a - b);
    // Rows of one box stand aside in turn, so that links past them stay visible.
    const aside = row.length === 1 && r > 0 && r < rows.length - 1 ? (r % 2 ? -1 : 1) : 0;
    const spare = (room - filledBy(row)) / (row.length + 1);
    const between = Math.min(WIDE, Math.max(GAP, spare));
    const span = filledBy(row) + between * (row.length - 1);
    const free = room - span;
    let at = middle - span / 2 + aside * Math.min(free / 2, room * 0.16);
    const centre = from - (tall[r] as number) / 2;
    for (const i of row) {
      x[i] = at + (boxes[i] as number) / 2;
      y[i] = centre;
      at += (boxes[i] as number) + between;
    }
    from -= (tall[r] as number) + gap;
  });
  return {
    x,
    y,
    boxes,
    heights,
    boxHeight: 24,
    boxed: true,
    columnPitch: 80,
    rowPitch: 24 + gap,
    width: room + MARGIN.left + MARGIN.right,
    height: total,
    rows: [],
    columns: [],
  };
}
