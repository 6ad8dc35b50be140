"""Figures in LaTeX: text that cannot break a document, the environment, PGF files."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import matplotlib as mpl
import matplotlib.figure
from matplotlib.backends import backend_pgf
from matplotlib.cbook import is_math_text

if TYPE_CHECKING:
    from interp_widgets.figures.style import Style

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "∞": r"\ensuremath{\infty}",
    "∅": r"\ensuremath{\emptyset}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "→": r"\ensuremath{\rightarrow}",
    "Δ": r"\ensuremath{\Delta}",
    "…": r"\ldots{}",
    "–": "--",
    "␣": r"\textvisiblespace{}",
    "⏎": r"\ensuremath{\hookleftarrow}",
    "⇥": r"\ensuremath{\mapsto}",
}
"""What LaTeX reads in another way than it is written, or pdfLaTeX has no sign for."""


def escape(text: str) -> str:
    """Return ``text`` as LaTeX that prints it, in any engine and inside any argument.

    Accented Latin letters stay; a character that pdfLaTeX's fonts lack becomes its code point.
    """
    return "".join(_one(c) for c in " ".join(text.split()))


def _one(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() or "\u00c0" <= character <= "\u017f":
        return character
    return f"[U+{ord(character):04X}]"


def environment(
    path: Path, *, label: str, caption: str, alt: str, recipe: str, style: Style, place: str
) -> str:
    """Return the ``figure`` environment of a saved figure."""
    venue = style.venue
    if venue.column < style.width == venue.text:
        name, width = "figure*", r"\textwidth"
    elif style.width == venue.column:
        name, width = "figure", r"\columnwidth"
    else:
        name, width = "figure", f"{style.width:.3f}in"
    where = path.as_posix()
    if path.suffix == ".pgf":
        shown = f"\\input{{{where}}}"
    else:
        shown = f"\\includegraphics[width={width}, alt={{{escape(alt)}}}]{{{where}}}"
    lines = [
        f"% Recipe: {_comment(recipe)}",
        f"\\begin{{{name}}}[{place}]",
        r"  \centering",
        f"  {shown}",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{{label}}}",
        f"\\end{{{name}}}",
    ]
    if path.suffix == ".pgf":
        lines.insert(1, f"% Alternative text: {_comment(alt)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return " ".join(text.split())


def save_pgf(figure: matplotlib.figure.Figure, path: Path, dpi: int, recipe: str) -> None:
    """Write a PGF file whose text takes the fonts of the document that inputs it.

    Its images (colour bars, large heatmaps) are PNG files beside it.

    Raises
    ------
    RuntimeError
        Without LaTeX, which measures the text.
    """
    engine = next((e for e in ("pdflatex", "xelatex", "lualatex") if shutil.which(e)), None)
    if engine is None:
        raise RuntimeError(
            "a PGF file needs LaTeX to measure its text: install pdflatex (Debian and Ubuntu: "
            "texlive-latex-base and texlive-pictures; macOS: MacTeX), or save a PDF"
        )
    rc: Any = {
        "pgf.texsystem": engine,
        "pgf.rcfonts": False,
        "pgf.preamble": r"\usepackage{amssymb}",
    }
    with mpl.rc_context(rc), _plain_text():
        figure.savefig(path, format="pgf", dpi=dpi)
    text = path.read_text(encoding="utf-8")
    path.write_text(f"%% Recipe: {_comment(recipe)}\n{text}", encoding="utf-8")


def _plain_text() -> AbstractContextManager[Any]:
    """Have matplotlib's PGF writer take strings as text; it takes them as LaTeX otherwise."""

    def plain(text: str) -> str:
        return text if is_math_text(text) else escape(text.replace(r"\$", "$"))

    return patch.object(backend_pgf, "_tex_escape", plain)
