// The scatter: wires points, picture, pointer, keyboard and selection.
import { hidpi } from "../core/canvas.js";
import { button, stepper, toggle } from "../core/controls.js";
import { h, num, plural, visible } from "../core/dom.js";
import { Grid } from "../core/grid.js";
import type { HoverValue } from "../core/hover.js";
import type { SelectionValue } from "../core/selection.js";
import { Tooltip } from "../core/tooltip.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";
import { paintCloud } from "./paint.js";
import { Axes, inside, nearest, type Spot } from "./plot.js";

interface Answer {
  mode: string;
  x: NdArray;
  y: NdArray;
  cell: NdArray;
  outliers: number[];
  pearson: number | null;
  spearman: number | null;
  count: number;
  size?: NdArray;
  link?: NdArray;
  link_weight?: NdArray;
  link_value?: NdArray;
}

export interface End {
  title: string;
  quantity: string;
}

export class Cloud {
  private readonly canvas = hidpi();
  private readonly stage = h("div", { class: "iw-scatter-stage" });
  private readonly facts = h("span", { class: "iw-scatter-facts" });
  private readonly readout = h("span", { class: "iw-readout" });
  private readonly clear: HTMLButtonElement;
  private readonly tip: Tooltip;
  private readonly grid: Grid;
  private answer: Answer | undefined;
  private axes: Axes | undefined;
  /** Points from left to right: what the arrow keys walk through. */
  private order: number[] = [];
  private lasso: Spot[] = [];
  private hovered: HoverValue | null = null;
  private width = 0;
  private scheduled = false;
  private pointing = false;

  constructor(private readonly view: View) {
    const { signal } = view;
    this.tip = new Tooltip(view.el, signal);
    this.clear = button("Clear", () => this.brush([]));
    this.grid = new Grid(signal, {
      label: "",
      rows: 1,
      cols: 1,
      cell: (_r, c) => this.spoken(this.order[c]),
      place: (_r, c) => this.place(this.order[c]),
      move: (_r, c) => this.moved(this.order[c]),
      open: (_r, c) => this.select(this.order[c]),
      toggle: (_r, c) => this.flip(this.order[c]),
      leave: () => this.tip.hide(),
      key: (event) => {
        if (event.key !== "Delete") return false;
        this.brush([]);
        return true;
      },
    });
    const labels = stepper("Names", 31, this.view.state.labels ?? 10, (n) => set({ labels: n }));
    const line = toggle("y = x", this.view.state.identity !== false, (on) => set({ identity: on }));
    const set = (patch: Record<string, unknown>) => {
      view.update(patch);
      this.draw();
    };
    if (!view.spec.map) view.toolbar.prepend(labels.el, line.el);
    this.stage.append(this.canvas.el, this.grid.el);
    view.body.append(this.stage);
    view.foot.append(this.facts, this.readout, this.clear);
    this.listen();
    view.onSpec(() => this.load());
    view.onState(() => {
      labels.set(view.state.labels ?? 10);
      line.set(view.state.identity !== false);
      if (this.answer?.mode !== view.mode) this.load();
      else this.draw();
    });
    view.onTheme(() => this.draw());
    view.onSelection(() => this.draw());
    view.onHover((value) => {
      this.hovered = value;
      this.draw();
    });
    view.onResize((width) => {
      if (width > 0 && width !== this.width) {
        this.width = width;
        this.arrange();
      }
    });
    this.load();
  }

  // Points.

  private async load(): Promise<void> {
    const { view } = this;
    const first: Answer | undefined = view.first.points;
    try {
      this.answer =
        first?.mode === view.mode
          ? first
          : { ...(await view.request<Answer>("points", { mode: view.mode })), mode: view.mode };
    } catch (error) {
      view.report(error, () => this.load());
      return;
    }
    const { x, y, count, pearson, spearman } = this.answer;
    const finite = (i: number) => Number.isFinite(x.data[i]) && Number.isFinite(y.data[i]);
    this.order = Array.from({ length: x.data.length }, (_, i) => i)
      .filter(finite)
      .sort((a, b) => (x.data[a] as number) - (x.data[b] as number));
    this.grid.resize(this.order.length ? 1 : 0, this.order.length, view.spec.title);
    const missing = x.data.length - count;
    const correlations = [
      `Pearson r ${pearson === null ? "undefined" : num(pearson)}`,
      `Spearman ρ ${spearman === null ? "undefined" : num(spearman)}`,
    ];
    this.facts.textContent = [
      ...(view.spec.map ? [] : correlations),
      plural(count, "point"),
      this.lines,
      missing ? `${missing} not finite, left out` : "",
      this.shared && `both axes: ${this.shared}`,
    ]
      .filter(Boolean)
      .join("   ");
    this.arrange();
  }

