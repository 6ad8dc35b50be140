// The list of many channels, sorted where the values are: name, small picture, number.
// Only the page in sight travels; so does only the channel that is chosen from it.
import { button, type Control, select } from "../core/controls.js";
import { h, num, s, signed, visible } from "../core/dom.js";
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

interface Page {
  index: NdArray;
  names: string[];
  numbers: NdArray;
  sparks: NdArray;
  total: number;
  page: number;
}

const WIDTH = 96;
const TALL = 20;

export class ChannelBrowser {
  readonly el: HTMLElement;
  private readonly list = h("div", { class: "iw-channels-list", role: "listbox" });
  private readonly pages: Tiles<Page>;
  private readonly count = h("span", { class: "iw-label" });
  private readonly back: HTMLButtonElement;
  private readonly on: HTMLButtonElement;
  private readonly by: Control<string>;
  private start = 0;
  private query = "";
  private focused = -1;

  constructor(
    private readonly view: View,
    private readonly name: string,
    private readonly token: () => number,
    private readonly chosen: () => number,
  ) {
    this.pages = new Tiles(
      (key, signal) => view.request<Page>("channels", JSON.parse(key), { signal }),
      { done: () => this.draw(), failed: (error) => view.report(error, () => this.draw()) },
    );
    const measures = (view.spec.measures ?? []) as [string, string][];
    this.by = select("Sort by", measures, view.state.by ?? "max", (by) => {
      this.start = 0;
      view.update({ by });
    });
    const search = h("input", {
      type: "search",
      class: "iw-channels-search",
      placeholder: "find, as L3N120",
      "aria-label": `Find a ${name.toLowerCase()} by name`,
      spellcheck: "false",
    });
    let typing: ReturnType<typeof setTimeout> | undefined;
    search.addEventListener(
      "input",
      () => {
        clearTimeout(typing);
        typing = setTimeout(() => {
          this.query = search.value.trim();
          this.start = 0;
          this.draw();
        }, 150);
      },
      { signal: view.signal },
    );
    search.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") this.choose(this.page?.index.data[0]);
      if (event.key === "ArrowDown") this.focus(0);
    });
    this.back = button("Previous page", () => this.turn(-1), { icon: "previous" });
    this.on = button("Next page", () => this.turn(1), { icon: "next" });
    this.list.setAttribute("aria-label", `${name}s, largest first`);
    search.hidden = this.fixed;
    this.el = h(
      "aside",
      { class: "iw-channels", "aria-label": `${name}s` },
      h("div", { class: "iw-channels-head" }, this.by.el, search),
      this.list,
      h("div", { class: "iw-channels-foot" }, this.back, this.count, this.on),
    );
    this.listen();
  }

  /** An exported page holds the first page of each order, and no search. */
  private get fixed(): boolean {
    return Boolean(this.view.spec.listed);
  }

  /** Forgets what was listed: the values changed. */
  revise(): void {
    this.pages.clear();
  }

  private get key(): string {
    const { state, mode } = this.view;
    const by = state.by ?? "max";
    const token = by === "token" ? this.token() : 0;
    return JSON.stringify({ mode, by, token, query: this.query, start: this.start });
  }

  private get page(): Page | undefined {
    return this.pages.get(this.key) ?? this.pages.stale(this.key);
  }

  draw(): void {
    this.by.set(this.view.state.by ?? "max");
    this.pages.show([this.key]);
    const { page } = this;
    if (!page) return;
    const had = this.list.contains(this.active);
    const text = this.view.spec.signed || this.view.mode === "difference" ? signed : num;
    const width = page.sparks.shape[1] ?? 1;
    const chosen = this.chosen();
    const rows = page.names.map((name, i) => {
      const values = page.sparks.data.slice(i * width, (i + 1) * width);
      const number = text(page.numbers.data[i]!);
      const on = page.index.data[i] === chosen;
      return h(
        "div",
        {
          class: "iw-channels-row",
          role: "option",
          tabindex: -1,
          "aria-selected": String(on),
          "aria-label": `${name}, ${number}`,
          "data-at": i,
        },
        h("span", { class: "iw-channels-name" }, visible(name)),
        this.spark(values),
        h("span", { class: "iw-channels-number" }, number),
      );
    });
    const at = Math.max(0, page.names.length ? Math.min(this.focused, rows.length - 1) : 0);
    const here = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const stop = rows[this.focused < 0 && here >= 0 ? here : at];
    if (stop) stop.tabIndex = 0;
    this.list.replaceChildren(...rows);
    if (had) stop?.focus({ preventScroll: true });
    const last = Math.min(page.total, this.start + page.names.length);
    this.count.textContent = page.total
      ? `${(this.start + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${page.total.toLocaleString("en")}`
      : `no ${this.name.toLowerCase()} is called that`;
    this.back.disabled = this.start === 0;
    this.on.disabled = last >= page.total;
    this.back.hidden = this.on.hidden = this.fixed;
  }

  private spark(values: ArrayLike<number>): SVGElement {
    let top = 0;
    let low = 0;
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i]!)) continue;
      top = Math.max(top, values[i]!);
      low = Math.min(low, values[i]!);
    }
    const span = top - low || 1;
    const y = (v: number) => TALL - 1 - ((v - low) / span) * (TALL - 2);
    const step = WIDTH / Math.max(1, values.length);
    const bars = Array.from({ length: values.length }, (_, i) => {
      const v = values[i]!;
      if (!Number.isFinite(v) || v === 0) return "";
      const x = i * step;
      const wide = Math.max(0.8, step - (step > 3 ? 1 : 0));
      return `M${x.toFixed(1)} ${y(0).toFixed(1)}h${wide.toFixed(1)}V${y(v).toFixed(1)}h-${wide.toFixed(1)}z`;
    }).join("");
    return s(
      "svg",
      { width: WIDTH, height: TALL, class: "iw-channels-spark", "aria-hidden": "true" },
      s("path", { d: bars }),
      s("line", { x1: 0, x2: WIDTH, y1: y(0), y2: y(0) }),
    );
  }

  private get active(): Element | null {
    return (this.el.getRootNode() as Document | ShadowRoot).activeElement;
  }

  private turn(by: number): void {
    this.start = Math.max(0, this.start + by * (this.page?.page ?? 15));
    this.focused = 0;
    this.draw();
  }

  private choose(index: number | undefined): void {
    if (index !== undefined) this.view.update({ channel: index });
  }

  private focus(at: number): void {
    const rows = [...this.list.children] as HTMLElement[];
    const to = rows[Math.max(0, Math.min(at, rows.length - 1))];
    if (!to) return;
    for (const row of rows) row.tabIndex = row === to ? 0 : -1;
    this.focused = rows.indexOf(to);
    to.focus();
  }

  private listen(): void {
    const { signal } = this.view;
    const row = (event: Event) => (event.target as Element).closest<HTMLElement>("[data-at]");
    this.list.addEventListener(
      "click",
      this.view.guard((event: Event) => {
        const el = row(event);
        if (el) this.choose(this.page?.index.data[Number(el.dataset.at)]);
      }),
      { signal },
    );
    this.list.addEventListener(
      "keydown",
      this.view.guard((event: KeyboardEvent) => {
        const el = row(event);
        if (!el || event.ctrlKey || event.metaKey || event.altKey) return;
        const at = Number(el.dataset.at);
        if (event.key === "ArrowDown") this.focus(at + 1);
        else if (event.key === "ArrowUp") this.focus(at - 1);
        else if (event.key === "PageDown") this.turn(1);
        else if (event.key === "PageUp") this.turn(-1);
        else if (event.key === "Enter" || event.key === " ") this.choose(this.page?.index.data[at]);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }),
      { signal },
    );
  }
}
