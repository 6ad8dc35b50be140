// Nodes as marks on the canvas, where there are more than a page can hold as elements: a circle for
// a feature, a diamond for an error, a square for a token or an output.
import type { GraphNode, NodeKind } from "./graph.js";
import type { Layout } from "./layout.js";

const squares: readonly NodeKind[] = ["embedding", "logit", "input", "logits", "mlp", "group"];

/** The outline of a mark, as a path for a canvas or an SVG element. */
export function markPath(kind: NodeKind, x: number, y: number, r: number): string {
  if (kind === "error") return `M${x},${y - r}L${x + r},${y}L${x},${y + r}L${x - r},${y}Z`;
  if (squares.includes(kind)) {
    const a = r * 0.9;
    return `M${x - a},${y - a}L${x + a},${y - a}L${x + a},${y + a}L${x - a},${y + a}Z`;
  }
  return `M${x - r},${y}A${r},${r} 0 1 0 ${x + r},${y}A${r},${r} 0 1 0 ${x - r},${y}Z`;
}

export function drawMarks(
  ctx: CanvasRenderingContext2D,
  nodes: readonly GraphNode[],
  layout: Layout,
  marked: readonly number[],
  colours: { fill: string; line: string },
): void {
  for (const i of marked) {
    const node = nodes[i] as GraphNode;
    const x = layout.x[i] as number;
    const y = layout.y[i] as number;
    if (Number.isNaN(x)) continue;
    const r = Math.max(2, (layout.boxes[i] as number) / 2);
    ctx.beginPath();
    if (node.kind === "error") {
      ctx.moveTo(x, y - r);
      ctx.lineTo(x + r, y);
      ctx.lineTo(x, y + r);
      ctx.lineTo(x - r, y);
      ctx.closePath();
    } else if (squares.includes(node.kind)) ctx.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else ctx.arc(x, y, r, 0, 2 * Math.PI);
    ctx.fillStyle = node.kind === "error" ? colours.line : colours.fill;
    ctx.fill();
    ctx.lineWidth = 1;
    ctx.strokeStyle = colours.line;
    ctx.stroke();
  }
}

/** The marked node under a point, or -1. */
export function hitMark(
  layout: Layout,
  marked: readonly number[],
  x: number,
  y: number,
  reach: number,
): number {
  let best = -1;
  let nearest = Number.POSITIVE_INFINITY;
  for (const i of marked) {
    const r = (layout.boxes[i] as number) / 2 + reach;
    const d = Math.hypot((layout.x[i] as number) - x, (layout.y[i] as number) - y);
    if (d <= r && d < nearest) {
      nearest = d;
      best = i;
    }
  }
  return best;
}
