// Keyboard and screen reader for cells that are drawn, not elements: an ARIA grid over a canvas
// with one tab stop. The focused cell is a real element, placed over its picture.
//
//   const grid = new Grid(view.signal, {
//     label: "Head scores", rows: 12, cols: 12,
//     cell: (r, c) => `layer ${r} head ${c}, ${signed(x)}`,       // what is spoken
//     place: (r, c) => ({ x, y, width, height }),                  // CSS px inside the parent
//     move: (r, c) => …, open: (r, c) => …, toggle: (r, c) => …,   // focus, Enter, Space
//   });
//   stage.append(grid.el);       // stage: position relative; grid.el covers it
//   grid.focus(2, 3);  grid.resize(rows, cols);  grid.refresh();
//
// Arrows move, Home/End go to the ends of a row (with Ctrl: of the grid), PageUp/PageDown by ten
// rows, Escape leaves. Other keys are not touched.
import { h } from "./dom.js";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface GridOptions {
  label: string;
  rows: number;
  cols: number;
  cell(row: number, col: number): string;
  place(row: number, col: number): Box | null;
  move?(row: number, col: number): void;
  open?(row: number, col: number): void;
  toggle?(row: number, col: number): void;
  leave?(): void;
  /** Further keys; return true for those that were used. */
  key?(event: KeyboardEvent, row: number, col: number): boolean;
}

export class Grid {
  readonly el: HTMLElement;
  row = 0;
  col = 0;
  private readonly focusCell: HTMLElement;
  private readonly line: HTMLElement;

  constructor(
    signal: AbortSignal,
    private readonly options: GridOptions,
  ) {
    this.focusCell = h("div", { class: "iw-focus-cell", role: "gridcell", tabindex: 0 });
    this.line = h("div", { role: "row" }, this.focusCell);
    this.el = h("div", { class: "iw-grid", role: "grid", "aria-label": options.label }, this.line);
    this.el.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.focusCell.addEventListener(
      "focus",
      () => {
        this.el.classList.add("iw-grid-active");
        this.refresh();
        this.options.move?.(this.row, this.col);
      },
      { signal },
    );
    this.focusCell.addEventListener(
      "blur",
      () => {
        this.el.classList.remove("iw-grid-active");
        this.options.leave?.();
      },
      { signal },
    );
    this.resize(options.rows, options.cols);
  }

  get focused(): boolean {
    const root = this.el.getRootNode() as Document | ShadowRoot;
    return root.activeElement === this.focusCell;
  }

  resize(rows: number, cols: number, label = this.options.label): void {
    this.options.rows = rows;
    this.options.cols = cols;
    this.options.label = label;
    this.el.setAttribute("aria-label", label);
    this.el.setAttribute("aria-rowcount", String(rows));
    this.el.setAttribute("aria-colcount", String(cols));
    this.row = Math.max(0, Math.min(this.row, rows - 1));
    this.col = Math.max(0, Math.min(this.col, cols - 1));
    this.refresh();
  }

  /** Moves the roving cell; `grab` also takes the keyboard focus. */
  focus(row: number, col: number, grab = true): void {
    this.row = Math.max(0, Math.min(row, this.options.rows - 1));
    this.col = Math.max(0, Math.min(col, this.options.cols - 1));
    this.refresh();
    if (grab && !this.focused) this.focusCell.focus({ preventScroll: true });
    else if (this.focused) this.options.move?.(this.row, this.col);
  }

  /** Places and names the focused cell again, after what it shows has changed. */
  refresh(): void {
    const { rows, cols, cell, place } = this.options;
    const empty = rows < 1 || cols < 1;
    this.focusCell.hidden = empty;
    if (empty) return;
    this.line.setAttribute("aria-rowindex", String(this.row + 1));
    this.focusCell.setAttribute("aria-colindex", String(this.col + 1));
    this.focusCell.setAttribute("aria-label", cell(this.row, this.col));
    const box = place(this.row, this.col);
    if (!box) return;
    const { style } = this.focusCell;
    style.left = `${box.x}px`;
    style.top = `${box.y}px`;
    style.width = `${Math.max(4, box.width)}px`;
    style.height = `${Math.max(4, box.height)}px`;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.altKey) return;
    const { rows, cols } = this.options;
    const far = event.ctrlKey || event.metaKey;
    let { row, col } = this;
    switch (event.key) {
      case "ArrowUp":
        row = far ? 0 : row - 1;
        break;
      case "ArrowDown":
        row = far ? rows - 1 : row + 1;
        break;
      case "ArrowLeft":
        col = far ? 0 : col - 1;
        break;
      case "ArrowRight":
        col = far ? cols - 1 : col + 1;
        break;
      case "Home":
        col = 0;
        if (far) row = 0;
        break;
      case "End":
        col = cols - 1;
        if (far) row = rows - 1;
        break;
      case "PageUp":
        row -= 10;
        break;
      case "PageDown":
        row += 10;
        break;
      case "Enter":
        if (event.shiftKey || far || !this.options.open) return;
        this.options.open(row, col);
        this.refresh();
        used(event);
        return;
      case " ":
        if (!this.options.toggle) return;
        this.options.toggle(row, col);
        used(event);
        return;
      case "Escape":
        (this.el.closest<HTMLElement>(".iw-root") ?? document.body).focus({ preventScroll: true });
        this.focusCell.blur();
        used(event);
        return;
      default:
        if (this.options.key?.(event, row, col)) used(event);
        return;
    }
    this.focus(row, col);
    used(event);
  }
}

function used(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
