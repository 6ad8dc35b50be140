// The picture: edges on a canvas under nodes in SVG; pan, zoom, pointing, highlighting.
import { h } from "../core/dom.js";
import { hold, reveal, type Size, whole, zoomAt } from "./camera.js";
import { hitEdge } from "./curve.js";
import { clear, drawEdges, drawGhosts, drawing, type Paint, place, type Viewport } from "./draw.js";
import type { Nodes } from "./nodes.js";
import type { Scene } from "./scene.js";

const AT_ONCE = 150; // edges that are drawn in full even while something moves
const SLICE = 10; // ms of drawing per frame
const SETTLE = 90; // ms without movement before full quality
const REACH = 6; // px around an edge that count as pointing at it

export interface StageEvents {
  hover(edge: number, x: number, y: number): void;
  press(edge: number): void;
}

export class Stage {
  readonly el = h("div", { class: "iw-stage" });
  readonly camera: { view: Viewport } = { view: { scale: 1, x: 0, y: 0 } };
  private readonly base = h("canvas", { class: "iw-canvas", "aria-hidden": "true" });
  private readonly top = h("canvas", { class: "iw-canvas", "aria-hidden": "true" });
  private screen: Size = { width: 1, height: 1 };
  private scene: Scene | undefined;
  private cut: ReadonlySet<number> = new Set();
  private lit: number[] | null = null;
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private fitted = true;
  paint: Paint = { positive: "#d55e00", negative: "#0072b2", ghost: "#ccc", cut: "#888" };

  constructor(
    private readonly nodes: Nodes,
    private readonly events: StageEvents,
    private readonly signal: AbortSignal,
  ) {
    this.el.append(this.base, this.top, nodes.el);
    this.listen();
    signal.addEventListener("abort", () => this.stop());
  }

  private stop(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
  }

  get world(): Size {
    return this.scene?.layout ?? { width: 1, height: 1 };
  }

  /** Shows a scene; `moving` says that more changes are about to come. */
  show(scene: Scene, cut: ReadonlySet<number>, moving = false): void {
    this.scene = scene;
    this.cut = cut;
    if (this.fitted) this.camera.view = whole(this.world, this.screen);
    else this.camera.view = hold(this.camera.view, this.world, this.screen);
    this.redraw(moving);
  }

  /** Takes the size of the element; `show` draws. */
  resize(width: number, height: number): void {
    this.screen = { width, height };
    this.el.style.height = `${height}px`;
  }

  zoom(factor: number, px = this.screen.width / 2, py = this.screen.height / 2): void {
    const { view } = this.camera;
    this.look(zoomAt(view, factor, px, py, this.world, this.screen));
  }

  fit(): void {
    this.look(whole(this.world, this.screen));
  }

  reveal(x: number, y: number): void {
    const next = reveal(this.camera.view, x, y, this.world, this.screen);
    if (next !== this.camera.view) this.look(next);
  }

  private look(view: Viewport): void {
    this.camera.view = view;
    this.fitted = Math.abs(view.scale - whole(this.world, this.screen).scale) < 1e-6;
    this.el.classList.toggle("iw-zoomed", !this.fitted);
    this.redraw(true);
  }

  // Drawing.

  private context(canvas: HTMLCanvasElement, ratio: number): CanvasRenderingContext2D | null {
    const { width, height } = this.screen;
    const [w, hh] = [
      Math.max(1, Math.round(width * ratio)),
      Math.max(1, Math.round(height * ratio)),
    ];
    if (canvas.width !== w || canvas.height !== hh) [canvas.width, canvas.height] = [w, hh];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    return canvas.getContext("2d");
  }

