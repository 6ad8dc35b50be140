// A view shown on a fake model, and what a reader does to it.
import { FakeModel } from "./fake-model.js";

type Answers = Record<string, (payload: any) => any>;

export interface Shown {
  root: HTMLElement;
  model: FakeModel;
  close(): void;
}

/** Renders a view; requests without an entry in `answers` fail. */
export function show(
  view: { render(props: any): void },
  traits: Record<string, unknown>,
  answers: Answers = {},
): Shown {
  const model = new FakeModel({
    status: { phase: "live", message: "" },
    selection: "",
    theme: "light",
    state: {},
    ...traits,
  });
  model.handler = (name, payload) => {
    const answer = answers[name];
    if (!answer) throw new Error(`no answer for ${name}`);
    return answer(payload);
  };
  const root = document.createElement("div");
  document.body.append(root);
  const controller = new AbortController();
  view.render({ model, el: root, signal: controller.signal });
  return { root, model, close: () => controller.abort() };
}

export const press = (el: Element, key: string, more: KeyboardEventInit = {}) =>
  el.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
