"""Which tokens belong together: words, phrases and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt

Unit = Literal["token", "word", "phrase", "sentence"]

STOPS = frozenset(".!?…。！？\n")
"""What ends a sentence."""
PAUSES = STOPS | frozenset(",;:—–()[]{}、，；：")
"""What ends a phrase."""


def spans(prompt: Prompt, unit: Unit) -> list[tuple[int, ...]]:
    """Return the positions of each unit of a prompt, in order; every token is in one.

    A word begins with a space, or where no token has one (word pieces, ids without a tokenizer)
    with any token that does not start with ``##``. A phrase ends after a comma, colon, semicolon,
    dash, bracket or the end of a sentence. Special tokens stand alone.
    """
    tokens = prompt.tokens
    if unit == "token":
        return [(i,) for i in range(len(tokens))]
    special = _special(prompt)
    words = _words(tokens, special)
    if unit == "word":
        return words
    ends = STOPS if unit == "sentence" else PAUSES
    found: list[list[int]] = [[]]
    for word in words:
        alone = word[0] in special
        if alone and found[-1]:
            found.append([])
        found[-1] += word
        text = "".join(tokens[i] for i in word)
        if alone or text.strip(" \"'”’»")[-1:] in ends or text.endswith("\n"):
            found.append([])
    return [tuple(positions) for positions in _joined(found, tokens, special)]


def _words(tokens: Sequence[str], special: set[int]) -> list[tuple[int, ...]]:
    spaced = any(token[:1].isspace() for i, token in enumerate(tokens) if i not in special)
    found: list[list[int]] = []
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else ""
        inside = token[:1].isalnum() and before[-1:].isalnum() if spaced else token[:2] == "##"
        inside = inside or token in ("'", "’") or before in ("'", "’")
        if found and inside and not {i, i - 1} & special:
            found[-1].append(i)
        else:
            found.append([i])
    return [tuple(positions) for positions in found]


def _joined(
    groups: Sequence[list[int]], tokens: Sequence[str], special: set[int]
) -> list[list[int]]:
    """Give a group without a letter or digit (``...``, a closing quote) to the group before."""
    found: list[list[int]] = []
    for group in groups:
        plain = not any(c.isalnum() for i in group for c in tokens[i])
        if group and plain and found and not special & {group[0], found[-1][-1]}:
            found[-1] += group
        elif group:
            found.append(group)
    return found


def _special(prompt: Prompt) -> set[int]:
    tokenizer = prompt.session.tokenizer
    ids = set(getattr(tokenizer, "all_special_ids", None) or ())
    return {i for i, token in enumerate(prompt.ids) if token in ids}
