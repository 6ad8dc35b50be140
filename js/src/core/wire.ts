// Requests to the kernel and the arrays in their answers.
//
//   const wire = new Wire(model, signal);
//   const { values } = await wire.request<{ values: NdArray }>("tile", { row: 0 }, { signal });
//
// request() resolves with the payload in which every {"$buffer": i, dtype, shape} is an NdArray
// already; it rejects with a WireError (message, hint), or with an AbortError when its signal aborts
// and when Python dropped it for a newer one of its name. A wire tells Python when a copy of the view
// opens and closes: what nobody looks at is not run again.

export interface Model {
  get(key: string): any;
  set(key: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  on(event: string, callback: (...args: any[]) => void): void;
  off(event?: string | null, callback?: ((...args: any[]) => void) | null): void;
  /** The host's own; JupyterLab's knows the kernel. */
  widget_manager?: any;
}

/** A C-ordered array. `data` holds the real numbers, scale and offset applied. */
export interface NdArray {
  data: Float32Array | Int32Array;
  shape: number[];
}

export class WireError extends Error {
  constructor(
    message: string,
    readonly hint = "",
  ) {
    super(message);
    this.name = "WireError";
  }
}

interface Descriptor {
  $buffer: number;
  dtype: "float16" | "float32" | "int32" | "uint8" | "bytes";
  shape: number[];
  scale?: number;
  offset?: number;
  /** uint8 only: the code that stands for NaN. */
  nan?: number;
}

let halves: Float32Array | undefined;

/** All 65,536 half floats; works where Float16Array does not exist. */
function halfTable(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const fraction = h & 1023;
    halves[h] =
      exponent === 0
        ? sign * 2 ** -14 * (fraction / 1024)
        : exponent === 31
          ? fraction
            ? Number.NaN
            : sign * Number.POSITIVE_INFINITY
          : sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  }
  return halves;
}

/** A plain loop: Float32Array.from with a function takes thirty times as long. */
function looked(codes: Uint8Array | Uint16Array, table: Float32Array): Float32Array {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < out.length; i++) out[i] = table[codes[i] as number] as number;
  return out;
}

function bytesOf(view: DataView | ArrayBuffer | Uint8Array): ArrayBuffer {
  if (view instanceof ArrayBuffer) return view.slice(0);
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer;
}

function bufferOf(d: Descriptor, buffers: readonly (DataView | ArrayBuffer)[]): ArrayBuffer {
  const raw = buffers[d.$buffer];
  if (raw === undefined) throw new WireError(`the answer lacks buffer ${d.$buffer}`);
  return bytesOf(raw as DataView);
}

export function decodeArray(d: Descriptor, buffers: readonly (DataView | ArrayBuffer)[]): NdArray {
  const bytes = bufferOf(d, buffers);
  const size = d.shape.reduce((a, b) => a * b, 1);
  let data: Float32Array | Int32Array;
  if (d.dtype === "float32") data = new Float32Array(bytes);
  else if (d.dtype === "int32") data = new Int32Array(bytes);
  else if (d.dtype === "float16") data = looked(new Uint16Array(bytes), halfTable());
  else if (d.dtype === "uint8") {
    const { scale = 1, offset = 0, nan } = d;
    const table = Float32Array.from({ length: 256 }, (_, v) => v * scale + offset);
    if (nan !== undefined) table[nan] = Number.NaN;
    data = looked(new Uint8Array(bytes), table);
  } else throw new WireError(`unknown dtype ${String(d.dtype)}`);
  if (data.length !== size) {
    throw new WireError(`${data.length} numbers arrived for the shape [${d.shape.join(", ")}]`);
  }
  return { data, shape: d.shape };
}

/** Replaces every array descriptor in a payload by its NdArray, and files by their bytes. */
export function decode(payload: unknown, buffers: readonly (DataView | ArrayBuffer)[] = []): any {
  if (Array.isArray(payload)) return payload.map((p) => decode(p, buffers));
  if (payload && typeof payload === "object") {
    if ("$buffer" in payload) {
      const described = payload as Descriptor;
      if (described.dtype !== "bytes") return decodeArray(described, buffers);
      return new Uint8Array(bufferOf(described, buffers));
    }
    return Object.fromEntries(
      Object.entries(payload).map(([key, value]) => [key, decode(value, buffers)]),
    );
  }
  return payload;
}

interface Waiting {
  resolve(value: any): void;
  reject(reason: unknown): void;
}

let wires = 0;

export class Wire {
  private waiting = new Map<string, Waiting>();
  private next = 0;
  private readonly prefix: string;

  constructor(
    private readonly model: Model,
    private readonly signal: AbortSignal,
  ) {
    this.prefix = `${Date.now().toString(36)}-${(wires++).toString(36)}-${Math.random()
      .toString(36)
      .slice(2, 8)}`;
    const listen = (message: any, buffers: DataView[]) => this.receive(message, buffers);
    model.on("msg:custom", listen);
    this.post({ kind: "open", copy: this.prefix });
    signal.addEventListener("abort", () => {
      this.post({ kind: "close", copy: this.prefix });
      model.off("msg:custom", listen);
      for (const [id, w] of [...this.waiting]) {
        this.post({ kind: "cancel", id });
        w.reject(abortError());
      }
      this.waiting.clear();
    });
  }

  /** Asks the Python method on_<name>; arrays in the answer are decoded. */
  request<T = any>(
    name: string,
    payload: Record<string, unknown> = {},
    options: { signal?: AbortSignal } = {},
  ): Promise<T> {
    const { signal } = options;
    if (this.signal.aborted || signal?.aborted) return Promise.reject(abortError());
    const id = `${this.prefix}-${this.next++}`;
    return new Promise<T>((resolve, reject) => {
      const leave = () => {
        this.waiting.delete(id);
        this.post({ kind: "cancel", id });
        reject(abortError());
      };
      const done = () => signal?.removeEventListener("abort", leave);
      this.waiting.set(id, {
        resolve: (value) => {
          done();
          resolve(value);
        },
        reject: (reason) => {
          done();
          reject(reason);
        },
      });
      signal?.addEventListener("abort", leave, { once: true });
      if (!this.post({ kind: "request", id, name, payload })) {
        this.waiting.delete(id);
        done();
        reject(new WireError("The kernel is gone.", "Restart it and run the cell again."));
      }
    });
  }

  /** Sends without waiting for an answer; false when there is no kernel. */
  post(content: unknown): boolean {
    try {
      this.model.send(content);
      return true;
    } catch {
      return false;
    }
  }

  private receive(message: any, buffers: DataView[] = []): void {
    if (message?.kind !== "response") return;
    const waiting = this.waiting.get(message.id);
    if (!waiting) return;
    this.waiting.delete(message.id);
    if (!message.ok) {
      const error = message.error ?? {};
      if (error.type === "Cancelled") {
        waiting.reject(abortError());
        return;
      }
      waiting.reject(new WireError(error.message ?? "The request failed.", error.hint ?? ""));
      return;
    }
    try {
      waiting.resolve(decode(message.payload, buffers));
    } catch (error) {
      waiting.reject(error);
    }
  }
}

export function abortError(): DOMException {
  return new DOMException("The view no longer needs the answer.", "AbortError");
}

export function isAbort(error: unknown): boolean {
  return (error as { name?: string } | null)?.name === "AbortError";
}
