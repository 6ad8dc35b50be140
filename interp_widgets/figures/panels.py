"""Several results in one figure: panels with letters, one caption, and a shared colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from interp_widgets.figures import glyphs
from interp_widgets.figures.axes import LateSubplots
from interp_widgets.figures.figure import Figure, sentences
from interp_widgets.figures.labels import escape
from interp_widgets.figures.scale import SharedScale
from interp_widgets.figures.screen import wrapped
from interp_widgets.figures.style import Style, style_for
from interp_widgets.results.base import Result
from interp_widgets.results.registry import FIGURES

if TYPE_CHECKING:
    import pandas as pd

GAP = 0.12
"""Inches between two panels."""
LONGEST_BAR = 2.4
"""Inches of the longest shared colour bar."""
STRETCH = 2.0
"""A panel grows to the height of its row, up to this many times its own."""


class Region(LateSubplots, matplotlib.figure.SubFigure):
    """A part of a figure that a renderer may treat as a figure of its own."""

    def get_size_inches(self) -> np.ndarray:
        """Return width and height in inches."""
        return np.asarray(self.bbox.size) / self.figure.dpi

    def set_layout_engine(self, *_engine: Any, **_options: Any) -> None:
        """Do nothing: the layout is that of the whole figure."""

    def part(self, spec: Any) -> Region:
        """Return the region at a place of a grid on this one."""
        return _region(self, spec)

    def top(self, height: float) -> Region:
        """Return the top ``height`` inches, or the whole where it is lower."""
        rest = float(self.get_size_inches()[1]) - height
        if rest < 0.01:
            return self
        return self.part(self.add_gridspec(2, 1, height_ratios=[height, rest])[0])


def _region(parent: Any, spec: Any) -> Region:
    region = Region(parent, spec)
    parent.subfigs.append(region)
    return region


@dataclass
class Panel:
    """What stands in one panel."""

    result: Result
    options: dict[str, Any]
    letter: str
    caption: str
    width: float = 0.0
    height: float = 0.0
    notes: list[str] | None = None
    region: Region | None = None

    def draw(self, style: Style, notes: list[str]) -> matplotlib.figure.Figure:
        """Draw with the renderer of the result's kind."""
        drawn: matplotlib.figure.Figure = FIGURES.get(self.result.kind).draw(
            self.result, style, notes, **self.options
        )
        return drawn


class PanelFigure(Figure):
    """Several results in one figure; ``panels`` has them in reading order."""

    def __init__(self, drawn: matplotlib.figure.Figure, panels: list[Panel], style: Style) -> None:
        notes = [f"({p.letter}) {note}" for p in panels for note in p.notes or []]
        super().__init__(drawn, panels[0].result, style, notes)
        self.panels = panels

    @property
    def title(self) -> str:
        """The titles of the panels."""
        return "; ".join(dict.fromkeys(p.result.title for p in self.panels))

    @property
    def alt_text(self) -> str:
        """What each panel shows, for a reader who cannot see it."""
        return sentences([f"({p.letter}) {p.result.alt_text()}" for p in self.panels])

    @property
    def caption(self) -> str:
        """A caption to start from: each panel's words and notes, then how they were made."""
        alike = set.intersection(*(set(p.notes or []) for p in self.panels))
        parts = []
        for p in self.panels:
            own = [note for note in p.notes or [] if note not in alike]
            parts += [f"({p.letter}) {p.caption or p.result.title}", *own]
        parts += [note for note in self.panels[0].notes or [] if note in alike]
        made = dict.fromkeys(str(p.result.recipe) for p in self.panels if p.result.recipe)
        return sentences([*parts, *(f"Made with {recipe}" for recipe in made)])

    @property
    def data(self) -> pd.DataFrame:
        """The numbers of all panels; the column ``panel`` has the letter."""
        import pandas as pd

        frames = [p.result.frame().assign(panel=p.letter) for p in self.panels]
        return pd.concat(frames, ignore_index=True)

    @property
    def provenance(self) -> dict[str, Any]:
        """The recipe of each panel by its letter."""
        from dataclasses import asdict

        return {p.letter: asdict(p.result.recipe) if p.result.recipe else {} for p in self.panels}

    def grey_report(self) -> dict[str, Any]:
        """Say whether every panel can be read in black and white; the reports by letter."""
        reports = {
            p.letter: Figure(self.mpl, p.result, self.style, p.notes or []).grey_report()
            for p in self.panels
        }
        return {
            "signed": any(r["signed"] for r in reports.values()),
            "legible": all(r["legible"] for r in reports.values()),
            "panels": reports,
        }


