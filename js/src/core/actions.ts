// What every view's menu offers (menu.ts).
import { copy, tsv } from "./copying.js";
import { plural } from "./dom.js";
import { SaveFigure } from "./save.js";
import { uncovered } from "./veil.js";
import type { View } from "./view.js";

/** Rows that "Copy numbers" takes. */
const ROWS = 5000;
const KEYS = [
  ["?", "these keys"],
  ["Esc", "close what is open, leave the picture, then the view"],
] as const;

export function addActions(view: View): void {
  const { menu, options } = view;
  const run = (call: () => unknown) => view.guard(call);
  if (view.spec.live) {
    menu.icon(
      "Undo",
      "undo",
      run(() => view.act("undo")),
      "Undo the last intervention",
    );
    menu.icon(
      "Redo",
      "redo",
      run(() => view.act("redo")),
    );
  }
  if (options.table !== false) {
    const shown = menu.icon(
      "Show as table",
      "table",
      run(() => uncovered(view) && view.showTable(!view.showsTable)),
    );
    shown.setAttribute("aria-pressed", "false");
    shown.dataset.iw = "table";
    menu.more({ label: "Copy numbers", call: run(() => copyNumbers(view)) });
  }
  if (options.figure !== false) menu.place(new SaveFigure(view).el);
  menu.icon(
    "Full screen",
    "full",
    run(() => fullScreen(view)),
  );
  const keys = () => view.notes.toggleKeys([...(options.keys ?? []), ...KEYS]);
  menu.icon("Keys", "help", keys);
  onQuestionMark(view, keys);
  menu.more({ label: "Copy as code", call: run(() => copyCode(view)) });
  menu.more({
    label: "Unlink selection",
    checked: () => !view.linked,
    call: () => view.update({ linked: !view.linked, own: view.selection.get() }),
  });
  if (options.predict !== false) {
    menu.more({
      label: "Predict, then reveal",
      checked: () => view.veil.on,
      call: () => view.veil.turn(!view.veil.on),
    });
    menu.more({
      label: "Reveal all",
      call: () => view.veil.revealAll(),
      hidden: () => !view.veil.covers,
    });
  }
}

async function copyNumbers(view: View): Promise<void> {
  if (!uncovered(view)) return;
  const table = await view.numbers(ROWS).catch(() => view.numbers());
  const { rows, total } = table;
  if (await copy(tsv(table))) {
    const all = rows.length === total;
    view.notes.tell(
      all
        ? `${plural(total, "row")} copied.`
        : `The first ${plural(rows.length, "row")} of ${total.toLocaleString("en")} copied.`,
    );
  } else view.notes.copyByHand(tsv(table));
  view.say("Numbers copied");
}

async function copyCode(view: View): Promise<void> {
  const { code } = await view.request<{ code: string }>("code");
  if (await copy(code)) view.notes.tell("Code copied.");
  else view.notes.copyByHand(code);
  view.say("Code copied");
}

/** The whole screen, or the whole page where the notebook does not let us have more. */
async function fullScreen({ el }: View): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else if (el.classList.contains("iw-maximised") || !document.fullscreenEnabled)
    el.classList.toggle("iw-maximised");
  else await el.requestFullscreen().catch(() => el.classList.add("iw-maximised"));
}

function onQuestionMark(view: View, call: () => void): void {
  view.el.addEventListener(
    "keydown",
    (event) => {
      const { tagName } = event.target as HTMLElement;
      if (event.key !== "?" || ["INPUT", "TEXTAREA", "SELECT"].includes(tagName)) return;
      event.preventDefault();
      call();
    },
    { signal: view.signal },
  );
  view.el.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Escape") return;
      if (view.el.classList.contains("iw-maximised")) view.el.classList.remove("iw-maximised");
      else if (!event.defaultPrevented) view.el.focus({ preventScroll: true });
    },
    { signal: view.signal },
  );
}
