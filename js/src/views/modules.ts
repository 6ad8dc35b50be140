// The module tree: classes, parameters, output shapes and the standard activation names.
import { button } from "../core/controls.js";
import { copy } from "../core/copying.js";
import { h, plural } from "../core/dom.js";
import { defineView, type View } from "../core/view.js";
import {
  countText,
  firstOpen,
  keyOf,
  type ModuleNode,
  matching,
  type Row,
  shapeText,
  treeRows,
} from "../modules/tree.js";

const KEYS = [
  ["↑ ↓", "next module"],
  ["→", "open, then into it"],
  ["←", "close, then out of it"],
  ["Home, End", "first, last module"],
  ["*", "open everything on this level"],
  ["c", "copy the module's path"],
] as const;

class ModulesView {
  private root: ModuleNode;
  private open: Set<string>;
  private current: string;
  private rows: Row[] = [];
  private readonly tree = h("div", { class: "iw-tree", role: "tree", "aria-label": "Modules" });
  private readonly found = h("span", { class: "iw-quiet", role: "status" });
  private readonly nothing = h("p", { class: "iw-hint" }, "No module matches the filter.");

  constructor(private readonly view: View) {
    this.root = view.first.tree as ModuleNode;
    this.open = firstOpen(this.root);
    this.current = keyOf(this.root);
    const filter = h("input", {
      type: "search",
      class: "iw-number iw-filter",
      placeholder: "Filter: name, class or site",
      "aria-label": "Filter modules by name, class or site",
      value: view.state.filter ?? "",
    });
    filter.addEventListener("input", () => {
      view.update({ filter: filter.value });
      this.draw(filter.value);
    });
    view.toolbar.append(
      filter,
      button("Open all", () => this.openAll()),
      button("Close all", () => {
        this.open = new Set([keyOf(this.root)]);
        this.draw();
      }),
      this.found,
    );
    const head = h(
      "div",
      { class: "iw-module iw-module-head", "aria-hidden": "true" },
      ...["module", "output shape", "parameters", "activations"].map((text, i) =>
        h("span", { class: i === 2 ? "iw-num" : "" }, text),
      ),
    );
    view.body.append(head, this.tree, this.nothing);
    view.foot.append(...this.facts());
    this.tree.addEventListener("keydown", (event) => this.key(event), { signal: view.signal });
    view.onState(() => {
      if (document.activeElement !== filter) filter.value = view.state.filter ?? "";
      this.draw();
    });
    view.onSpec(() => {
      this.root = view.first.tree as ModuleNode;
      this.draw();
    });
    view.onHover((value) => this.mark(value?.layer ?? null));
    view.onResize((width) => view.el.classList.toggle("iw-narrow", width < 560));
    this.draw();
  }

  private facts(): Node[] {
    const { spec } = this.view;
    const parts = [
      `${spec.count.toLocaleString("en")} modules`,
      `${countText(this.root.parameters)} parameters`,
    ];
    for (const [name, value] of Object.entries(spec.summary ?? {})) {
      if (typeof value === "number") {
        parts.push(`${name.replace(/^n_/, "").replaceAll("_", " ")} ${value.toLocaleString("en")}`);
      }
    }
    return [h("span", {}, parts.join(" · "))];
  }

  private openAll(): void {
    const visit = (node: ModuleNode): void => {
      if (!node.children.length) return;
      this.open.add(keyOf(node));
      node.children.forEach(visit);
    };
    visit(this.root);
    this.draw();
  }

  private draw(filter: string = this.view.state.filter ?? ""): void {
    const had = this.tree.contains(document.activeElement);
    this.rows = treeRows(this.root, this.open, filter);
    if (!this.rows.some((r) => r.key === this.current)) this.current = this.rows[0]?.key ?? "";
    this.tree.replaceChildren(...this.rows.map((row) => this.element(row)));
    this.nothing.hidden = this.rows.length > 0;
    const count = matching(this.root, filter);
    this.found.textContent = filter.trim() && count ? `${plural(count, "module")} found` : "";
    if (had) this.focus(this.current);
  }

