// A cache of answers by key that asks only for what is on the screen.
//
//   const tiles = new Tiles((key, signal) => view.request("tile", { … }, { signal }),
//                           { done: draw, failed: (e) => view.report(e) });
//   tiles.show(["0,0", "0,1"]);      // asks for the missing ones, cancels those no longer shown
//   tiles.get("0,0");                // the answer, or undefined while it is under way
//   tiles.clear();                   // a new revision: ask again for everything
//   tiles.stale("0,0");              // what stood there before clear(), to draw meanwhile
//
// The last `keep` answers stay, least recently shown out first. With `atOnce`, only so many requests
// are on their way: a kernel reads its messages in order, so what waits here can still be dropped
// when it leaves the screen, and what was sent cannot.

export interface TilesOptions {
  done(): void;
  failed(error: unknown): void;
  keep?: number;
  atOnce?: number;
}

export class Tiles<T> {
  private cache = new Map<string, T>();
  private old = new Map<string, T>();
  private readonly asked = new Map<string, AbortController>();
  private queue: string[] = [];

  constructor(
    private readonly load: (key: string, signal: AbortSignal) => Promise<T>,
    private readonly options: TilesOptions,
  ) {}

  get(key: string): T | undefined {
    const found = this.cache.get(key);
    if (found !== undefined) {
      this.cache.delete(key);
      this.cache.set(key, found);
    }
    return found;
  }

  put(key: string, value: T): void {
    this.cache.set(key, value);
    const keep = this.options.keep ?? 64;
    for (const old of this.cache.keys()) {
      if (this.cache.size <= keep) break;
      this.cache.delete(old);
    }
  }

  stale(key: string): T | undefined {
    return this.old.get(key);
  }

  get waiting(): number {
    return this.asked.size;
  }

  show(keys: readonly string[]): void {
    const wanted = new Set(keys);
    for (const [key, controller] of [...this.asked]) {
      if (wanted.has(key)) continue;
      this.asked.delete(key);
      controller.abort();
    }
    this.queue = [...wanted].filter((key) => !this.cache.has(key) && !this.asked.has(key));
    this.pump();
  }

  private pump(): void {
    const most = this.options.atOnce ?? Number.POSITIVE_INFINITY;
    while (this.queue.length && this.asked.size < most) this.ask(this.queue.shift() as string);
  }

  clear(): void {
    for (const controller of this.asked.values()) controller.abort();
    this.asked.clear();
    this.queue = [];
    if (this.cache.size) this.old = this.cache;
    this.cache = new Map();
  }

  private ask(key: string): void {
    const controller = new AbortController();
    this.asked.set(key, controller);
    this.load(key, controller.signal).then(
      (value) => {
        if (this.asked.get(key) !== controller) return;
        this.asked.delete(key);
        this.put(key, value);
        this.pump();
        this.options.done();
      },
      (error) => {
        if (this.asked.get(key) !== controller) return;
        this.asked.delete(key);
        this.pump();
        this.options.failed(error);
      },
    );
  }
}
