// Tokens as running text, coloured by a value each: a list box with one tab stop, paged when long.

import type { Scale as Colours } from "../core/color.js";
import { h, num, signed, visible } from "../core/dom.js";
import { isSpecial, rightToLeft } from "./script.js";
import { type Span, SpanPicker } from "./span.js";

export interface StripActions {
  hover(token: number | null, x: number, y: number): void;
  pin(token: number): void;
  /** Tokens are being marked; only where `choosing` is on. */
  marking?(span: Span): void;
  /** The marked tokens were let go of. */
  span?(span: Span): void;
}

export interface StripLook {
  /** Whether lines are wrapped; else the text runs on in one. */
  wrap: boolean;
  /** Whether white space is drawn. */
  spaces: boolean;
}

/** Tokens shown at once; a longer prompt is paged. */
export const PAGE = 500;

export class TokenStrip {
  readonly el = h("div", {
    class: "iw-strip",
    role: "listbox",
    "aria-label": "Tokens of the prompt",
  });
  readonly pager = h("div", { class: "iw-strip-pager" });
  private tokens: readonly string[] = [];
  private items: HTMLElement[] = [];
  private page = 0;
  private focused = 0;
  private look: StripLook = { wrap: true, spaces: false };
  private readonly picker: SpanPicker;

  constructor(
    private readonly actions: StripActions,
    signal: AbortSignal,
    /** A bar under each token, hatched when negative: the value without colour. */
    private readonly bars = false,
  ) {
    const take = (span: Span) => actions.span?.(span);
    const mark = (span: Span | null) => this.mark(span);
    this.picker = new SpanPicker(this.el, (e) => this.at(e), { mark, take }, signal);
    this.el.addEventListener("pointerover", (e) => this.over(e, e.clientX, e.clientY), { signal });
    this.el.addEventListener("pointerleave", () => actions.hover(null, 0, 0), { signal });
    this.el.addEventListener("focusout", () => actions.hover(null, 0, 0), { signal });
    this.el.addEventListener(
      "focusin",
      (e) => {
        const box = (e.target as Element).getBoundingClientRect();
        this.over(e, box.left, box.bottom);
      },
      { signal },
    );
    this.el.addEventListener(
      "click",
      (e) => {
        const i = this.at(e);
        if (i !== null) actions.pin(i);
      },
      { signal },
    );
    this.el.addEventListener("keydown", (e) => this.key(e), { signal });
  }

  setTokens(tokens: readonly string[]): void {
    if (tokens.length === this.tokens.length && tokens.every((t, i) => t === this.tokens[i]))
      return;
    this.tokens = tokens;
    this.page = 0;
    this.focused = 0;
    this.lay();
  }

  setLook(look: StripLook): void {
    if (look.wrap === this.look.wrap && look.spaces === this.look.spaces) return;
    this.look = look;
    this.lay();
  }

  /** Whether spans of tokens can be marked. */
  set choosing(on: boolean) {
    this.picker.on = on;
    this.el.classList.toggle("iw-strip-choosing", on);
  }

  private mark(span: Span | null): void {
    this.items.forEach((el, j) => {
      const i = this.first + j;
      el.classList.toggle("iw-strip-marked", span !== null && i >= span[0] && i <= span[1]);
    });
    if (span) this.actions.marking?.(span);
  }

  /** Marks the tokens that are explained one at a time, and what the explained one has not read. */
  targets(positions: readonly number[] | null, subject: number | null): void {
    const known = new Set(positions ?? []);
    this.items.forEach((el, j) => {
      const i = this.first + j;
      el.classList.toggle("iw-strip-target", known.has(i));
      el.classList.toggle("iw-strip-unread", subject !== null && i > subject);
    });
  }

  /** Puts a bracket over tokens that share a value; units of one token need none. */
  brackets(units: readonly { at: readonly number[] }[]): void {
    const unit = new Map<number, number>();
    units.forEach(({ at }, n) => {
      if (at.length > 1) for (const i of at) unit.set(i, n);
    });
    this.items.forEach((el, j) => {
      const own = unit.get(this.first + j);
      const same = (i: number) => own !== undefined && unit.get(i) === own;
      el.classList.toggle("iw-unit", own !== undefined);
      el.classList.toggle("iw-unit-first", own !== undefined && !same(this.first + j - 1));
      el.classList.toggle("iw-unit-last", own !== undefined && !same(this.first + j + 1));
    });
  }

  /** Marks what the pointer is over in another view. */
  point(token: number | null): void {
    this.items.forEach((el, j) => {
      el.classList.toggle("iw-strip-pointed", this.first + j === token);
    });
  }

  /** The first token on the page in sight. */
  get first(): number {
    return this.page * PAGE;
  }

  /** Shows the page that holds a token. */
  reveal(token: number): void {
    const page = Math.floor(token / PAGE);
    if (page === this.page || token >= this.tokens.length) return;
    this.page = page;
    this.lay();
  }

