// Links as strokes: S-curves, or chains of them for links that pass beside boxes.

import type { Circuit, Links } from "./graph.js";
import { entering, heightOf, type Layout, leaving } from "./layout.js";
import { type Point, Router } from "./route.js";
import { sway } from "./sway.js";

/**
 * Ends and widths of drawn edges, weakest first, so that the strongest lie on top. Strokes of one
 * edge that follow one another are pieces of one line.
 */
export interface Strokes {
  edge: Int32Array;
  x0: Float32Array;
  y0: Float32Array;
  x1: Float32Array;
  y1: Float32Array;
  width: Float32Array;
  /** How many times the links that are stronger cover the picture. */
  cover: Float32Array;
  negative: Uint8Array;
}

export const WIDEST = 6;
export const THINNEST = 0.5;
const FEW = 80; // so few links are never hairlines

/** Line width in pixels, proportional to |score| and never thinner than a hairline. */
export function strokeWidth(score: number, largest: number, thinnest = THINNEST): number {
  if (!(largest > 0)) return thinnest;
  return Math.max(thinnest, (WIDEST * Math.abs(score)) / largest);
}

/** More links than this are not routed: among so many nobody sees what one passes. */
export const ROUTED = 300;

export function strokesOf(
  edges: Links,
  circuit: Circuit,
  layout: Layout,
  /** Nodes that are boxes, which links pass beside. */
  shown: readonly number[] = circuit.nodes,
): Strokes {
  const n = circuit.edges.length;
  const ways =
    n <= ROUTED && !layout.columnsBelow ? routes(edges, circuit, layout, shown) : undefined;
  const count = ways?.reduce((sum, knots) => sum + knots.length - 1, 0) ?? n;
  const strokes: Strokes = {
    edge: new Int32Array(count),
    x0: new Float32Array(count),
    y0: new Float32Array(count),
    x1: new Float32Array(count),
    y1: new Float32Array(count),
    width: new Float32Array(count),
    cover: new Float32Array(count),
    negative: new Uint8Array(count),
  };
  let at = 0;
  for (let i = n - 1; i >= 0; i--) {
    const e = circuit.edges[i]!;
    const score = edges.score[e]!;
    const width = strokeWidth(score, edges.largest, n < FEW ? 1 : THINNEST);
    const knots = ways?.[i] ?? endsOf(edges, layout, e);
    for (let k = 1; k < knots.length; k++, at++) {
      strokes.edge[at] = e;
      [strokes.x0[at], strokes.y0[at]] = knots[k - 1]!;
      [strokes.x1[at], strokes.y1[at]] = knots[k]!;
      strokes.width[at] = width;
      strokes.negative[at] = score < 0 ? 1 : 0;
    }
  }
  const area = layout.width * layout.height;
  let cover = 0;
  for (let i = count - 1; i >= 0; i--) {
    strokes.cover[i] = cover;
    const across = strokes.x1[i]! - strokes.x0[i]!;
    const length = Math.hypot(across, strokes.y1[i]! - strokes.y0[i]!);
    cover += (strokes.width[i]! * length) / area;
  }
  return strokes;
}

const endsOf = (edges: Links, layout: Layout, e: number): [Point, Point] => [
  leaving(layout, edges.from[e]!),
  entering(layout, edges.to[e]!, edges.portOf(e)),
];

/** The knots of every link of a circuit, strongest first. */
function routes(
  edges: Links,
  circuit: Circuit,
  layout: Layout,
  shown: readonly number[],
): Point[][] {
  const boxes = shown
    .filter((id) => Number.isFinite(layout.x[id]!))
    .map((id) => {
      const [x, y] = [layout.x[id]!, layout.y[id]!];
      const [w, hh] = [layout.boxes[id]! / 2, heightOf(layout, id) / 2];
      return { id, x0: x - w, x1: x + w, y0: y - hh, y1: y + hh };
    });
  const router = new Router(boxes, 4, layout.width - 4);
  return Array.from(circuit.edges, (e) => {
    const [start, end] = endsOf(edges, layout, e);
    return router.route(start, end, [edges.from[e]!, edges.to[e]!]);
  });
}

/** The edge nearest to a point, if it is within `reach`; of equals the one drawn on top. */
export function hitEdge(strokes: Strokes, x: number, y: number, reach: number): number {
  let best = -1;
  let nearest = reach;
  for (let i = strokes.edge.length - 1; i >= 0; i--) {
    const y0 = strokes.y0[i]!;
    const y1 = strokes.y1[i]!;
    if ((y > y0 && y > y1) || (y < y0 && y < y1) || y0 === y1) continue;
    const f = (y - y0) / (y1 - y0);
    const dx = strokes.x1[i]! - strokes.x0[i]!;
    const off = Math.abs(x - strokes.x0[i]! - dx * sway(f));
    if (off > reach * 40) continue;
    const slope = (dx * (sway(f + 0.01) - sway(f - 0.01))) / (0.02 * (y1 - y0));
    const distance = off / Math.hypot(1, slope) - strokes.width[i]! / 2;
    if (distance < nearest) {
      nearest = distance;
      best = i;
    }
  }
  return best < 0 ? -1 : strokes.edge[best]!;
}