  private element(row: Row): HTMLElement {
    const { node, count } = row;
    const shape = shapeText(node.shape);
    const sites = count > 1 ? [] : node.sites;
    const words = [
      row.name,
      count > 1 ? `${count} modules like ${row.like}` : node.class,
      shape && `output ${shape}`,
      `${node.parameters.toLocaleString("en")} parameters${count > 1 ? " each" : ""}`,
      sites.length && `activations ${sites.join(", ")}`,
    ];
    const el = h(
      "div",
      {
        class: `iw-module${row.matches ? " iw-match" : ""}`,
        role: "treeitem",
        "aria-level": row.depth + 1,
        "aria-posinset": row.position,
        "aria-setsize": row.siblings,
        "aria-expanded": row.hasChildren ? String(row.open) : undefined,
        tabindex: row.key === this.current ? 0 : -1,
        title: node.path,
      },
      h(
        "span",
        { class: "iw-module-name", style: { "padding-left": `${row.depth * 16}px` } },
        h(
          "span",
          { class: "iw-twist", "aria-hidden": "true" },
          row.hasChildren ? (row.open ? "▾" : "▸") : "",
        ),
        h("strong", {}, row.name),
        " ",
        h(
          "span",
          { class: "iw-quiet" },
          count > 1 ? `${node.class}, like ${row.like}` : node.class,
        ),
      ),
      h("span", { class: "iw-module-shape" }, shape),
      h(
        "span",
        { class: "iw-num" },
        countText(node.parameters),
        count > 1 ? h("small", {}, ` × ${count}`) : null,
      ),
      h(
        "span",
        { class: "iw-sites", style: { "--iw-indent": `${row.depth * 16 + 16}px` } },
        ...sites.map((site) => h("code", {}, site)),
      ),
    );
    // A spoken sentence is the row's name; the cells are for the eye.
    for (const cell of el.children) cell.setAttribute("aria-hidden", "true");
    el.prepend(h("span", { class: "iw-sr" }, words.filter(Boolean).join(", ")));
    el.dataset.key = row.key;
    const layers = node.sites.map((site) => Number(/\.(\d+)$/.exec(site)?.[1] ?? Number.NaN));
    const layer = count === 1 ? layers.find(Number.isInteger) : undefined;
    if (layer !== undefined) {
      el.dataset.layer = String(layer);
      el.addEventListener("pointerenter", () => this.view.hover({ layer }));
      el.addEventListener("pointerleave", () => this.view.hover(null));
    }
    if (node.path && count === 1) el.append(this.copier(node.path));
    el.addEventListener("click", () => {
      this.current = row.key;
      if (row.hasChildren) this.toggle(row);
      else this.focus(row.key);
    });
    return el;
  }

  private copier(path: string): HTMLElement {
    const el = button("Copy path", () => this.copy(path), { class: "iw-module-copy" });
    el.tabIndex = -1;
    el.setAttribute("aria-hidden", "true");
    el.addEventListener("click", (event) => event.stopPropagation());
    return el;
  }

  private copy(path: string): void {
    this.view.guard(async () => {
      const done = await copy(path);
      this.view.say(done ? `${path} copied` : `The path is ${path}`);
      if (!done) this.view.note(path, "info", { label: "OK", call: () => this.view.note("") });
    })();
  }

  /** Marks the modules of the layer that another view's pointer is over. */
  private mark(layer: number | null): void {
    for (const el of this.tree.children) {
      const same = layer !== null && (el as HTMLElement).dataset.layer === String(layer);
      el.classList.toggle("iw-linked", same);
    }
  }

  private toggle(row: Row, on = !row.open): void {
    if (on) this.open.add(row.key);
    else this.open.delete(row.key);
    this.draw();
    this.focus(row.key);
  }

  private focus(key: string): void {
    this.tree.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    this.current = key;
    const el = [...this.tree.children].find((e) => (e as HTMLElement).dataset.key === key) as
      | HTMLElement
      | undefined;
    el?.setAttribute("tabindex", "0");
    el?.focus({ preventScroll: false });
  }

  private key(event: KeyboardEvent): void {
    const at = this.rows.findIndex((r) => r.key === this.current);
    const row = this.rows[at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const go = (to: number): void => {
      const next = this.rows[Math.min(this.rows.length - 1, Math.max(0, to))];
      if (next) this.focus(next.key);
    };
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(this.rows.length - 1);
    else if (event.key === "ArrowRight") {
      if (row.hasChildren && !row.open) this.toggle(row, true);
      else if (row.open) go(at + 1);
    } else if (event.key === "ArrowLeft") {
      if (row.open && !this.view.state.filter) this.toggle(row, false);
      else {
        let up = at - 1;
        while (up > 0 && (this.rows[up] as Row).depth >= row.depth) up--;
        go(up);
      }
    } else if (event.key === "Enter" || event.key === " ") {
      if (row.hasChildren) this.toggle(row);
    } else if (event.key === "c") {
      if (row.node.path && row.count === 1) this.copy(row.node.path);
    } else if (event.key === "*") {
      for (const other of this.rows)
        if (other.depth === row.depth && other.hasChildren) this.open.add(other.key);
      this.draw();
      this.focus(row.key);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

export default defineView("modules", (view) => void new ModulesView(view), {
  keys: KEYS,
  predict: false,
});
