"""Which characters the fonts of a figure cannot draw."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib.figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from interp_widgets.figures.screen import Words


def note(figure: matplotlib.figure.Figure, families: Iterable[str]) -> str | None:
    """Say which characters of a figure have no glyph; None where all have."""
    lacking = sorted({c for c in _characters(figure) if not _drawable(c, tuple(families))})
    if not lacking:
        return None
    some = ", ".join(f"U+{ord(c):04X}" for c in lacking[:5])
    more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    return (
        f"Some characters have no glyph in the fonts of this machine ({some}{more}); "
        "install a font that has them, for example Noto Sans CJK"
    )


def _characters(figure: Any) -> set[str]:
    return {c for word in _strings(figure) if not word.isascii() for c in word}


def _strings(figure: Any) -> Iterator[str]:
    """Yield what is written, without asking axes for tick labels they have not made yet."""
    texts = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
    for ax in figure._localaxes:  # noqa: SLF001
        texts += [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        if ax.get_legend() is not None:
            texts += ax.get_legend().get_texts()
        for words in ax.artists:
            if isinstance(words, Words):
                yield from words.words
        for axis in (ax.xaxis, ax.yaxis):
            yield from getattr(axis.get_major_formatter(), "seq", ())
    yield from (text.get_text() for text in texts)
    for part in figure.subfigs:
        yield from _strings(part)


@lru_cache(maxsize=8192)
def _drawable(character: str, families: tuple[str, ...]) -> bool:
    if character.isascii() or unicodedata.category(character) in {"Cf", "Mn"}:
        return True
    paths = (findfont(FontProperties(family=[name])) for name in families)
    return any(get_font(path).get_char_index(ord(character)) for path in paths)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence matplotlib's warnings about glyphs; the figure has a note."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")
        yield
