// A model without a notebook: a map of traits, a map of listeners, what was sent.
import { vi } from "vitest";
import type { Model } from "../src/core/wire.js";

export class FakeModel implements Model {
  /** Requests and errors; not that a copy opened or closed, which `copies` counts. */
  readonly sent: any[] = [];
  copies = 0;
  readonly listeners = new Map<string, Set<(...args: any[]) => void>>();
  save_changes = vi.fn();
  /** Answers a request at once; leave undefined to answer by hand with respond(). */
  handler: ((name: string, payload: any) => any) | undefined;
  gone = false;

  constructor(readonly traits: Record<string, any> = {}) {}

  get(key: string): any {
    return this.traits[key];
  }

  set(key: string, value: unknown): void {
    if (this.traits[key] === value) return;
    this.traits[key] = value;
    this.emit(`change:${key}`);
  }

  on(event: string, callback: (...args: any[]) => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(callback));
  }

  off(event?: string | null, callback?: ((...args: any[]) => void) | null): void {
    if (event && callback) this.listeners.get(event)?.delete(callback);
  }

  send(content: any): void {
    if (this.gone) throw new Error("Cannot send");
    if (content.kind === "open" || content.kind === "close") {
      this.copies += content.kind === "open" ? 1 : -1;
      return;
    }
    this.sent.push(content);
    if (content.kind !== "request" || !this.handler) return;
    const { id } = content;
    try {
      const { $buffers = [], ...payload } = this.handler(content.name, content.payload) ?? {};
      queueMicrotask(() => this.respond({ id, ok: true, payload }, $buffers));
    } catch (error) {
      const { message } = error as Error;
      queueMicrotask(() => this.respond({ id, ok: false, error: { message, hint: "" } }));
    }
  }

  respond(message: any, buffers: DataView[] = []): void {
    this.emit("msg:custom", { kind: "response", ...message }, buffers);
  }

  emit(event: string, ...args: unknown[]): void {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args);
  }

  get listening(): number {
    return [...this.listeners.values()].reduce((n, set) => n + set.size, 0);
  }
}

export function words(values: ArrayLike<number>, dtype: "int32" | "float32"): DataView {
  const data = dtype === "int32" ? Int32Array.from(values) : Float32Array.from(values);
  return new DataView(data.buffer);
}

export const view32 = (...numbers: number[]): DataView => words(numbers, "float32");

/** Waits `ms`, until the next frames were drawn, and for all promises that are ready. */
export async function settle(ms = 0): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => requestAnimationFrame(() => resolve(undefined)));
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

export const SPEC = {
  kind: "array",
  title: "resid_post",
  alt: "a title",
  recipe: "",
  interventions: [],
  revision: 0,
  changed: false,
  live: true,
  first: {},
  buffers: [],
};
