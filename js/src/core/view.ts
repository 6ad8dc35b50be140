// What every view is made of. A view's entry file is one call:
//
//   export default defineView("tokens", (view) => {
//     view.toolbar.append(select(…).el);                  // left side of the head
//     view.body.append(h("p", {}, view.spec.title));
//     view.onSpec(async () => {                           // the result changed (new revision)
//       const { values } = await view.request("values", { mode: view.state.mode });
//     });
//   });
//
// `view` (class View below) offers
//   spec, state, first        the traits; first = decoded arrays of spec.first
//   update({ layer: 3 })      changes state, synced to Python at most once a frame
//   onSpec, onState, onSelection, onTheme, onResize     callbacks, removed with the view
//   request(name, payload, { signal })                  asks Python's on_<name>; arrays are decoded
//   intervene(dict), select   a click's effect: session.interventions.toggle, shared selection
//   hover({ token: 3 }), onHover                        what the pointer is over, in every view
//   veiled(key), reveal(key), onVeil                    "predict, then reveal" (veil.ts)
//   say(text)                 spoken politely; note(text, kind, action)  a line under the head
//   guard(fn)                 wraps an event handler: its errors are shown, never lost
//   head/toolbar/body/foot    elements; body is replaced by a table when the reader asks for one
//   theme, palette            "light" | "dark" and the colours for canvases
//   signal                    aborts when the view goes: hang every listener and timer on it

import { addActions } from "./actions.js";
import { type Palette, paletteOf, palettes } from "./color.js";
import { button, type Mode, modes } from "./controls.js";
import { h } from "./dom.js";
import { Hover, type HoverValue } from "./hover.js";
import { Menu } from "./menu.js";
import { keepKeys, watchKernel } from "./notebook.js";
import { type NoteAction, type NoteKind, Notes } from "./notes.js";
import { type ModelHost, NOTHING, Selection, type SelectionValue } from "./selection.js";
import { type TableData, tableOf } from "./table.js";
import { followTheme, moreContrast, type Theme } from "./theme.js";
import { Veil } from "./veil.js";
import { decode, isAbort, type Model, Wire } from "./wire.js";

export interface RenderProps {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
  host?: ModelHost;
}

export interface CommonSpec {
  kind: string;
  title: string;
  alt: string;
  recipe: string;
  interventions: Record<string, unknown>[];
  revision: number;
  changed: boolean;
  live: boolean;
  [key: string]: any;
}

export interface ViewOptions {
  /** Rows of the help panel: keys and what they do. */
  keys?: readonly (readonly [string, string])[];
  /** Adds Base / Current / Difference, shown while something is changed; in state.mode. */
  modes?: boolean;
  /** Switch the table twin off where the view is a table itself. */
  table?: boolean;
  /** Switch "Save figure" off where there is no renderer. */
  figure?: boolean;
  /** Switch "Predict, then reveal" off where there is nothing to predict. */
  predict?: boolean;
}

export type Mount = (view: View) => void | Promise<void>;

export function defineView(name: string, mount: Mount, options: ViewOptions = {}) {
  return {
    render({ model, el, signal, host }: RenderProps): void {
      const view = new View(name, model, el, signal, host, options);
      view.start(mount);
    },
  };
}

export class View {
  readonly el: HTMLElement;
  readonly head = h("div", { class: "iw-head" });
  readonly title = h("h2", { class: "iw-title" });
  readonly toolbar = h("div", {
    class: "iw-toolbar",
    role: "toolbar",
    "aria-label": "What to show",
  });
  readonly body = h("div", { class: "iw-body" });
  readonly foot = h("div", { class: "iw-foot" });
  readonly wire: Wire;
  readonly selection: Selection;
  readonly notes = new Notes();
  readonly veil = new Veil(this);
  menu!: Menu;
  theme: Theme = "light";
  palette: Palette = palettes.light;
  private readonly table = h("div", { class: "iw-table-pane" });
  private readonly live = h("div", { class: "iw-sr", "aria-live": "polite", role: "status" });
  private readonly themeListeners = new Set<(theme: Theme) => void>();
  private said = "";
  private pending: Record<string, unknown> | undefined;
  private hovering!: Hover;
  private recheckTheme: () => void = () => undefined;
  private mount: Mount = () => undefined;
  private scope = new AbortController();

