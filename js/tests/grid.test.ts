import { describe, expect, it, vi } from "vitest";
import { Grid } from "../src/core/grid.js";

function gridOf(rows = 3, cols = 5) {
  const life = new AbortController();
  const acts = { move: vi.fn(), open: vi.fn(), toggle: vi.fn(), leave: vi.fn() };
  const grid = new Grid(life.signal, {
    label: "Head scores",
    rows,
    cols,
    cell: (r, c) => `layer ${r} head ${c}`,
    place: (r, c) => ({ x: 20 * c, y: 10 * r, width: 20, height: 10 }),
    ...acts,
  });
  document.body.replaceChildren(grid.el);
  const cell = grid.el.querySelector<HTMLElement>("[role=gridcell]")!;
  const press = (key: string, more: KeyboardEventInit = {}) => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
    const seen = vi.fn();
    document.body.addEventListener("keydown", seen, { once: true });
    cell.dispatchEvent(event);
    document.body.removeEventListener("keydown", seen);
    return { used: event.defaultPrevented, reachedNotebook: seen.mock.calls.length > 0 };
  };
  return { grid, cell, press, life, ...acts };
}

describe("the keyboard grid", () => {
  it("is one tab stop that says where it is and what is there", () => {
    const { grid, cell } = gridOf();
    expect(grid.el.querySelectorAll("[tabindex]").length).toBe(1);
    expect(grid.el.getAttribute("role")).toBe("grid");
    expect(grid.el.getAttribute("aria-rowcount")).toBe("3");
    grid.focus(2, 4);
    expect(document.activeElement).toBe(cell);
    expect(cell.getAttribute("aria-label")).toBe("layer 2 head 4");
    expect(cell.getAttribute("aria-colindex")).toBe("5");
    expect(cell.style.left).toBe("80px");
  });

  it("moves with arrows, Home, End and their Ctrl forms, and stops at the edges", () => {
    const { grid, press } = gridOf();
    grid.focus(0, 0);
    press("ArrowDown");
    press("ArrowRight");
    expect([grid.row, grid.col]).toEqual([1, 1]);
    press("End");
    expect([grid.row, grid.col]).toEqual([1, 4]);
    press("ArrowRight");
    expect(grid.col).toBe(4);
    press("End", { ctrlKey: true });
    expect([grid.row, grid.col]).toEqual([2, 4]);
    press("Home", { ctrlKey: true });
    expect([grid.row, grid.col]).toEqual([0, 0]);
    press("PageDown");
    expect(grid.row).toBe(2);
  });

  it("opens with Enter, toggles with Space, leaves with Escape", () => {
    const { grid, press, open, toggle, leave, cell } = gridOf();
    grid.focus(1, 2);
    press("Enter");
    press(" ");
    expect(open).toHaveBeenCalledWith(1, 2);
    expect(toggle).toHaveBeenCalledWith(1, 2);
    press("Escape");
    expect(leave).toHaveBeenCalled();
    expect(document.activeElement).not.toBe(cell);
  });

  it("keeps the keys it uses and leaves the others to the notebook", () => {
    const { grid, press } = gridOf();
    grid.focus(0, 0);
    expect(press("ArrowDown")).toEqual({ used: true, reachedNotebook: false });
    expect(press("Enter", { shiftKey: true })).toEqual({ used: false, reachedNotebook: true });
    expect(press("s", { ctrlKey: true })).toEqual({ used: false, reachedNotebook: true });
    expect(press("Tab")).toEqual({ used: false, reachedNotebook: true });
  });

  it("stays inside when it shrinks, and hides when it is empty", () => {
    const { grid, cell } = gridOf();
    grid.focus(2, 4);
    grid.resize(2, 2);
    expect([grid.row, grid.col]).toEqual([1, 1]);
    grid.resize(0, 2);
    expect(cell.hidden).toBe(true);
  });

  it("hears nothing after the view is gone", () => {
    const { grid, press, life } = gridOf();
    grid.focus(0, 0);
    life.abort();
    expect(press("ArrowDown").used).toBe(false);
  });
});
