// Carrying a cell's residual stream into another cell: by dragging, or by copy and paste.
// Every lens view of the page hears of a copied cell; the intervention is an ordinary patch.
import { button } from "../core/controls.js";
import type { NoteAction } from "../core/notes.js";
import type { Board } from "../heatmap/board.js";

export interface Carried {
  site: string;
  layer: number;
  position: number;
  /** The prompt it comes from, as JSON. */
  source: Record<string, unknown>;
  name: string;
}

const MIME = "application/x-interp-widgets-cell";
const COPIED = "iw-lens-cell";

export class Carry {
  readonly copyButton = button("Copy cell", () => this.copy(...this.cell()), {
    title: "Copy this cell, to patch it in somewhere else (c)",
  });
  readonly pasteButton = button("Patch here", () => this.paste(...this.cell()), {
    title: "Put the copied cell in at this position (v)",
  });
  private copied: Carried | null = null;
  /** The interventions that the note in sight was written under, and the patch it waits for. */
  private under: string | null = null;
  private awaited: Record<string, unknown> | null = null;

  constructor(
    private readonly board: Board,
    private readonly cell: () => [number, number],
  ) {
    const { signal } = board.view;
    this.pasteButton.disabled = true;
    window.addEventListener(COPIED, (event) => this.take((event as CustomEvent).detail), {
      signal,
    });
    board.view.onSpec(() => this.changed());
    this.draggable();
  }

  get live(): boolean {
    return Boolean(this.board.slice.spec.source);
  }

  /** What a cell is as something to patch in; null where the model is not there. */
  carried(row: number, col: number): Carried | null {
    const { spec } = this.board.slice;
    const [site, layer] = (spec.sites?.[row] ?? "").split(".");
    if (!spec.source || !site) return null;
    return {
      site,
      layer: Number(layer),
      position: this.board.slice.number("position", col) ?? col,
      source: spec.source as Record<string, unknown>,
      name: this.board.slice.describe(row, col),
    };
  }

  copy(row: number, col: number): void {
    const cell = this.carried(row, col);
    if (!cell) {
      this.board.view.say("Cells can be copied while the model is there");
      return;
    }
    window.dispatchEvent(new CustomEvent(COPIED, { detail: cell }));
    const text = `Copied ${cell.name}. Choose a cell of any lens and press v to patch it in there.`;
    this.tell(text, { label: "OK", call: () => this.clear() });
    this.board.view.say(text);
  }

  paste(row: number, col: number, cell = this.copied): void {
    if (!cell || !this.live) {
      this.board.view.say(cell ? "The model is not there" : "Copy a cell first, with c");
      return;
    }
    this.board.view.guard(() => this.patch(cell, col, row))();
  }

  private async patch(cell: Carried, col: number, row: number): Promise<void> {
    const { view, slice } = this.board;
    const position = slice.number("position", col) ?? col;
    const { source, site, layer } = cell;
    const same = JSON.stringify(source) === JSON.stringify(slice.spec.source);
    if (same && position === cell.position) {
      view.say("That is the cell itself: nothing would change");
      return;
    }
    const patch = {
      kind: "patch",
      site,
      layer,
      position: [position],
      source,
      source_position: [cell.position],
    };
    if (slice.changed(row, col)) await view.intervene({ ...patch }); // the old one goes first
    const text = `Patched ${site} ${layer} at position ${position} with ${cell.name}`;
    await view.intervene(patch, text);
    this.tell(`${text}: ${code(cell, position)}`, this.undo(), patch);
  }

  private undo() {
    const { view } = this.board;
    const call = view.guard(async () => {
      await view.request("undo");
      this.clear();
      view.say("The patch is undone");
    });
    return { label: "Undo", call: () => call() };
  }

  private tell(text: string, action: NoteAction, patch?: Record<string, unknown>): void {
    this.board.view.note(text, "info", action, "carry");
    this.under = JSON.stringify(this.board.view.spec.interventions);
    this.awaited = patch && !this.holds(patch) ? patch : null;
  }

  private clear(): void {
    this.board.view.note("", "info", undefined, "carry");
    this.under = null;
  }

  /** Whether a patch is among the interventions. */
  private holds(patch: Record<string, unknown>): boolean {
    const same = ({ kind, site, layer, position }: Record<string, unknown>) =>
      JSON.stringify([kind, site, layer, position]);
    return (this.board.view.spec.interventions ?? []).some((one) => same(one) === same(patch));
  }

  /** A note goes when the interventions are others than those it speaks of. */
  private changed(): void {
    const now = JSON.stringify(this.board.view.spec.interventions);
    if (this.under === null || now === this.under) return;
    if (this.awaited && this.holds(this.awaited)) {
      this.under = now;
      this.awaited = null;
    } else this.clear();
  }

  private take(cell: Carried): void {
    this.copied = cell;
    this.pasteButton.disabled = !this.live;
  }

  /** The chosen cell is an element over its picture: that is what a mouse drags. */
  private draggable(): void {
    const { view } = this.board;
    const { signal } = view;
    const handle = view.el.querySelector<HTMLElement>(".iw-focus-cell");
    const stage = view.el.querySelector<HTMLElement>(".iw-heatmap-stage");
    if (!handle || !stage) return;
    if (this.live) handle.draggable = true;
    handle.addEventListener("pointerdown", (event) => event.stopPropagation(), { signal });
    handle.addEventListener(
      "dragstart",
      (event) => {
        const cell = this.carried(...this.cell());
        if (!cell || !event.dataTransfer) return event.preventDefault();
        event.dataTransfer.setData(MIME, JSON.stringify(cell));
        event.dataTransfer.setData("text/plain", cell.name);
        event.dataTransfer.effectAllowed = "copy";
      },
      { signal },
    );
    const aim = (at: { row: number; col: number } | null) => {
      this.target = at;
      this.board.draw();
    };
    stage.addEventListener(
      "dragover",
      (event) => {
        if (!event.dataTransfer?.types.includes(MIME) || !this.live) return;
        event.preventDefault();
        event.dataTransfer.dropEffect = "copy";
        aim(this.board.cellAt(event.clientX, event.clientY));
      },
      { signal },
    );
    stage.addEventListener("dragleave", () => aim(null), { signal });
    stage.addEventListener(
      "drop",
      (event) => {
        const text = event.dataTransfer?.getData(MIME);
        const at = this.board.cellAt(event.clientX, event.clientY);
        aim(null);
        if (!text || !at) return;
        event.preventDefault();
        this.paste(at.row, at.col, JSON.parse(text) as Carried);
      },
      { signal },
    );
  }

  private target: { row: number; col: number } | null = null;

  /** The column under a dragged cell. */
  paint(ctx: CanvasRenderingContext2D): void {
    if (!this.target) return;
    const { x, y, width, height } = this.board.box(this.target.row, this.target.col);
    ctx.strokeStyle = this.board.view.palette.accent;
    ctx.lineWidth = 3;
    ctx.setLineDash([5, 3]);
    ctx.strokeRect(x + 1.5, y + 1.5, width - 3, height - 3);
    ctx.setLineDash([]);
  }
}

/** The same in Python. */
function code(cell: Carried, position: number): string {
  const { text, ids } = cell.source as { text?: string; ids?: number[] };
  const prompt = JSON.stringify(text ?? ids);
  return `session.patch("${cell.site}", layer=${cell.layer}, position=${position}, source=session.prompt(${prompt}), source_position=${cell.position})`;
}
