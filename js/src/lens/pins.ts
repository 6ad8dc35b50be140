// Pinned groups of tokens: what is pinned, and the probability of each in every cell.
import { visible } from "../core/dom.js";
import type { View } from "../core/view.js";
import type { NdArray } from "../core/wire.js";

export type Token = [id: number, text: string];
export type Group = Token[];

/** As PINS in views/lens.py: more lines cannot be told apart. */
export const MOST = 8;

export class Pins {
  private readonly planes = new Map<string, Float32Array>();
  private readonly asked = new Set<string>();

  constructor(
    private readonly view: View,
    private readonly changed: () => void,
  ) {}

  get groups(): Group[] {
    return this.view.state.pins ?? [];
  }

  groupOf(id: number): number {
    return this.groups.findIndex((group) => group.some(([i]) => i === id));
  }

  name(group: Group): string {
    return group.map(([, text]) => visible(text)).join(" + ");
  }

  /** Pins tokens as one group, or takes them away; `join` adds them to the last group. */
  toggle(tokens: Group, join = false): void {
    const ids = new Set(tokens.map(([id]) => id));
    const had = tokens.every(([id]) => this.groupOf(id) >= 0);
    const left = this.groups
      .map((group) => group.filter(([id]) => !ids.has(id)))
      .filter((group) => group.length);
    if (!had && join && left.length) left[left.length - 1] = [...left[left.length - 1]!, ...tokens];
    else if (!had) left.push(tokens);
    if (left.length > MOST) {
      this.view.note(`${MOST} pins are the most; take one away first.`, "info", undefined, "pins");
      return;
    }
    this.view.note("", "info", undefined, "pins");
    this.view.update({ pins: left });
    this.view.say(`${tokens.map(([, text]) => text).join(", ")} ${had ? "unpinned" : "pinned"}`);
    this.changed();
  }

  /** Pins what a text means: as written and with a space before it, together. */
  async find(text: string): Promise<void> {
    const { found } = await this.view.request<{ found: Token[] }>("find", { text });
    const fresh = found.filter(([id]) => this.groupOf(id) < 0);
    if (fresh.length) this.toggle(fresh);
  }

  remove(index: number): void {
    this.view.update({ pins: this.groups.filter((_, i) => i !== index) });
    this.changed();
  }

  /** Forgets the numbers, and takes those that came with the new spec. */
  revise(): void {
    this.planes.clear();
    this.asked.clear();
    const { track } = this.view.first;
    if (track) this.keep("current", track.ids, track.probs);
  }

  /** Whether an exported page has the numbers of a token. */
  has(id: number): boolean {
    const { trackable } = this.view.spec;
    return !trackable || trackable.includes(id);
  }

  /** Probability of a group in a cell, or its change; undefined while it is under way. */
  value(group: Group, at: number): number | undefined {
    let sum = 0;
    for (const [id] of group) {
      const plane = this.planes.get(`${this.view.mode}|${id}`);
      if (!plane) return undefined;
      sum += plane[at] ?? Number.NaN;
    }
    return sum;
  }

  /** Asks for the planes of pinned tokens that are not there. */
  load(): void {
    const { mode, spec } = this.view;
    const ids = [...new Set(this.groups.flatMap((group) => group.map(([id]) => id)))]
      .filter((id) => this.has(id) && !this.asked.has(`${mode}|${id}`))
      .filter((id) => !this.planes.has(`${mode}|${id}`))
      .sort((a, b) => a - b);
    if (!ids.length) return;
    // An exported page answers token by token; a kernel reads all missing ones in one go.
    for (const some of spec.trackable ? ids.map((id) => [id]) : [ids]) void this.ask(some, mode);
  }

  private async ask(ids: number[], mode: string): Promise<void> {
    const { revision } = this.view.spec;
    for (const id of ids) this.asked.add(`${mode}|${id}`);
    try {
      const { probs } = await this.view.request<{ probs: NdArray }>("track", { mode, ids });
      if (revision !== this.view.spec.revision) return;
      this.keep(mode, ids, probs);
      this.changed();
    } catch (error) {
      for (const id of ids) this.asked.delete(`${mode}|${id}`);
      if (revision === this.view.spec.revision) this.view.report(error, () => this.load());
    }
  }

  private keep(mode: string, ids: readonly number[], probs: NdArray): void {
    const size = probs.data.length / ids.length;
    ids.forEach((id, i) => {
      this.planes.set(`${mode}|${id}`, probs.data.slice(i * size, (i + 1) * size) as Float32Array);
    });
  }
}
