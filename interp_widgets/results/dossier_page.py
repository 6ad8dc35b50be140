"""A dossier as text and as a page: ribbon, dial, evidence, detector, limits."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult

if TYPE_CHECKING:
    from interp_widgets.results.dossier import DossierResult

MOST_SCORES = 2000
STEPS = 10_000
"""Of the slider."""
BINS = 50
"""Bars of the detector's scores."""
SECTIONS = (
    ("threat", "Threat"),
    ("benefits", "Benefits of knowing"),
    ("risks", "Risks of knowing"),
)

LIGHT = """--ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --good: #116329; --bad: #b3261e;
  --paper: #fff; --accent: #0550ae;"""
DARK = """--ink: #e6e8eb; --soft: #9aa4af; --line: #3d444d; --good: #5fce7c; --bad: #ff8a80;
  --paper: #0e1013; --accent: #7cb7ff;"""
COLOURS = f"""
.iw-dossier {{ {LIGHT} }}
@media (prefers-color-scheme: dark) {{ .iw-dossier {{ {DARK} }} }}
[data-jp-theme-light="true"] .iw-dossier {{ {LIGHT} }}
[data-jp-theme-light="false"] .iw-dossier {{ {DARK} --paper: var(--jp-layout-color0, #0e1013); }}
"""
"""Of the system's theme, and in JupyterLab of its own."""
STYLE = (
    COLOURS
    + """
.iw-dossier { color: var(--ink); background: var(--paper);
  max-width: 1120px; margin: 0 auto; font: 14px/21px system-ui, -apple-system, "Segoe UI", Roboto,
  sans-serif; }
html:has(.iw-dossier-page) body { margin: 0; padding: 24px 16px; color: #59636e;
  font: 13px/20px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
html:has(.iw-dossier-page) footer { max-width: 1120px; margin: 16px auto 0; }
@media (prefers-color-scheme: dark) { html:has(.iw-dossier-page) body { background: #0e1013;
  color: #9aa4af; } }
.iw-dossier h1 { font-size: 24px; line-height: 30px; margin: 0 0 4px; }
.iw-dossier h2 { font-size: 17px; line-height: 24px; margin: 28px 0 8px; }
.iw-dossier .ribbon { font-weight: 700; font-size: 16px; padding: 8px 12px; border: 2px solid;
  border-left-width: 12px; border-radius: 4px; margin: 12px 0; }
.iw-dossier .ribbon.unverified, .iw-dossier .no { color: var(--bad); }
.iw-dossier .ribbon.verified, .iw-dossier .yes { color: var(--good); }
.iw-dossier .restricted { font-weight: 700; color: var(--bad); }
.iw-dossier .head { display: flex; gap: 28px; align-items: center; flex-wrap: wrap; }
.iw-dossier .head > div { flex: 1 1 340px; min-width: 0; }
.iw-dossier .dial { flex: none; }
.iw-dossier .scroll { overflow-x: auto; }
.iw-dossier .evidence td:first-child { min-width: 200px; }
.iw-dossier .scroll table { border-collapse: collapse; width: 100%; table-layout: auto; }
.iw-dossier .scroll table tr:nth-child(n) { background: none; }
.iw-dossier .scroll th, .iw-dossier .scroll td { text-align: left; vertical-align: top;
  padding: 6px 10px 6px 0;
  border-bottom: 1px solid var(--line); }
.iw-dossier .scroll th { color: var(--soft); font-weight: 600; }
.iw-dossier .scroll td.n, .iw-dossier .scroll th.n { text-align: right;
  font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.iw-dossier td.yes, .iw-dossier td.no { white-space: nowrap; }
.iw-dossier .soft { color: var(--soft); }
.iw-dossier p { margin: 4px 0; }
.iw-dossier ul { margin: 4px 0; padding-left: 20px; }
.iw-dossier .dial text { fill: var(--ink); }
.iw-dossier .slider { display: grid; gap: 4px; max-width: 720px; }
.iw-dossier .slider .plot { position: relative; margin: 0 8px; }
.iw-dossier .slider svg { display: block; width: 100%; height: 120px; }
.iw-dossier .slider .plot span { position: absolute; left: 0; font-size: 12px; line-height: 16px; }
.iw-dossier .slider .plot .above { top: 0; color: var(--accent); }
.iw-dossier .slider .plot .below { bottom: 0; color: var(--soft); }
.iw-dossier input[type=range] { width: 100%; min-height: 24px; margin: 0;
  accent-color: var(--accent); }
.iw-dossier .rates { display: flex; gap: 4px 28px; flex-wrap: wrap;
  font-variant-numeric: tabular-nums; }
.iw-dossier .rates b { font-size: 20px; line-height: 26px; }
.iw-dossier main { display: grid; gap: 20px; }
.iw-dossier main > * { min-width: 0; }
"""
)
SCRIPT = """
(() => {
  const root = document.querySelector(".iw-dossier-page .slider");
  if (!root) return;
  const data = JSON.parse(document.getElementById("iw-dossier-scores").textContent);
  const input = root.querySelector("input");
  const line = root.querySelector("line.threshold");
  const part = (name) => root.querySelector(`[data-rate=${name}]`);
  const share = (scores, t) => 100 * scores.filter((s) => s > t).length / scores.length;
  const show = () => {
    const at = Number(input.value) / Number(input.max);
    const t = data.low + (data.high - data.low) * at;
    const words = {
      threshold: t.toPrecision(3).replace("-", "\u2212"),
      tpr: `${share(data.positive, t).toFixed(1)} %`,
      fpr: `${share(data.negative, t).toFixed(1)} %`,
    };
    for (const [name, text] of Object.entries(words)) part(name).textContent = text;
    for (const end of ["x1", "x2"]) line.setAttribute(end, String(1000 * at));
    input.setAttribute("aria-valuetext", `threshold ${words.threshold}: ${words.tpr} detected, `
      + `${words.fpr} false positives`);
  };
  input.addEventListener("input", show);
  show();
})();
"""


