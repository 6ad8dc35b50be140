// The attention of one patch over the image that the patches are of.

import { hidpi } from "../core/canvas.js";
import { button } from "../core/controls.js";
import { h, num, signed } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import type { NdArray } from "../core/wire.js";
import type { Colouring } from "./data.js";
import { largest, place } from "./paint.js";
import type { Patches } from "./shape.js";

export interface PictureActions {
  hover(token: number | null, x: number, y: number): void;
  pin(token: number): void;
  /** The weights between a patch and all others, if they are there. */
  row(token: number): ArrayLike<number> | undefined;
}

const LARGEST = 560;

export class Picture {
  readonly el = h("div", { class: "iw-att-picture" });
  private readonly canvas = hidpi();
  private readonly stage = h("div", { class: "iw-att-stage" });
  private readonly others = h("div", { class: "iw-att-extra", role: "group" });
  private readonly words = h("div", { class: "iw-att-note" });
  private readonly grid: Grid;
  private readonly source = document.createElement("canvas");
  private patches: Patches = { extra: 0, rows: 1, columns: 1 };
  private subject = 0;
  private width = 300;

  constructor(
    private readonly actions: PictureActions,
    private readonly colouring: Colouring,
    signal: AbortSignal,
  ) {
    this.grid = new Grid(signal, {
      label: "Patches of the image",
      rows: 1,
      cols: 1,
      cell: (row, col) => {
        const token = this.token(row, col);
        const weight = actions.row(this.subject)?.[token];
        return `patch ${row}, ${col}: ${weight === undefined ? "…" : num(weight)}`;
      },
      place: (row, col) => ({
        x: col * this.cell.width,
        y: row * this.cell.height,
        ...this.cell,
      }),
      move: (row, col) => {
        const box = this.stage.getBoundingClientRect();
        const { width, height } = this.cell;
        const [x, y] = [box.left + (col + 1) * width, box.top + (row + 1) * height];
        actions.hover(this.token(row, col), x, y);
      },
      open: (row, col) => actions.pin(this.token(row, col)),
      leave: () => actions.hover(null, 0, 0),
    });
    this.stage.append(this.canvas.el, this.grid.el);
    this.el.append(this.others, this.stage, this.words);
    const at = (e: MouseEvent): [number, number] => {
      const box = this.stage.getBoundingClientRect();
      const bound = (v: number, count: number) => Math.min(count - 1, Math.max(0, Math.floor(v)));
      return [
        bound((e.clientY - box.top) / this.cell.height, this.patches.rows),
        bound((e.clientX - box.left) / this.cell.width, this.patches.columns),
      ];
    };
    this.stage.addEventListener(
      "pointermove",
      (e) => actions.hover(this.token(...at(e)), e.clientX, e.clientY),
      { signal },
    );
    this.stage.addEventListener("pointerleave", () => actions.hover(null, 0, 0), { signal });
    this.stage.addEventListener(
      "click",
      (e) => {
        const [row, col] = at(e);
        this.grid.focus(row, col);
        actions.pin(this.token(row, col));
      },
      { signal },
    );
  }

  setImage(image: NdArray | undefined, patches: Patches, tokens: readonly string[]): void {
    this.patches = patches;
    this.grid.resize(patches.rows, patches.columns);
    const names = tokens.slice(0, patches.extra);
    this.others.hidden = !names.length;
    this.others.replaceChildren(
      ...names.map((name, i) => button(name, () => this.actions.pin(i), {})),
    );
    const [height, width] = (image?.shape ?? [1, 1]) as [number, number];
    this.source.width = width;
    this.source.height = height;
    const ctx = this.source.getContext("2d");
    if (!image || !ctx) return;
    const pixels = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) pixels.data[i * 4 + c] = image.data[i * 3 + c]!;
      pixels.data[i * 4 + 3] = 255;
    }
    ctx.putImageData(pixels, 0, 0);
  }

  resize(width: number): void {
    this.width = Math.max(120, Math.min(LARGEST, width - 8));
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
  }

  /** Draws what `subject` attends to; `pinned` keeps its frame. */
  draw(subject: number, hovered: number | null, name: string): void {
    this.subject = subject;
    const ctx = this.canvas.resize(this.width, this.height);
    const weights = this.actions.row(subject);
    this.grid.refresh();
    [...this.others.children].forEach((el, i) => {
      el.setAttribute("aria-pressed", String(i === subject));
    });
    if (!ctx) return;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(this.source, 0, 0, this.width, this.height);
    const { rows, columns, extra } = this.patches;
    if (weights) this.overlay(ctx, weights);
    const frame = (token: number, colour: string, width: number): void => {
      if (token < extra) return;
      const row = Math.floor((token - extra) / columns);
      if (row >= rows) return;
      const { width: w, height: hh } = this.cell;
      ctx.lineWidth = width;
      ctx.strokeStyle = colour;
      ctx.strokeRect(((token - extra) % columns) * w + 1, row * hh + 1, w - 2, hh - 2);
    };
    if (hovered !== null && hovered !== subject) frame(hovered, "#ffffff", 1.5);
    frame(subject, "#ff6a00", 2.5);
    const text = this.colouring.map.signed ? signed : num;
    const rest = weights
      ? Array.from(
          { length: extra },
          (_, i) => `${this.others.children[i]?.textContent} ${text(weights[i]!)}`,
        )
      : [];
    const top = weights ? largest(Array.from(weights).slice(extra)) : 0;
    const said = `${name} attends to the bright patches (dark 0, bright ${num(top)})`;
    this.words.textContent = [said, ...rest].join("; on ");
  }

  private overlay(ctx: CanvasRenderingContext2D, weights: ArrayLike<number>): void {
    const { rows, columns, extra } = this.patches;
    const own = Array.from({ length: rows * columns }, (_, i) => weights[extra + i]!);
    const top = largest(own) || 1;
    const { width, height } = this.cell;
    const { scale } = this.colouring;
    for (let i = 0; i < own.length; i++) {
      const share = Math.abs(place(Math.abs(own[i]!), { low: 0, high: top, kind: scale.kind }));
      ctx.fillStyle = own[i]! < 0 ? "#0a3cff" : "#000000";
      ctx.globalAlpha = own[i]! < 0 ? 0.7 * share : 0.82 * (1 - share);
      const [x, y] = [(i % columns) * width, Math.floor(i / columns) * height];
      ctx.fillRect(x, y, width + 0.5, height + 0.5);
    }
    ctx.globalAlpha = 1;
  }

  private get cell(): { width: number; height: number } {
    return { width: this.width / this.patches.columns, height: this.height / this.patches.rows };
  }

  private get height(): number {
    return Math.round((this.width * this.source.height) / Math.max(1, this.source.width));
  }

  private token(row: number, col: number): number {
    return this.patches.extra + row * this.patches.columns + col;
  }
}
