// Where points are on the screen, which one is near the pointer, which lie inside a lasso.

export interface Points {
  x: ArrayLike<number>;
  y: ArrayLike<number>;
}

export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Spot {
  x: number;
  y: number;
}

/** Data ↔ pixels; the axes reach a little beyond the finite points. A plane has one scale. */
export class Axes {
  readonly x: [number, number];
  readonly y: [number, number];

  constructor(
    points: Points,
    readonly frame: Frame,
    plane = false,
  ) {
    this.x = reach(points.x, points.y);
    this.y = reach(points.y, points.x);
    if (!plane) return;
    const [across, up] = [this.x[1] - this.x[0], this.y[1] - this.y[0]];
    const unit = Math.max(across / frame.width, up / frame.height);
    this.x = widened(this.x, unit * frame.width - across);
    this.y = widened(this.y, unit * frame.height - up);
  }

  px(x: number): number {
    const { left, width } = this.frame;
    return left + ((x - this.x[0]) / (this.x[1] - this.x[0])) * width;
  }

  py(y: number): number {
    const { top, height } = this.frame;
    return top + height - ((y - this.y[0]) / (this.y[1] - this.y[0])) * height;
  }

  /** Ends of the line y = x inside the axes; null where it does not cross them. */
  get identity(): [number, number] | null {
    const low = Math.max(this.x[0], this.y[0]);
    const high = Math.min(this.x[1], this.y[1]);
    return high > low ? [low, high] : null;
  }
}

function widened([low, high]: [number, number], by: number): [number, number] {
  return [low - by / 2, high + by / 2];
}

/** The range of one coordinate over the points that have both. */
function reach(own: ArrayLike<number>, other: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < own.length; i++) {
    const value = own[i] as number;
    if (!Number.isFinite(value) || !Number.isFinite(other[i] as number)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [-1, 1];
  const room = 0.06 * (high - low) || Math.abs(high) || 1;
  return [low - room, high + room];
}

/** The point nearest to a place, within `within` pixels. */
export function nearest(points: Points, axes: Axes, at: Spot, within = 14): number | null {
  let [best, distance] = [-1, within];
  for (let i = 0; i < points.x.length; i++) {
    const d = Math.hypot(
      axes.px(points.x[i] as number) - at.x,
      axes.py(points.y[i] as number) - at.y,
    );
    if (d < distance) [best, distance] = [i, d];
  }
  return best < 0 ? null : best;
}

/** The points inside a closed line of pixels, by the even-odd rule. */
export function inside(points: Points, axes: Axes, line: readonly Spot[]): number[] {
  const found: number[] = [];
  for (let i = 0; i < points.x.length; i++) {
    const [x, y] = [axes.px(points.x[i] as number), axes.py(points.y[i] as number)];
    let odd = false;
    for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
      const [p, q] = [line[a] as Spot, line[b] as Spot];
      if (p.y > y !== q.y > y && x < ((q.x - p.x) * (y - p.y)) / (q.y - p.y) + p.x) odd = !odd;
    }
    if (odd) found.push(i);
  }
  return found;
}

type Box = [left: number, top: number, right: number, bottom: number];

/** Places for names beside their points; a name that would cover another or a point is left out. */
export function placed(
  names: readonly { at: Spot; width: number }[],
  frame: Frame,
  height: number,
  points: readonly Spot[] = [],
): (Spot | null)[] {
  const taken = points.map(({ x, y }): Box => [x - 4, y - 4, x + 4, y + 4]);
  return names.map(({ at, width }) => {
    const spots: Spot[] = [
      { x: at.x + 8, y: at.y - height / 2 },
      { x: at.x - 8 - width, y: at.y - height / 2 },
      { x: at.x - width / 2, y: at.y - 8 - height },
      { x: at.x - width / 2, y: at.y + 8 },
      { x: at.x + 5, y: at.y - 5 - height },
      { x: at.x + 5, y: at.y + 5 },
    ];
    for (const { x, y } of spots) {
      const fits =
        x >= frame.left &&
        x + width <= frame.left + frame.width &&
        y >= frame.top &&
        y + height <= frame.top + frame.height &&
        taken.every(([l, t, r, b]) => x + width < l || x > r || y + height < t || y > b);
      if (!fits) continue;
      taken.push([x, y, x + width, y + height]);
      return { x, y };
    }
    return null;
  });
}
