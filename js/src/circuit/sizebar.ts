// The number of edges on a logarithmic slider, under the faithfulness measured at each size.
import { takeOnEnter } from "../core/controls.js";
import { h, num, s } from "../core/dom.js";
import {
  type Faithfulness,
  FEWEST,
  nearestMeasured,
  positionToSize,
  sizeToPosition,
} from "./size.js";

const STEPS = 1000;
const HEIGHT = 26;
const INSET = 8; // half a slider thumb

export interface SizeBar {
  el: HTMLElement;
  set(size: number, total: number, curve: Faithfulness | null): void;
}

export function sizeBar(call: (size: number, settled: boolean) => void): SizeBar {
  let total = 1;
  let size = 1;
  let curve: Faithfulness | null = null;
  const picture = s("svg", { class: "iw-size-curve", height: HEIGHT, "aria-hidden": "true" });
  const bar = h("input", {
    type: "range",
    class: "iw-slider",
    min: 0,
    max: STEPS,
    "aria-label": "Edges",
  });
  const input = h("input", {
    type: "number",
    class: "iw-number",
    min: 1,
    "aria-label": "Number of edges",
  });
  const words = h("span", { class: "iw-size-words" });
  const track = h("div", { class: "iw-size-track" }, picture, bar);
  const el = h(
    "div",
    { class: "iw-size", role: "group", "aria-label": "Size of the circuit" },
    h("span", { class: "iw-label" }, "Edges"),
    track,
    input,
    words,
  );

  const take = (next: number, settled: boolean): void => {
    size = Math.max(1, Math.min(total, Math.round(next)));
    show();
    call(size, settled);
  };
  bar.addEventListener("input", () =>
    take(positionToSize(Number(bar.value) / STEPS, total), false),
  );
  bar.addEventListener("change", () => take(size, true));
  bar.addEventListener("keydown", (event) => {
    const step = { PageUp: 1, PageDown: -1 }[event.key];
    if (!step || !curve) return;
    const sizes = curve.sizes.filter((n) => (step > 0 ? n > size : n < size));
    if (!sizes.length) return;
    event.preventDefault();
    take(step > 0 ? Math.min(...sizes) : Math.max(...sizes), true);
  });
  input.addEventListener("change", () => take(Number(input.value) || 1, true));
  takeOnEnter(input);

  const show = (): void => {
    bar.value = String(Math.round(sizeToPosition(size, total) * STEPS));
    input.value = String(size);
    input.max = String(total);
    const measured = nearestMeasured(curve, size);
    const share = (100 * size) / total;
    const percent = `${share >= 10 ? share.toFixed(0) : share.toPrecision(1)} %`;
    const at = measured && !measured.exact ? ` (at ${measured.size.toLocaleString("en")})` : "";
    words.textContent = measured
      ? `${percent} · faithfulness ${num(measured.value, 2)}${at}`
      : `${percent} of ${total.toLocaleString("en")}`;
    bar.setAttribute("aria-valuetext", `${size} edges, ${words.textContent}`);
    draw();
  };

  const draw = (): void => {
    picture.replaceChildren();
    track.classList.toggle("iw-size-measured", Boolean(curve));
    if (!curve) return;
    const width = picture.clientWidth || 240;
    const points = curve.sizes
      .map((n, i) => ({ n, v: curve?.values[i] ?? Number.NaN }))
      .filter((p) => Number.isFinite(p.v) && p.n >= Math.min(FEWEST, total) / 2)
      .sort((a, b) => a.n - b.n);
    if (!points.length) return;
    const low = Math.min(0, ...points.map((p) => p.v));
    const high = Math.max(1, ...points.map((p) => p.v));
    const x = (n: number) => INSET + sizeToPosition(n, total) * (width - 2 * INSET);
    const y = (v: number) => HEIGHT - 4 - ((v - low) / (high - low)) * (HEIGHT - 8);
    const line = (v: number) =>
      s("line", { class: "iw-size-one", x1: INSET, x2: width - INSET, y1: y(v), y2: y(v) });
    picture.append(line(1), line(0));
    const d = points.map((p, i) => `${i ? "L" : "M"}${x(p.n).toFixed(1)},${y(p.v).toFixed(1)}`);
    picture.append(s("path", { class: "iw-size-line", d: d.join("") }));
    for (const p of points) {
      const here = p.n === size;
      picture.append(
        s("circle", {
          class: here ? "iw-size-here" : "",
          cx: x(p.n),
          cy: y(p.v),
          r: here ? 3.5 : 2,
        }),
      );
    }
    picture.append(
      s("line", { class: "iw-size-now", x1: x(size), x2: x(size), y1: 0, y2: HEIGHT }),
    );
  };

  return {
    el,
    set(to, of, faithfulness) {
      total = of;
      size = to;
      curve = faithfulness;
      show();
    },
  };
}
