// What a view has to know of the notebook around it.
import type { Model } from "./wire.js";

/**
 * JupyterLab listens to keys before any element does, and looks upwards from the focused element
 * for the one that asks it not to: it must be that element itself, because most of its shortcuts
 * match there already. While the focus is inside the view, plain
 * keys belong to the view and chords such as Shift+Enter or Ctrl+S to the notebook. All keys are
 * the notebook's again when the view itself has the focus, as it has after Escape.
 */
export function keepKeys(el: HTMLElement, signal: AbortSignal): void {
  const listen = (event: KeyboardEvent) => {
    if (!event.composedPath().includes(el)) return;
    const chord = event.ctrlKey || event.metaKey || event.altKey;
    const runs = event.shiftKey && event.key === "Enter";
    const target = event.composedPath()[0] as Element;
    const inside = target !== el;
    const undoes = event.key === "z" && target.closest("[data-iw-undoes]") !== null;
    const kept = !chord || undoes || ["Home", "End"].includes(event.key);
    const own = inside && kept && !runs;
    for (const node of [el, target]) node.toggleAttribute("data-lm-suppress-shortcuts", own);
  };
  window.addEventListener("keydown", listen, { capture: true, signal });
}

const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);

/** Calls back when the notebook says that the widget lost its kernel. */
export function watchKernel(
  model: Model,
  el: Element,
  gone: () => void,
  signal: AbortSignal,
): void {
  const check = () => {
    if (el.closest(".jupyter-widgets-disconnected")) gone();
  };
  const observer = new MutationObserver(check);
  let node = el.parentElement;
  for (let depth = 0; node && depth < 3; node = node.parentElement, depth++) {
    observer.observe(node, { attributes: true, attributeFilter: ["class"] });
  }
  check();
  // JupyterLab's widget manager knows its kernel; other hosts have none there.
  const { statusChanged } = model.widget_manager?.kernel ?? {};
  const heard = (_kernel: unknown, status: string) => {
    if (GONE.has(status)) gone();
  };
  statusChanged?.connect?.(heard);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    statusChanged?.disconnect?.(heard);
  });
}