  constructor(
    readonly name: string,
    readonly model: Model,
    outer: HTMLElement,
    private readonly outerSignal: AbortSignal,
    private readonly host: ModelHost | undefined,
    readonly options: ViewOptions,
  ) {
    this.el = h("div", { class: `iw-root iw-${name}`, role: "group", tabindex: -1 });
    this.el.dataset.iwView = name;
    outer.append(this.el);
    outerSignal.addEventListener("abort", () => {
      this.scope.abort();
      this.el.remove();
    });
    this.wire = new Wire(model, outerSignal);
    this.selection = new Selection(this.wire, outerSignal, {
      linked: () => this.linked,
      own: () => this.state.own ?? {},
      keep: (own) => this.update({ own }),
    });
  }

  /** Whether selection and hover are shared with the other views. */
  get linked(): boolean {
    return this.state.linked !== false;
  }

  /** Aborts when the view goes away, or is mounted again after an error. */
  get signal(): AbortSignal {
    return this.scope.signal;
  }

  // Traits.

  get spec(): CommonSpec {
    return this.model.get("spec") ?? {};
  }

  get state(): Record<string, any> {
    return { ...(this.model.get("state") ?? {}), ...(this.pending ?? {}) };
  }

  /** The arrays and values of the first paint. */
  get first(): Record<string, any> {
    return decode(this.spec.first ?? {}, this.spec.buffers ?? []);
  }

  get mode(): Mode {
    return this.spec.changed ? (this.state.mode ?? "current") : "current";
  }

  update(patch: Record<string, unknown>): void {
    const scheduled = this.pending !== undefined;
    this.pending = { ...(this.pending ?? {}), ...patch };
    if (!scheduled) requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    if (!this.pending) return;
    const next = this.state;
    this.pending = undefined;
    this.model.set("state", next);
    try {
      this.model.save_changes();
    } catch {
      this.kernelGone();
    }
  }

  onSpec(call: () => unknown): void {
    this.follow("change:spec", call);
  }

  onState(call: () => unknown): void {
    this.follow("change:state", call);
  }

  onSelection(call: (value: SelectionValue, changed: Set<string>) => unknown): void {
    const run = this.guard(call);
    this.selection.on((value, changed) => {
      if (!this.signal.aborted) run(value, changed);
    });
    const now = this.selection.get();
    if (JSON.stringify(now) !== JSON.stringify(NOTHING)) run(now, new Set(Object.keys(now)));
  }

  onTheme(call: (theme: Theme) => unknown): void {
    const run = this.guard(call);
    this.themeListeners.add(run);
    this.signal.addEventListener("abort", () => this.themeListeners.delete(run));
  }

  /** Tells the session's other views what the pointer is over. */
  hover(value: HoverValue | null): void {
    this.hovering.send(value);
  }

  /** Calls back with what the pointer is over in another view. */
  onHover(call: (value: HoverValue | null) => unknown): void {
    this.hovering.on(this.guard(call), this.signal);
  }

  /** Whether the value of a key must not be shown yet: draw it empty, speak of it as "hidden". */
  veiled(key: string): boolean {
    return this.veil.veiled(key);
  }

  reveal(key: string): void {
    this.veil.reveal(key);
  }

  onVeil(call: () => unknown): void {
    this.veil.onChange(call);
  }

  /** Whether the view has the whole screen, or the whole page. */
  get full(): boolean {
    return document.fullscreenElement === this.el || this.el.classList.contains("iw-maximised");
  }

