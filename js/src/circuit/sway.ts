// One S-curve for every link: it leaves upwards and arrives upwards. Because all links share the
// shape, the x at a given height is one table look-up.

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
