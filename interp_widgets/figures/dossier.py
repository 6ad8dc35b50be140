"""A dossier on paper: the ribbon, coverage, and its numbers beside their nulls."""

from __future__ import annotations

import matplotlib.figure
from matplotlib.patches import Rectangle

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.findings import key, key_height, row_height, strips
from interp_widgets.figures.style import Style
from interp_widgets.results.dossier import DossierResult

GOOD, BAD = "#116329", "#b3261e"


@renderer("dossier")
def draw(
    result: DossierResult, style: Style, notes: list[str], *, most: int = 12
) -> matplotlib.figure.Figure:
    """Draw the dossier.

    Parameters
    ----------
    most
        Rows of evidence that are drawn; the caption says how many there are.
    """
    found = [
        {**row, "hypothesis": "✓" if row["status"] == "verified" else "?"}
        for row in result.rows
        if row.get("value") is not None and row.get("null")
    ]
    shown = found[:most]
    band = 0.1 + 2.2 * style.small / 72
    height = band + key_height(style) + row_height(style) * max(1, len(shown)) + 0.05
    figure = new_figure(style, height)
    figure.set_layout_engine("none")
    top = 1 - band / height
    colour = GOOD if result.verified else BAD
    figure.add_artist(
        Rectangle((0, top), 1, 1 - top, facecolor=colour, linewidth=0, transform=figure.transFigure)
    )
    rules = result.rules
    words = f"{result.status.upper()}: {sum(r['met'] for r in rules)} of {len(rules)} rules met"
    if result.restricted:
        words += " · RESTRICTED"
    figure.text(
        0.012,
        (1 + top) / 2,
        words,
        color="white",
        va="center",
        fontsize=style.small + 1,
        fontweight="bold",
    )
    if shown:
        key(figure, style, top=top - 0.03 / height)
        strips(figure, shown, style, top=top - (0.03 + key_height(style)) / height)
    else:
        figure.text(0.012, top / 2, "no number with a null", fontsize=style.small, va="center")
    if len(found) > most:
        notes.append(f"{most} of {len(found)} numbers are drawn")
    rest = len(result.rows) - len(found)
    if rest:
        notes.append(f"{rest} pieces of evidence have no number")
    notes.append(
        "✓: an intervention tested above its null on inputs held out; ?: not verified. Grey: the "
        "null; lines: 95 % limits"
    )
    notes += result.limits
    return figure
