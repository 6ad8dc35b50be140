// What a result is asked for that splits a prediction between words or phrases: which tokens are a
// phrase, and whether the logits or a head is explained. A change runs the method again in Python.

import { button, type Control, select } from "../core/controls.js";
import { signed, visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { Span } from "./span.js";

/** A word or phrase: its tokens, and the two parts of what is explained. */
export interface Unit {
  at: number[];
  score: number;
  rest: number;
}

interface Asked {
  /** "token", "word", "phrase", "sentence", or positions. */
  units: string | number[][];
  head: [number, number] | null;
}

const UNITS = [
  ["token", "tokens"],
  ["word", "words"],
  ["phrase", "phrases"],
  ["sentence", "sentences"],
  ["chosen", "as chosen"],
] as const;

/** Makes the tokens of a span one unit; what is left of other units stays in connected pieces. */
export function joined(units: readonly (readonly number[])[], [first, last]: Span): number[][] {
  const inside = (i: number) => i >= first && i <= last;
  const left = units.flatMap((at) =>
    at.some(inside) ? pieces(at.filter((i) => !inside(i))) : [[...at]],
  );
  const own = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return [...left, own].sort((a, b) => a[0]! - b[0]!);
}

function pieces(positions: readonly number[]): number[][] {
  const found: number[][] = [];
  for (const i of positions) {
    const last = found.at(-1);
    if (last?.at(-1) === i - 1) last.push(i);
    else found.push([i]);
  }
  return found;
}

export class Phrases {
  private readonly before: Asked[] = [];
  private chosen: number[][] | undefined;
  private running = new AbortController();
  private units: Control<(typeof UNITS)[number][0]> | undefined;
  private readonly toHead = button("", () => this.aim(this.selected));
  private readonly toLogits = button("Relevance to the logits", () => this.aim(null));
  private readonly back = button("Undo choice", () => this.undo(), { title: "Ctrl + Z" });

  constructor(private readonly view: View) {}

  /** Adds the controls; the view calls `show` when the spec or the selection changed. */
  start(): void {
    if (!this.asked) return;
    this.units = select("Units", UNITS, "word", (name) => {
      const units = name === "chosen" ? this.chosen : name;
      if (units) this.ask({ units });
      else this.show();
    });
    this.view.toolbar.append(this.units.el, this.toHead, this.toLogits, this.back);
    this.show();
  }

  /** What the result was asked for; null where that cannot change. */
  get asked(): Asked | null {
    return this.view.spec.live ? (this.view.spec.asked ?? null) : null;
  }

  private get now(): Unit[] {
    return this.view.spec.units ?? [];
  }

  private get selected(): [number, number] | null {
    const { layer, head } = this.view.selection.get();
    return layer === null || head === null ? null : [layer, head];
  }

  show(): void {
    const { asked, selected } = this;
    if (!asked || !this.units) return;
    if (typeof asked.units !== "string") this.chosen = asked.units;
    this.units.set(typeof asked.units === "string" ? (asked.units as "word") : "chosen");
    this.toHead.hidden = selected === null || selected.join() === asked.head?.join();
    this.toHead.textContent = selected && `Relevance to head ${selected.join(".")}`;
    this.toLogits.hidden = asked.head === null;
    this.back.hidden = this.before.length === 0;
  }

  /** Makes the tokens of a span one phrase. */
  async join(span: Span): Promise<void> {
    const units = joined(
      this.now.map(({ at }) => at),
      span,
    );
    if (units.length === this.now.length && this.find(span)) return;
    if (!(await this.ask({ units }))) return;
    const unit = this.find(span);
    if (unit) this.view.say(`${this.words(span)} is one phrase: ${signed(unit.score)}`);
  }

  /** Says what would become one phrase. */
  offer(span: Span): void {
    this.view.say(`${this.words(span)} marked. Enter makes it one phrase.`);
  }

  /** Asks again for what was asked for before; false where nothing was. */
  undo(): boolean {
    const last = this.before.at(-1);
    if (last) this.ask(last, true);
    return last !== undefined;
  }

  private aim(head: [number, number] | null): void {
    this.ask({ head });
  }

  private find([first, last]: Span): Unit | undefined {
    return this.now.find(
      ({ at }) => at[0] === first && at.at(-1) === last && at.length === last - first + 1,
    );
  }

  private words([first, last]: Span): string {
    const text = this.view.spec.tokens
      .slice(first, last + 1)
      .join("")
      .trim();
    return `“${visible(text)}”`;
  }

  /** Runs again; a newer question takes the place of one that is not answered. */
  private async ask(change: Partial<Asked>, undoing = false): Promise<boolean> {
    const { view, asked } = this;
    if (!asked) return false;
    this.running.abort();
    const { signal } = (this.running = new AbortController());
    view.signal.addEventListener("abort", () => this.running.abort(), { signal });
    try {
      await view.request("explain", { ...asked, ...change }, { signal });
      if (undoing) this.before.pop();
      else this.before.push(asked);
      view.note("");
      return true;
    } catch (error) {
      view.report(error);
      return false;
    } finally {
      this.show();
    }
  }
}
