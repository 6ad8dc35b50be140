// The table twin of a view.
import { h, num } from "./dom.js";

export interface TableData {
  columns: string[];
  rows: (string | number | boolean | null)[][];
  total: number;
}

export function tableOf(data: TableData, caption: string): HTMLElement {
  const more =
    data.total > data.rows.length ? `, first ${data.rows.length} of ${data.total} rows` : "";
  const head = h("tr", {}, ...data.columns.map((c) => h("th", { scope: "col" }, c)));
  const body = h("tbody");
  for (const row of data.rows) {
    body.append(
      h(
        "tr",
        {},
        ...row.map((v) =>
          typeof v === "number"
            ? h("td", { class: "iw-num" }, num(v, 4))
            : h("td", {}, v === null ? "" : String(v)),
        ),
      ),
    );
  }
  return h(
    "div",
    { class: "iw-table-scroll", tabindex: 0, role: "group", "aria-label": `${caption}, table` },
    h("table", { class: "iw-table" }, h("caption", {}, caption + more), h("thead", {}, head), body),
  );
}
