// One method of the list: what it is, and when it is opened, its cell.
import { button } from "../core/controls.js";
import { h, uid } from "../core/dom.js";
import { links, type Method } from "./choose.js";

export interface Card {
  el: HTMLElement;
  head: HTMLButtonElement;
  code: HTMLElement | null;
}

const SHORT = ["paradigm", "causal_nature", "scope"];

export function card(
  method: Method,
  open: boolean,
  calls: { toggle: () => void; copy: () => void },
): Card {
  const id = uid("iw-method");
  const kinds = SHORT.flatMap((facet) => method.tags[facet] ?? []);
  const head = h(
    "button",
    {
      type: "button",
      class: "iw-method-head",
      "aria-expanded": String(open),
      "aria-controls": open ? id : undefined,
      tabindex: -1,
      onclick: calls.toggle,
    },
    h("span", { class: "iw-twist", "aria-hidden": "true" }, open ? "▾" : "▸"),
    h("strong", {}, method.title),
    h("span", { class: "iw-method-kinds" }, kinds.join(" · ")),
    h("span", { class: "iw-method-summary" }, method.summary),
  );
  head.dataset.name = method.name;
  const el = h("div", { class: "iw-method", role: "listitem" }, head);
  if (!open) return { el, head, code: null };
  const code = h(
    "pre",
    {
      class: "iw-method-code",
      tabindex: 0,
      role: "group",
      "aria-label": `Cell of ${method.title}`,
    },
    method.template.trimEnd(),
  );
  el.append(
    h(
      "div",
      { class: "iw-method-open", id },
      h(
        "div",
        { class: "iw-method-cell" },
        code,
        button("Copy cell", calls.copy, { class: "iw-method-copy" }),
      ),
      facts(method),
    ),
  );
  return { el, head, code };
}

function facts(method: Method): HTMLElement {
  const rows: [string, (Node | string)[]][] = [
    ["unit", [method.unit]],
    ["kind", [Object.values(method.tags).flat().join(", ")]],
    ["paper", links(method.paper).map(({ text, arxiv }) => (arxiv ? paper(text, arxiv) : text))],
  ];
  const list = h("dl", { class: "iw-method-facts" });
  for (const [name, words] of rows) {
    if (words.length) list.append(h("dt", {}, name), h("dd", {}, ...words));
  }
  return list;
}

function paper(text: string, arxiv: string): HTMLElement {
  const href = `https://arxiv.org/abs/${arxiv}`;
  return h("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}
