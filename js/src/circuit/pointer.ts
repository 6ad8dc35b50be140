// The pointer on the stage: pan, zoom, lasso, dragging a node, pressing a link.
import { h, s } from "../core/dom.js";
import { hold } from "./camera.js";
import type { Viewport } from "./draw.js";
import type { Stage } from "./stage.js";

const STILL = 4; // px that a press may move

export interface PointerEvents {
  /** The pointer is over a link, a mark, or neither. */
  over(edge: number, mark: number, event: PointerEvent): void;
  pressEdge(edge: number): void;
  pressMark(mark: number, event: MouseEvent): void;
  /** A node is dragged by so much of the world; `done` at the end. */
  drag(node: number, dx: number, dy: number, done: boolean): void;
  /** Nodes inside a loop that was drawn. */
  lasso(inside: (x: number, y: number) => boolean, add: boolean): void;
}

type Action =
  | { kind: "pan"; view: Viewport }
  | { kind: "drag"; node: number }
  | { kind: "lasso"; points: [number, number][] };

export class StagePointer {
  /** Whether dragging on empty ground draws a loop instead of moving the picture. */
  choosing = false;
  private readonly loop = s("path", { class: "iw-lasso" });
  private readonly overlay = s("svg", { class: "iw-lasso-pane", "aria-hidden": "true" }, this.loop);
  private action: Action | undefined;
  private from = { x: 0, y: 0 };
  private moved = false;

  constructor(
    private readonly stage: Stage,
    private readonly events: PointerEvents,
  ) {
    stage.el.append(this.overlay);
    this.listen();
  }

  private listen(): void {
    const { el, signal } = this.stage;
    const on = <K extends keyof HTMLElementEventMap>(
      type: K,
      call: (event: HTMLElementEventMap[K]) => void,
      passive = true,
      capture = false,
    ) => el.addEventListener(type, call as EventListener, { signal, passive, capture });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.moving(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("pointerleave", (event) => {
      if (!this.action) this.events.over(-1, -1, event);
    });
    // A drag is no press: the click that follows it reaches nobody.
    on(
      "click",
      (event) => {
        if (!this.moved) return;
        this.moved = false;
        event.stopPropagation();
        event.preventDefault();
      },
      false,
      true,
    );
    on("click", (event) => {
      if (busy(event)) return;
      const mark = this.stage.markAt(event);
      if (mark >= 0) {
        this.events.pressMark(mark, event);
        return;
      }
      const edge = this.stage.edgeAt(event);
      if (edge >= 0) this.events.pressEdge(edge);
    });
    on("dblclick", (event) => {
      if (busy(event) || this.stage.edgeAt(event) >= 0 || this.choosing) return;
      this.stage.fit();
    });
    on(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const box = el.getBoundingClientRect();
        const by = Math.exp(-event.deltaY / 300);
        this.stage.zoom(by, event.clientX - box.left, event.clientY - box.top);
      },
      false,
    );
  }

  private down(event: PointerEvent): void {
    const target = event.target as Element;
    if (event.button !== 0 || target.closest("button, input, .iw-hull")) return;
    const held = target.closest<SVGElement>(".iw-node");
    const node = held ? Number(held.dataset.at) : this.stage.markAt(event);
    this.from = { x: event.clientX, y: event.clientY };
    this.moved = false;
    if (node >= 0) this.action = { kind: "drag", node };
    else if (this.choosing || event.shiftKey)
      this.action = { kind: "lasso", points: [this.point(event)] };
    else this.action = { kind: "pan", view: this.stage.view };
  }

  private point(event: PointerEvent): [number, number] {
    const box = this.stage.el.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private moving(event: PointerEvent): void {
    const { action, stage } = this;
    if (!action || !(event.buttons & 1)) {
      this.action = undefined;
      const onNode = (event.target as Element).closest(".iw-node, .iw-hull, button");
      const mark = onNode ? -1 : stage.markAt(event);
      this.events.over(onNode || mark >= 0 ? -1 : stage.edgeAt(event), mark, event);
      return;
    }
    const dx = event.clientX - this.from.x;
    const dy = event.clientY - this.from.y;
    if (!this.moved && Math.hypot(dx, dy) < STILL) return;
    if (!this.moved) {
      stage.el.setPointerCapture?.(event.pointerId);
      stage.el.classList.add(`iw-${action.kind}ging`.replace("pangging", "panning"));
      this.events.over(-1, -1, event);
    }
    this.moved = true;
    if (action.kind === "pan") {
      const view = { ...action.view, x: action.view.x + dx, y: action.view.y + dy };
      stage.move(hold(view, stage.world, stage.screen));
    } else if (action.kind === "drag") {
      this.events.drag(action.node, dx / stage.view.scale, dy / stage.view.scale, false);
    } else {
      action.points.push(this.point(event));
      this.loop.setAttribute("d", `M${action.points.map((p) => p.join()).join("L")}Z`);
    }
  }

  private up(event: PointerEvent): void {
    const { action, stage } = this;
    this.action = undefined;
    stage.el.classList.remove("iw-panning", "iw-dragging", "iw-lassogging");
    this.loop.removeAttribute("d");
    if (!action || !this.moved) return;
    if (action.kind === "drag") {
      const dx = (event.clientX - this.from.x) / stage.view.scale;
      const dy = (event.clientY - this.from.y) / stage.view.scale;
      this.events.drag(action.node, dx, dy, true);
    } else if (action.kind === "lasso") {
      const { scale, x, y } = stage.view;
      const loop = action.points.map(([px, py]) => [(px - x) / scale, (py - y) / scale] as const);
      this.events.lasso((wx, wy) => inLoop(loop, wx, wy), event.ctrlKey || event.metaKey);
    }
    // The click after a drag comes at once or not at all.
    setTimeout(() => {
      this.moved = false;
    }, 0);
  }
}

const busy = (event: Event): boolean =>
  (event.target as Element).closest(".iw-node, .iw-hull, button, input") !== null;

/** Whether a point is inside a loop (even-odd rule). */
export function inLoop(
  loop: readonly (readonly [number, number])[],
  x: number,
  y: number,
): boolean {
  let inside = false;
  for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
    const [xi, yi] = loop[i] as readonly [number, number];
    const [xj, yj] = loop[j] as readonly [number, number];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** The buttons over the picture. */
export function zoomButtons(
  stage: Stage,
  make: (label: string, icon: string, call: () => void) => Node,
): HTMLElement {
  return h(
    "div",
    { class: "iw-zoom", role: "group", "aria-label": "Zoom" },
    make("Zoom in", "+", () => stage.zoom(1.4)),
    make("Zoom out", "−", () => stage.zoom(1 / 1.4)),
    make("Show all", "▢", () => stage.fit()),
  );
}
