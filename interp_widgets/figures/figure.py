"""A figure for a paper: exact width, embedded fonts, alt text, the recipe inside the file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg

from interp_widgets.figures import glyphs, latex, screen
from interp_widgets.figures.axes import LateFigure
from interp_widgets.figures.style import DIVERGING, VENUES, Style, luminance, style_for
from interp_widgets.results.base import Result
from interp_widgets.results.registry import FIGURES

if TYPE_CHECKING:
    import pandas as pd


FORMATS = (".pdf", ".svg", ".png", ".pgf")


class Figure:
    """A drawn result.

    Attributes
    ----------
    mpl
        The matplotlib figure, to change what you like before saving.
    result, options
        What was drawn, and with which options of its renderer.
    notes
        What a reader must know: what was left out, pooled, trimmed or marked.

    Examples
    --------
    >>> figure = result.figure(venue="icml", width="column")
    >>> figure.save("heads.pdf"); print(figure.caption)
    """

    def __init__(
        self,
        drawn: matplotlib.figure.Figure,
        result: Result,
        style: Style,
        notes: list[str],
        options: dict[str, Any] | None = None,
    ) -> None:
        self.mpl = drawn
        self.result = result
        self.style = style
        lacking = glyphs.note(drawn, style.rc["font.family"])
        self.notes = [*notes, lacking] if lacking else notes
        self.options = dict(options or {})

    @property
    def title(self) -> str:
        """What is shown, in a few words; it stands in the file, never in the picture."""
        return self.result.title

    @property
    def alt_text(self) -> str:
        """What the picture shows, for a reader who cannot see it."""
        return self.result.alt_text()

    @property
    def caption(self) -> str:
        """A caption to start from: title, notes, how it was made."""
        parts = [self.title, *self.notes]
        if self.result.recipe is not None:
            parts.append(f"Made with {self.result.recipe}")
        return sentences(parts)

    @property
    def data(self) -> pd.DataFrame:
        """The numbers behind the figure."""
        return self.result.frame()

    @property
    def provenance(self) -> dict[str, Any]:
        """The recipe as a dict: method, arguments, model, interventions, seed, version."""
        return asdict(self.result.recipe) if self.result.recipe is not None else {}

    def grey_report(self) -> dict[str, Any]:
        """Say whether the figure can be read in black and white.

        Returns
        -------
        dict
            ``signed``; ``luminance`` of the darkest negative, zero and positive colour;
            ``second_code``: what tells the sign apart when the colour is gone.
        """
        marks = [n for n in self.notes if n.startswith("Negative")]
        signed = bool(getattr(self.result, "signed", False) or marks)
        ends = {name: luminance(DIVERGING(x)) for name, x in (("-", 0.0), ("0", 0.5), ("+", 1.0))}
        return {
            "signed": signed,
            "luminance": {k: round(v, 3) for k, v in ends.items()} if signed else {},
            "second_code": marks[0] if marks else None,
            "legible": not signed or bool(marks),
        }

    def save(self, path: str | Path, dpi: int = 300) -> Path:
        """Write the figure as PDF, SVG, PNG or PGF, by the path's ending.

        Parameters
        ----------
        path
            Ends in ``.pdf``, ``.svg``, ``.png`` or ``.pgf``. PGF text takes the fonts of the
            document that inputs it, and needs LaTeX on this machine to measure them.
        dpi
            Pixels per inch of PNG files and of large heatmaps inside vector files.

        Raises
        ------
        ValueError
            For another ending.
        RuntimeError
            For PGF without LaTeX.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ValueError(f"figures are saved as {', '.join(FORMATS)}, not {path.suffix!r}")
        with mpl.rc_context(self.style.rc), glyphs.quiet():
            if path.suffix == ".pgf":
                latex.save_pgf(self.mpl, path, dpi, json.dumps(self.provenance))
            else:
                metadata = self._metadata(path.suffix)
                self.mpl.savefig(path, format=path.suffix[1:], dpi=dpi, metadata=metadata)
        return path

    def latex(
        self,
        path: str | Path,
        label: str | None = None,
        caption: str | None = None,
        place: str = "t",
        dpi: int = 300,
    ) -> str:
        r"""Save the figure and return the LaTeX that shows it.

        Parameters
        ----------
        path
            Ends in ``.pdf``, ``.png`` or ``.pgf``; written into the LaTeX as you give it, so
            give it as seen from the paper's main file.
        label
            What ``\ref`` calls the figure; ``fig:`` and the file's name by default.
        caption
            In place of :attr:`caption`, as plain text: special characters are escaped.
        place
            Where the float may stand, for example ``"t"`` or ``"htbp"``.
        dpi
            As in :meth:`save`.

        Returns
        -------
        str
            A ``figure`` environment (``figure*`` across two columns) with the alternative text,
            an escaped caption, and the recipe as a comment. Needs ``graphicx``, or ``pgf``.

        Examples
        --------
        >>> print(result.figure("icml").latex("figures/heads.pdf", label="fig:heads"))
        """
        path = Path(path)
        if path.suffix == ".svg":
            raise ValueError("LaTeX does not read SVG: give a path that ends in .pdf or .pgf")
        self.save(path, dpi)
        return latex.environment(
            path,
            label=label or f"fig:{path.stem}",
            caption=self.caption if caption is None else caption,
            alt=self.alt_text,
            recipe=json.dumps(self.provenance),
            style=self.style,
            place=place,
        )

    def png(self, dpi: int = 100) -> bytes:
        """Return the figure as PNG bytes."""
        with mpl.rc_context(self.style.rc), glyphs.quiet():
            return screen.png(self.mpl, dpi, self._metadata(".png"))

    def _metadata(self, suffix: str) -> dict[str, Any]:
        recipe, alt = json.dumps(self.provenance), self.alt_text
        if suffix == ".pdf":
            return {
                "Title": self.title,
                "Subject": alt,
                "Keywords": recipe,
                "Creator": "interp_widgets",
                "CreationDate": None,
            }
        if suffix == ".svg":
            return {"Title": self.title, "Description": alt, "Keywords": recipe, "Date": None}
        return {"Title": self.title, "Description": alt, "Recipe": recipe}

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        width, height = self.mpl.get_size_inches()
        return f"Figure({self.title!r}, {width:.2f} × {height:.2f} in, {self.style.venue.name})"


