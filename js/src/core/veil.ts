// "Predict, then reveal": values that a lecturer's audience is to guess first.
//
//   if (view.veiled("3,1")) …            // draw it empty, say "hidden"
//   view.reveal("3,1");                  // a click or Enter on it, in the place of its usual action
//   view.onVeil(() => draw());           // the switch was turned, or something was revealed
//
// state.predict turns it on, state.revealed lists the keys that were revealed ("*": all).
import type { View } from "./view.js";

const ALL = "*";

export class Veil {
  constructor(private readonly view: Pick<View, "state" | "update" | "onState">) {}

  get on(): boolean {
    return this.view.state.predict === true;
  }

  get revealed(): readonly string[] {
    return this.view.state.revealed ?? [];
  }

  /** Whether anything is hidden. */
  get covers(): boolean {
    return this.on && !this.revealed.includes(ALL);
  }

  veiled(key: string): boolean {
    return this.covers && !this.revealed.includes(key);
  }

  reveal(key: string): void {
    if (this.veiled(key)) this.view.update({ revealed: [...this.revealed, key] });
  }

  revealAll(): void {
    this.view.update({ revealed: [ALL] });
  }

  turn(on: boolean): void {
    this.view.update({ predict: on, revealed: [] });
  }

  onChange(call: () => unknown): void {
    const now = () => JSON.stringify([this.on, this.revealed]);
    let before = now();
    this.view.onState(() => {
      const after = now();
      if (after === before) return;
      before = after;
      return call();
    });
  }
}

/** Says why numbers stay hidden while the audience is to predict them. */
export function uncovered(view: View): boolean {
  if (view.veil.covers) view.notes.tell("Hidden until revealed: choose “Reveal all” first.");
  return !view.veil.covers;
}
