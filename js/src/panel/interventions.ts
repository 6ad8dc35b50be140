// The interventions as an ordered list, moved by the grip, by buttons and by Alt and arrows.
import { h } from "../core/dom.js";
import { moved } from "./format.js";
import { type Act, type Item, ItemRow } from "./row.js";

export class InterventionList {
  readonly el = h("ol", { class: "iw-items", "aria-label": "Interventions, in order" });
  private items: readonly Item[] = [];
  private readonly rows = new Map<number, ItemRow>();
  private wasLive = true;

  constructor(
    readonly act: Act,
    private readonly live: () => boolean,
    private readonly signal: AbortSignal,
  ) {}

  show(items: readonly Item[]): void {
    const held = this.held();
    if (this.wasLive !== this.live()) this.rows.clear();
    this.wasLive = this.live();
    this.items = items;
    const known = new Set(items.map((item) => item.id));
    for (const id of [...this.rows.keys()]) if (!known.has(id)) this.rows.delete(id);
    const wanted = items.map((item, i) => {
      let row = this.rows.get(item.id);
      if (!row) {
        row = new ItemRow(item, this, this.wasLive, this.signal);
        this.rows.set(item.id, row);
      }
      row.update(item, i, items.length);
      return row.el;
    });
    const same =
      wanted.length === this.el.children.length &&
      wanted.every((el, i) => el === this.el.children[i]);
    if (!same) this.el.replaceChildren(...wanted);
    this.el.hidden = items.length === 0;
    if (held && !same) this.hold(held);
  }

  grip(id: number, event: PointerEvent): void {
    const row = this.rows.get(id)?.el;
    const from = this.items.findIndex((item) => item.id === id);
    if (!row || from < 0 || event.button !== 0) return;
    event.preventDefault();
    const handle = event.currentTarget as HTMLElement;
    handle.setPointerCapture(event.pointerId);
    const others = [...this.el.children].filter((el) => el !== row);
    const middles = others.map((el) => {
      const { top, height } = el.getBoundingClientRect();
      return top + height / 2;
    });
    const drag = new AbortController();
    const options = { signal: AbortSignal.any([drag.signal, this.signal]) };
    let to = from;
    row.classList.add("iw-dragged");
    const over = (y: number) => {
      to = middles.filter((middle) => middle < y).length;
      row.style.transform = `translateY(${y - event.clientY}px)`;
      others.forEach((el, i) => {
        el.classList.toggle("iw-drop-before", i === to && to !== from);
        el.classList.toggle("iw-drop-after", to === others.length && i === to - 1 && to !== from);
      });
    };
    const end = (keep: boolean) => {
      drag.abort();
      row.classList.remove("iw-dragged");
      row.style.transform = "";
      for (const el of others) el.classList.remove("iw-drop-before", "iw-drop-after");
      if (keep && to !== from) this.act("move", { id, to });
    };
    handle.addEventListener("pointermove", (e) => over(e.clientY), options);
    handle.addEventListener("pointerup", () => end(true), options);
    handle.addEventListener("pointercancel", () => end(false), options);
    window.addEventListener(
      "keydown",
      (e) => {
        if (e.key === "Escape") end(false);
      },
      options,
    );
  }

  move(id: number, by: -1 | 1): void {
    const index = this.items.findIndex((item) => item.id === id);
    const to = moved(index, by, this.items.length);
    if (index >= 0 && to >= 0) this.act("move", { id, to });
  }

  /** Where the focus is: the item, its place and its control. */
  private held(): { id: number; place: number; el: HTMLElement } | undefined {
    const root = this.el.getRootNode() as Document | ShadowRoot;
    const el = root.activeElement as HTMLElement | null;
    const row = el && this.el.contains(el) ? el.closest<HTMLElement>("[data-id]") : null;
    if (!row || !el) return undefined;
    return { id: Number(row.dataset.id), place: [...this.el.children].indexOf(row), el };
  }

  private hold({ id, place, el }: { id: number; place: number; el: HTMLElement }): void {
    const row = this.rows.get(id)?.el;
    if (row) (el.matches(":disabled") ? row.querySelector("input") : el)?.focus();
    else {
      const { children } = this.el;
      children[Math.min(place, children.length - 1)]?.querySelector("input")?.focus();
    }
  }
}
