// Concepts as bars with intervals, one for each target, and the chosen one over the layers.
import { h, num, signed } from "../core/dom.js";
import type { Tooltip } from "../core/tooltip.js";
import { axis, bar, flagMark, lines, nullText, spoken } from "./chart.js";
import type { Concepts } from "./model.js";
import { budgetNote, domainOf, FLAGS, pText, type Row, rowOf, steady } from "./rows.js";

type Cell = { row: Row; before: number; target: string };

export class Effects {
  readonly el = h("div", { class: "iw-concept-effects" });
  private readonly header = h("div", {
    class: "iw-concept-line iw-concept-head",
    "aria-hidden": "true",
  });
  private readonly list = h("div", { class: "iw-concept-list", role: "listbox", tabindex: -1 });
  private readonly note = h("p", { class: "iw-concept-note" });
  private readonly figure = h("figure", { class: "iw-concept-lines" });
  private width = 640;

  constructor(
    private readonly concepts: Concepts,
    private readonly tip: Tooltip,
  ) {
    const { view } = concepts;
    this.el.append(this.header, this.list, this.note, this.figure);
    this.list.addEventListener("keydown", (event) => this.key(event), { signal: view.signal });
    view.onHover((value) => {
      for (const el of this.rows) {
        const name = concepts.names[Number(el.dataset.concept)];
        el.classList.toggle("iw-linked", Boolean(value?.node) && value?.node === name);
      }
    });
  }

  resize(width: number): void {
    this.width = width;
  }

