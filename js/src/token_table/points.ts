// Layer × confidence: one point for each row; a click opens it.
import { hidpi } from "../core/canvas.js";
import { h, num } from "../core/dom.js";
import { Tooltip } from "../core/tooltip.js";
import type { View } from "../core/view.js";
import { type Points, share } from "./model.js";

const TALL = 168;
const PAD = { left: 36, right: 8, top: 8, bottom: 32 };
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export class Cloud {
  readonly el: HTMLElement;
  private readonly canvas = hidpi();
  private readonly tip: Tooltip;
  private points: Points | undefined;
  private width = 0;
  private over = -1;

  constructor(
    private readonly view: View,
    private readonly open: (row: number) => void,
  ) {
    this.el = h("div", { class: "iw-cloud", role: "img" }, this.canvas.el);
    this.tip = new Tooltip(view.el, view.signal);
    const at = (event: PointerEvent) => {
      const box = this.canvas.el.getBoundingClientRect();
      return this.nearest(event.clientX - box.left, event.clientY - box.top);
    };
    const el = this.canvas.el;
    const options = { signal: view.signal };
    el.addEventListener(
      "pointermove",
      view.guard((event: PointerEvent) => this.hover(at(event), event)),
      options,
    );
    el.addEventListener("pointerleave", () => this.hover(-1), options);
    el.addEventListener(
      "click",
      view.guard((event: PointerEvent) => {
        const i = at(event);
        if (i >= 0) this.open(this.points?.index.data[i] as number);
      }),
      options,
    );
    view.onResize((width) => {
      this.width = width;
      this.draw();
    }, this.el);
  }

  show(points: Points): void {
    this.points = points;
    const { total } = points;
    const n = points.index.data.length;
    const some = n < total ? `, ${n.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
    this.el.setAttribute("aria-label", `Confidence of the top token by layer${some}`);
    this.draw();
  }

  private get top(): number {
    if (this.view.spec.probable) return 1;
    return this.points ? Math.max(1e-9, ...Array.from(this.points.score.data)) : 1;
  }

  private spot(i: number): [number, number] {
    const points = this.points as Points;
    const { layers } = this.view.spec as unknown as { layers: number[] };
    const column = (this.width - PAD.left - PAD.right) / Math.max(1, layers.length);
    const layer = layers.indexOf(points.layer.data[i] as number);
    const spread = (((points.index.data[i] as number) * 0.618034) % 1) - 0.5;
    const x = PAD.left + column * (layer + 0.5 + 0.7 * spread);
    const score = Math.max(0, points.score.data[i] as number) / this.top;
    return [x, PAD.top + (TALL - PAD.top - PAD.bottom) * (1 - score)];
  }

  private nearest(x: number, y: number): number {
    let [best, distance] = [-1, 10];
    for (let i = 0; i < (this.points?.index.data.length ?? 0); i++) {
      const [px, py] = this.spot(i);
      const d = Math.hypot(px - x, py - y);
      if (d < distance) [best, distance] = [i, d];
    }
    return best;
  }

  private hover(i: number, event?: PointerEvent): void {
    this.canvas.el.style.cursor = i >= 0 ? "pointer" : "";
    if (i !== this.over) {
      this.over = i;
      this.draw();
    }
    if (i < 0 || !event || !this.points) {
      this.tip.leave();
      return;
    }
    const { unit_name, quantity, probable } = this.view.spec;
    const score = this.points.score.data[i] as number;
    this.tip.show(event.clientX, event.clientY, `layer ${this.points.layer.data[i]}`, [
      [quantity, probable ? share(score) : num(score)],
      [`${unit_name}, row`, String(this.points.index.data[i])],
    ]);
  }

  draw(): void {
    if (!this.points || this.width < 60) return;
    const ctx = this.canvas.resize(this.width, TALL);
    if (!ctx) return;
    const { palette } = this.view;
    const { layers, quantity, probable } = this.view.spec as unknown as {
      layers: number[];
      quantity: string;
      probable: boolean;
    };
    ctx.clearRect(0, 0, this.width, TALL);
    ctx.font = FONT;
    const bottom = TALL - PAD.bottom;
    ctx.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const y = PAD.top + (bottom - PAD.top) * (1 - part);
      ctx.strokeStyle = palette.line;
      ctx.beginPath();
      ctx.moveTo(PAD.left, Math.round(y) + 0.5);
      ctx.lineTo(this.width - PAD.right, Math.round(y) + 0.5);
      ctx.stroke();
      ctx.fillStyle = palette.muted;
      ctx.textAlign = "right";
      ctx.fillText(probable ? String(part) : num(part * this.top, 2), PAD.left - 5, y + 4);
    }
    const column = (this.width - PAD.left - PAD.right) / Math.max(1, layers.length);
    const every = Math.ceil(20 / column);
    ctx.textAlign = "center";
    layers.forEach((layer, i) => {
      if (i % every) return;
      ctx.fillText(String(layer), PAD.left + column * (i + 0.5), bottom + 14);
    });
    ctx.textAlign = "left";
    const unit = probable ? "confidence of the top token" : quantity;
    ctx.fillText(`layer →   ↑ ${unit}`, PAD.left, TALL - 4);
    const blue = palette.sequential[3] ?? [63, 134, 190];
    const count = this.points.index.data.length;
    const radius = count > 3000 ? 1.5 : 2.5;
    ctx.fillStyle = `rgb(${blue.join(",")})`;
    ctx.globalAlpha = count > 1000 ? 0.5 : 0.8;
    let chosen = -1;
    for (let i = 0; i < count; i++) {
      const [x, y] = this.spot(i);
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      ctx.fill();
      if (this.points.index.data[i] === this.view.state.row) chosen = i;
    }
    ctx.globalAlpha = 1;
    ctx.strokeStyle = palette.accent;
    ctx.lineWidth = 2;
    for (const [i, r] of [
      [chosen, 6],
      [this.over, 5],
    ] as const) {
      if (i < 0) continue;
      const [x, y] = this.spot(i);
      ctx.beginPath();
      ctx.arc(x, y, r, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }
}
