// Pointer and wheel over the plot: hover, click, drag to pan or (with Shift) to brush, Ctrl + wheel
// to zoom.
import type { View } from "../core/view.js";
import type { Camera } from "./camera.js";

export interface Cell {
  row: number;
  col: number;
}

export interface PointerActs {
  camera(): Camera;
  places(): Pick<Camera, "cellAt" | "nearest">;
  hover(cell: Cell, event: PointerEvent): void;
  leave(): void;
  panned(): void;
  zoom(factor: number, x: number, y: number): void;
  /** Whether a drag that begins with this event brushes. */
  brushes(event: PointerEvent): boolean;
  brush(from: Cell, to: Cell): void;
  /** A point beside the cells; true where something is there. */
  edge(x: number, y: number, event: PointerEvent): boolean;
  /** `count` is 2 for the second click of a double click. */
  click(cell: Cell, count: number, event: MouseEvent): void;
}

export function listenToPointer(
  stage: HTMLElement,
  plot: HTMLElement,
  view: View,
  acts: PointerActs,
): void {
  const { signal } = view;
  const point = (event: MouseEvent) => {
    const frame = plot.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };
  let from: { x: number; y: number; moved: boolean; brush: Cell | null } | undefined;

  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const { x, y } = point(event);
    const brush = acts.brushes(event) ? acts.places().cellAt(x, y) : null;
    from = { x, y, moved: false, brush };
  };
  const move = (event: PointerEvent) => {
    const { x, y } = point(event);
    if (from?.brush && event.buttons & 1) {
      if (!from.moved && Math.hypot(x - from.x, y - from.y) < 4) return;
      if (!from.moved) stage.setPointerCapture(event.pointerId);
      from.moved = true;
      const to = acts.places().nearest(x, y);
      acts.brush(from.brush, to);
      acts.hover(to, event);
      return;
    }
    if (from && event.buttons & 1 && acts.camera().overflows) {
      const far = Math.hypot(x - from.x, y - from.y) > 4;
      if (far && !from.moved) stage.setPointerCapture(event.pointerId);
      if (far || from.moved) {
        acts.camera().pan(x - from.x, y - from.y);
        from = { x, y, moved: true, brush: null };
        acts.panned();
        return;
      }
    }
    const cell = acts.places().cellAt(x, y);
    if (cell) acts.hover(cell, event);
    else if (!acts.edge(x, y, event)) acts.leave();
  };
  const click = (event: MouseEvent) => {
    const dragged = from?.moved;
    from = undefined;
    const { x, y } = point(event);
    const cell = acts.places().cellAt(x, y);
    if (cell && !dragged) acts.click(cell, event.detail, event);
  };
  const wheel = (event: WheelEvent) => {
    const { x, y } = point(event);
    const camera = acts.camera();
    if (event.ctrlKey || event.metaKey) acts.zoom(Math.exp(-event.deltaY / 200), x, y);
    else if (camera.overflows && (event.shiftKey || event.deltaX)) {
      camera.pan(-(event.deltaX || event.deltaY), 0);
      acts.panned();
    } else return;
    event.preventDefault();
  };

  stage.addEventListener("pointerdown", view.guard(down), { signal });
  stage.addEventListener("pointermove", view.guard(move), { signal });
  stage.addEventListener("pointerleave", () => acts.leave(), { signal });
  stage.addEventListener("click", view.guard(click), { signal });
  stage.addEventListener("wheel", view.guard(wheel), { signal, passive: false });
}
