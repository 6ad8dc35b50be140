// The zoom, kept in the state so that Python, the figure and the next opening know it.
import type { View } from "../core/view.js";
import type { Camera } from "./camera.js";
import type { Slice } from "./model.js";

/** Data rows and columns, from and to. */
export interface Window {
  row: [number, number];
  col: [number, number];
}

const REST = 70;

export class Zoomed {
  /** While the camera moves. */
  moving = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private known = "null";

  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
  ) {
    view.signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** Writes the window into the state once the camera rests, then calls back. */
  keep(camera: Camera, rested: () => void): void {
    this.moving = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.moving = false;
      this.write(camera.zoomed ? this.window(camera) : null);
      rested();
    }, REST);
  }

  clear(): void {
    clearTimeout(this.timer);
    this.moving = false;
    this.write(null);
  }

  /** Moves the camera to a window that the state has and the camera has not; true when it did. */
  restore(camera: Camera, always = false): boolean {
    const window: Window | null = this.view.state.window ?? null;
    const text = JSON.stringify(window);
    if (this.moving || (text === this.known && !always)) return false;
    this.known = text;
    const { nRows, spec } = this.slice();
    if (!window) camera.whole();
    else {
      const [from, to] = window.row;
      camera.show(spec.flip ? [nRows - to, nRows - from] : [from, to], window.col);
    }
    return true;
  }

  private write(window: Window | null): void {
    const text = JSON.stringify(window);
    if (text === this.known) return;
    this.known = text;
    this.view.update({ window });
  }

  /** A plot of lines or bars has every row. */
  private window(camera: Camera): Window {
    const { nRows, spec } = this.slice();
    const round = (x: number) => Math.round(100 * x) / 100;
    const [top, bottom] = [camera.top, Math.min(nRows, camera.top + camera.height / camera.ch)];
    const [left, right] = [camera.left, camera.left + camera.width / camera.cw];
    const row =
      camera.rows !== nRows
        ? [0, nRows]
        : spec.flip
          ? [nRows - bottom, nRows - top]
          : [top, bottom];
    return {
      row: row.map(round) as [number, number],
      col: [round(left), round(Math.min(camera.cols, right))],
    };
  }
}