  /** Calls back with the size of the body (or another element), now and whenever it changes. */
  onResize(call: (width: number, height: number) => unknown, of: Element = this.body): void {
    const run = this.guard(call);
    const observer = new ResizeObserver(([entry]) => {
      if (entry) run(entry.contentRect.width, entry.contentRect.height);
    });
    observer.observe(of);
    this.signal.addEventListener("abort", () => observer.disconnect());
  }

  private follow(event: string, call: () => unknown): void {
    const run = this.guard(call);
    this.model.on(event, run);
    this.signal.addEventListener("abort", () => this.model.off(event, run));
  }

  // Python.

  async request<T = any>(
    name: string,
    payload: Record<string, unknown> = {},
    options: { signal?: AbortSignal } = {},
  ): Promise<T> {
    return this.wire.request<T>(name, payload, { signal: options.signal ?? this.signal });
  }

  /**
   * Adds the intervention, or takes it away when it is there. What it did is spoken when the run is
   * over (status.said); `said` is spoken until then.
   */
  async intervene(intervention: Record<string, unknown>, said = ""): Promise<void> {
    await this.act("intervene", intervention);
    if (said) this.say(said);
  }

  /** Sends a request whose answer is only whether it worked; shows what went wrong. */
  async act(name: string, payload: Record<string, unknown> = {}): Promise<void> {
    try {
      await this.request(name, payload);
    } catch (error) {
      this.report(error);
    }
  }

  // Words.

  say(text: string): void {
    const again = text && this.live.textContent === text; // else it would not be read out again
    this.live.textContent = again ? `${text}\u00a0` : text;
  }

  /** Shows one line under the head; an empty text takes it away. `action` is a button. */
  note(text: string, kind: NoteKind = "info", action?: NoteAction, slot = "view"): void {
    this.notes.show(text, kind, action, slot);
  }

  /** Shows an error of a request as a note; aborted requests are no errors. */
  report(error: unknown, retry?: () => void): void {
    if (isAbort(error) || this.signal.aborted) return;
    const { message, hint } = error as { message?: string; hint?: string };
    const text = [message ?? String(error), hint].filter(Boolean).join(" ");
    const again = () => {
      this.note("");
      retry?.();
    };
    this.note(text, "error", retry && { label: "Try again", call: again });
  }

  /** Wraps a handler so that whatever it throws, now or later, is shown in the view. */
  guard<A extends unknown[]>(call: (...args: A) => unknown): (...args: A) => void {
    return (...args: A) => {
      try {
        const result = call(...args);
        if (result instanceof Promise) result.catch((error) => this.fail(error));
      } catch (error) {
        this.fail(error);
      }
    };
  }

  /** The error boundary: the message in place of the view, told to Python, with a way on. */
  fail(error: unknown): void {
    if (isAbort(error) || this.outerSignal.aborted) return;
    if ((error as { name?: string })?.name === "WireError") {
      this.report(error);
      return;
    }
    const { message, stack } = error as Error;
    this.wire.post({ kind: "js-error", message: String(message ?? error), stack: String(stack) });
    this.scope.abort();
    this.el.replaceChildren(
      h(
        "div",
        { class: "iw-failure", role: "alert" },
        h("strong", {}, "This view stopped."),
        h("p", {}, String(message ?? error)),
        button("Show it again", () => this.start(this.mount)),
      ),
    );
  }

  private kernelGone(): void {
    this.note(
      "The kernel is gone: what you see stays, but nothing new can be computed.",
      "warning",
      undefined,
      "kernel",
    );
  }

  // Life.

