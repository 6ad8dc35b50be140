// The links and marks of a scene on one canvas, drawn in the background and shown when ready. What
// is shown keeps the viewport it was drawn for; until the next is ready the page moves it.
import { h } from "../core/dom.js";
import type { Size } from "./camera.js";
import type { Viewport } from "./draw.js";
import { clear, drawEdges, drawGhosts, drawing, type Look, type Paint, place } from "./draw.js";
import { drawMarks } from "./marks.js";
import type { Scene } from "./scene.js";

const SLICE = 8; // ms of drawing per frame
const DRAFT = 16; // ms of drawing before the first picture
export const AT_ONCE = 250; // links that are drawn at once
const FIRST = 300; // ms until a picture with more of the links
const NEXT = 1200; // ms between two such pictures

export interface Picture {
  scene: Scene;
  view: Viewport;
  screen: Size;
  paint: Paint;
  /** Nodes without an element. */
  marked: readonly number[];
  background: string;
  look: (edge: number) => Look;
}

/** The part of the world on the canvas, with room for the width of links. */
function seen(picture: Picture): { x0: number; y0: number; x1: number; y1: number } {
  const { view, screen } = picture;
  const margin = Bitmap.margin(picture) + 8;
  const [left, top] = [(-margin - view.x) / view.scale, (-margin - view.y) / view.scale];
  const wide = (screen.width + 2 * margin) / view.scale;
  const high = (screen.height + 2 * margin) / view.scale;
  return { x0: left, y0: top, x1: left + wide, y1: top + high };
}

export class Bitmap {
  readonly el = h("canvas", { class: "iw-canvas", "aria-hidden": "true" });
  private frame = 0;
  private job: Picture | undefined;
  private refining = false;

  constructor(private readonly shown: (view: Viewport) => void) {}

  /** Whether what is looked at is not shown yet; weak links may be missing when it is. */
  get busy(): boolean {
    return this.job !== undefined && !this.refining;
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    this.job = undefined;
    this.refining = false;
  }

  /** Pixels that are drawn outside of the screen on each side, for panning. */
  static margin(picture: { scene: Scene; view: Viewport; screen: Size }): number {
    const { scene, view, screen } = picture;
    const { width, height } = scene.layout;
    const inside =
      width * view.scale <= screen.width + 1 && height * view.scale <= screen.height + 1;
    return inside ? 0 : Math.round(Math.min(screen.width, screen.height) * 0.35);
  }

  /** Draws, if `fresh` the strongest links now, and everything as soon as it can be. */
  draw(picture: Picture, fresh: boolean): void {
    this.stop();
    const { scene } = picture;
    if (scene.strokes.edge.length <= AT_ONCE && picture.marked.length <= AT_ONCE) {
      this.paintAll(picture);
      return;
    }
    this.job = picture;
    const aside = h("canvas");
    const read = aside.getContext("2d", { willReadFrequently: true });
    // The pieces of a link that passes beside boxes are one line, which can only be drawn forwards.
    const under = scene.strokes.edge.length === scene.circuit.edges.length;
    const steps = this.steps(picture, aside, under);
    const go = (ms: number): boolean => {
      for (const end = performance.now() + ms; performance.now() < end; ) {
        const { done } = steps.next();
        // A canvas only notes what is drawn; reading from it makes it draw, within this slice.
        read?.getImageData(0, 0, 1, 1);
        if (done) return true;
      }
      return false;
    };
    const show = (): void => {
      const target = this.size(this.el, picture);
      if (target) {
        clear(target);
        target.drawImage(aside, 0, 0);
        this.frameOf(picture, target);
        this.end(picture, target);
      }
      this.shown(picture.view);
    };
    const finish = (): void => {
      this.stop();
      show();
      aside.width = aside.height = 0;
    };
    if (fresh) {
      if (go(under ? DRAFT : Number.POSITIVE_INFINITY)) {
        finish();
        return;
      }
      show();
    }
    let due = performance.now() + FIRST;
    const slice = (): void => {
      if (go(SLICE)) {
        finish();
        return;
      }
      if (under && performance.now() > due) {
        due = performance.now() + NEXT;
        this.refining = true;
        show();
      }
      this.frame = requestAnimationFrame(slice);
    };
    this.frame = requestAnimationFrame(slice);
  }

  private *steps(picture: Picture, canvas: HTMLCanvasElement, under: boolean): Generator<void> {
    const ctx = this.begin(picture, canvas);
    if (!ctx) return;
    const { scene, paint, view, look } = picture;
    yield* drawing(ctx, scene.strokes, paint, view, { look, within: seen(picture), under });
  }

  private paintAll(picture: Picture): void {
    const ctx = this.begin(picture, this.el);
    if (ctx) {
      const { scene, paint, view, look } = picture;
      drawEdges(ctx, scene.strokes, paint, view, { look });
      this.end(picture, ctx);
    }
    this.shown(picture.view);
  }

  private begin(picture: Picture, canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
    const ctx = this.size(canvas, picture);
    if (!ctx) return null;
    clear(ctx);
    this.frameOf(picture, ctx);
    const { scene, paint } = picture;
    if (!scene.layout.columnsBelow && !scene.layout.boxed)
      drawGhosts(ctx, scene.layout, scene.hidden(), paint);
    return ctx;
  }

  private frameOf(picture: Picture, ctx: CanvasRenderingContext2D): void {
    const margin = Bitmap.margin(picture);
    const { view } = picture;
    const moved = { ...view, x: view.x + margin, y: view.y + margin };
    place(ctx, moved, globalThis.devicePixelRatio || 1);
  }

  private end(picture: Picture, ctx: CanvasRenderingContext2D): void {
    const { scene, marked, paint, background } = picture;
    const colours = { fill: background, line: paint.node };
    drawMarks(ctx, scene.graph.nodes, scene.layout, marked, colours);
  }

  /** Gives a canvas the size of the screen with its margin, in the device's pixels. */
  size(canvas: HTMLCanvasElement, picture: Picture): CanvasRenderingContext2D | null {
    const ratio = globalThis.devicePixelRatio || 1;
    const margin = Bitmap.margin(picture);
    const { width, height } = picture.screen;
    const [w, hh] = [width + 2 * margin, height + 2 * margin];
    const [pw, ph] = [Math.max(1, Math.round(w * ratio)), Math.max(1, Math.round(hh * ratio))];
    if (canvas.width !== pw || canvas.height !== ph) [canvas.width, canvas.height] = [pw, ph];
    canvas.style.width = `${w}px`;
    canvas.style.height = `${hh}px`;
    canvas.style.left = canvas.style.top = `${-margin}px`;
    return canvas.getContext("2d");
  }
}
