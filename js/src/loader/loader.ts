// What a notebook evaluates for every view: the view's own script is evaluated once a page.
//
// A front end evaluates the module of each widget anew and can never let go of a module, so that
// running a cell again would cost a whole bundle each time.
import type { Model } from "../core/wire.js";

interface Props {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
}

interface Script {
  default: { render(props: Props): unknown };
}

const KEY = Symbol.for("interp_widgets.scripts");

function scripts(): Map<string, Promise<Script>> {
  const page = globalThis as unknown as Record<symbol, Map<string, Promise<Script>> | undefined>;
  page[KEY] ??= new Map();
  return page[KEY];
}

function load(model: Model): Promise<Script> {
  const name = String(model.get("script_name"));
  const known = scripts().get(name);
  if (known) return known;
  const url = URL.createObjectURL(new Blob([model.get("script")], { type: "text/javascript" }));
  const made: Promise<Script> = import(url).finally(() => URL.revokeObjectURL(url));
  scripts().set(name, made);
  made.catch(() => scripts().delete(name));
  return made;
}

export default {
  async render(props: Props): Promise<void> {
    const script = await load(props.model);
    if (!props.signal.aborted) script.default.render(props);
  },
};