  /** Colours the tokens by a value each, `share` of the colour map; null takes the colours away. */
  colour(
    values: ArrayLike<number> | null,
    colours: Colours,
    share: (value: number) => number,
    subject: number | null,
    pinned: number | null,
    veiled: (token: number) => boolean = () => false,
  ): void {
    const { first } = this;
    this.items.forEach((el, j) => {
      const i = first + j;
      const hidden = veiled(i);
      const value = hidden ? undefined : values?.[i];
      el.classList.toggle("iw-strip-subject", i === subject);
      el.setAttribute("aria-selected", String(i === pinned));
      el.classList.toggle("iw-strip-pin", i === pinned);
      el.classList.toggle("iw-veiled", hidden);
      const said = value === undefined ? "" : colours.signed ? signed(value) : num(value);
      const text = hidden ? "hidden" : said;
      el.setAttribute("aria-label", `${visible(this.tokens[i]!)} (${i})${text && `, ${text}`}`);
      el.classList.toggle("iw-strip-nan", value !== undefined && Number.isNaN(value));
      if (this.bars)
        this.bar(
          el,
          value,
          colours.signed && value !== undefined ? share(value) * 2 - 1 : share(value ?? 0),
        );
      if (value === undefined || Number.isNaN(value)) {
        el.style.background = "";
        el.style.color = "";
        return;
      }
      const at = colours.low + share(value) * (colours.high - colours.low);
      el.style.background = colours.css(at);
      el.style.color = colours.ink(at);
    });
  }

  private bar(el: HTMLElement, value: number | undefined, length: number): void {
    const known = value !== undefined && !Number.isNaN(value);
    el.style.setProperty(
      "--iw-share",
      known ? `${Math.min(100, Math.round(Math.abs(length) * 1000) / 10)}%` : "0%",
    );
    el.classList.toggle("iw-strip-negative", known && value < 0);
  }

  private lay(): void {
    const { first } = this;
    this.items = this.tokens.slice(first, first + PAGE).map((token, j) => {
      const el = h("span", { role: "option", class: "iw-strip-token", tabindex: -1, dir: "auto" });
      const text = visible(token);
      const spaced = /^ \S/.test(token);
      if (spaced) el.classList.add("iw-strip-spaced");
      if (isSpecial(token)) el.classList.add("iw-strip-special");
      el.append(spaced && !this.look.spaces ? text.slice(1) : text);
      el.dataset.i = String(first + j);
      return el;
    });
    const list: (Node | string)[] = [];
    this.items.forEach((el, j) => {
      list.push(el);
      if (this.look.wrap && this.tokens[first + j]!.includes("\n")) list.push(h("br"));
    });
    this.el.classList.toggle("iw-strip-bars", this.bars);
    this.el.classList.toggle("iw-strip-line", !this.look.wrap);
    this.el.dir = rightToLeft(this.tokens) ? "rtl" : "ltr";
    this.el.replaceChildren(...list);
    const at = Math.min(Math.max(this.focused, first), first + this.items.length - 1);
    this.rove(at, false);
    this.pages();
  }

  private pages(): void {
    const count = Math.ceil(this.tokens.length / PAGE);
    this.pager.hidden = count < 2;
    const turn = (by: number) => () => {
      this.page = Math.min(count - 1, Math.max(0, this.page + by));
      this.lay();
      this.actions.hover(null, 0, 0);
    };
    const last = Math.min(this.tokens.length, (this.page + 1) * PAGE) - 1;
    this.pager.replaceChildren(
      h(
        "button",
        {
          type: "button",
          class: "iw-button iw-icon",
          "aria-label": "Earlier tokens",
          onclick: turn(-1),
        },
        "‹",
      ),
      h("span", {}, `tokens ${this.page * PAGE}–${last} of ${this.tokens.length}`),
      h(
        "button",
        {
          type: "button",
          class: "iw-button iw-icon",
          "aria-label": "Later tokens",
          onclick: turn(1),
        },
        "›",
      ),
    );
  }

  private rove(token: number, focus: boolean): void {
    const { first } = this;
    const before = this.items[this.focused - first];
    if (before) before.tabIndex = -1;
    this.focused = token;
    const now = this.items[token - first];
    if (!now) return;
    now.tabIndex = 0;
    if (focus) now.focus();
  }

  private at(event: Event): number | null {
    const el = (event.target as Element | null)?.closest<HTMLElement>("[data-i]");
    return el ? Number(el.dataset.i) : null;
  }

  private over(event: Event, x: number, y: number): void {
    const i = this.at(event);
    if (i !== null && !this.picker.span) this.actions.hover(i, x, y);
  }

  private key(event: KeyboardEvent): void {
    const i = this.at(event);
    if (i === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const { first } = this;
    const last = first + this.items.length - 1;
    const rtl = this.el.dir === "rtl" ? -1 : 1;
    const moves: Record<string, number> = {
      ArrowRight: i + rtl,
      ArrowDown: i + 1,
      ArrowLeft: i - rtl,
      ArrowUp: i - 1,
      Home: first,
      End: last,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      const next = Math.min(last, Math.max(first, to));
      if (event.shiftKey && this.picker.on) this.picker.extend(i, next);
      else this.picker.clear();
      this.rove(next, true);
    } else if (event.key === "Enter" || event.key === " ") {
      if (!this.picker.finish()) this.actions.pin(i);
    } else if (event.key !== "Escape" || !this.picker.clear()) return;
    event.preventDefault();
    event.stopPropagation();
  }
}
