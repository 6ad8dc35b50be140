// Marking a span of tokens: by dragging over them, or Shift with the arrows and Enter. A click, and
// Enter while nothing is marked, stay what they are.

export interface SpanActions {
  /** Shows what is marked; null takes the mark away. */
  mark(span: Span | null): void;
  /** The span was let go of, or entered. */
  take(span: Span): void;
}

export type Span = readonly [first: number, last: number];

export class SpanPicker {
  /** Whether spans can be marked. */
  on = false;
  private anchor: number | null = null;
  private end = 0;
  private dragging = false;

  constructor(
    el: HTMLElement,
    private readonly at: (event: Event) => number | null,
    private readonly actions: SpanActions,
    signal: AbortSignal,
  ) {
    const down = (event: PointerEvent) => {
      this.clear();
      this.anchor =
        this.on && event.button === 0 && event.pointerType !== "touch" ? at(event) : null;
      this.dragging = this.anchor !== null;
      this.end = this.anchor ?? 0;
    };
    const over = (event: Event) => {
      const token = this.at(event);
      if (!this.dragging || token === null || token === this.end) return;
      this.end = token;
      this.show();
    };
    const left = ({ relatedTarget }: FocusEvent) => {
      if (!this.dragging && !el.contains(relatedTarget as Node | null)) this.clear();
    };
    el.addEventListener("pointerdown", down, { signal });
    el.addEventListener("pointerover", over, { signal });
    el.addEventListener("focusout", left, { signal });
    window.addEventListener("pointerup", () => this.dragging && this.finish(), { signal });
    window.addEventListener("pointercancel", () => this.dragging && this.clear(), { signal });
  }

  /** What is marked, first and last token; one token alone is a click, not a span. */
  get span(): Span | null {
    if (this.anchor === null || this.anchor === this.end) return null;
    return [Math.min(this.anchor, this.end), Math.max(this.anchor, this.end)];
  }

  /** Marks from where the mark began, or from `token`, to another token. */
  extend(token: number, to: number): void {
    this.anchor ??= token;
    this.end = to;
    this.show();
  }

  /** Takes what is marked; false where nothing is. */
  finish(): boolean {
    const { span } = this;
    this.clear();
    if (span) this.actions.take(span);
    return span !== null;
  }

  /** Takes the mark away; false where there is none. */
  clear(): boolean {
    const marked = this.span !== null;
    this.anchor = null;
    this.dragging = false;
    if (marked) this.show();
    return marked;
  }

  private show(): void {
    this.actions.mark(this.span);
  }
}