  private get rows(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>("[data-concept]")];
  }

  draw(): void {
    const { view, choice, layer, tables, layers } = this.concepts;
    const grouped = tables.length > 1;
    const groups = choice.rows.map(({ concept }) =>
      tables.map(({ table, before, target }) => ({
        row: rowOf(table, concept, layer),
        before: before ? rowOf(before, concept, layer).effect : Number.NaN,
        target: grouped ? (view.spec.targets[target] as string) : "",
      })),
    );
    const shown = groups.flat().filter(({ row }) => !this.concepts.veiled(row.concept));
    const domain = domainOf(shown.map(({ row }) => row));
    const narrow = this.width < 520;
    view.el.classList.toggle("iw-narrow", narrow);
    const name = Math.min(200, Math.max(72, this.width * (narrow ? 0.3 : 0.22)));
    const room = Math.max(60, this.width - 20 - name - (narrow ? 80 : 328));
    view.el.style.setProperty("--iw-name", `${name}px`);
    view.el.style.setProperty("--iw-bars", `${room}px`);
    const root = this.list.getRootNode() as Document | ShadowRoot;
    const hadFocus = this.list.contains(root.activeElement);
    const mode = view.mode === "difference" ? "change of " : "";
    this.list.setAttribute("aria-label", `${mode}${view.spec.quantity}, layer ${layers[layer]}`);
    this.header.replaceChildren(
      h("span", {}),
      h("span", {}, grouped ? "concept, target" : "concept"),
      axis(domain, room),
      h("span", { class: "iw-num" }, "effect"),
      ...(narrow
        ? []
        : ["interval", view.spec.score_name, "p"].map((text) =>
            h("span", { class: "iw-num" }, text),
          )),
    );
    this.list.replaceChildren(...groups.map((cells) => this.group(cells, domain, room, narrow)));
    if (!groups.length)
      this.list.append(h("p", { class: "iw-concept-note" }, "No concept matches the filter."));
    if (hadFocus) this.rowOf(this.concepts.chosen)?.focus({ preventScroll: true });
    this.note.textContent = budgetNote(choice);
    this.note.hidden = !this.note.textContent;
    this.drawLines();
  }

  /** One concept: a line for each target. */
  private group(
    cells: readonly Cell[],
    domain: readonly [number, number],
    room: number,
    narrow: boolean,
  ): HTMLElement {
    const { concepts } = this;
    const { view, names } = concepts;
    const concept = cells[0]!.row.concept;
    const name = names[concept] as string;
    const hidden = concepts.veiled(concept);
    const on = concept === concepts.chosen;
    const grouped = cells.length > 1;
    const says = cells.map(({ row, target }) =>
      spoken(grouped ? { ...row, name: target } : row, view.spec.score_name),
    );
    const el = h(
      "div",
      {
        class: `iw-concept-row${grouped ? " iw-concept-group" : ""}`,
        role: "option",
        "aria-selected": String(on),
        tabindex: on ? 0 : -1,
      },
      h(
        "span",
        { class: "iw-sr" },
        hidden ? `${name}, hidden` : grouped ? `${name}: ${says.join("; ")}` : says[0],
      ),
    );
    el.dataset.concept = String(concept);
    if (grouped) {
      const title = h("span", { class: "iw-concept-name", title: name }, name);
      el.append(h("div", { class: "iw-concept-title", "aria-hidden": "true" }, title));
    }
    for (const cell of cells) {
      const line = hidden
        ? this.veiledLine(grouped ? cell.target : name, domain, room)
        : this.line(cell, domain, room, narrow, grouped ? cell.target : name);
      if (!hidden) this.listen(line, cell);
      el.append(line);
    }
    el.addEventListener("click", () => {
      if (hidden) view.reveal(name);
      this.pick(concept);
    });
    el.addEventListener("pointerenter", () => view.hover({ node: name }));
    el.addEventListener("pointerleave", () => view.hover(null));
    return el;
  }

  private line(
    { row, before }: Cell,
    domain: readonly [number, number],
    room: number,
    narrow: boolean,
    name: string,
  ): HTMLElement {
    const text = steady(domain);
    const cells: Node[] = [
      flagMark(row.flag),
      h("span", { class: "iw-concept-name", title: name }, name),
      bar(row, domain, room, before),
      h("span", { class: "iw-num" }, Number.isFinite(row.effect) ? text(row.effect, true) : "–"),
    ];
    if (!narrow) {
      const interval = Number.isFinite(row.low) ? `${text(row.low)} … ${text(row.high)}` : "";
      const score = Number.isFinite(row.score) ? row.score.toFixed(2) : "–";
      const random = Number.isFinite(row.scoreNull)
        ? h("small", {}, ` / ${row.scoreNull.toFixed(2)}`)
        : null;
      const p = Number.isFinite(row.p) ? pText(row.p).replace(/^p (= )?/, "") : "–";
      cells.push(
        h("span", { class: "iw-num" }, interval),
        h("span", { class: "iw-num" }, score, random),
        h("span", { class: "iw-num" }, p),
      );
    }
    return h("div", { class: "iw-concept-line", "aria-hidden": "true" }, ...cells);
  }

  private veiledLine(name: string, domain: readonly [number, number], room: number): HTMLElement {
    const nothing = { effect: Number.NaN } as Row;
    const picture = bar(nothing, domain, room);
    picture.classList.add("iw-bar-veiled");
    return h(
      "div",
      { class: "iw-concept-line", "aria-hidden": "true" },
      h("span", { class: "iw-flag" }, "?"),
      h("span", { class: "iw-concept-name" }, name),
      picture,
      h("span", { class: "iw-num iw-quiet" }, "hidden"),
    );
  }

  private listen(line: HTMLElement, { row, before, target }: Cell): void {
    const { view } = this.concepts;
    const rows: [string, string][] = [["effect", signed(row.effect)]];
    if (Number.isFinite(before)) rows.push(["before", signed(before)]);
    if (Number.isFinite(row.low)) rows.push(["interval", `${num(row.low)} … ${num(row.high)}`]);
    if (Number.isFinite(row.score)) {
      rows.push([view.spec.score_name, row.score.toFixed(2) + nullText(row)]);
    }
    if (Number.isFinite(row.p)) rows.push(["corrected", pText(row.p)]);
    rows.push(["", FLAGS[row.flag]?.name ?? ""]);
    const title = target ? `${row.name}, ${target}` : row.name;
    line.addEventListener("pointermove", ({ clientX, clientY }) =>
      this.tip.show(clientX, clientY, title, rows),
    );
    line.addEventListener("pointerleave", () => this.tip.leave());
  }

  private rowOf(concept: number): HTMLElement | null {
    return this.list.querySelector(`[data-concept="${concept}"]`);
  }

  private pick(concept: number): void {
    const { concepts } = this;
    const old = this.rowOf(concepts.chosen);
    old?.setAttribute("aria-selected", "false");
    old?.setAttribute("tabindex", "-1");
    concepts.chosen = concept;
    const el = this.rowOf(concept);
    el?.setAttribute("aria-selected", "true");
    el?.setAttribute("tabindex", "0");
    el?.focus({ preventScroll: false });
    concepts.pick(concept);
  }

  private key(event: KeyboardEvent): void {
    const { concepts } = this;
    const { rows } = this;
    const at = rows.findIndex((r) => r.dataset.concept === String(concepts.chosen));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      const row = rows[Math.min(rows.length - 1, Math.max(0, to))];
      if (row) this.pick(Number(row.dataset.concept));
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      concepts.goLayer(concepts.layer + (event.key === "ArrowRight" ? 1 : -1));
    } else if (event.key === "Enter") {
      if (concepts.veiled(concepts.chosen))
        concepts.view.reveal(concepts.names[concepts.chosen] as string);
      else if (concepts.view.spec.has_inputs) concepts.view.update({ show: "examples" });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private drawLines(): void {
    const { concepts, figure } = this;
    const { chosen, names, layers, layer, choice, tables, view } = concepts;
    figure.hidden = chosen < 0 || layers.length < 2;
    if (figure.hidden) return;
    const title = h("strong", {}, names[chosen] as string);
    if (concepts.veiled(chosen)) {
      figure.replaceChildren(h("figcaption", {}, title, " over the layers: hidden until revealed"));
      return;
    }
    const others = choice.rows.slice(0, 12).map((r) => r.concept);
    const seen = others.filter((c) => !concepts.veiled(c));
    const columns = tables.length > 1 && this.width >= 640 ? Math.min(3, tables.length) : 1;
    const width = Math.floor((this.width - (columns - 1) * 16) / columns);
    figure.style.setProperty("--iw-columns", String(columns));
    const pictures = tables.map(({ table, target }) =>
      h(
        "div",
        {},
        h(
          "figcaption",
          {},
          title.cloneNode(true),
          tables.length > 1 ? ` on ${view.spec.targets[target]}` : "",
          " over the layers",
          seen.length > 1 && columns === 1 ? ", the others grey" : "",
        ),
        this.layered(lines(table, seen, chosen, layer, width), width),
      ),
    );
    figure.replaceChildren(...pictures.slice(0, 6));
  }

  /** The pointer over the lines tells other views the layer; a click goes there. */
  private layered(picture: SVGSVGElement, width: number): SVGSVGElement {
    const { concepts } = this;
    const at = (event: MouseEvent): number => {
      const { left } = picture.getBoundingClientRect();
      const count = concepts.layers.length - 1;
      const share = (event.clientX - left - 40) / Math.max(1, width - 52);
      return Math.min(count, Math.max(0, Math.round(share * count)));
    };
    picture.addEventListener("pointermove", (event) => {
      const number = Number(/\d+$/.exec(concepts.layers[at(event)] ?? "")?.[0]);
      concepts.view.hover(Number.isInteger(number) ? { layer: number } : null);
    });
    picture.addEventListener("pointerleave", () => concepts.view.hover(null));
    picture.addEventListener("click", (event) => concepts.goLayer(at(event)));
    return picture;
  }
}
