// A widget model without a kernel: traits, listeners, and answers to requests.
import type { Model } from "../src/core/wire.js";

type Answer = (payload: any) => unknown;

export interface Fake extends Model {
  sent: any[];
  listeners: Map<string, Set<(...args: any[]) => void>>;
  put(key: string, value: unknown): void;
}

export const words = (values: ArrayLike<number>, dtype: "int32" | "float32") => {
  const data = dtype === "int32" ? Int32Array.from(values) : Float32Array.from(values);
  return new DataView(data.buffer);
};

export function fakeModel(
  traits: Record<string, unknown>,
  answers: Record<string, Answer> = {},
): Fake {
  const state: Record<string, unknown> = {
    status: { phase: "live", message: "" },
    selection: "",
    theme: "light",
    state: {},
    ...traits,
  };
  const listeners: Fake["listeners"] = new Map();
  const emit = (event: string, ...args: any[]) => {
    for (const call of [...(listeners.get(event) ?? [])]) call(...args);
  };
  const fake: Fake = {
    sent: [],
    listeners,
    get: (key) => state[key],
    set(key, value) {
      this.put(key, value);
    },
    put(key, value) {
      state[key] = value;
      emit(`change:${key}`);
    },
    save_changes() {},
    send(message: any) {
      fake.sent.push(message);
      if (message.kind !== "request") return;
      const answer = answers[message.name];
      queueMicrotask(() => {
        const reply = { kind: "response", id: message.id };
        try {
          if (!answer) throw new Error(`no answer for ${message.name}`);
          emit("msg:custom", { ...reply, ok: true, payload: answer(message.payload) }, []);
        } catch (error) {
          const { message: text } = error as Error;
          emit("msg:custom", { ...reply, ok: false, error: { message: text, hint: "" } }, []);
        }
      });
    },
    on(event, call) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event)?.add(call);
    },
    off(event, call) {
      if (event && call) listeners.get(event)?.delete(call);
    },
  };
  return fake;
}

export interface Shown {
  root: HTMLElement;
  model: Fake;
  close(): void;
}

export function show(
  view: { render(props: any): void },
  traits: Record<string, unknown>,
  answers: Record<string, Answer> = {},
): Shown {
  const model = fakeModel(traits, answers);
  const root = document.createElement("div");
  document.body.append(root);
  const controller = new AbortController();
  view.render({ model, el: root, signal: controller.signal });
  return { root, model, close: () => controller.abort() };
}

/** Lets requests, frames and their answers pass. */
export const settle = (ms = 40) => new Promise((done) => setTimeout(done, ms));

export const press = (el: Element, key: string, more: KeyboardEventInit = {}) =>
  el.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