def body(dossier: DossierResult) -> str:
    """Return the page's HTML, with a place for each live view."""
    scores, script = _slider(dossier)
    mounts = "".join(
        f'<section><h3>{_text(part.title)}</h3><div data-iw-mount="{i}"></div></section>'
        for i, part in enumerate(dossier.parts)
    )
    return (
        '<div class="iw-dossier iw-dossier-page">'
        + _inner(dossier, scores)
        + "<h2>Evidence, live</h2>"
        + f"<main>{mounts}</main></div>{script}"
    )


def inline(dossier: DossierResult) -> str:
    """Return the dossier's HTML for a notebook's output."""
    return f'<div class="iw-dossier">{_inner(dossier, "")}</div>'


def _inner(dossier: DossierResult, slider: str) -> str:
    meta, rules = dossier.meta, dossier.rules
    met = sum(rule["met"] for rule in rules)
    words = f"{dossier.status.upper()} · {met} of {len(rules)} rules met"
    if dossier.failures:
        words += f" · {len(dossier.failures)} failures found, see limits"
    parts = [
        '<div class="head"><div>',
        f"<h1>{_text(meta['behaviour'])}</h1>",
        f'<div class="soft">Safety dossier of {_text(meta["model"].get("name", "a model"))}</div>',
        f'<div class="ribbon {dossier.status}" role="status">{words}</div>',
        _restriction(dossier),
        "</div>",
        dial(dossier.coverage, float(meta.get("coverage_needed", 0.8))),
        "</div>",
    ]
    for key, title in SECTIONS:
        said = str(meta.get(key, "")).strip()
        content = f"<p>{_text(said)}</p>" if said else '<p class="no">Not stated.</p>'
        parts.append(f"<h2>{title}</h2>{content}")
    parts.append("<h2>Evidence</h2>" + _evidence(dossier))
    if slider:
        parts.append("<h2>Detector</h2>" + slider)
    parts.append(_side_effects(dossier))
    parts.append("<h2>Rules</h2>" + _rules(rules))
    gaps = dossier.gaps or ["None known; that is not to say that there are none."]
    parts.append("<h2>Open gaps</h2>" + _list(gaps))
    parts.append("<h2>Limits</h2>" + _list(dossier.limits))
    return "".join(parts)


