// The picture: a bitmap of the links under nodes in SVG. While something moves, the sheet with both
// is moved as a whole; when it rests, both are drawn anew for the new viewport.
import { h } from "../core/dom.js";
import type { Axes } from "./axes.js";
import { AT_ONCE, Bitmap, type Picture } from "./bitmap.js";
import { hold, reveal, type Size, whole, zoomAt } from "./camera.js";
import { hitEdge } from "./curve.js";
import { clear, drawEdges, type Look, type Paint, place, type Viewport } from "./draw.js";
import { hitMark } from "./marks.js";
import type { Nodes } from "./nodes.js";
import type { Scene } from "./scene.js";

const SETTLE = 120; // ms without movement before it is drawn anew
const REACH = 6; // px around a link that count as pointing at it

export class Stage {
  readonly el = h("div", { class: "iw-stage", "data-iw-undoes": "" });
  readonly bitmap = new Bitmap((view) => this.arrived(view));
  view: Viewport = { scale: 1, x: 0, y: 0 };
  screen: Size = { width: 1, height: 1 };
  /** How many times the picture may be enlarged to fit: once, more in full screen. */
  private most = 1;
  scene: Scene | undefined;
  paint: Paint = {
    positive: "#d55e00",
    negative: "#0072b2",
    ghost: "#ccc",
    cut: "#888",
    faint: "#aaa",
    node: "#666",
  };
  background = "#fff";
  look: (edge: number) => Look = () => "";
  private readonly sheet = h("div", { class: "iw-sheet" });
  private readonly top = h("canvas", { class: "iw-canvas iw-canvas-top", "aria-hidden": "true" });
  private lit: number[] | null = null;
  private drawn: Viewport = this.view;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private fitted = true;

  constructor(
    readonly nodes: Nodes,
    private readonly axes: Axes,
    readonly signal: AbortSignal,
  ) {
    this.sheet.append(this.bitmap.el, this.top, nodes.el);
    this.el.append(this.sheet, axes.el);
    signal.addEventListener("abort", () => this.stop());
  }

  private stop(): void {
    this.bitmap.stop();
    clearTimeout(this.timer);
  }

  get world(): Size {
    return this.scene?.layout ?? { width: 1, height: 1 };
  }

  /** Shows a scene; `moving` says that more changes are about to come. */
  show(scene: Scene, moving = false): void {
    this.scene = scene;
    this.axes.show(scene.layout);
    if (this.fitted) this.view = whole(this.world, this.screen, this.most);
    else this.view = hold(this.view, this.world, this.screen);
    this.redraw(true, moving);
  }

  /** Takes the size of the element; `show` draws. */
  resize(width: number, height: number, most = 1): void {
    this.screen = { width, height };
    this.most = most;
    this.el.style.setProperty("--iw-most", String(most));
    this.el.style.height = `${height}px`;
  }

  zoom(factor: number, px = this.screen.width / 2, py = this.screen.height / 2): void {
    this.move(zoomAt(this.view, factor, px, py, this.world, this.screen, this.most));
  }

  fit(): void {
    this.move(whole(this.world, this.screen, this.most));
  }

  pan(dx: number, dy: number): void {
    const { x, y, scale } = this.view;
    this.move(hold({ scale, x: x + dx, y: y + dy }, this.world, this.screen));
  }

  reveal(x: number, y: number): void {
    const next = reveal(this.view, x, y, this.world, this.screen);
    if (next !== this.view) this.move(next);
  }

  /** Looks elsewhere. */
  move(view: Viewport): void {
    this.view = view;
    this.fitted = Math.abs(view.scale - whole(this.world, this.screen, this.most).scale) < 1e-6;
    this.el.classList.toggle("iw-zoomed", !this.fitted);
    const count = this.scene?.strokes.edge.length ?? 0;
    if (count <= AT_ONCE && this.marked.length <= AT_ONCE) {
      this.redraw(false);
      return;
    }
    this.shift();
    clearTimeout(this.timer);
    if (this.bitmap.busy) return;
    // A long way from what is drawn: begin to draw while it still moves.
    const by = view.scale / this.drawn.scale;
    const far = Math.max(
      Math.abs(view.x - this.drawn.x * by) / this.screen.width,
      Math.abs(view.y - this.drawn.y * by) / this.screen.height,
    );
    if (far > 0.3 || by > 2 || by < 0.5) this.redraw(false);
    else this.timer = setTimeout(() => this.redraw(false), SETTLE);
  }