def panels(
    rows: Sequence[Sequence[Any]],
    venue: str | None = None,
    width: str | float = "text",
    *,
    share: Literal["rows", "all"] | None = None,
    ratios: Sequence[Sequence[float]] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> PanelFigure:
    """Put several results into one figure with letters (a), (b), (c).

    Every panel is drawn at its final size, so text keeps its size and lines their width.

    Parameters
    ----------
    rows
        Lists of results, views (as they stand now) or figures (with their options; their own
        venue and width do not count). Rows may differ in length.
    venue, width
        As in :meth:`Result.figure`; the width is that of the whole figure, ``"text"`` by default.
    share
        One colour scale per row (``"rows"``) or for everything (``"all"``), so that colours can be
        compared; None (default) leaves each panel its own.
    ratios
        Relative widths of the panels of each row; equal by default.
    captions
        A few words for each panel; they stand beside its letter and in the caption.

    Returns
    -------
    PanelFigure
        With ``.save(path)``, ``.latex(path)``, one ``.caption``, ``.alt_text`` and ``.data``, and
        all recipes inside the file.

    Raises
    ------
    ValueError
        Without a panel, for ratios or captions of another shape, for panels that would be narrower
        than an inch, and for a scale shared by different quantities.

    Examples
    --------
    >>> figure = iw.panels([[residual, heads], [lens]], venue="icml", share="rows")
    >>> figure.save("patching.pdf")
    """
    if share not in (None, "rows", "all"):
        raise ValueError(f"share is 'rows', 'all' or None, not {share!r}")
    style = style_for(venue, width)
    grid = _grid(rows, ratios, captions, style, share)
    scales = {"rows": [SharedScale() for _ in grid], "all": [SharedScale()] * len(grid)}.get(
        share or "", [None] * len(grid)
    )
    with mpl.rc_context(style.rc), glyphs.quiet():
        for row, scale in zip(grid, scales, strict=True):
            for panel in row:
                measured = panel.draw(replace(style, width=panel.width, scale=scale), [])
                panel.height = float(measured.get_size_inches()[1])
        for scale in filter(None, scales):
            scale.settle()
        drawn = _compose(grid, scales, style)
    return PanelFigure(drawn, [panel for row in grid for panel in row], style)


def _grid(
    rows: Sequence[Sequence[Any]],
    ratios: Sequence[Sequence[float]] | None,
    captions: Sequence[Sequence[str]] | None,
    style: Style,
    share: str | None,
) -> list[list[Panel]]:
    if not rows or not all(rows):
        raise ValueError("give rows of panels, for example [[first, second], [third]]")
    for name, given in (("ratios", ratios), ("captions", captions)):
        if given is not None and [len(r) for r in given] != [len(r) for r in rows]:
            raise ValueError(f"{name} has the shape of the rows: {[len(r) for r in rows]}")
    room = style.width - (_bar(style) if share else 0.0)
    letters = iter(ascii_lowercase)
    grid = []
    for i, row in enumerate(rows):
        relative = np.asarray(ratios[i] if ratios else [1.0] * len(row), dtype=float)
        if not (relative > 0).all():
            raise ValueError(f"ratios are positive numbers, not {list(relative)}")
        widths = (room - GAP * (len(row) - 1)) * relative / relative.sum()
        if widths.min() < 1:
            raise ValueError(
                f"{len(row)} panels beside one another at {style.width:.2f} in would be narrower "
                "than an inch: use more rows or a larger width"
            )
        made = []
        for j, item in enumerate(row):
            result, options = _unpack(item)
            letter = next(letters, None)
            if letter is None:
                raise ValueError("a figure has at most 26 panels")
            words = captions[i][j] if captions else ""
            made.append(Panel(result, options, letter, words, float(widths[j])))
        grid.append(made)
    return grid


def _unpack(item: Any) -> tuple[Result, dict[str, Any]]:
    if isinstance(item, Result):
        return item, {}
    if isinstance(item, PanelFigure):
        raise TypeError("panels cannot hold panels: list the results themselves")
    if isinstance(item, Figure):
        return item.result, item.options
    if hasattr(item, "figure_result") and hasattr(item, "figure_options"):
        return item.figure_result(), item.figure_options()
    raise TypeError(f"a panel is a result, a view or a figure, not {type(item).__name__}")


def _bar(style: Style) -> float:
    """Inches that a shared colour bar takes, with its numbers and two lines of its name."""
    return 0.22 + 6.6 * style.small / 72


def _strip(style: Style) -> float:
    return float(style.rc["font.size"]) * 1.45 / 72


def _compose(
    grid: list[list[Panel]], scales: Sequence[SharedScale | None], style: Style
) -> matplotlib.figure.Figure:
    """Draw every panel in its region; heights in inches were measured before."""
    strip = _strip(style)
    heights = [max(p.height for p in row) + strip for row in grid]
    lines = [h for height in heights for h in (height, GAP)][:-1]
    figure = matplotlib.figure.Figure(figsize=(style.width, sum(lines)))
    shared = any(s is not None for s in scales)
    columns = [style.width - _bar(style), _bar(style)] if shared else [style.width]
    outer = figure.add_gridspec(len(lines), len(columns), height_ratios=lines, width_ratios=columns)
    for i, (row, scale) in enumerate(zip(grid, scales, strict=True)):
        band = _region(figure, outer[2 * i, 0])
        widths = [w for p in row for w in (p.width, GAP)][:-1]
        inner = band.add_gridspec(
            2, len(widths), width_ratios=widths, height_ratios=[strip, heights[i] - strip]
        )
        for j, panel in enumerate(row):
            _letter(band.part(inner[0, 2 * j]), panel, style)
            panel.notes = []
            region = band.part(inner[1, 2 * j]).top(STRETCH * panel.height)
            panel.region = region
            panel.draw(replace(style, width=panel.width, region=region, scale=scale), panel.notes)
    bars = []
    for scale in dict.fromkeys(filter(None, scales)):
        mine = [i for i, s in enumerate(scales) if s is scale]
        if scale.artist is None:
            continue
        region = _region(figure, outer[2 * mine[0] : 2 * mine[-1] + 1, -1])
        sharing = [panel for i in mine for panel in grid[i]]
        bars.append((_add_bar(region, scale, style), scale.label or "", sharing))
    FigureCanvasAgg(figure)
    _align_bars(figure, bars, style)
    return figure


def _letter(region: Region, panel: Panel, style: Style) -> None:
    size = float(style.rc["font.size"])
    words = region.text(0.0, 0.5, f"({panel.letter})", fontsize=size, weight="bold", va="center")
    if panel.caption:
        region.text(
            1.9 * size / 72 / panel.width,
            0.5,
            escape(panel.caption),
            fontsize=size,
            va="center",
        )
    words.set_in_layout(False)


def _add_bar(region: Region, scale: SharedScale, style: Style) -> Axes:
    axes = region.add_axes((0.06, 0.2, 0.09 / region.get_size_inches()[0], 0.6), label="<colorbar>")
    bar = region.colorbar(scale.artist, cax=axes)
    bar.outline.set_linewidth(style.line)
    axes.tick_params(length=2, width=style.line, labelsize=style.small)
    return axes


def _align_bars(
    figure: matplotlib.figure.Figure, bars: Sequence[tuple[Axes, str, list[Panel]]], style: Style
) -> None:
    """Lay the figure out and stretch each shared bar along the panels that share it."""
    engine = figure.get_layout_engine()
    if not bars or engine is None:
        return
    engine.execute(figure)
    for axes, label, sharing in bars:
        boxes = [
            ax.get_window_extent()
            for panel in sharing
            for ax in panel.region.findobj(Axes)  # type: ignore[union-attr]
        ]
        within = axes.figure.bbox
        low = max((min(b.y0 for b in boxes) - within.y0) / within.height, 0.0)
        high = min((max(b.y1 for b in boxes) - within.y0) / within.height, 1.0)
        inches = within.height / figure.dpi
        spare = max((high - low) - LONGEST_BAR / inches, 0.0) / 2
        place = axes.get_position()
        axes.set_position((place.x0, low + spare, place.width, high - low - 2 * spare))
        room = (high - low - 2 * spare) * inches + 0.2
        axes.set_ylabel(wrapped(label, room, style.small), fontsize=style.small)
