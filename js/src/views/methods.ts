// The map of methods: chips for the kind that is wanted, words to find, a cell to copy.
import { button } from "../core/controls.js";
import { copy } from "../core/copying.js";
import { h, plural } from "../core/dom.js";
import { defineView, type View } from "../core/view.js";
import { type Card, card } from "../methods/card.js";
import { Chips } from "../methods/chips.js";
import {
  type Answers,
  chosen,
  counts,
  type Facets,
  type Method,
  toggled,
} from "../methods/choose.js";

const KEYS = [
  ["↑ ↓", "next method"],
  ["Home, End", "first, last method"],
  ["Enter", "open the method and its cell"],
  ["c", "copy the method's cell"],
  ["← →", "next answer, along a row of chips"],
  ["/", "find"],
] as const;

class MethodsView {
  private methods: Method[];
  private cards: Card[] = [];
  private current = "";
  private readonly chips: Chips;
  private readonly list = h("div", {
    class: "iw-method-list",
    role: "list",
    "aria-label": "Methods",
  });
  private readonly nothing = h("p", { class: "iw-hint" }, "No method is all of this.");
  private readonly found = h("span", { class: "iw-quiet", role: "status" });
  private readonly clear = button("Clear", () => this.update({ answers: {}, find: "" }));
  private readonly find = h("input", {
    type: "search",
    class: "iw-number iw-find",
    placeholder: "Find: name, summary, paper",
    "aria-label": "Find methods by name, summary, unit or paper",
  });

  constructor(private readonly view: View) {
    this.methods = view.first.methods as Method[];
    this.chips = new Chips(view.spec.facets as Facets, (facet, answer) =>
      this.update({ answers: toggled(this.answers, facet, answer) }),
    );
    this.find.addEventListener("input", () => this.update({ find: this.find.value }));
    view.toolbar.append(this.find, this.clear, this.found);
    view.body.append(
      h("div", { class: "iw-methods-parts" }, this.chips.el, h("div", {}, this.list, this.nothing)),
    );
    view.el.addEventListener("keydown", (event) => this.key(event), { signal: view.signal });
    view.onState(() => this.draw());
    view.onSpec(() => {
      this.methods = view.first.methods as Method[];
      this.draw();
    });
    let placed = false;
    view.onResize((width) => {
      view.el.classList.toggle("iw-narrow", width < 640);
      if (!placed && width) this.scrollTo(view.state.opened ?? "");
      placed ||= width > 0;
    });
    this.draw();
  }

  private get answers(): Answers {
    return this.view.state.answers ?? {};
  }

  private update(patch: Record<string, unknown>): void {
    this.view.update(patch);
    this.draw();
  }

  private draw(): void {
    const { find = "", opened = "" } = this.view.state;
    const had = this.list.contains(document.activeElement) || this.heads.some((e) => focused(e));
    if (!focused(this.find)) this.find.value = find;
    const found = chosen(this.methods, this.answers, find);
    this.chips.show(
      this.answers,
      counts(this.methods, this.view.spec.facets as Facets, this.answers, find),
    );
    this.cards = found.map((method) =>
      card(method, method.name === opened, {
        toggle: () => this.toggle(method),
        copy: () => this.copy(method),
      }),
    );
    this.list.replaceChildren(...this.cards.map(({ el }) => el));
    this.list.hidden = found.length === 0;
    this.nothing.hidden = found.length > 0;
    const all = plural(this.methods.length, "method");
    this.found.textContent =
      found.length === this.methods.length ? all : `${found.length} of ${all}`;
    this.clear.disabled = !find && !Object.keys(this.answers).length;
    if (!found.some((m) => m.name === this.current)) this.current = found[0]?.name ?? "";
    this.focus(this.current, had);
  }

  private get heads(): HTMLButtonElement[] {
    return this.cards.map(({ head }) => head);
  }

  private focus(name: string, take = true): void {
    this.current = name;
    for (const head of this.heads) {
      const mine = head.dataset.name === name;
      head.tabIndex = mine ? 0 : -1;
      if (mine && take) head.focus();
    }
  }

  private toggle(method: Method): void {
    this.current = method.name;
    this.update({ opened: this.view.state.opened === method.name ? "" : method.name });
    this.focus(method.name);
    if (this.view.state.opened) this.scrollTo(method.name);
  }

  /** Scrolls the list, and not the page, so far that an opened method is seen. */
  private scrollTo(name: string): void {
    const { el } = this.cards.find(({ head }) => head.dataset.name === name) ?? {};
    if (!el) return;
    const { list } = this;
    const below = el.offsetTop + el.offsetHeight - list.clientHeight;
    list.scrollTop = Math.min(el.offsetTop, Math.max(list.scrollTop, below));
  }

  private copy(method: Method): void {
    this.view.guard(async () => {
      if (await copy(method.template)) {
        this.view.say(`The cell of ${method.title} is copied`);
        this.view.note(`The cell of “${method.title}” is copied: paste it into a notebook.`);
        return;
      }
      if (this.view.state.opened !== method.name) this.toggle(method);
      const { code } = this.cards.find(({ head }) => head.dataset.name === method.name) ?? {};
      if (code) getSelection()?.selectAllChildren(code);
      this.view.note(
        "This page may not write to the clipboard; the cell is selected: press Ctrl+C.",
      );
    })();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = event.composedPath()[0] as HTMLElement;
    const at = this.heads.indexOf(from.closest<HTMLButtonElement>(".iw-method-head") as never);
    const last = this.heads.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (event.key === "/" && from !== this.find) this.find.focus();
    else if (at >= 0 && to !== undefined) {
      const next = this.heads[Math.min(last, Math.max(0, to))];
      if (next) this.focus(next.dataset.name ?? "");
    } else if (at >= 0 && event.key === "c") {
      const method = this.methods.find((m) => m.name === from.dataset.name);
      if (method) this.copy(method);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Whether an element has the focus, also inside a shadow root. */
function focused(el: HTMLElement): boolean {
  return (el.getRootNode() as Document | ShadowRoot).activeElement === el;
}

export default defineView("methods", (view) => void new MethodsView(view), {
  keys: KEYS,
  predict: false,
});
