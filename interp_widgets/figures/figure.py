"""A figure for a paper: exact width, embedded fonts, alt text, the recipe inside the file."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg

from interp_widgets.figures.style import DIVERGING, VENUES, Style, luminance, style_for
from interp_widgets.results.base import Result
from interp_widgets.results.registry import FIGURES

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.results.recipe import Recipe

FORMATS = (".pdf", ".svg", ".png")
GLYPH_NOTE = "Some characters have no glyph in the fonts of this machine"


class Figure:
    """A drawn result.

    Attributes
    ----------
    mpl
        The matplotlib figure, to change what you like before saving.
    caption
        What is shown, how it was made, and what was trimmed or pooled.
    alt_text
        What the picture shows, for a reader who cannot see it.

    Examples
    --------
    >>> figure = result.figure(venue="icml", width="column")
    >>> figure.save("heads.pdf"); print(figure.caption)
    """

    def __init__(
        self, drawn: matplotlib.figure.Figure, result: Result, style: Style, notes: list[str]
    ) -> None:
        self.mpl = drawn
        self.style = style
        self.alt_text = result.alt_text()
        self.notes = notes
        self._recipe: Recipe | None = result.recipe
        self._title = result.title
        self._frame = result.frame
        self._signed = bool(getattr(result, "signed", False))

    @property
    def caption(self) -> str:
        """A caption to start from: title, recipe, notes."""
        parts = [self._title, *self.notes]
        if self._recipe is not None:
            parts.append(f"Made with {self._recipe}")
        return " ".join(p if p.endswith(".") else f"{p}." for p in parts)

    @property
    def data(self) -> pd.DataFrame:
        """The numbers behind the figure."""
        return self._frame()

    @property
    def provenance(self) -> dict[str, Any]:
        """The recipe as a dict: method, arguments, model, interventions, seed, version."""
        return asdict(self._recipe) if self._recipe is not None else {}

    def grey_report(self) -> dict[str, Any]:
        """Say whether the figure can be read in black and white.

        Returns
        -------
        dict
            ``signed``; ``luminance`` of the darkest negative, zero and positive colour;
            ``second_code``: what tells the sign apart when the colour is gone.
        """
        ends = {name: luminance(DIVERGING(x)) for name, x in (("-", 0.0), ("0", 0.5), ("+", 1.0))}
        marks = [n for n in self.notes if n.startswith("Negative")]
        return {
            "signed": self._signed,
            "luminance": {k: round(v, 3) for k, v in ends.items()} if self._signed else {},
            "second_code": marks[0] if marks else None,
            "legible": not self._signed or bool(marks),
        }

    def save(self, path: str | Path, dpi: int = 300) -> Path:
        """Write the figure as PDF, SVG or PNG, by the path's ending.

        Parameters
        ----------
        path
            Ends in ``.pdf``, ``.svg`` or ``.png``.
        dpi
            Pixels per inch of PNG files and of large heatmaps inside vector files.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ValueError(f"figures are saved as {', '.join(FORMATS)}, not {path.suffix!r}")
        self._write(path, path.suffix, dpi)
        return path

    def png(self, dpi: int = 100) -> bytes:
        """Return the figure as PNG bytes."""
        buffer = io.BytesIO()
        self._write(buffer, ".png", dpi)
        return buffer.getvalue()

    def _write(self, target: Path | io.BytesIO, suffix: str, dpi: int) -> None:
        with mpl.rc_context(self.style.rc), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.mpl.savefig(target, format=suffix[1:], dpi=dpi, metadata=self._metadata(suffix))
        for warning in caught:
            text = str(warning.message)
            if not text.startswith("Glyph "):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
            elif GLYPH_NOTE not in self.notes:
                self.notes.append(GLYPH_NOTE)

    def _metadata(self, suffix: str) -> dict[str, Any]:
        recipe = json.dumps(self.provenance)
        if suffix == ".pdf":
            return {
                "Title": self._title,
                "Subject": self.alt_text,
                "Keywords": recipe,
                "Creator": "interp_widgets",
                "CreationDate": None,
            }
        if suffix == ".svg":
            return {
                "Title": self._title,
                "Description": self.alt_text,
                "Keywords": recipe,
                "Date": None,
            }
        return {"Title": self._title, "Description": self.alt_text, "Recipe": recipe}

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        width, height = self.mpl.get_size_inches()
        return f"Figure({self._title!r}, {width:.2f} × {height:.2f} in, {self.style.venue.name})"


Draw = Callable[..., matplotlib.figure.Figure]


def renderer(kind: str) -> Callable[[Draw], Callable[..., Figure]]:
    """Register ``draw(result, style, notes, **options)`` as the figure of a kind of result.

    ``draw`` returns a matplotlib figure of the style's width and appends to ``notes`` whatever a
    reader must know: what was left out, pooled, trimmed or marked.
    """

    def add(draw: Draw) -> Callable[..., Figure]:
        def make(
            result: Result, venue: str | None = None, width: str | float = "column", **options: Any
        ) -> Figure:
            style = style_for(venue, width)
            notes: list[str] = []
            with mpl.rc_context(style.rc):
                drawn = draw(result, style, notes, **options)
                FigureCanvasAgg(drawn)
            return Figure(drawn, result, style, notes)

        make.formats = tuple(suffix[1:] for suffix in FORMATS)  # type: ignore[attr-defined]
        make.venues = tuple(VENUES)  # type: ignore[attr-defined]
        make.__doc__ = draw.__doc__
        make.__name__ = draw.__name__
        make.__module__ = draw.__module__
        FIGURES.register(kind)(make)
        return make

    return add


def new_figure(style: Style, height: float) -> matplotlib.figure.Figure:
    """Return an empty figure of the style's exact width and ``height`` inches."""
    return matplotlib.figure.Figure(figsize=(style.width, height))
