// Light or dark, asked in the order that works in every host: the `theme` trait, the host's own
// attributes, the luminance of the inherited text colour, the system's preference.

export type Theme = "light" | "dark";

export function themeOf(el: Element, wish: string): Theme {
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
  return matchMedia?.("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Calls back now and whenever the host changes its theme. */
export function followTheme(
  el: Element,
  wish: () => string,
  signal: AbortSignal,
  call: (theme: Theme) => void,
): () => void {
  let last: Theme | undefined;
  const check = () => {
    const theme = themeOf(el, wish());
    if (theme !== last) call((last = theme));
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
  const media = matchMedia?.("(prefers-color-scheme: dark)");
  media?.addEventListener?.("change", check, { signal });
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
