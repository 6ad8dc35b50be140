// The cells of a lens: the word each layer would say, its rivals, and the course of pinned tokens.
import { type Control, select } from "../core/controls.js";
import type { Cells } from "../heatmap/cells.js";
import { Carry } from "./carry.js";
import { Course } from "./course.js";
import { rankedList } from "./list.js";
import { Pins } from "./pins.js";
import { percent, Words } from "./words.js";

/** Lower cells are colours only, and no words are asked for. */
const READABLE = 12;

export const tokens: Cells = (board) => {
  const { view } = board;
  const words = new Words(view, () => {
    board.draw();
    fill();
  });
  const pins = new Pins(view, () => {
    course.draw();
    fill();
  });
  const cell = (): [number, number] => {
    const [row, col] = view.state.cell ?? [Infinity, Infinity];
    return [Math.min(row, board.slice.nRows - 1), Math.min(col, board.slice.nCols - 1)];
  };
  const choose = (row: number, col: number) => {
    view.update({ cell: [row, col] });
    view.selection.set(board.slice.selection(row, col));
  };
  const course = new Course(board, pins, cell, choose);
  let carry: Carry | undefined;
  let colour: Control<string> | undefined;
  let revision = -1;

  const list = document.createElement("div");
  board.side.append(list, course.el);

  const veiled = (row: number, col: number) => view.veiled(board.slice.key(row, col));

  function fill(): void {
    const [row, col] = cell();
    const hidden = veiled(row, col);
    const best = hidden ? [] : words.at(row, col);
    const why = view.spec.wordless && "The words of this lens were too many for a page.";
    const actions = carry?.live ? [carry.copyButton, carry.pasteButton] : [];
    const note = hidden ? "hidden: predict, then click the cell" : why;
    const title = `${board.slice.describe(row, col)}${note ? `. ${note}` : ""}`;
    list.replaceChildren(rankedList(title, best ?? [], pins, actions));
  }

  view.onSelection(({ token, layer }, changed) => {
    if (!changed.has("token") && !changed.has("layer")) return;
    const [row, col] = cell();
    const at = {
      row: board.slice.indexOf("layer", layer) ?? row,
      col: board.slice.indexOf("position", token) ?? col,
    };
    if (at.row !== row || at.col !== col) view.update({ cell: [at.row, at.col] });
  });
  view.onTheme(() => course.draw());
  view.onVeil(() => {
    fill();
    course.draw();
  });

  return {
    marks: false,
    chosen: cell,
    size: (width) => ({ narrowest: width < 480 ? 52 : 64, widest: 120, height: 22, tallest: 580 }),
    word(row, col) {
      return board.box(row, col).height < READABLE ? undefined : words.top(row, col);
    },
    said(row, col) {
      const best = words.at(row, col)?.[0];
      return best ? ` says “${best.token}”` : "";
    },
    hover(row, col) {
      const best = words.at(row, col);
      if (!best) return null;
      const rows = best.slice(0, 5).map(({ token, p }) => [`“${token}”`, percent(p)] as const);
      const { state, mode } = board.slice;
      const isTop = state.channel === "probability" && mode !== "difference";
      return isTop ? rows : [...rows, board.words.value(row, col)];
    },
    open(row, col) {
      view.update({ cell: [row, col] });
    },
    controls() {
      const { spec, state } = board.slice;
      const now = state.channel ?? "probability";
      colour = select("Colour", spec.channels ?? [], now, (channel) => board.set({ channel }));
      return [colour.el];
    },
    key(event, row, col) {
      if (event.ctrlKey || event.metaKey) return false;
      if (event.key === "c") carry?.copy(row, col);
      else if (event.key === "v") carry?.paste(row, col);
      else return false;
      return true;
    },
    overlay(ctx) {
      const { x, y, width, height } = board.box(...cell());
      ctx.strokeStyle = view.palette.accent;
      ctx.lineWidth = 2;
      ctx.strokeRect(x + 1, y + 1, width - 2, height - 2);
      carry?.paint(ctx);
    },
    refresh() {
      if (view.spec.revision !== revision) {
        revision = view.spec.revision;
        words.revise();
        pins.revise();
      }
      carry ??= new Carry(board, cell);
      colour?.set(board.slice.state.channel ?? "probability");
      fill();
      course.draw();
    },
  };
};
