// Links that pass beside the boxes that they do not touch: a chain of S-curves that leave and arrive
// upwards, with a lane between the boxes of every row that is in the way. Figures use the same rule.
import { sway } from "./sway.js";

export type Point = readonly [number, number];

export interface Rect {
  id: number;
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

interface Row {
  y0: number;
  y1: number;
  boxes: Rect[];
}

const CLEAR = 6; // px between a link and a box that it passes
const LANE = 7; // px between two links that pass a row side by side
const CROWDED = 40; // what it costs to share a lane, in px of detour
const STEEP = 8; // cost of moving aside where there is no height to do it

const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));

/** Whether one S-curve from below (`a`) to above (`b`) misses the boxes; its x is monotone. */
function isClear(a: Point, b: Point, boxes: readonly Rect[]): boolean {
  const room = CLEAR * 0.9;
  const rise = a[1] - b[1];
  return boxes.every((box) => {
    const [low, high] = [box.y1 + room / 2, box.y0 - room / 2];
    if (high >= a[1] || low <= b[1]) return true;
    const at = (y: number) => a[0] + (b[0] - a[0]) * (rise > 0 ? sway((a[1] - y) / rise) : 0);
    const [x0, x1] = [at(low), at(high)];
    return Math.max(x0, x1) <= box.x0 - room || Math.min(x0, x1) >= box.x1 + room;
  });
}

/** Rows of boxes that share a height, from below. */
function rowsOf(boxes: readonly Rect[], low: number, high: number): Row[] {
  const rows: Row[] = [];
  for (const box of [...boxes].sort((a, b) => b.y1 - a.y1)) {
    const y0 = Math.min(low, box.y1 + CLEAR / 2);
    const y1 = Math.max(high, box.y0 - CLEAR / 2);
    const before = rows[rows.length - 1];
    if (before && y0 >= before.y1) {
      before.y1 = Math.min(before.y1, y1);
      before.boxes.push(box);
    } else rows.push({ y0, y1, boxes: [box] });
  }
  return rows;
}

/** Where a row can be passed. */
function gapsOf(boxes: readonly Rect[], left: number, right: number): [number, number][] {
  const gaps: [number, number][] = [];
  let at = left;
  for (const { x0, x1 } of [...boxes].sort((a, b) => a.x0 - b.x0)) {
    if (x0 - CLEAR >= at) gaps.push([at, x0 - CLEAR]);
    at = Math.max(at, x1 + CLEAR);
  }
  if (at <= right) gaps.push([at, right]);
  return gaps;
}

export class Router {
  private readonly lanes: { x: number; y0: number; y1: number }[] = [];

  constructor(
    private readonly boxes: readonly Rect[],
    private readonly left: number,
    private readonly right: number,
  ) {}

  /** Knots of a link from its writer to its reader above; later links keep off earlier lanes. */
  route(start: Point, end: Point, ends: readonly number[]): Point[] {
    const [low, high] = [start[1], end[1]];
    const passed = this.boxes.filter((b) => !ends.includes(b.id) && b.y0 < low && b.y1 > high);
    let knots: Point[] = [start, end];
    if (high < low && !isClear(start, end, passed)) {
      const rows = rowsOf(passed, low, high);
      const choices = rows.map((row) => this.choices(row, start, end));
      if (choices.every((c) => c.length)) {
        const lanes = this.best(rows, choices, start, end);
        const all: Point[] = [start];
        rows.forEach(({ y0, y1 }, r) => {
          const x = lanes[r] as number;
          all.push([x, y0], [x, y1]);
        });
        knots = pulled([...all, end], passed);
      }
    }
    for (let i = 1; i < knots.length; i++) {
      const [[xa, ya], [xb, yb]] = [knots[i - 1] as Point, knots[i] as Point];
      if (Math.abs(xa - xb) < LANE / 2) this.lanes.push({ x: xa, y0: ya, y1: yb });
    }
    return knots;
  }

  private choices({ y0, y1, boxes }: Row, start: Point, end: Point): number[] {
    const share = (start[1] - (y0 + y1) / 2) / (start[1] - end[1]);
    const wishes = [start[0], end[0], start[0] + share * (end[0] - start[0])];
    const found = new Set<number>();
    for (const [low, high] of gapsOf(boxes, this.left, this.right))
      for (const wish of wishes)
        for (const step of [0, -1, 1, -2, 2])
          found.add(clamp(clamp(wish, low, high) + step * LANE, low, high));
    return [...found].sort((a, b) => a - b);
  }

  /** The lane in each row that makes the shortest way. */
  private best(rows: Row[], choices: number[][], start: Point, end: Point): number[] {
    let at: readonly number[] = [start[0]];
    let costs = [0];
    let below = start[1];
    const back: number[][] = [];
    rows.forEach((row, r) => {
      const lanes = choices[r] as number[];
      const ways = cheapest(at, costs, lanes, below - row.y0 < CLEAR ? STEEP : 1);
      back.push(ways.from);
      costs = ways.costs;
      this.crowd(lanes, row, costs);
      at = lanes;
      below = row.y1;
    });
    let n = cheapest(at, costs, [end[0]], below - end[1] < CLEAR ? STEEP : 1).from[0] as number;
    const taken: number[] = [];
    for (let r = rows.length - 1; r >= 0; r--) {
      taken.unshift((choices[r] as number[])[n] as number);
      n = (back[r] as number[])[n] as number;
    }
    return taken;
  }

  /** Adds to the costs of lanes (from the left) what it takes to share them. */
  private crowd(lanes: readonly number[], row: Row, costs: number[]): void {
    for (const { x, y0, y1 } of this.lanes) {
      if (y0 <= row.y1 || y1 >= row.y0) continue;
      for (let i = firstAbove(lanes, x - LANE); i < lanes.length; i++) {
        const off = Math.abs((lanes[i] as number) - x);
        if (off >= LANE) break;
        costs[i] = (costs[i] as number) + CROWDED * (1 - off / LANE);
      }
    }
  }
}

/** Position of the first of ascending numbers that is above a limit. */
function firstAbove(sorted: readonly number[], limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * For each x of `to` the cheapest of `from`, where a step aside costs `steep` per px; both ascend,
 * so that one pass from each side finds it.
 */
function cheapest(
  from: readonly number[],
  costs: readonly number[],
  to: readonly number[],
  steep: number,
): { from: number[]; costs: number[] } {
  const found = { from: to.map(() => 0), costs: to.map(() => Number.POSITIVE_INFINITY) };
  for (const side of [1, -1]) {
    let next = side > 0 ? 0 : from.length - 1;
    let best = -1;
    for (let i = side > 0 ? 0 : to.length - 1; i >= 0 && i < to.length; i += side) {
      const x = to[i] as number;
      const cost = (n: number) => (costs[n] as number) + steep * side * (x - (from[n] as number));
      for (
        ;
        next >= 0 && next < from.length && side * (x - (from[next] as number)) >= 0;
        next += side
      )
        if (best < 0 || cost(next) < cost(best)) best = next;
      if (best < 0 || cost(best) >= (found.costs[i] as number)) continue;
      found.costs[i] = cost(best);
      found.from[i] = best;
    }
  }
  return found;
}

/** Leaves out knots that the link can do without. */
function pulled(knots: readonly Point[], boxes: readonly Rect[]): Point[] {
  const kept: Point[] = [knots[0] as Point];
  for (let i = 0; i < knots.length - 1; ) {
    let j = knots.length - 1;
    while (j > i + 1 && !isClear(knots[i] as Point, knots[j] as Point, boxes)) j--;
    i = j;
    kept.push(knots[i] as Point);
  }
  return kept;
}
