// Token table: rows of weight matrices as the tokens they read and write.
import { select } from "../core/controls.js";
import { h } from "../core/dom.js";
import { Tiles } from "../core/tiles.js";
import { defineView, type View } from "../core/view.js";
import { ClampPanel } from "../token_table/clamp.js";
import { Detail } from "../token_table/detail.js";
import { RowList } from "../token_table/list.js";
import type { Points, Row } from "../token_table/model.js";
import { Cloud } from "../token_table/points.js";

const SORTS = [
  ["confidence", "confidence"],
  ["entropy", "entropy, lowest first"],
  ["layer", "layer"],
] as const;

export default defineView("token_table", (view) => new TokenTable(view).start(), {
  predict: false,
  keys: [
    ["↑ ↓", "previous and next row; Page up and Page down turn the page"],
    ["Enter", "show the row in full and select its layer and unit in every view"],
    ["click on a token", "find every row that has it among its first five"],
    ["click on a point", "show that row in full"],
  ],
});

class TokenTable {
  private readonly list: RowList;
  private readonly cloud: Cloud;
  private readonly detail: Detail;
  private readonly clamp: ClampPanel;
  private readonly rows: Tiles<Row>;
  private readonly points: Tiles<Points>;
  private readonly search: HTMLInputElement;
  private shown = -1;
  /** The row that the reader opened and that is not selected yet. */
  private opened = -1;
  private drawn = "";

  constructor(private readonly view: View) {
    const open = (row: number) => this.open(row);
    const again = { failed: (error: unknown) => view.report(error), done: () => this.draw() };
    const ask = (name: string) => (key: string, signal: AbortSignal) =>
      view.request(name, JSON.parse(key), { signal });
    this.rows = new Tiles<Row>(ask("row"), again);
    this.points = new Tiles<Points>(ask("points"), again);
    this.list = new RowList(view, open);
    this.cloud = new Cloud(view, open);
    this.detail = new Detail(view, (token) => view.update({ query: token.trim() || token }));
    this.clamp = new ClampPanel(view);
    this.search = h("input", {
      type: "search",
      class: "iw-tt-search",
      placeholder: "find a token",
      "aria-label": "Find rows by token",
      spellcheck: "false",
    });
  }

  start(): void {
    const { view } = this;
    const { columns, layers, live, depth } = view.spec as unknown as {
      columns: string[];
      layers: number[];
      live: boolean;
      depth: number;
    };
    const first = view.first.row as Row | undefined;
    if (first) this.rows.put(JSON.stringify({ row: first.row }), first);
    const column = select(
      "Matrix",
      columns.map((name, i) => [String(i), name] as const),
      String(view.state.column ?? 0),
      (value) => view.update({ column: Number(value) }),
    );
    const sort = select("Order", SORTS, view.state.sort ?? "confidence", (value) =>
      view.update({ sort: value }),
    );
    const layer = select(
      "Layer",
      [["", "all"] as const, ...layers.map((l) => [String(l), String(l)] as const)],
      view.state.layer === null ? "" : String(view.state.layer ?? ""),
      (value) => view.update({ layer: value === "" ? null : Number(value) }),
    );
    layer.el.hidden = layers.length < 2 || !live;
    column.el.hidden = columns.length < 2;
    this.search.hidden = !live;
    let typing: ReturnType<typeof setTimeout> | undefined;
    this.search.addEventListener(
      "input",
      () => {
        clearTimeout(typing);
        typing = setTimeout(() => view.update({ query: this.search.value }), 200);
      },
      { signal: view.signal },
    );
    this.search.addEventListener("keydown", (event) => event.stopPropagation(), {
      signal: view.signal,
    });
    view.toolbar.append(column.el, sort.el, layer.el, this.search);
    const pairs = depth < 2;
    const right = h("div", { class: "iw-tt-right" }, this.detail.el);
    if (view.spec.can_clamp) right.append(this.clamp.el);
    const left = h("div", { class: "iw-tt-left" });
    if (!pairs) left.append(this.cloud.el);
    left.append(this.list.el);
    const pane = h("div", { class: "iw-tt-pane" }, left);
    if (!pairs) pane.append(right);
    view.body.append(pane);
    if (view.spec.note) view.foot.append(h("span", {}, String(view.spec.note)));
    view.onResize((width) => pane.classList.toggle("iw-narrow", width < 640));
    view.onSpec(() => this.draw());
    view.onState(() => {
      const { state } = view;
      column.set(String(state.column ?? 0));
      sort.set(state.sort ?? "confidence");
      layer.set(state.layer === null || state.layer === undefined ? "" : String(state.layer));
      if (!this.search.matches(":focus")) this.search.value = state.query ?? "";
      this.draw();
    });
    view.onTheme(() => this.cloud.draw());
    this.search.value = view.state.query ?? "";
    this.draw();
  }

  private open(row: number): void {
    this.view.update({ row });
    this.shown = -1;
    this.opened = row;
    this.draw(row);
  }

  private draw(wanted = this.view.state.row as number | null): void {
    const { view } = this;
    this.list.draw();
    const at = JSON.stringify({ column: Number(view.state.column ?? 0) });
    const pairs = Number(view.spec.depth) < 2;
    if (!pairs) this.points.show([at]);
    const points = this.points.get(at);
    const now = `${at} ${wanted} ${points?.total}`;
    if (points && now !== this.drawn) {
      this.drawn = now;
      this.cloud.show(points);
    }
    if (pairs || wanted === null || wanted === undefined) return;
    const key = JSON.stringify({ row: wanted });
    this.rows.show([key]);
    const row = this.rows.get(key);
    if (row && row.row !== this.shown) {
      this.shown = row.row;
      this.detail.show(row);
      if (row.row === this.opened) view.selection.set({ layer: row.layer, unit: row.unit });
      this.opened = -1;
      if (view.spec.can_clamp) this.clamp.show(row);
    } else if (view.spec.can_clamp) this.clamp.follow();
  }
}