  /** What lines and sizes mean. */
  private get lines(): string {
    const { answer } = this;
    const { weight, value, size } = this.view.spec.links ?? {};
    const area = answer?.size && size ? `area: ${size}` : "";
    if (!answer?.link_value) return area;
    const values = Array.from(answer.link_value.data);
    const ends = [Math.min(...values), Math.max(...values)].map((v) => num(v)).join(" to ");
    const line = `${plural(values.length, "line")}, wider for more ${weight}, stronger in colour for more ${value} (${ends})`;
    return [area, line].filter(Boolean).join("   ");
  }

  private cellOf(i: number): Record<string, number> {
    const { dims } = this.view.spec;
    const cell = this.answer?.cell.data ?? [];
    return Object.fromEntries(
      dims.map((dim: string, k: number) => [dim, cell[i * dims.length + k] as number]),
    );
  }

  name(i: number): string {
    const { labels } = this.view.spec;
    return Object.entries(this.cellOf(i))
      .map(([dim, at]) => `${dim} ${labels[dim] ? visible(labels[dim][at] ?? "") : at}`)
      .join(", ");
  }

  private brief(i: number): string {
    const { labels } = this.view.spec;
    return Object.entries(this.cellOf(i))
      .map(([dim, at]) => (labels[dim] ? visible((labels[dim][at] ?? "").trim()) : String(at)))
      .join(".");
  }

  /** What the shared selection becomes when a point is clicked. */
  private fields(i: number): Partial<SelectionValue> {
    const { selects, numbers } = this.view.spec;
    const found: Record<string, number | null> = {};
    for (const [dim, at] of Object.entries(this.cellOf(i))) {
      const number = numbers[dim]?.[at] ?? at;
      if (selects[dim]) found[selects[dim]] = number < 0 ? null : number;
    }
    return found as Partial<SelectionValue>;
  }

  /** Points that every field of a selection or a hover fits; none where it has no field of theirs. */
  private fitting(value: Record<string, unknown> | null): Set<number> {
    const found = new Set<number>();
    const fields = Object.values(this.view.spec.selects) as string[];
    const wanted = fields.filter((f) => value?.[f] !== null && value?.[f] !== undefined);
    if (!wanted.length || wanted.length < new Set(fields).size) return found;
    for (const i of this.order) {
      const own = this.fields(i) as Record<string, unknown>;
      if (wanted.every((f) => own[f] === value?.[f])) found.add(i);
    }
    return found;
  }

  private get brushed(): number[] {
    return this.view.state.brushed ?? [];
  }

  // Picture.

  private arrange(): void {
    if (this.width <= 0 || !this.answer) return;
    const width = Math.min(this.width, 640);
    const height = Math.max(240, Math.min(420, 0.72 * width));
    const frame = { left: 58, top: 8, width: width - 70, height: height - 56 };
    const { x, y } = this.answer;
    this.axes = new Axes({ x: x.data, y: y.data }, frame, this.view.spec.map);
    this.draw();
  }

