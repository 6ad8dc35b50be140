// The runtime of an exported page: stub models that answer from a table, without a kernel. The
// views' own bundles run unchanged on them.
import { canonical } from "../core/canonical.js";
import type { Model } from "../core/wire.js";

interface Recorded {
  name: string;
  payload: Record<string, unknown>;
  answer?: unknown;
  buffers?: { $bytes: string }[];
  error?: { message: string; hint: string };
}

interface PageData {
  views: { bundle: string; traits: Record<string, unknown>; answers: Recorded[] }[];
  bundles: Record<string, string>;
  selection: Record<string, unknown>;
}

type Listener = (...args: any[]) => void;

export class StubModel implements Model {
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly answers = new Map<string, Recorded>();

  constructor(
    private readonly traits: Record<string, unknown>,
    answers: readonly Recorded[] = [],
  ) {
    for (const a of answers) this.answers.set(canonical([a.name, a.payload]), a);
  }

  get(key: string): any {
    return this.traits[key];
  }

  set(key: string, value: unknown): void {
    if (this.traits[key] === value) return;
    this.traits[key] = value;
    this.emit(`change:${key}`);
    this.emit("change");
  }

  save_changes(): void {}

  on(event: string, callback: Listener): void {
    const known = this.listeners.get(event) ?? new Set();
    known.add(callback);
    this.listeners.set(event, known);
  }

  off(event?: string | null, callback?: Listener | null): void {
    if (event && callback) this.listeners.get(event)?.delete(callback);
    else if (event) this.listeners.delete(event);
    else this.listeners.clear();
  }

  send(content: any): void {
    if (content?.kind !== "request") return;
    const { id, name, payload } = content;
    const found = this.answers.get(canonical([name, payload ?? {}]));
    const message = { kind: "response", id };
    queueMicrotask(() => {
      if (found?.error) this.emit("msg:custom", { ...message, ok: false, error: found.error }, []);
      else if (found) {
        const buffers = (found.buffers ?? []).map(bytes);
        this.emit("msg:custom", { ...message, ok: true, payload: found.answer }, buffers);
      } else {
        const error = {
          message: "This page was saved without the model.",
          hint: "Open the notebook to compute something new.",
        };
        this.emit("msg:custom", { ...message, ok: false, error }, []);
      }
    });
  }

  private emit(event: string, ...args: unknown[]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...args);
  }
}

function bytes({ $bytes }: { $bytes: string }): DataView {
  const text = atob($bytes);
  const array = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
  return new DataView(array.buffer);
}

/** Turns {"$bytes": base64} into the DataViews that a notebook would deliver. */
function revive(value: any): any {
  if (Array.isArray(value)) return value.map(revive);
  if (value && typeof value === "object") {
    if (typeof value.$bytes === "string") return bytes(value);
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
  }
  return value;
}

export async function start(data: PageData, main: HTMLElement): Promise<void> {
  const selection = new StubModel({ value: data.selection });
  const host = {
    getModel: async (ref: string) => {
      if (ref === "anywidget:selection") return selection;
      throw new Error(`the page has no widget ${ref}`);
    },
  };
  const modules = new Map<string, Promise<any>>();
  for (const [name, source] of Object.entries(data.bundles)) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    modules.set(name, import(url));
  }
  for (const [index, view] of data.views.entries()) {
    const place = main.querySelector<HTMLElement>(`[data-iw-mount="${index}"]`);
    const el = place ?? main.appendChild(document.createElement("div"));
    const model = new StubModel(revive(view.traits), view.answers);
    const widget = (await modules.get(view.bundle)).default;
    const { signal } = new AbortController();
    await widget.initialize?.({ model, signal });
    await widget.render({ model, el, signal, host });
  }
}

const holder = globalThis.document?.getElementById("iw-data");
const main = globalThis.document?.querySelector("main");
if (holder && main) {
  start(JSON.parse(holder.textContent ?? "{}"), main).catch((error) => {
    const line = document.createElement("p");
    line.setAttribute("role", "alert");
    line.textContent = `This page could not be shown: ${error?.message ?? error}`;
    main.append(line);
  });
}