  redraw(moving: boolean): void {
    const { scene, paint } = this;
    this.stop();
    if (!scene) return;
    const { view } = this.camera;
    this.nodes.place(view, this.screen.height);
    const many = scene.strokes.edge.length > AT_ONCE;
    const ratio = globalThis.devicePixelRatio || 1;
    const ghosts = scene.hidden();
    if (!many || moving) {
      const sharp = many ? 1 : ratio;
      const ctx = this.context(this.base, sharp);
      if (!ctx) return;
      clear(ctx);
      place(ctx, view, sharp);
      drawGhosts(ctx, scene.layout, ghosts, paint);
      drawEdges(ctx, scene.strokes, paint, view, { cut: this.cut, draft: many });
      this.drawLit();
      if (many) this.timer = setTimeout(() => this.redraw(false), SETTLE);
      return;
    }
    // Full quality, drawn aside in slices, so that the picture changes at once.
    const aside = h("canvas");
    const ctx = this.context(aside, ratio);
    if (!ctx) return;
    place(ctx, view, ratio);
    drawGhosts(ctx, scene.layout, ghosts, paint);
    const steps = drawing(ctx, scene.strokes, paint, view, { cut: this.cut });
    const slice = (): void => {
      const end = performance.now() + SLICE;
      while (performance.now() < end) {
        if (!steps.next().done) continue;
        const target = this.context(this.base, ratio);
        if (target) {
          clear(target);
          target.drawImage(aside, 0, 0);
        }
        aside.width = aside.height = 0;
        this.drawLit();
        return;
      }
      this.frame = requestAnimationFrame(slice);
    };
    slice();
  }

  /** Draws these edges on top and fades the others; null ends it. */
  highlight(edges: readonly number[] | null, fade: boolean): void {
    this.lit = edges ? [...edges] : null;
    this.el.classList.toggle("iw-faded", edges !== null && fade);
    this.drawLit();
  }

  private drawLit(): void {
    const { scene, lit } = this;
    if (!scene || !lit?.length) {
      if (this.top.width > 1) this.top.width = this.top.height = 1;
      return;
    }
    const ratio = globalThis.devicePixelRatio || 1;
    const ctx = this.context(this.top, ratio);
    if (!ctx) return;
    clear(ctx);
    place(ctx, this.camera.view, ratio);
    const wanted = new Set(lit);
    const only: number[] = [];
    scene.strokes.edge.forEach((edge, i) => {
      if (wanted.has(edge)) only.push(i);
    });
    drawEdges(ctx, scene.strokes, this.paint, this.camera.view, {
      only,
      cut: this.cut,
      solid: true,
    });
  }

  // Pointing.

  private edgeAt(event: PointerEvent | MouseEvent): number {
    if (!this.scene) return -1;
    const box = this.el.getBoundingClientRect();
    const { scale, x, y } = this.camera.view;
    return hitEdge(
      this.scene.strokes,
      (event.clientX - box.left - x) / scale,
      (event.clientY - box.top - y) / scale,
      REACH / scale,
    );
  }

  private listen(): void {
    const { signal } = this;
    let from: { x: number; y: number; view: Viewport } | undefined;
    let moved = false;
    const on = <K extends keyof HTMLElementEventMap>(
      type: K,
      call: (event: HTMLElementEventMap[K]) => void,
      passive = true,
    ) => this.el.addEventListener(type, call as EventListener, { signal, passive });
    on("pointerdown", (event) => {
      if (event.button !== 0 || (event.target as Element).closest(".iw-node, button")) return;
      from = { x: event.clientX, y: event.clientY, view: this.camera.view };
      moved = false;
    });
    on("pointermove", (event) => {
      if (from && event.buttons & 1) {
        const dx = event.clientX - from.x;
        const dy = event.clientY - from.y;
        if (!moved && Math.hypot(dx, dy) < 4) return;
        if (!moved) this.el.setPointerCapture?.(event.pointerId);
        moved = true;
        this.el.classList.add("iw-panning");
        const view = { ...from.view, x: from.view.x + dx, y: from.view.y + dy };
        this.look(hold(view, this.world, this.screen));
        return;
      }
      const onNode = (event.target as Element).closest(".iw-node, button");
      this.events.hover(onNode ? -1 : this.edgeAt(event), event.clientX, event.clientY);
    });
    on("pointerup", () => {
      from = undefined;
      this.el.classList.remove("iw-panning");
    });
    on("pointerleave", (event) => this.events.hover(-1, event.clientX, event.clientY));
    on("click", (event) => {
      if (moved || (event.target as Element).closest(".iw-node, button")) {
        moved = false;
        return;
      }
      const edge = this.edgeAt(event);
      if (edge >= 0) this.events.press(edge);
    });
    on(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const box = this.el.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      },
      false,
    );
    on("dblclick", (event) => {
      if ((event.target as Element).closest(".iw-node, button") || this.edgeAt(event) >= 0) return;
      this.fit();
    });
  }
}
