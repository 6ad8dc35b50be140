// One token per line with a bar from zero, in reading order or by size.

import type { Scale } from "../core/color.js";
import { h, num, signed, visible } from "../core/dom.js";
import { bar, byMagnitude, type Range } from "./values.js";

export interface BarsActions {
  hover(token: number | null, x: number, y: number): void;
  pin(token: number): void;
}

/** Lines drawn at once; a longer list says how many it leaves out. */
export const MOST_BARS = 500;

export class TokenBars {
  readonly el = h("div", {
    class: "iw-tokens-bars",
    role: "listbox",
    "aria-label": "Tokens with their values",
  });
  readonly note = h("div", { class: "iw-label" });
  private focused = 0;

  constructor(
    private readonly actions: BarsActions,
    signal: AbortSignal,
  ) {
    const at = (e: Event): HTMLElement | null =>
      (e.target as Element).closest<HTMLElement>("[data-i]");
    const on = (name: string, call: (el: HTMLElement, e: any) => void): void =>
      this.el.addEventListener(
        name,
        (e) => {
          const el = at(e);
          if (el) call(el, e);
        },
        { signal },
      );
    on("click", (el) => this.actions.pin(Number(el.dataset.i)));
    on("pointerover", (el, e) => this.actions.hover(Number(el.dataset.i), e.clientX, e.clientY));
    on("keydown", (el, e) => this.key(el, e));
    this.el.addEventListener("pointerleave", () => this.actions.hover(null, 0, 0), { signal });
  }

  show(
    tokens: readonly string[],
    values: ArrayLike<number>,
    range: Range,
    colours: Scale,
    sorted: boolean,
    pinned: number | null,
    was: ArrayLike<number> | null,
    veiled: (token: number) => boolean = () => false,
  ): void {
    const order =
      sorted && !tokens.some((_, i) => veiled(i))
        ? byMagnitude(values)
        : Int32Array.from(tokens, (_, i) => i);
    const shown = [...order.slice(0, MOST_BARS)];
    const text = colours.signed ? signed : num;
    const share = (x: number): string => `${(x * 100).toFixed(2)}%`;
    if (!shown.includes(this.focused)) this.focused = shown[0] ?? 0;
    const had = this.el.contains((this.el.getRootNode() as Document | ShadowRoot).activeElement);
    const rows = shown.map((i) => {
      const hidden = veiled(i);
      const value = hidden ? Number.NaN : values[i]!;
      const said = hidden ? "hidden" : text(value);
      const { start, end, zero } = bar(value, range);
      const name = visible(tokens[i]!);
      const el = h(
        "div",
        {
          role: "option",
          class: `iw-tokens-row${i === pinned ? " iw-strip-pin" : ""}`,
          tabindex: i === this.focused ? 0 : -1,
          "aria-selected": String(i === pinned),
          "aria-label": `${name} (${i}), ${said}`,
        },
        h("span", { class: "iw-tokens-index" }, i),
        h("span", { class: "iw-tokens-name", dir: "auto" }, name),
        h(
          "span",
          { class: "iw-tokens-track" },
          h("span", { class: "iw-tokens-zero", style: { left: share(zero) } }),
          end > start &&
            h("span", {
              class: "iw-tokens-bar",
              style: {
                left: share(start),
                width: share(end - start),
                background: colours.css(value),
              },
            }),
          was &&
            !hidden &&
            Number.isFinite(was[i]!) &&
            h("span", {
              class: "iw-tokens-was",
              title: `base ${text(was[i]!)}`,
              style: {
                left: share(was[i]! < 0 ? bar(was[i]!, range).start : bar(was[i]!, range).end),
              },
            }),
        ),
        h("span", { class: "iw-tokens-value" }, hidden ? "?" : said),
      );
      el.dataset.i = String(i);
      return el;
    });
    const longest = shown.reduce((n, i) => Math.max(n, [...visible(tokens[i]!)].length), 3);
    this.el.style.setProperty("--iw-name", `${Math.min(160, Math.round(longest * 7 + 8))}px`);
    this.el.replaceChildren(...rows);
    if (had) this.el.querySelector<HTMLElement>('[tabindex="0"]')?.focus({ preventScroll: true });
    this.note.textContent =
      tokens.length > shown.length
        ? `${sorted ? "The largest" : "The first"} ${shown.length} of ${tokens.length} tokens.`
        : "";
  }

  private key(el: HTMLElement, event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to: Record<string, Element | null> = {
      ArrowDown: el.nextElementSibling,
      ArrowUp: el.previousElementSibling,
      Home: this.el.firstElementChild,
      End: this.el.lastElementChild,
    };
    if (event.key in to) {
      const next = to[event.key] as HTMLElement | null;
      if (next) {
        el.tabIndex = -1;
        next.tabIndex = 0;
        this.focused = Number(next.dataset.i);
        next.focus();
      }
    } else if (event.key === "Enter" || event.key === " ") this.actions.pin(Number(el.dataset.i));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
