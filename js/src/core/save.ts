// "Save figure": format, venue and width, drawn by Python from what the view shows now. An exported
// page offers the figures it carries.
import { button, type Control, select } from "./controls.js";
import { copy, download } from "./copying.js";
import { h } from "./dom.js";
import { Popup } from "./popup.js";
import { uncovered } from "./veil.js";
import type { View } from "./view.js";

interface Choices {
  formats: string[];
  venues: string[];
}
interface Answer {
  name: string;
  mime: string;
  data: Uint8Array;
  /** The LaTeX that shows the file. */
  text?: string;
}

const NAMES: Record<string, string> = { latex: "PDF and LaTeX" };
const LOWER = new Set(["slides", "poster"]);

export class SaveFigure {
  readonly el: HTMLElement;
  private readonly panel = h("div", {
    class: "iw-save",
    role: "dialog",
    "aria-label": "Save figure",
  });
  private readonly popup: Popup;
  private readonly chosen = { format: "", venue: "", width: "column" };

  constructor(private readonly view: View) {
    const open = button(
      "Save figure",
      view.guard(() => this.open()),
      { icon: "save" },
    );
    open.setAttribute("aria-haspopup", "dialog");
    this.popup = new Popup(this.panel, open, view.signal);
    this.el = h("div", { class: "iw-popup-place" }, open, this.panel);
  }

  private async open(): Promise<void> {
    if (this.popup.open) {
      this.popup.close();
      return;
    }
    if (!uncovered(this.view)) return;
    const choices = await this.view.request<Choices>("figure_choices");
    this.fill(choices);
    this.popup.show();
    this.panel.querySelector("select")?.focus();
  }

  private fill({ formats, venues }: Choices): void {
    const { chosen } = this;
    const label = (f: string): string => NAMES[f] ?? f.toUpperCase();
    const rows: Control<string>[] = [];
    const choose = (name: keyof typeof chosen, title: string, options: [string, string][]) => {
      const known = options.some(([key]) => key === chosen[name]);
      if (!known) chosen[name] = options[0]?.[0] ?? "";
      rows.push(select(title, options, chosen[name], (value) => (chosen[name] = value)));
    };
    choose(
      "format",
      "Format",
      formats.map((f) => [f, label(f)]),
    );
    if (venues.length) {
      choose("venue", "Venue", [
        ["", "screen"],
        ...venues.map((v): [string, string] => [v, LOWER.has(v) ? v : v.toUpperCase()]),
      ]);
      choose("width", "Width", [
        ["column", "one column"],
        ["text", "whole text"],
      ]);
    }
    const save = button(
      "Save",
      this.view.guard(() => this.save(save)),
    );
    this.panel.replaceChildren(...rows.map((row) => row.el), h("div", { class: "iw-row" }, save));
  }

  private async save(pressed: HTMLButtonElement): Promise<void> {
    const { format, venue, width } = this.chosen;
    pressed.disabled = true;
    this.view.say("Drawing the figure");
    try {
      const payload = { format, venue: venue || null, width };
      await this.take(await this.view.request<Answer>("figure", payload));
      this.popup.close();
    } finally {
      pressed.disabled = false;
    }
  }

  private async take({ name, mime, data, text }: Answer): Promise<void> {
    download(name, mime, data as Uint8Array<ArrayBuffer>);
    this.view.say(`${name} saved`);
    if (!text) return;
    if (await copy(text)) {
      this.view.notes.tell(`${name} is saved; the LaTeX that shows it is in the clipboard.`);
    } else this.view.notes.copyByHand(text);
  }
}
