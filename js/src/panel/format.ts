// Numbers of the session panel as people say them.

export function bytesText(bytes: number): string {
  if (!Number.isFinite(bytes)) return "not known";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** Share used, 0 … 1; unlimited or unknown limits give 0. */
export function share(used: number, limit: number): number {
  return limit > 0 && Number.isFinite(used) ? Math.min(1, Math.max(0, used / limit)) : 0;
}

/** Place of an item after a move, or -1 when it cannot go that way. */
export function moved(index: number, by: -1 | 1, length: number): number {
  const to = index + by;
  return to >= 0 && to < length ? to : -1;
}
