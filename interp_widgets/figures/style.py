"""Venue sizes, fonts and colours of every figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import matplotlib.font_manager
from matplotlib.colors import Colormap, LinearSegmentedColormap
from tueplots import figsizes, fontsizes

from interp_widgets.figures.scale import SharedScale

OKABE_ITO = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "yellow": "#F0E442",
}
"""Colour-blind-safe categories (Okabe and Ito); the last three need an outline on white."""

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "iw_sequential", ["#ffffff", "#d6e6f2", "#8fbcdc", "#3f86be", "#14548f", "#08264d"]
).with_extremes(bad="#d9d9d9")
DIVERGING = LinearSegmentedColormap.from_list(
    "iw_diverging", ["#0b3c73", "#3f86be", "#a9cde5", "#ffffff", "#f6bf9a", "#d9622b", "#7f2704"]
).with_extremes(bad="#d9d9d9")

HATCH_NEGATIVE = "////"


def _installed(*names: str) -> list[str]:
    known = {font.name for font in mpl.font_manager.fontManager.ttflist}
    return [name for name in names if name in known]


_WIDE = _installed("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic")
SERIF = ["STIXGeneral", "DejaVu Sans", *_WIDE]
SANS = ["DejaVu Sans", *_WIDE]


@dataclass(frozen=True)
class Venue:
    """Column and text width in inches, font sizes in points, and what fits on a page."""

    name: str
    column: float
    text: float
    fonts: dict[str, float]
    family: str = "serif"
    height: float = 8.5
    """What a page holds beside a caption; no figure is drawn higher."""


def _venue(name: str, size: str, font: str, *, half: str | None = None) -> Venue:
    text = getattr(figsizes, size)()["figure.figsize"][0]
    column = getattr(figsizes, half)()["figure.figsize"][0] if half else text
    return Venue(name, round(column, 3), round(text, 3), getattr(fontsizes, font)())


_ACL_FONTS: dict[str, float] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
_SCREEN_FONTS: dict[str, float] = {
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def _larger(points: float) -> dict[str, float]:
    return {name: size + points for name, size in _SCREEN_FONTS.items()}


VENUES = {
    "neurips": _venue("neurips", "neurips2024", "neurips2024"),
    "iclr": _venue("iclr", "iclr2024", "iclr2024"),
    "icml": _venue("icml", "icml2024_full", "icml2024", half="icml2024_half"),
    "aistats": _venue("aistats", "aistats2025_full", "aistats2025", half="aistats2025_half"),
    "uai": _venue("uai", "uai2023_full", "uai2023", half="uai2023_half"),
    "aaai": _venue("aaai", "aaai2024_full", "aaai2024", half="aaai2024_half"),
    "cvpr": _venue("cvpr", "cvpr2024_full", "cvpr2024", half="cvpr2024_half"),
    "tmlr": _venue("tmlr", "tmlr2023", "tmlr2023"),
    "jmlr": _venue("jmlr", "jmlr2001", "jmlr2001"),
    "colm": _venue("colm", "colm2026", "colm2026"),
    # tueplots has no ACL: 7.7 cm columns with a gap of 0.6 cm on A4.
    "acl": Venue("acl", 3.03, 6.30, _ACL_FONTS),
    # Half and all of a 16:9 slide of 13.33 × 7.5 in, less its margins.
    "slides": Venue("slides", 6.0, 12.0, _larger(8), family="sans", height=6.75),
    "poster": Venue("poster", 10.0, 20.0, _larger(14), family="sans", height=30.0),
}
SCREEN = Venue("screen", 7.0, 9.0, _SCREEN_FONTS, family="sans", height=20.0)


@dataclass(frozen=True)
class Style:
    """What a renderer needs to know: the width in inches, font sizes in points, the colours."""

    width: float
    venue: Venue
    rc: Any = field(repr=False)
    region: Any = field(default=None, repr=False)
    """The ``Region`` a panel is drawn in; None for a figure of its own."""
    scale: SharedScale | None = field(default=None, repr=False)
    """The colour scale that panels share; None where each has its own."""

    @property
    def screen(self) -> bool:
        """Whether this is the on-screen twin and not a paper figure."""
        return self.venue is SCREEN

    @property
    def small(self) -> float:
        """Size of tick labels and cell text in points, never below 6."""
        return max(6.0, float(self.rc["xtick.labelsize"]))

    @property
    def line(self) -> float:
        """Width of a hairline in points (ICML asks for at least 0.5)."""
        return 0.6

    def cmap(self, *, signed: bool) -> Colormap:
        """Return the colour map: white is zero in both."""
        return DIVERGING if signed else SEQUENTIAL


def style_for(venue: str | None, width: str | float) -> Style:
    """Resolve a venue's name and a width.

    Parameters
    ----------
    venue
        A key of :data:`VENUES`, or None for the screen.
    width
        ``"column"`` (also ``"half"``), ``"text"`` (also ``"full"``), or inches between 1 and 40.

    Raises
    ------
    ValueError
        For an unknown venue or width; the message lists what there is.
    """
    if venue is not None and venue.lower() not in VENUES:
        raise ValueError(f"no venue {venue!r}; there are {', '.join(sorted(VENUES))}")
    found = VENUES[venue.lower()] if venue else SCREEN
    if isinstance(width, str):
        widths = {
            "column": found.column,
            "half": found.column,
            "text": found.text,
            "full": found.text,
        }
        if width not in widths:
            raise ValueError(f"width is 'column', 'text' or inches, not {width!r}")
        inches = widths[width]
    elif 1 <= width <= 40:
        inches = float(width)
    else:
        raise ValueError(f"a width of {width} inches is not between 1 and 40")
    serif = found.family == "serif"
    rc: dict[str, Any] = {
        **found.fonts,
        "font.family": SERIF if serif else SANS,
        "mathtext.fontset": "stix" if serif else "dejavusans",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "interp_widgets",
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "hatch.linewidth": 0.5,
        "hatch.color": "#333333",
        "legend.frameon": False,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.02,
        "figure.constrained_layout.w_pad": 0.02,
        "figure.dpi": 100,
    }
    for key in ("xtick.labelsize", "ytick.labelsize", "legend.fontsize"):
        rc[key] = max(6.0, float(rc[key]))
    return Style(inches, found, rc)


def luminance(color: Any) -> float:
    """Relative luminance of a colour, 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    channels = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(color)
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def ink_on(color: Any) -> str:
    """Return black or white, whichever is easier to read on ``color``."""
    return "#ffffff" if luminance(color) < 0.3 else "#000000"