def dial(coverage: dict[str, Any] | None, needed: float) -> str:
    """Return the coverage as an SVG dial, with its 95 % limits and what the rules ask for."""

    def at(share: float, radius: float) -> str:
        angle = math.pi * (1 - share)
        return f"{96 + radius * math.cos(angle):.1f} {96 - radius * math.sin(angle):.1f}"

    def arc(end: float, colour: str) -> str:
        path = f"M {at(0, 70)} A 70 70 0 0 1 {at(end, 70)}"
        return f'<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="16"/>'

    def mark(share: float, inner: int, outer: int, colour: str) -> str:
        path = f"M {at(share, inner)} L {at(share, outer)}"
        return f'<path d="{path}" stroke="var(--{colour})" stroke-width="2"/>'

    def words(y: int, text: str, size: int = 13) -> str:
        weight = ' font-weight="700"' if size > 13 else ""
        return f'<text x="96" y="{y}" text-anchor="middle" font-size="{size}"{weight}>{text}</text>'

    parts = [arc(1, "line")]
    if coverage is None:
        title = f"no coverage measured, {needed:.0%} needed"
        parts += [words(90, "?", 26), words(114, "no coverage measured")]
    else:
        value, low, high = (min(1.0, max(0.0, coverage[k])) for k in ("value", "low", "high"))
        limits = f"95 % limits {coverage['low']:.1%} to {coverage['high']:.1%}"
        title = f"coverage {coverage['value']:.1%}, {limits}, {needed:.0%} needed"
        parts += [arc(max(value, 0.001), "accent"), mark(low, 58, 82, "ink")]
        parts += [mark(high, 58, 82, "ink"), words(90, f"{coverage['value']:.0%}", 26)]
        parts.append(words(114, "of the behaviour"))
        parts.append(words(132, f"95 %: {coverage['low']:.0%} to {coverage['high']:.0%}"))
    parts += [mark(needed, 80, 90, "bad"), words(150, f"needed: {needed:.0%} (red)")]
    return (
        f'<svg class="dial" role="img" aria-label="{_text(title)}" viewBox="0 0 192 156" '
        f'width="192" height="156">{"".join(parts)}</svg>'
    )


def markdown(dossier: DossierResult) -> str:
    """Return the dossier as Markdown."""
    meta = dossier.meta
    lines = [f"# {meta['behaviour']}", "", f"**{dossier.status.upper()}**", ""]
    if dossier.restricted:
        lines += [f"**RESTRICTED**: {_reason(dossier)}", ""]
    for key, title in SECTIONS:
        lines += [f"## {title}", "", str(meta.get(key, "")).strip() or "Not stated.", ""]
    lines += [
        "## Evidence",
        "",
        "| what | number | null | status | reason |",
        "|---|---|---|---|---|",
    ]
    for row in dossier.rows:
        cells = [row["statistic"], _number(row), _null(row), row["status"], row["reason"]]
        lines.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
    lines += ["", "## Rules", ""]
    lines += [f"- [{'x' if r['met'] else ' '}] {r['rule']}: {r['why']}" for r in dossier.rules]
    for title, items in (("Open gaps", dossier.gaps), ("Limits", dossier.limits)):
        lines += ["", f"## {title}", "", *(f"- {item}" for item in items)]
    return "\n".join(lines) + "\n"


def _restriction(dossier: DossierResult) -> str:
    if not dossier.restricted:
        return '<div class="soft">Dual use: none found.</div>'
    return f'<div class="restricted">RESTRICTED: {_text(_reason(dossier))}</div>'


def _reason(dossier: DossierResult) -> str:
    use = str(dossier.meta.get("dual_use", "not assessed"))
    note = str(dossier.meta.get("dual_use_note", "")).strip()
    said = "dual use was not assessed" if use == "not assessed" else f"dual use, it {use}"
    return f"{said}. {note}".strip() if note else f"{said}."


def _evidence(dossier: DossierResult) -> str:
    head = "".join(f"<th>{h}</th>" for h in ("what", "number", "null", "kind", "status", "why"))
    rows = []
    for row in dossier.rows:
        good = row["status"] == "verified"
        kind = ", ".join(str(row[k]) for k in ("causal_nature", "scope", "phase") if row.get(k))
        note = f'<div class="soft">{_text(row["note"])}</div>' if row.get("note") else ""
        rows.append(
            f'<tr><td>{_text(row["statistic"])}<div class="soft">{_text(row["title"])}</div>{note}'
            f'</td><td class="n">{_text(_number(row))}</td><td class="n">{_text(_null(row))}</td>'
            f"<td>{_text(kind)}</td>"
            f'<td class="{"yes" if good else "no"}">{_text(row["status"])}</td>'
            f"<td>{_text(row['reason'])}</td></tr>"
        )
    return (
        f'<div class="scroll"><table class="evidence"><tr>{head}</tr>{"".join(rows)}</table></div>'
    )


