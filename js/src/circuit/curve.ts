// One S-curve for every edge: it leaves upwards and arrives upwards. Because all edges share the
// shape, the x at a given height is one table look-up, which makes hit testing exact and cheap.

import type { Circuit, Links } from "./graph.js";
import { entering, type Layout, leaving } from "./layout.js";

/** Distance of the control points from their ends, as a share of the height. */
export const BEND = 0.5;

const SAMPLES = 256;
const table = new Float32Array(SAMPLES + 1);
for (let i = 0, t = 0; i <= SAMPLES; i++) {
  const target = i / SAMPLES;
  for (let step = 0; step < 30; step++) {
    const rest = 1 - t;
    const at = 3 * rest * rest * t * BEND + 3 * rest * t * t * (1 - BEND) + t * t * t;
    const slope =
      3 * BEND * rest * (rest - 2 * t) + 3 * (1 - BEND) * t * (2 * rest - t) + 3 * t * t;
    t = Math.min(1, Math.max(0, t - (at - target) / Math.max(slope, 0.05)));
  }
  table[i] = t * t * (3 - 2 * t);
}

/** Share of the way in x when a share `f` of the way in y is done. */
export function sway(f: number): number {
  const at = Math.min(1, Math.max(0, f)) * SAMPLES;
  const i = Math.min(SAMPLES - 1, Math.floor(at));
  return table[i]! + (at - i) * (table[i + 1]! - table[i]!);
}

/** Ends and widths of drawn edges, weakest first, so that the strongest lie on top. */
export interface Strokes {
  edge: Int32Array;
  x0: Float32Array;
  y0: Float32Array;
  x1: Float32Array;
  y1: Float32Array;
  width: Float32Array;
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

export function strokesOf(edges: Links, circuit: Circuit, layout: Layout): Strokes {
  const n = circuit.edges.length;
  const strokes: Strokes = {
    edge: new Int32Array(n),
    x0: new Float32Array(n),
    y0: new Float32Array(n),
    x1: new Float32Array(n),
    y1: new Float32Array(n),
    width: new Float32Array(n),
    negative: new Uint8Array(n),
  };
  for (let i = 0; i < n; i++) {
    const e = circuit.edges[n - 1 - i]!;
    const [x0, y0] = leaving(layout, edges.from[e]!);
    const [x1, y1] = entering(layout, edges.to[e]!, edges.portOf(e));
    strokes.edge[i] = e;
    strokes.x0[i] = x0;
    strokes.y0[i] = y0;
    strokes.x1[i] = x1;
    strokes.y1[i] = y1;
    strokes.width[i] = strokeWidth(edges.score[e]!, edges.largest, n < FEW ? 1 : THINNEST);
    strokes.negative[i] = edges.score[e]! < 0 ? 1 : 0;
  }
  return strokes;
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