def sentences(parts: list[str]) -> str:
    """Join phrases into sentences."""
    return " ".join(p if p.endswith((".", "!", "?")) else f"{p}." for p in parts if p)


Draw = Callable[..., matplotlib.figure.Figure]


class Renderer:
    """What draws one kind of result: called by a result for a figure, by panels for a region."""

    formats = tuple(suffix[1:] for suffix in FORMATS if suffix != ".pgf")
    venues = tuple(VENUES)

    def __init__(self, kind: str, draw: Draw) -> None:
        self.kind = kind
        self._draw = draw
        asked = inspect.signature(draw).parameters.values()
        self.options = tuple(p.name for p in asked if p.kind is p.KEYWORD_ONLY)
        self._takes_dims = any(p.kind is p.VAR_KEYWORD for p in asked)
        self.__doc__ = draw.__doc__
        self.__module__ = draw.__module__

    def draw(
        self, result: Result, style: Style, notes: list[str], **options: Any
    ) -> matplotlib.figure.Figure:
        """Draw on the style's figure or region and append to ``notes``.

        Raises
        ------
        TypeError
            For an option that the kind does not have; the message lists those there are.
        """
        known = (*self.options, *(getattr(result, "dims", ()) if self._takes_dims else ()))
        unknown = [name for name in options if name not in known]
        if unknown:
            there = ", ".join(known) or "none"
            raise TypeError(
                f"the figure of {self.kind!r} has no option {', '.join(map(repr, unknown))}; its "
                f"options are: {there}"
            )
        return self._draw(result, style, notes, **options)

    def __call__(
        self,
        result: Result,
        venue: str | None = None,
        width: str | float = "column",
        **options: Any,
    ) -> Figure:
        """Draw ``result`` as a figure of its own."""
        style = style_for(venue, width)
        notes: list[str] = []
        with mpl.rc_context(style.rc), glyphs.quiet():
            drawn = self.draw(result, style, notes, **options)
            FigureCanvasAgg(drawn)
        return Figure(drawn, result, style, notes, options)


def renderer(kind: str) -> Callable[[Draw], Renderer]:
    """Register ``draw(result, style, notes, **options)`` as the figure of a kind of result.

    ``draw`` returns the figure that :func:`new_figure` gave it and appends to ``notes`` whatever a
    reader must know: what was left out, pooled, trimmed or marked.
    """

    def add(draw: Draw) -> Renderer:
        made = Renderer(kind, draw)
        FIGURES.register(kind)(made)
        return made

    return add


def new_figure(style: Style, height: float, *, fixed: bool = False) -> matplotlib.figure.Figure:
    """Return what to draw on: the style's exact width and ``height`` inches, or a panel's region.

    A figure is never higher than its venue's page and a panel is as high as its row, so ask
    ``get_size_inches()`` where the size matters. A renderer that places things by inches says
    ``fixed=True`` and gets its height.
    """
    if style.region is not None:
        return style.region.top(height) if fixed else style.region
    highest = height if fixed else min(height, style.venue.height)
    return LateFigure(figsize=(style.width, highest))
