// The line that says what is chosen and what can be done with it: group, pin, note, fold, rename.
import { button } from "../core/controls.js";
import { h } from "../core/dom.js";
import type { Arrangement } from "./arrange.js";

interface Actions {
  arrangement: Arrangement;
  /** What a node is called. */
  label(name: string): string;
  /** Gives the focus back to the picture. */
  leave(): void;
}

export class ArrangeBar {
  readonly el = h("div", { class: "iw-arrange", role: "group", "aria-label": "Chosen nodes" });
  private asking = false;

  constructor(private readonly actions: Actions) {
    this.el.hidden = true;
  }

  /** Shows the chosen nodes, or a focused group. */
  show(group = ""): void {
    if (this.asking) return;
    const { arrangement, label } = this.actions;
    const names = [...arrangement.chosen];
    const parts: Node[] = [];
    const act = (text: string, call: () => void) => parts.push(button(text, call));
    if (names.length) {
      const some = names.slice(0, 4).map(label).join(", ");
      const more = names.length > 4 ? ` and ${names.length - 4} more` : "";
      parts.push(h("span", {}, `${names.length} chosen: ${some}${more}`));
      act("Group…", () => this.askGroup());
      act(names.every((n) => arrangement.pins.includes(n)) ? "Unpin" : "Pin", () =>
        arrangement.pin(names),
      );
      if (names.length === 1) act("Note…", () => this.askNote(names[0] as string));
      act("Clear", () => arrangement.choose([]));
    } else if (group) {
      const known = arrangement.named(group);
      if (!known) return;
      parts.push(h("span", {}, `Group ${group}, ${known.members.length} members`));
      act(known.collapsed ? "Unfold" : "Fold", () => arrangement.fold(group));
      act("Rename…", () => this.askName(group));
      act("Position…", () => this.askPosition(group));
      act("Note…", () => this.askNote(group));
      act("Take apart", () => arrangement.ungroup(group));
    }
    if (arrangement.canUndo) act("Undo arranging", () => arrangement.undo());
    this.el.replaceChildren(...parts);
    this.el.hidden = parts.length === 0;
  }

  askGroup(): void {
    const { arrangement } = this.actions;
    const members = [...arrangement.chosen];
    if (!members.length) return;
    const wish = `group ${arrangement.groups.length + 1}`;
    this.ask("Name of the group", wish, (name) => arrangement.group(name, members));
  }

  askName(group: string): void {
    this.ask("New name", group, (name) => this.actions.arrangement.rename(group, name));
  }

  askPosition(group: string): void {
    const { arrangement } = this.actions;
    const now = arrangement.named(group)?.at ?? "";
    this.ask("Token position of the class, for example S2", now, (at) => arrangement.at(group, at));
  }

  askNote(name: string): void {
    const { arrangement, label } = this.actions;
    const now = arrangement.notes[name] ?? "";
    this.ask(`Note on ${label(name)}`, now, (text) => arrangement.note(name, text));
  }

  private ask(question: string, now: string, done: (answer: string) => void): void {
    this.asking = true;
    const input = h("input", { type: "text", class: "iw-text", maxlength: 2000, value: now });
    input.value = now;
    const close = (answer?: string) => {
      this.asking = false;
      if (answer !== undefined) done(answer);
      this.show();
      this.actions.leave();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") close(input.value);
      else if (event.key === "Escape") close();
    });
    this.el.replaceChildren(
      h("label", {}, `${question} `, input),
      button("OK", () => close(input.value), { primary: true }),
      button("Cancel", () => close()),
    );
    this.el.hidden = false;
    input.focus();
    input.select();
  }
}