  start(mount: Mount): void {
    this.mount = mount;
    this.scope.abort();
    this.scope = new AbortController();
    for (const part of [this.head, this.toolbar, this.notes.el, this.body, this.foot]) {
      part.replaceChildren();
    }
    this.menu = new Menu(this.signal);
    this.hovering = new Hover(
      () => (this.linked ? (this.model.get("selection") ?? "") : ""),
      this.signal,
    );
    this.head.append(this.title, this.menu.el);
    this.table.hidden = true;
    this.body.hidden = false;
    this.el.replaceChildren(
      this.head,
      this.toolbar,
      this.notes.el,
      this.body,
      this.table,
      this.foot,
      this.live,
    );
    try {
      this.frame();
      const mounted = mount(this);
      if (mounted instanceof Promise) mounted.catch((error) => this.fail(error));
      this.toolbar.hidden = this.toolbar.childElementCount === 0;
    } catch (error) {
      this.fail(error);
    }
  }

  private frame(): void {
    this.recheckTheme = followTheme(
      this.el,
      () => this.model.get("theme") ?? "auto",
      this.signal,
      (theme) => {
        this.theme = theme;
        this.palette = paletteOf(theme, moreContrast());
        this.el.dataset.iwTheme = theme;
        for (const listener of [...this.themeListeners]) listener(theme);
      },
    );
    this.follow("change:theme", () => this.recheckTheme());
    this.follow("change:status", () => this.showStatus());
    this.follow("change:state", () => this.selection.refresh());
    addActions(this);
    const describe = () => {
      this.title.textContent = this.spec.title ?? "";
      this.title.title = this.spec.recipe ?? "";
      const alt = this.veil.covers ? "hidden until revealed" : this.spec.alt;
      this.el.setAttribute("aria-label", `${this.spec.title}: ${alt}`.slice(0, 400));
      if (this.showsTable) this.showTable(!this.veil.covers);
    };
    this.follow("change:spec", describe);
    this.onVeil(describe);
    describe();
    this.showStatus();
    this.addModes();
    watchKernel(this.model, this.el, () => this.kernelGone(), this.signal);
    keepKeys(this.el, this.signal);
    this.selection.connect(this.model.get("selection") ?? "", this.host).catch(() => undefined);
  }

  private addModes(): void {
    if (!this.options.modes) return;
    const control = modes(this.mode, (mode) => this.update({ mode }));
    const show = () => {
      control.el.hidden = !this.spec.changed;
      control.set(this.mode);
    };
    this.follow("change:spec", show);
    this.follow("change:state", show);
    show();
    this.toolbar.append(control.el);
  }

  get showsTable(): boolean {
    return !this.table.hidden;
  }

  /** Puts the table twin in the place of the body, or the body back. */
  async showTable(on: boolean): Promise<void> {
    if (on) {
      try {
        this.table.replaceChildren(tableOf(await this.numbers(), this.spec.title));
      } catch (error) {
        this.report(error);
        return;
      }
    }
    this.table.hidden = !on;
    this.body.hidden = on;
    this.menu.el.querySelector("[data-iw=table]")?.setAttribute("aria-pressed", String(on));
  }

  /** The table twin's numbers; `limit` asks for more rows than are shown. */
  numbers(limit?: number): Promise<TableData> {
    const more = limit === undefined ? {} : { limit };
    return this.request("table", { ...this.tablePayload(), mode: this.mode, ...more });
  }

  /** What the table request says beside the mode; a view may replace it. */
  tablePayload: () => Record<string, unknown> = () => ({});

  private showStatus(): void {
    const { phase = "live", message = "", progress, said = "" } = this.model.get("status") ?? {};
    if (said && said !== this.said) this.say(said);
    this.said = said;
    this.el.dataset.iwPhase = phase;
    this.el.setAttribute("aria-busy", String(phase === "running"));
    if (typeof progress === "number") this.el.style.setProperty("--iw-progress", String(progress));
    else this.el.style.removeProperty("--iw-progress");
    const retry = { label: "Try again", call: this.guard(() => this.act("retry")) };
    if (phase === "error") this.note(message, "error", retry, "status");
    else if (phase === "closed")
      this.note(message || "This view was closed.", "info", undefined, "status");
    else if (phase === "static" && message) this.note(message, "info", undefined, "status");
    else this.note("", "info", undefined, "status");
  }
}