def _rules(rules: list[dict[str, Any]]) -> str:
    rows = "".join(
        f'<tr><td class="{"yes" if r["met"] else "no"}">{"met" if r["met"] else "not met"}</td>'
        f'<td>{_text(r["rule"])}</td><td class="soft">{_text(r["why"])}</td></tr>'
        for r in rules
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _side_effects(dossier: DossierResult) -> str:
    part = _part(dossier, "measure", "action")
    if part is None:
        return ""
    labels, values = part.meta["labels"], part.numpy("values")
    names = "".join(f'<th class="n">{_text(name)}</th>' for name in labels["action"])
    head = f"<th></th>{names}"
    rows = "".join(
        f"<tr><td>{_text(part.meta['what'].get(name, name))}</td>"
        + "".join(f'<td class="n">{x:.3f}</td>' for x in row)
        + "</tr>"
        for name, row in zip(labels["measure"], values, strict=True)
    )
    said = f'<p class="soft">Chosen on other inputs: {_text(part.meta["best"])}.</p>'
    return (
        f'<h2>Side effects of control</h2>{said}<div class="scroll"><table><tr>{head}</tr>{rows}'
        "</table></div>"
    )


def _slider(dossier: DossierResult) -> tuple[str, str]:
    """Return the threshold's slider, and the script that makes it speak."""
    part = next(
        (p for p in dossier.parts if isinstance(p, ArrayResult) and "scores_positive" in p.arrays),
        None,
    )
    if part is None:
        return "", ""
    high, low = (part.numpy(f"scores_{k}")[:MOST_SCORES] for k in ("positive", "negative"))
    ends = float(min(high.min(), low.min())), float(max(high.max(), low.max()))
    span = max(ends[1] - ends[0], 1e-12)
    low_end, high_end = ends[0] - 0.01 * span, ends[1] + 0.01 * span
    at = round(STEPS * (part.meta["detector"]["threshold"] - low_end) / (high_end - low_end))
    data = {
        "positive": [round(float(x), 5) for x in high],
        "negative": [round(float(x), 5) for x in low],
        "low": low_end,
        "high": high_end,
    }
    rates = "".join(
        f'<span>{words} <b data-rate="{name}"></b></span>'
        for name, words in (
            ("threshold", "threshold"),
            ("tpr", "detected (TPR)"),
            ("fpr", "false positives (FPR)"),
        )
    )
    slider = (
        f'<div class="slider"><div class="plot">{_histograms(high, low, low_end, high_end)}'
        f'<span class="above">{len(high)} inputs with the behaviour</span>'
        f'<span class="below">{len(low)} without it</span></div>'
        '<label class="soft" for="iw-dossier-threshold">Threshold of the detector; what scores '
        "above it counts as detected. All inputs were held out.</label>"
        f'<input id="iw-dossier-threshold" type="range" min="0" max="{STEPS}" value="{at}">'
        f'<output class="rates" for="iw-dossier-threshold">{rates}</output></div>'
    )
    payload = json.dumps(data).replace("<", "\\u003c")
    script = (
        f'<script type="application/json" id="iw-dossier-scores">{payload}</script>'
        f"<script>{SCRIPT}</script>"
    )
    return slider, script


def _histograms(above: np.ndarray, below: np.ndarray, low: float, high: float) -> str:
    """Return the scores of both groups as bars, one upwards, one downwards, with the threshold."""
    bars = []
    for scores, colour, sign in ((above, "accent", 1), (below, "soft", -1)):
        counts, edges = np.histogram(scores, bins=BINS, range=(low, high))
        places = 1000 * (edges - low) / (high - low)
        for x, end, size in zip(places, places[1:], 54 * counts / counts.max(), strict=False):
            if size:
                bars.append(
                    f'<rect x="{x + 1:.1f}" y="{60 - max(size * sign, 0):.1f}" '
                    f'width="{end - x - 2:.1f}" height="{size:.1f}" fill="var(--{colour})"/>'
                )
    return (
        '<svg viewBox="0 0 1000 120" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(bars)}<path d="M 0 60 H 1000" stroke="var(--line)"/>'
        '<line class="threshold" y1="0" y2="120" stroke="var(--bad)" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def _part(dossier: DossierResult, *dims: str) -> ArrayResult | None:
    for part in dossier.parts:
        if isinstance(part, ArrayResult) and part.meta["dims"] == list(dims):
            return part
    return None


def _list(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"


def _number(row: dict[str, Any]) -> str:
    if row.get("value") is None:
        return "none"
    limits = (
        f" ({row['low']:.3g} to {row['high']:.3g})"
        if row.get("low") is not None and row.get("high") is not None
        else ""
    )
    return f"{row['value']:.3g}{limits}"


def _null(row: dict[str, Any]) -> str:
    if not row.get("null"):
        return "none"
    return f"{np.mean(row['null']):.3g}, p = {row['p']:.2g}"


def _text(value: Any) -> str:
    return html.escape(str(value))
