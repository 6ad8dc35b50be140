// Light or dark, asked in the order that works in every host: the system's forced colours, the
// `theme` trait, the host's own attributes, the luminance of the inherited text colour, the system's
// preference.

export type Theme = "light" | "dark";

const DARK = "(prefers-color-scheme: dark)";
const FORCED = "(forced-colors: active)";
const MORE = "(prefers-contrast: more)";
const asks = (query: string): boolean => globalThis.matchMedia?.(query).matches ?? false;

/** Whether the reader asked the system for more contrast. */
export const moreContrast = (): boolean => asks(MORE);

export function themeOf(el: Element, wish: string): Theme {
  // What a canvas draws must stand on the background that the system forces.
  if (asks(FORCED)) return asks(DARK) ? "dark" : "light";
  if (wish === "light" || wish === "dark") return wish;
  const body = document.body;
  const jupyter = body?.getAttribute("data-jp-theme-light");
  if (jupyter) return jupyter === "true" ? "light" : "dark";
  const code = body?.getAttribute("data-vscode-theme-kind");
  if (code) return code.includes("light") ? "light" : "dark";
  for (const node of [body, document.documentElement]) {
    const named = node?.getAttribute("data-theme") ?? node?.getAttribute("data-bs-theme");
    if (named === "light" || named === "dark") return named;
    if (node?.classList.contains("dark") || node?.classList.contains("dark-theme")) return "dark";
  }
  const text = luminance(getComputedStyle(el.parentElement ?? el).color);
  if (text !== null && text !== 0) return text > 0.45 ? "dark" : "light";
  return asks(DARK) ? "dark" : "light";
}

/** Calls back now and whenever the host changes its theme, or the reader the contrast. */
export function followTheme(
  el: Element,
  wish: () => string,
  signal: AbortSignal,
  call: (theme: Theme) => void,
): () => void {
  let last = "";
  const check = () => {
    const theme = themeOf(el, wish());
    const now = `${theme} ${moreContrast()}`;
    if (now === last) return;
    last = now;
    call(theme);
  };
  const observer = new MutationObserver(check);
  for (const node of [document.body, document.documentElement]) {
    observer.observe(node, {
      attributes: true,
      attributeFilter: [
        "class",
        "style",
        "data-theme",
        "data-bs-theme",
        "data-jp-theme-light",
        "data-jp-theme-name",
        "data-vscode-theme-kind",
      ],
    });
  }
  for (const query of [DARK, FORCED, MORE]) {
    globalThis.matchMedia?.(query).addEventListener?.("change", check, { signal });
  }
  signal.addEventListener("abort", () => observer.disconnect());
  check();
  return check;
}

function luminance(color: string): number | null {
  const parts = color.match(/[\d.]+/g)?.map(Number);
  if (!parts || parts.length < 3) return null;
  const [r = 0, g = 0, b = 0] = parts;
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}