  /** Moves the sheet from where it was drawn to where the reader looks. */
  private shift(): void {
    const { view, drawn } = this;
    const by = view.scale / drawn.scale;
    const [x, y] = [view.x - drawn.x * by, view.y - drawn.y * by];
    const still = Math.abs(by - 1) < 1e-9 && Math.abs(x) < 0.01 && Math.abs(y) < 0.01;
    this.sheet.style.transform = still ? "" : `translate(${x}px, ${y}px) scale(${by})`;
    this.sheet.classList.toggle("iw-moving", !still);
    this.axes.place(view, this.screen);
  }

  private get marked(): readonly number[] {
    return this.nodes.marked;
  }

  /** Draws for the viewport of now; `fresh` shows a draft until everything is drawn. */
  redraw(fresh: boolean, moving = false): void {
    const { scene } = this;
    clearTimeout(this.timer);
    if (!scene) return;
    if (moving) {
      this.timer = setTimeout(() => this.redraw(true), SETTLE);
      this.bitmap.stop();
    }
    const picture: Picture = {
      scene,
      view: this.view,
      screen: this.screen,
      paint: this.paint,
      background: this.background,
      marked: this.marked,
      look: this.look,
    };
    this.bitmap.draw(picture, fresh);
    if (moving) this.bitmap.stop();
  }

  private arrived(view: Viewport): void {
    const { drawn } = this;
    this.drawn = view;
    const same = view.x === drawn.x && view.y === drawn.y && view.scale === drawn.scale;
    if (!same) this.nodes.place(view); // a page lays nodes out anew even for the same place
    this.drawLit();
    this.shift();
    if (this.view !== view && !this.bitmap.busy) {
      this.timer = setTimeout(() => this.redraw(false), SETTLE);
    }
  }

  /** Draws these links on top and fades the others; null ends it. */
  highlight(edges: readonly number[] | null, fade: boolean): void {
    this.lit = edges ? [...edges] : null;
    this.el.classList.toggle("iw-faded", edges !== null && fade);
    this.drawLit();
  }

  drawLit(): void {
    const { scene, lit } = this;
    if (!scene || !lit?.length) {
      if (this.top.width > 1) this.top.width = this.top.height = 1;
      return;
    }
    const picture = { scene, view: this.drawn, screen: this.screen } as Picture;
    const ctx = this.bitmap.size(this.top, picture);
    if (!ctx) return;
    clear(ctx);
    const margin = Bitmap.margin(picture);
    const moved = { ...this.drawn, x: this.drawn.x + margin, y: this.drawn.y + margin };
    place(ctx, moved, globalThis.devicePixelRatio || 1);
    const wanted = new Set(lit);
    const only: number[] = [];
    scene.strokes.edge.forEach((edge, i) => {
      if (wanted.has(edge)) only.push(i);
    });
    drawEdges(ctx, scene.strokes, this.paint, this.drawn, { only, look: this.look, solid: true });
  }

  // Where a point of the window is.

  at(event: { clientX: number; clientY: number }): { x: number; y: number } {
    const box = this.el.getBoundingClientRect();
    const { scale, x, y } = this.view;
    return { x: (event.clientX - box.left - x) / scale, y: (event.clientY - box.top - y) / scale };
  }

  edgeAt(event: PointerEvent | MouseEvent): number {
    if (!this.scene) return -1;
    const { x, y } = this.at(event);
    return hitEdge(this.scene.strokes, x, y, REACH / this.view.scale);
  }

  /** A node without an element under the pointer, or -1. */
  markAt(event: PointerEvent | MouseEvent): number {
    if (!this.scene || !this.marked.length) return -1;
    const { x, y } = this.at(event);
    return hitMark(this.scene.layout, this.marked, x, y, 3 / this.view.scale);
  }
}
