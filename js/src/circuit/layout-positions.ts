// Where nodes of an attribution graph stand: rows are layers, columns the tokens of the prompt.
import { type Graph, type GraphNode, tagWidth } from "./graph.js";
import { type Layout, MARGIN } from "./layout.js";

const DOT = 9; // px from node to node
const TAGGED = 27; // px from line to line of nodes with a word above
const GAP = 14; // px between words
const NARROW = 34; // least width of a column

type Line = [node: number, x: number][];

/** Outputs side by side, room for each one's word, around a column or as near as they fit. */
function wordLines(
  graph: Graph,
  cell: readonly number[],
  middle: number,
  from: number,
  to: number,
): Line[] {
  const lines: Line[] = [];
  let line: Line = [];
  let width = 0;
  const close = () => {
    const start = Math.max(from, Math.min(middle - width / 2, to - width));
    lines.push(line.map(([i, at]) => [i, start + at]));
  };
  for (const i of cell) {
    const word = tagWidth(graph.nodes[i] as GraphNode) + GAP;
    if (line.length && width + word > to - from) {
      close();
      [line, width] = [[], 0];
    }
    line.push([i, width + word / 2]);
    width += word;
  }
  close();
  return lines;
}

export function layoutPositions(
  graph: Graph,
  shown: readonly number[],
  tokens: readonly string[],
  layers: readonly string[],
  width: number,
  height: number,
): Layout {
  const { nodes } = graph;
  const columns = Math.max(tokens.length, 1, ...shown.map((i) => 1 + column(i)));
  function column(i: number): number {
    return Math.round(nodes[i]?.position ?? 0);
  }
  const row = (i: number) => Math.round(nodes[i]?.layer ?? 0);
  const cells = new Map<string, number[]>();
  const fullest = new Float64Array(columns);
  for (const i of shown) {
    const key = `${row(i)},${column(i)}`;
    const cell = cells.get(key);
    if (cell) cell.push(i);
    else cells.set(key, [i]);
  }
  for (const [key, cell] of cells) {
    const c = Number(key.split(",")[1]);
    fullest[c] = Math.max(fullest[c] as number, Math.sqrt(cell.length));
  }
  const usable = Math.max(width - MARGIN.left - MARGIN.right, columns * NARROW);
  const weight = fullest.reduce((sum, n) => sum + n + 1, 0);
  const spare = usable - columns * NARROW;
  const widths = Array.from(fullest, (n) => NARROW + (spare * (n + 1)) / weight);
  const left = widths.map((_, c) => widths.slice(0, c).reduce((a, b) => a + b, MARGIN.left));

  const used = [...new Set(shown.map(row))].sort((a, b) => a - b);
  const perLine = (c: number) => Math.max(1, Math.floor(((widths[c] as number) - 8) / DOT));
  const outputs = new Map<string, Line[]>(); // cells of outputs: their words need more room
  const least = new Map(used.map((r) => [r, DOT + 10]));
  for (const [key, cell] of cells) {
    const [r, c] = key.split(",").map(Number) as [number, number];
    let high = Math.ceil(cell.length / perLine(c)) * DOT + 10;
    if (cell.every((i) => nodes[i]?.kind === "logit")) {
      const middle = (left[c] as number) + (widths[c] as number) / 2;
      const lines = wordLines(graph, cell, middle, MARGIN.left, MARGIN.left + usable);
      outputs.set(key, lines);
      high = lines.length * TAGGED + 8;
    }
    least.set(r, Math.max(least.get(r) as number, high));
  }
  const needed = [...least.values()].reduce((sum, n) => sum + n, 0);
  const bottom = MARGIN.bottom + 22;
  const free = Math.max(0, height - MARGIN.top - bottom - needed) / Math.max(1, used.length);
  const total = needed + free * used.length + MARGIN.top + bottom;

  const x = new Float32Array(nodes.length).fill(Number.NaN);
  const y = new Float32Array(nodes.length).fill(Number.NaN);
  const boxes = new Float32Array(nodes.length).fill(DOT - 2);
  const rows: Layout["rows"] = [];
  let from = total - bottom;
  for (const r of used) {
    const tall = (least.get(r) as number) + free;
    rows.push({ label: layers[r] ?? String(r), y: from - tall / 2 });
    for (let c = 0; c < columns; c++) {
      const cell = cells.get(`${r},${c}`);
      if (!cell) continue;
      const lines = outputs.get(`${r},${c}`);
      lines?.forEach((line, n) => {
        const at = from - tall / 2 + (n - (lines.length - 1) / 2) * TAGGED + 6;
        for (const [i, middle] of line) [x[i], y[i]] = [middle, at];
      });
      if (lines) continue;
      const each = perLine(c);
      const high = Math.ceil(cell.length / each);
      cell.forEach((i, n) => {
        const line = Math.floor(n / each);
        const here = Math.min(each, cell.length - line * each);
        const step = Math.min(((widths[c] as number) - 8) / here, 26);
        x[i] =
          (left[c] as number) + (widths[c] as number) / 2 + ((n % each) - (here - 1) / 2) * step;
        y[i] = from - tall / 2 + (line - (high - 1) / 2) * DOT;
      });
    }
    from -= tall;
  }
  return {
    x,
    y,
    boxes,
    boxHeight: DOT - 2,
    columnPitch: usable / columns,
    rowPitch: total / Math.max(1, used.length),
    width: usable + MARGIN.left + MARGIN.right,
    height: total,
    rows,
    columns: tokens.map((label, c) => ({
      label,
      x: (left[c] as number) + (widths[c] as number) / 2,
      width: widths[c] as number,
    })),
    columnsBelow: true,
  };
}
