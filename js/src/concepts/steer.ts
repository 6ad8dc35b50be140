// A slider for each concept: adds its vector to the activations, live; zero takes it away again.
import { button, type Control, slider } from "../core/controls.js";
import { h, num, visible } from "../core/dom.js";
import type { Concepts } from "./model.js";

const REACH = 1.5;
/** Milliseconds between two strengths that a drag sends. */
const PACE = 120;

interface Line {
  el: HTMLElement;
  control: Control<number>;
  stop: HTMLButtonElement;
  how: HTMLElement;
  sent: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Steering {
  readonly el = h("div", { class: "iw-concept-steering" });
  private readonly metric = h("p", { class: "iw-concept-metric", "aria-live": "off" });
  private readonly list = h("div", { role: "group", "aria-label": "Steering" });
  private readonly lines = new Map<string, Line>();

  constructor(private readonly concepts: Concepts) {
    const { view } = concepts;
    const where = "Adds the concept's vector at the layer above, at every position.";
    this.el.append(this.metric, this.list, h("p", { class: "iw-concept-note" }, where));
    view.signal.addEventListener("abort", () => {
      for (const line of this.lines.values()) clearTimeout(line.timer);
    });
  }

  draw(): void {
    const { layer, choice, view } = this.concepts;
    this.showMetric();
    const wanted = choice.rows.map(({ concept }) => {
      const key = `${concept}-${layer}`;
      let line = this.lines.get(key);
      if (!line) {
        line = this.line(concept, layer);
        this.lines.set(key, line);
      }
      this.update(line, concept, layer, view.spec.steering?.[key] ?? 0);
      return line.el;
    });
    const { children } = this.list;
    const same = wanted.length === children.length && wanted.every((el, i) => el === children[i]);
    if (!same) this.list.replaceChildren(...wanted);
  }

  focus(): void {
    const { chosen, layer } = this.concepts;
    this.lines.get(`${chosen}-${layer}`)?.el.querySelector("input")?.focus();
  }

  private line(concept: number, layer: number): Line {
    const { view, names } = this.concepts;
    const name = names[concept] as string;
    const send = view.guard(async (strength: number) => {
      line.sent = strength;
      try {
        await view.request("steer", { concept, layer, strength });
      } catch (error) {
        view.report(error);
      }
    });
    const control = slider(
      name,
      -REACH,
      REACH,
      0,
      (strength) => {
        this.words(line, concept, layer, strength);
        line.stop.disabled = strength === 0;
        clearTimeout(line.timer);
        line.timer = setTimeout(() => {
          line.timer = undefined;
          send(strength);
        }, PACE);
      },
      { step: 0.01 },
    );
    const stop = button("Stop", () => {
      clearTimeout(line.timer);
      line.timer = undefined;
      control.set(0);
      this.words(line, concept, layer, 0);
      send(0);
    });
    stop.setAttribute("aria-label", `Stop steering along ${name}`);
    const how = h("span", { class: "iw-quiet iw-steer-how" });
    const el = h("div", { class: "iw-concept-steer" }, control.el, how, stop);
    el.addEventListener("pointerenter", () => view.hover({ node: name }));
    el.addEventListener("pointerleave", () => view.hover(null));
    const line: Line = { el, control, stop, how, sent: 0, timer: undefined };
    return line;
  }

  private update(line: Line, concept: number, layer: number, strength: number): void {
    line.stop.disabled = strength === 0 && line.sent === 0;
    line.el.classList.toggle("iw-chosen", concept === this.concepts.chosen);
    if (line.timer || line.el.querySelector("input:active")) return;
    line.sent = strength;
    line.stop.disabled = strength === 0;
    line.control.set(Number(strength.toFixed(3)));
    this.words(line, concept, layer, strength);
  }

  private words(line: Line, concept: number, layer: number, strength: number): void {
    const { view, layers, current } = this.concepts;
    const gap = current[0]?.gap?.[concept * layers.length + layer] ?? Number.NaN;
    const norm = view.spec.norms?.[layer];
    const parts = [view.spec.unit as string];
    if (strength && norm && gap) parts.push(`${num((strength * norm) / gap, 2)} × its own gap`);
    line.how.textContent = parts.join(" = ");
  }

  private showMetric(): void {
    const { metric } = this.concepts.view.spec;
    this.metric.hidden = !metric;
    if (!metric) return;
    const { name, answer, foil, base, now, prompt } = metric;
    const fixed = (x: number) => x.toFixed(2).replace("-", "−");
    const moved = fixed(base) !== fixed(now);
    const tail = prompt.length > 60 ? `…${prompt.slice(-58)}` : prompt;
    this.metric.replaceChildren(
      `${name[0].toUpperCase()}${name.slice(1)} `,
      moved ? `${fixed(base)} → ` : "",
      h("strong", {}, fixed(now)),
      h(
        "span",
        { class: "iw-quiet" },
        ` “${visible(answer)}” against “${visible(foil)}” after “${visible(tail)}”`,
      ),
    );
  }
}
