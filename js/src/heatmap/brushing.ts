// The line below the grid that says what is brushed: where, how many cells, mean and extremes.
import { button } from "../core/controls.js";
import { h, num, plural, signed } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { Data } from "./data.js";
import type { Box, Marked } from "./marked.js";
import type { Slice } from "./model.js";

const HERE = 250_000;
const OUTLINED = 500;

interface Facts {
  count: number;
  finite: number;
  mean: number | null;
  low: number | null;
  high: number | null;
}

export class Brushing {
  readonly el = h("div", { class: "iw-heatmap-brush", role: "status" });
  private readonly text = h("span", {});
  private readonly outline: HTMLButtonElement;
  private key = "";
  private asked: AbortController | undefined;

  constructor(
    private readonly view: View,
    private readonly slice: () => Slice,
    private readonly data: Data,
    private readonly marked: Marked,
  ) {
    this.outline = button("Outline", () => {
      const cells = boxCells(this.marked.brush);
      if (cells.length) this.marked.toggle(cells);
    });
    this.el.append(
      this.text,
      this.outline,
      button("Clear", () => this.marked.span(null)),
    );
    this.el.hidden = true;
  }

  refresh(): void {
    const brush = this.marked.brush;
    this.el.hidden = !brush;
    if (!brush) {
      this.key = "";
      return;
    }
    const slice = this.slice();
    const { mode, at, spec } = slice;
    const hidden = this.view.veil.covers;
    const key = JSON.stringify([brush, mode, at, spec.revision, slice.state.channel, hidden]);
    if (key === this.key) return;
    this.key = key;
    this.asked?.abort();
    this.outline.hidden = boxSize(brush) > OUTLINED;
    const where = words(slice, brush);
    this.text.textContent = `Brushed ${where}…`;
    if (hidden) {
      this.text.textContent = `Brushed ${where}: hidden`;
      return;
    }
    const here = this.facts(brush);
    if (here) {
      this.tell(where, here);
      return;
    }
    const asked = new AbortController();
    this.asked = asked;
    const { row, col, row_step, col_step, ...what } = slice.payload({
      row: 0,
      col: 0,
      row_step: 1,
      col_step: 1,
    });
    const payload = { ...what, brush_rows: brush.row, brush_cols: brush.col };
    this.view.request<Facts>("brush", payload, { signal: asked.signal }).then(
      (facts) => this.tell(where, facts),
      (error) => this.view.report(error),
    );
  }

  private tell(where: string, { count, finite, mean, low, high }: Facts): void {
    const text = (x: number | null) => (low !== null && low < 0 ? signed(x ?? 0) : num(x));
    const missing = count - finite ? `, ${plural(count - finite, "cell")} not finite` : "";
    const facts = mean === null ? "" : `, mean ${text(mean)}, from ${text(low)} to ${text(high)}`;
    this.text.textContent = `Brushed ${where}: ${plural(count, "cell")}${facts}${missing}`;
  }

  /** From what the browser holds; null where a cell is missing. */
  private facts({ row, col }: Box): Facts | null {
    if (boxSize({ row, col }) > HERE) return null;
    let [count, finite, sum, low, high] = [0, 0, 0, Infinity, -Infinity];
    for (let r = row[0]; r < row[1]; r++) {
      for (let c = col[0]; c < col[1]; c++) {
        const value = this.data.value(r, c);
        if (value === undefined) return null;
        count++;
        if (!Number.isFinite(value) || this.data.masked(r, c)) continue;
        finite++;
        sum += value;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    if (!finite) return { count, finite, mean: null, low: null, high: null };
    return { count, finite, mean: sum / finite, low, high };
  }
}

export function boxSize({ row, col }: Box): number {
  return (row[1] - row[0]) * (col[1] - col[0]);
}

function boxCells(box: Box | null): [number, number][] {
  if (!box || boxSize(box) > OUTLINED) return [];
  const cells: [number, number][] = [];
  for (let r = box.row[0]; r < box.row[1]; r++) {
    for (let c = box.col[0]; c < box.col[1]; c++) cells.push([r, c]);
  }
  return cells;
}

function words(slice: Slice, { row, col }: Box): string {
  const span = (dim: string, [from, to]: [number, number]) => {
    const name = (i: number) => (dim === "layer" ? (slice.spec.labels.layer?.[i] ?? i) : i);
    return to - from > 1 ? `${dim} ${name(from)} to ${name(to - 1)}` : `${dim} ${name(from)}`;
  };
  return [slice.rows && span(slice.rows, row), slice.cols && span(slice.cols, col)]
    .filter(Boolean)
    .join(", ");
}
