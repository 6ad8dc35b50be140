// The rows, most specialised first: what each reads, what it writes, how sure that is.
import { button } from "../core/controls.js";
import { h, num, visible } from "../core/dom.js";
import { Tiles } from "../core/tiles.js";
import type { View } from "../core/view.js";
import { type Page, share, shownColumns } from "./model.js";

export class RowList {
  readonly el: HTMLElement;
  private readonly list = h("div", { class: "iw-tt-list", role: "listbox" });
  private readonly heads = h("div", { class: "iw-tt-line iw-tt-heads", "aria-hidden": "true" });
  private readonly count = h("span", { class: "iw-label" });
  private readonly back: HTMLButtonElement;
  private readonly on: HTMLButtonElement;
  private readonly pages: Tiles<Page>;
  private start = 0;
  private key = "";

  constructor(
    private readonly view: View,
    private readonly open: (row: number) => void,
  ) {
    this.pages = new Tiles(
      (key, signal) => view.request<Page>("rows", JSON.parse(key), { signal }),
      { done: () => this.draw(), failed: (error) => view.report(error, () => this.draw()) },
    );
    this.list.setAttribute("aria-label", `${view.spec.unit_name}s`);
    this.back = button("Previous page", () => this.turn(-1), { icon: "previous" });
    this.on = button("Next page", () => this.turn(1), { icon: "next" });
    this.el = h(
      "div",
      { class: "iw-tt-rows" },
      this.heads,
      this.list,
      h("div", { class: "iw-tt-foot" }, this.back, this.count, this.on),
    );
    this.list.addEventListener("keydown", (event) => this.onKey(event), { signal: view.signal });
  }

  private get page(): Page | undefined {
    return this.pages.get(this.key) ?? this.pages.stale(this.key);
  }

  /** Draws the page in sight; another order or search begins at its first page. */
  draw(): void {
    const { state } = this.view;
    const choice = {
      column: Number(state.column ?? 0),
      sort: state.sort ?? "confidence",
      layer: state.layer ?? null,
      query: state.query ?? "",
    };
    const before = this.key && JSON.parse(this.key);
    const same = before && Object.entries(choice).every(([k, v]) => before[k] === v);
    if (!same) this.start = 0;
    this.key = JSON.stringify({ ...choice, start: this.start });
    this.pages.show([this.key]);
    const { page } = this;
    if (page) this.fill(page);
  }

  private fill(page: Page): void {
    const { view } = this;
    const columns = shownColumns(view);
    const names = view.spec.columns as string[];
    const roles = view.spec.roles as string[];
    const two = columns.length > 1;
    this.el.classList.toggle("iw-tt-one", !two);
    const score = view.spec.probable ? "p" : "score";
    this.heads.replaceChildren(
      h("span", {}, view.spec.unit_name),
      ...columns.map((c) => h("span", {}, `${names[c]}, ${roles[c]}s`)),
      h("span", { class: "iw-num" }, score),
    );
    const focused = this.list.contains(
      (this.list.getRootNode() as Document | ShadowRoot).activeElement,
    );
    const width = names.length;
    const chosen = Number(view.state.column ?? 0);
    const active = Math.max(0, Array.from(page.index.data).indexOf(view.state.row));
    const rows = page.names.map((name, i) => {
      const row = page.index.data[i] as number;
      const p = page.scores.data[i * width + chosen] as number;
      const cells = columns.map((c) => {
        const sign = view.spec.signs[page.sign.data[i * width + c] as number] as string;
        const words = (page.words[i]?.[c] ?? []).map((w) => visible(w));
        return h(
          "span",
          { class: "iw-tt-words", title: words.join("  ") },
          h("b", { class: sign === "+" ? "iw-plus" : "iw-minus" }, sign),
          ` ${words.join("  ")}`,
        );
      });
      const value = view.spec.probable ? share(p) : num(p);
      return h(
        "div",
        {
          class: "iw-tt-line",
          role: "option",
          tabindex: i === active ? 0 : -1,
          "aria-selected": String(row === view.state.row),
          "data-row": row,
          onclick: () => this.open(row),
        },
        h("span", { class: "iw-tt-name" }, name),
        ...cells,
        h(
          "span",
          { class: "iw-tt-score iw-num", style: { "--iw-p": String(Math.min(1, Math.max(0, p))) } },
          value,
        ),
      );
    });
    const none = view.state.query
      ? `No ${view.spec.unit_name} has “${view.state.query}” among its first five tokens.`
      : `No ${view.spec.unit_name} here.`;
    this.list.replaceChildren(...(rows.length ? rows : [h("p", { class: "iw-quiet" }, none)]));
    if (focused) (this.list.children[active] as HTMLElement | undefined)?.focus();
    const last = Math.min(page.total, this.start + page.names.length);
    const range = page.total ? `${(this.start + 1).toLocaleString("en")}–${last}` : "0";
    this.count.textContent = `${range} of ${page.total.toLocaleString("en")}`;
    const fixed = !view.spec.live;
    this.back.disabled = this.start === 0 || fixed;
    this.on.disabled = last >= page.total || fixed;
  }

  private turn(by: number): void {
    this.start = Math.max(0, this.start + by * (this.page?.page ?? 12));
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    const items = [...this.list.querySelectorAll<HTMLElement>("[role=option]")];
    const at = items.indexOf(event.target as HTMLElement);
    if (at < 0) return;
    const go = (to: number) => {
      const item = items[Math.max(0, Math.min(items.length - 1, to))];
      items[at]?.setAttribute("tabindex", "-1");
      item?.setAttribute("tabindex", "0");
      item?.focus();
    };
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(items.length - 1);
    else if (event.key === "PageDown" && !this.on.disabled) this.turn(1);
    else if (event.key === "PageUp" && !this.back.disabled) this.turn(-1);
    else if (event.key === "Enter" || event.key === " ") {
      this.open(Number(items[at]?.dataset.row));
    } else return;
    event.preventDefault();
  }
}