  draw(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (!this.view.signal.aborted) this.view.guard(() => this.paint())();
    });
  }

  private paint(): void {
    const { axes, answer, view } = this;
    if (!axes || !answer) return;
    const { frame } = axes;
    const ctx = this.canvas.resize(frame.left + frame.width + 12, frame.top + frame.height + 48);
    this.grid.refresh();
    this.clear.hidden = !this.brushed.length;
    if (!this.readout.textContent && this.brushed.length) {
      this.readout.textContent = `${plural(this.brushed.length, "point")} brushed`;
    }
    if (!ctx) return;
    const outliers = answer.outliers.slice(0, view.state.labels ?? 10);
    paintCloud(ctx, {
      axes,
      points: { x: answer.x.data, y: answer.y.data },
      size: answer.size?.data,
      links: answer.link && {
        ends: answer.link.data,
        weight: answer.link_weight?.data ?? [],
        value: answer.link_value?.data ?? [],
      },
      order: this.order,
      palette: view.palette,
      names: [...new Set([...this.brushed.slice(0, 40), ...outliers])].map(
        (i) => [i, this.brief(i)] as const,
      ),
      brushed: this.brushed,
      selected: this.fitting(view.selection.get() as unknown as Record<string, unknown>),
      hovered: this.fitting(this.hovered as Record<string, unknown> | null),
      lasso: this.lasso,
      identity: view.state.identity !== false && !(view.spec.map && answer.size),
      ends: { x: this.axis(view.spec.x), y: this.axis(view.spec.y) },
    });
  }

  private get shared(): string {
    const { x, y } = this.view.spec;
    return x.quantity === y.quantity && x.quantity !== "value" ? x.quantity : "";
  }

  private axis({ title, quantity }: End): string {
    const change = this.answer?.mode === "difference" ? "change of " : "";
    return `${change}${title}${quantity === "value" || this.shared ? "" : `: ${quantity}`}`;
  }

  private spot(i: number): Spot {
    const { axes, answer } = this;
    if (!axes || !answer) return { x: 0, y: 0 };
    return { x: axes.px(answer.x.data[i] as number), y: axes.py(answer.y.data[i] as number) };
  }

  private place(i: number | undefined) {
    if (i === undefined) return null;
    const { x, y } = this.spot(i);
    return { x: x - 7, y: y - 7, width: 14, height: 14 };
  }

  // Words and acts.

  private spoken(i: number | undefined): string {
    if (i === undefined || !this.answer) return "";
    const { x, y } = this.answer;
    const ring = this.brushed.includes(i) ? ", brushed" : "";
    return `${this.name(i)}, x ${num(x.data[i], 4)}, y ${num(y.data[i], 4)}${ring}`;
  }

  private show(i: number, x: number, y: number): void {
    const { answer, view } = this;
    if (!answer) return;
    view.hover(JSON.parse(JSON.stringify(this.fields(i))));
    this.tip.show(x, y, this.name(i), [
      [view.spec.x.title, num(answer.x.data[i], 4)],
      [view.spec.y.title, num(answer.y.data[i], 4)],
    ]);
  }

  private moved(i: number | undefined): void {
    if (i === undefined) return;
    this.readout.textContent = this.spoken(i);
    if (!this.grid.focused || this.pointing) return;
    const frame = this.stage.getBoundingClientRect();
    const { x, y } = this.spot(i);
    this.show(i, frame.left + x, frame.top + y);
  }

  private select(i: number | undefined): void {
    if (i !== undefined) this.view.selection.set(this.fields(i));
  }

  private flip(i: number | undefined): void {
    if (i === undefined) return;
    const { brushed } = this;
    this.brush(brushed.includes(i) ? brushed.filter((p) => p !== i) : [...brushed, i]);
  }

  private brush(points: number[]): void {
    this.view.update({ brushed: points.slice(0, 5000) });
    this.view.say(`${plural(points.length, "point")} brushed`);
    this.readout.textContent = points.length ? `${plural(points.length, "point")} brushed` : "";
    this.draw();
  }

  private listen(): void {
    const { view, stage } = this;
    const at = (event: PointerEvent | MouseEvent): Spot => {
      const frame = stage.getBoundingClientRect();
      return { x: event.clientX - frame.left, y: event.clientY - frame.top };
    };
    const near = (spot: Spot) =>
      this.axes && this.answer
        ? nearest({ x: this.answer.x.data, y: this.answer.y.data }, this.axes, spot)
        : null;
    let from: Spot | null = null;
    const on = <K extends keyof HTMLElementEventMap>(
      name: K,
      call: (event: HTMLElementEventMap[K]) => void,
    ) => stage.addEventListener(name, view.guard(call), { signal: view.signal });
    on("pointerdown", (event) => {
      if (event.button === 0) from = at(event);
    });
    on("pointermove", (event) => {
      const spot = at(event);
      if (from && event.buttons & 1) {
        if (!this.lasso.length && Math.hypot(spot.x - from.x, spot.y - from.y) < 5) return;
        if (!this.lasso.length) {
          stage.setPointerCapture(event.pointerId);
          this.lasso.push(from);
          this.tip.hide();
        }
        this.lasso.push(spot);
        this.draw();
        return;
      }
      const i = near(spot);
      if (i !== null) this.show(i, event.clientX, event.clientY);
      else {
        this.tip.leave();
        view.hover(null);
      }
    });
    on("pointerleave", () => {
      this.tip.leave();
      view.hover(null);
    });
    on("click", (event) => {
      from = null;
      if (this.lasso.length && this.axes && this.answer) {
        const { x, y } = this.answer;
        const found = inside({ x: x.data, y: y.data }, this.axes, this.lasso);
        this.lasso = [];
        this.brush(event.shiftKey ? [...new Set([...this.brushed, ...found])] : found);
        return;
      }
      const i = near(at(event));
      if (i === null) return;
      this.pointing = true;
      this.grid.focus(0, this.order.indexOf(i));
      this.pointing = false;
      if (event.altKey) this.flip(i);
      else this.select(i);
    });
  }
}
