// A canvas with the device's own pixels; draw in CSS pixels.
//
//   const canvas = hidpi();  body.append(canvas.el);
//   const ctx = canvas.resize(width, height);   // null where there is no 2-D context (tests)
import { h } from "./dom.js";

export interface Hidpi {
  el: HTMLCanvasElement;
  resize(width: number, height: number): CanvasRenderingContext2D | null;
}

export function hidpi(className = "iw-canvas"): Hidpi {
  const el = h("canvas", { class: className });
  return {
    el,
    resize(width, height) {
      const ratio = globalThis.devicePixelRatio || 1;
      const w = Math.max(1, Math.round(width * ratio));
      const hh = Math.max(1, Math.round(height * ratio));
      if (el.width !== w) el.width = w;
      if (el.height !== hh) el.height = hh;
      el.style.width = `${width}px`;
      el.style.height = `${height}px`;
      const context = el.getContext("2d");
      context?.setTransform(ratio, 0, 0, ratio, 0, 0);
      return context;
    },
  };
}

/** Draws a text shortened by an ellipsis until it fits. */
export function fitted(
  ctx: CanvasRenderingContext2D,
  text: string,
  room: number,
  draw: (text: string) => void,
): void {
  let shown = text;
  while (shown.length > 2 && ctx.measureText(shown).width > room) {
    shown = `${[...shown.replace(/…$/, "")].slice(0, -1).join("")}…`;
  }
  draw(shown);
}
