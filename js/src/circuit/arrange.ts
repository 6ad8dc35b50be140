// What a reader arranged: places, groups, pins, notes, and which nodes are chosen for the next step.
// Everything but the choice is in the view's state and so in the saved result.
import type { View } from "../core/view.js";
import type { Group } from "./fold.js";

export type Places = Record<string, [number, number]>;

interface Arranged {
  positions: Places;
  groups: Group[];
  pins: string[];
  notes: Record<string, string>;
}

const FIELDS = ["positions", "groups", "pins", "notes"] as const;

export class Arrangement {
  /** Names of the chosen nodes. */
  chosen = new Set<string>();
  private past: Partial<Arranged>[] = [];

  constructor(
    private readonly view: View,
    private readonly changed: () => void,
  ) {}

  get positions(): Places {
    return this.view.state.positions ?? {};
  }

  get groups(): Group[] {
    return this.view.state.groups ?? [];
  }

  get pins(): string[] {
    return this.view.state.pins ?? [];
  }

  get notes(): Record<string, string> {
    return this.view.state.notes ?? {};
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  private set(patch: Partial<Arranged>, said: string): void {
    const { state } = this.view;
    this.past.push(Object.fromEntries(FIELDS.map((f) => [f, state[f]])) as Partial<Arranged>);
    if (this.past.length > 100) this.past.shift();
    this.view.update(patch);
    this.view.say(said);
    this.changed();
  }

  /** Takes the last change back. */
  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.view.update(before as Record<string, unknown>);
    this.view.say("Arrangement: last step taken back");
    this.changed();
  }

  choose(names: Iterable<string>, add = false): void {
    this.chosen = new Set(add ? [...this.chosen, ...names] : names);
    this.view.say(`${this.chosen.size} chosen`);
    this.changed();
  }

  toggle(name: string): void {
    if (!this.chosen.delete(name)) this.chosen.add(name);
    this.view.say(
      `${name} ${this.chosen.has(name) ? "chosen" : "left out"}, ${this.chosen.size} chosen`,
    );
    this.changed();
  }

  groupOf(name: string): Group | undefined {
    return this.groups.find((group) => group.members.includes(name));
  }

  named(name: string): Group | undefined {
    return this.groups.find((group) => group.name === name);
  }

  /** Makes a group of nodes; they leave the groups they were in. */
  group(name: string, members: readonly string[]): void {
    const unique = this.unique(name.trim() || `group ${this.groups.length + 1}`);
    const rest = this.without(members);
    const group = { name: unique, members: [...members], collapsed: false };
    this.chosen.clear();
    this.set({ groups: [...rest, group] }, `${unique}: group of ${members.length}`);
  }

  private unique(name: string): string {
    let free = name;
    for (let n = 2; this.named(free); n++) free = `${name} ${n}`;
    return free;
  }

  private without(members: readonly string[]): Group[] {
    return this.groups
      .map((g) => ({ ...g, members: g.members.filter((m) => !members.includes(m)) }))
      .filter((g) => g.members.length);
  }

  private change(name: string, patch: Partial<Group>, said: string): void {
    const groups = this.groups.map((g) => (g.name === name ? { ...g, ...patch } : g));
    this.set({ groups }, said);
  }

  rename(name: string, to: string): void {
    const next = to.trim();
    if (!next || next === name) return;
    const unique = this.unique(next);
    const groups = this.groups.map((g) => (g.name === name ? { ...g, name: unique } : g));
    const follow = <T>(of: Record<string, T>) =>
      Object.fromEntries(Object.entries(of).map(([k, v]) => [k === name ? unique : k, v]));
    const patch = { groups, notes: follow(this.notes), positions: follow(this.positions) };
    this.set(patch, `${name} is now called ${unique}`);
  }

  ungroup(name: string): void {
    this.set({ groups: this.groups.filter((g) => g.name !== name) }, `${name} taken apart`);
  }

  fold(name: string): void {
    const group = this.named(name);
    if (!group) return;
    const said = `${name} ${group.collapsed ? "unfolded" : "folded"}`;
    this.change(name, { collapsed: !group.collapsed }, said);
  }

  at(name: string, position: string): void {
    this.change(name, { at: position.trim() }, `${name} at ${position}`);
  }

  pin(names: readonly string[]): void {
    const all = names.every((name) => this.pins.includes(name));
    const pins = all
      ? this.pins.filter((p) => !names.includes(p))
      : [...new Set([...this.pins, ...names])];
    this.set(
      { pins },
      `${names.length === 1 ? names[0] : `${names.length} nodes`} ${all ? "unpinned" : "pinned"}`,
    );
  }

  note(name: string, text: string): void {
    const { [name]: _, ...rest } = this.notes;
    const notes = text.trim() ? { ...rest, [name]: text.trim() } : rest;
    this.set({ notes }, text.trim() ? `note on ${name}` : `note on ${name} removed`);
  }

  move(name: string, to: [number, number]): void {
    const at = to.map((v) => Math.round(Math.min(1, Math.max(0, v)) * 1e4) / 1e4);
    this.set({ positions: { ...this.positions, [name]: at as [number, number] } }, `${name} moved`);
  }

  /** Puts every node back to where the layout has it. */
  resetPlaces(): void {
    this.set({ positions: {} }, "All nodes back in their places");
  }
}
