"""Token strings and numbers as text in a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from interp_widgets.results.array import TOKEN_DIMS, ArrayResult

VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def token_label(token: str, limit: int = 12) -> str:
    """Make a token readable on an axis.

    A leading space is dropped (almost every word piece has one), other white space at the ends
    becomes a visible sign, long tokens end in an ellipsis, and ``$`` cannot start mathematics.
    """
    text = token[1:] if len(token) > 1 and token[0] == " " and token[1] != " " else token
    inner = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
    text = "".join(
        c if c == " " and inner[0] <= i < inner[1] else _visible(c) for i, c in enumerate(text)
    )
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.replace("$", r"\$") or "∅"


def _visible(character: str) -> str:
    return VISIBLE.get(character, character if character.isprintable() else "·")


def token_labels(tokens: Sequence[str], limit: int = 12) -> list[str]:
    """Label every token; a repeated one gets its position, so that rows can be told apart."""
    count = Counter(tokens)
    return [
        token_label(token, limit) + (f" {i}" if count[token] > 1 else "")
        for i, token in enumerate(tokens)
    ]


def names_of(result: ArrayResult, dim: str) -> list[str]:
    """Labels of a dim, shortened and made visible where they are tokens."""
    labels = result.labels(dim)
    return token_labels(labels) if dim in TOKEN_DIMS and dim in result.meta["labels"] else labels


def thin(count: int, room: int) -> list[int]:
    """Return evenly spaced indices of at most ``room`` labels out of ``count``."""
    if count <= room:
        return list(range(count))
    step = -(-count // max(room, 1))
    return list(range(0, count, step))


def escape(text: str) -> str:
    """Keep ``$`` from starting mathematics."""
    return text.replace("$", r"\$")
