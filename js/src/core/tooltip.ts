// One tooltip per view. It appears on hover and on focus, can be hovered, stays until dismissed,
// Escape closes it, and it stays inside the view.
//
//   const tip = new Tooltip(view.el, view.signal);
//   tip.show(x, y, "head 9.6", [["score", "+1.42"]]);  tip.hide();   // x, y in window pixels
import { h } from "./dom.js";

export class Tooltip {
  readonly el: HTMLElement;
  private leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly root: HTMLElement,
    signal: AbortSignal,
  ) {
    this.el = h("div", { class: "iw-tooltip", role: "tooltip" });
    this.el.hidden = true;
    root.append(this.el);
    const close = (event: Event) => {
      if ((event as KeyboardEvent).key === "Escape" && !this.el.hidden) {
        this.hide();
        event.stopPropagation();
      }
    };
    root.addEventListener("keydown", close, { signal, capture: true });
    this.el.addEventListener("pointerenter", () => clearTimeout(this.leaving), { signal });
    this.el.addEventListener("pointerleave", () => this.hide(), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.leaving));
  }

  /** Shows a title and rows of name and value, or any nodes, near a point of the window. */
  show(
    x: number,
    y: number,
    title: string,
    rows: readonly (readonly [string, string])[] = [],
    extra: readonly Node[] = [],
  ): void {
    clearTimeout(this.leaving);
    const list = h("dl", {});
    for (const [name, value] of rows) list.append(h("dt", {}, name), h("dd", {}, value));
    this.el.replaceChildren(h("strong", {}, title), ...(rows.length ? [list] : []), ...extra);
    this.el.hidden = false;
    // Not position: fixed, which notebooks with CSS containment take relative to a cell.
    const frame = this.root.getBoundingClientRect();
    const { width, height } = this.el.getBoundingClientRect();
    const inside = (at: number, gap: number, size: number, room: number) =>
      Math.max(4, at + gap + size > room ? Math.min(at - gap - size, room - size - 4) : at + gap);
    this.el.style.left = `${inside(x - frame.left, 14, width, frame.width)}px`;
    this.el.style.top = `${inside(y - frame.top, 14, height, frame.height)}px`;
  }

  /** Hides after a moment, so that the pointer can move onto it. */
  leave(): void {
    clearTimeout(this.leaving);
    this.leaving = setTimeout(() => this.hide(), 120);
  }

  hide(): void {
    clearTimeout(this.leaving);
    this.el.hidden = true;
  }
}
