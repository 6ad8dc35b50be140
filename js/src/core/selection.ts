// The selection that all views of a session share: token, layer, head, unit, feature, node, prompt.
//
//   view.selection.set({ layer: 3, head: 1 });      // other fields stay
//   view.selection.on((value, changed) => …);       // at most once a frame; own changes too
//   view.selection.get().layer                      // number | null
//
// It lives in a hidden widget named by the `selection` trait, so that views of different cells and
// of an exported page follow one another without Python. Hosts that cannot share a widget get the
// request "select" instead. A view that the reader unlinked keeps a selection of its own, in its
// state.
import type { Model, Wire } from "./wire.js";

export interface SelectionValue {
  token: number | null;
  layer: number | null;
  head: number | null;
  unit: number | null;
  feature: number | null;
  node: string | null;
  prompt: string | null;
}

export const NOTHING: SelectionValue = {
  token: null,
  layer: null,
  head: null,
  unit: null,
  feature: null,
  node: null,
  prompt: null,
};

export interface ModelHost {
  getModel?(ref: string): Promise<any>;
}

/** Whether the view follows the others, and the selection it keeps when it does not. */
export interface Links {
  linked(): boolean;
  own(): Partial<SelectionValue>;
  keep(value: SelectionValue): void;
}

const ALWAYS: Links = { linked: () => true, own: () => ({}), keep: () => undefined };

type Listener = (value: SelectionValue, changed: Set<string>) => void;

export class Selection {
  private value: SelectionValue = { ...NOTHING };
  private heard: SelectionValue = this.value;
  private unsaid: Partial<SelectionValue> | undefined;
  private frame = 0;
  private shared: Model | undefined;
  private listeners = new Set<Listener>();

  constructor(
    private readonly wire: Wire,
    private readonly signal: AbortSignal,
    private readonly links: Links = ALWAYS,
  ) {}

  /** Follows the hidden widget once it is there; until then the selection is the view's own. */
  async connect(ref: string, host?: ModelHost): Promise<void> {
    if (!ref || !host?.getModel) return;
    const shared = (await host.getModel(ref)) as Model;
    if (this.signal.aborted) return;
    this.shared = shared;
    const follow = () => this.refresh();
    shared.on("change:value", follow);
    this.signal.addEventListener("abort", () => shared.off("change:value", follow));
    follow();
    this.flush();
  }

  /** Takes what holds now: the shared selection, or the view's own while it is unlinked. */
  refresh(): void {
    if (!this.links.linked()) this.take({ ...NOTHING, ...this.links.own() });
    else if (this.shared) this.take({ ...NOTHING, ...(this.shared.get("value") ?? {}) });
  }

  get(): SelectionValue {
    return this.value;
  }

  set(patch: Partial<SelectionValue>): void {
    const next = { ...this.value, ...patch };
    if (!differing(this.value, next).size) return;
    if (this.links.linked()) {
      this.shared?.set("value", next);
      this.unsaid = { ...this.unsaid, ...patch };
    } else this.links.keep(next);
    this.take(next);
  }

  /** Selects these fields, or nothing where they are selected already. */
  toggle(patch: Partial<SelectionValue>): void {
    const current = this.value as unknown as Record<string, unknown>;
    const same = Object.entries(patch).every(([k, v]) => current[k] === v);
    this.set(same ? Object.fromEntries(Object.keys(patch).map((k) => [k, null])) : patch);
  }

  on(listener: Listener): void {
    this.listeners.add(listener);
    this.signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  /** `get` is right at once; Python and the listeners hear of a flood once a frame. */
  private take(next: SelectionValue): void {
    this.value = next;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.frame = 0;
    this.tell();
    const changed = differing(this.heard, this.value);
    if (!changed.size) return;
    this.heard = this.value;
    for (const listener of [...this.listeners]) listener(this.heard, changed);
  }

  private tell(): void {
    const unsaid = this.unsaid;
    this.unsaid = undefined;
    if (!unsaid) return;
    if (!this.shared) {
      this.wire.request("select", { ...unsaid }, { signal: this.signal }).catch(() => undefined);
      return;
    }
    try {
      this.shared.save_changes();
    } catch {
      // Without a kernel the browser's views still follow one another.
    }
  }
}

function differing(a: SelectionValue, b: SelectionValue): Set<string> {
  const x = a as unknown as Record<string, unknown>;
  const y = b as unknown as Record<string, unknown>;
  return new Set(Object.keys(NOTHING).filter((k) => (x[k] ?? null) !== (y[k] ?? null)));
}
