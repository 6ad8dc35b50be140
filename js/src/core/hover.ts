// What the pointer is over, told to the other views of the session on this page; Python never hears
// of it.
//
//   view.hover({ layer: 3, head: 1 });  view.hover(null);
//   view.onHover((value) => mark(value?.token));       // of other views only
//
// Views of one page run in bundles of their own, so the word travels by an event of the window.

export interface HoverValue {
  token?: number | null;
  layer?: number | null;
  head?: number | null;
  unit?: number | null;
  node?: string | null;
}

const EVENT = "interp-widgets:hover";

interface Word {
  group: string;
  from: object;
  value: HoverValue | null;
}

export class Hover {
  private readonly me = {};
  private said = "null";
  private next: HoverValue | null = null;
  private frame = 0;

  /** `group` names the session; without a name the view hovers for itself. */
  constructor(
    private readonly group: () => string,
    signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.send(null));
  }

  /** Once a frame, the last value. */
  send(value: HoverValue | null): void {
    this.next = value;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.frame = 0;
    const value = this.next;
    const text = JSON.stringify(value);
    const group = this.group();
    if (text === this.said || !group) return;
    this.said = text;
    const detail: Word = { group, from: this.me, value };
    window.dispatchEvent(new CustomEvent(EVENT, { detail }));
  }

  on(call: (value: HoverValue | null) => void, signal: AbortSignal): void {
    const listen = (event: Event) => {
      const { group, from, value } = (event as CustomEvent<Word>).detail;
      if (from !== this.me && group === this.group()) call(value);
    };
    window.addEventListener(EVENT, listen, { signal });
  }
}
