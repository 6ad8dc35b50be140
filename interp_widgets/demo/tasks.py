"""Clean and corrupted prompt pairs for the demonstration tasks, for any tokenizer."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from .language import SENTENCES, Sentence, Split

Tokenize = Callable[..., Any]

CORRUPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "ioi": ("abc", "s2", "swap"),
    "greater_than": ("01",),
    "gender": ("name",),
    "agreement": ("number",),
    "capitals": ("country",),
    "sentiment": ("adjective",),
    "colour_recall": ("query",),
    "induction": ("successor",),
}
TASKS: Final = tuple(CORRUPTIONS)
_MAX_TRIES: Final = 200


@dataclass(frozen=True)
class Pair:
    """A clean prompt, its corrupted twin and the answers that tell them apart.

    Attributes
    ----------
    task : str
        Task name.
    clean, corrupted : str
        Prompts of equal token length when a tokenizer was given.
    answer, foil : str or tuple of str
        Right and wrong continuation of the clean prompt with their leading space.  For
        greater-than every right and every wrong year, two digits without a space (one digit, the
        tens, for a tokenizer that splits numbers into digits).
    positions : dict of str to int
        Token index of the named words (last token of each) and of ``end``; empty without a
        tokenizer.  Indices count the special tokens that the tokenizer adds in front.
    corruption : str
        Name of the corruption.
    """

    task: str
    clean: str
    corrupted: str
    answer: str | tuple[str, ...]
    foil: str | tuple[str, ...]
    positions: dict[str, int] = field(default_factory=dict)
    corruption: str = ""


class Pairs(list[Pair]):
    """A list of pairs that knows how many draws were made.

    Attributes
    ----------
    drawn : int
        Draws made to collect the pairs.
    share_kept : float
        Pairs kept, divided by draws.
    """

    drawn: int = 0

    @property
    def share_kept(self) -> float:
        """Return the share of the draws that passed the filters."""
        return len(self) / self.drawn if self.drawn else 0.0


def _ids(tokenizer: Tokenize, text: str) -> list[int]:
    return list(tokenizer(text)["input_ids"])


def _single_token(tokenizer: Tokenize, prompt: str, answer: str) -> int | None:
    """Return the id of ``answer`` after ``prompt`` when it is exactly one more token."""
    before, after = _ids(tokenizer, prompt), _ids(tokenizer, prompt + answer)
    return after[-1] if len(after) == len(before) + 1 and after[:-1] == before else None


def answer_ids(tokenizer: Tokenize, pair: Pair, *, foil: bool = False) -> list[int]:
    """Return the token ids of a pair's answers (or foils), read in context.

    Parameters
    ----------
    tokenizer : callable
        Tokenizer of transformers.
    pair : Pair
        Pair made by `generate`.
    foil : bool
        Return the foils in place of the answers.

    Returns
    -------
    list of int
        One id per answer.

    Raises
    ------
    ValueError
        If an answer is not one token after the prompt.
    """
    wanted = pair.foil if foil else pair.answer
    ids = []
    for text in (wanted,) if isinstance(wanted, str) else wanted:
        token = _single_token(tokenizer, pair.clean, text)
        if token is None:
            raise ValueError(f"{text!r} is not one token after {pair.clean!r}")
        ids.append(token)
    return ids


def _positions(tokenizer: Tokenize, sentence: Sentence) -> dict[str, int]:
    found = {}
    for name, (word, nth) in sentence.marks.items():
        spans = list(re.finditer(rf"\b{re.escape(word)}\b", sentence.prompt, re.IGNORECASE))
        prefix = sentence.prompt[: spans[nth].end()]
        found[name] = len(_ids(tokenizer, prefix)) - 1
    if "S1" in found:
        found["S1+1"] = found["S1"] + 1
    found["end"] = len(_ids(tokenizer, sentence.prompt)) - 1
    return found


def _years(sentence: Sentence, tokenizer: Tokenize | None) -> tuple[tuple[str, ...], ...] | None:
    """Return the right and the wrong year endings, or None when they cannot be single tokens."""
    year = int(sentence.foil)
    right = tuple(f"{y:02d}" for y in range(year + 1, 100))
    wrong = tuple(f"{y:02d}" for y in range(year + 1))
    if tokenizer is None:
        return right, wrong
    probe = (right[0], right[-1], wrong[0], wrong[-1])
    if all(_single_token(tokenizer, sentence.prompt, y) is not None for y in probe):
        return right, wrong
    tens = year // 10
    right = tuple(str(d) for d in range(tens + 1, 10))
    wrong = tuple(str(d) for d in range(tens))
    if right and wrong and _single_token(tokenizer, sentence.prompt, right[0]) is not None:
        return right, wrong
    return None


def _pair(sentence: Sentence, corruption: str, tokenizer: Tokenize | None) -> Pair | None:
    answer: str | tuple[str, ...] = sentence.answer
    foil: str | tuple[str, ...] = sentence.foil
    corrupted = sentence.corrupted[corruption]
    positions: dict[str, int] = {}
    if sentence.task == "greater_than":
        years = _years(sentence, tokenizer)
        if years is None:
            return None
        answer, foil = years
    if tokenizer is not None:
        if len(_ids(tokenizer, sentence.prompt)) != len(_ids(tokenizer, corrupted)):
            return None
        if isinstance(answer, str) and (
            _single_token(tokenizer, sentence.prompt, sentence.answer) is None
            or _single_token(tokenizer, sentence.prompt, sentence.foil) is None
        ):
            return None
        positions = _positions(tokenizer, sentence)
    return Pair(sentence.task, sentence.prompt, corrupted, answer, foil, positions, corruption)


def generate(
    task: str,
    n: int,
    tokenizer: Tokenize | None = None,
    seed: int = 0,
    split: Split = "test",
    corruption: str | None = None,
) -> Pairs:
    """Draw clean and corrupted prompt pairs.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    n : int
        Number of pairs.
    tokenizer : callable, optional
        Tokenizer of transformers.  With it pairs are kept only if both prompts have the same
        number of tokens and the answers are one token, and `Pair.positions` is filled.
    seed : int
        Seed of the draws.
    split : {"test", "train"}
        Templates, names, years and lengths held out from training, or those of training.
    corruption : str, optional
        One of ``CORRUPTIONS[task]``; the first one by default.

    Returns
    -------
    Pairs
        List of `Pair` with the attribute ``share_kept``.

    Raises
    ------
    ValueError
        If task, split or corruption is unknown, or if too few draws pass the filters.

    References
    ----------
    IOI arXiv:2211.00593, greater-than arXiv:2305.00586, induction arXiv:2209.11895.
    """
    if task not in CORRUPTIONS:
        raise ValueError(f"unknown task {task!r}; known: {', '.join(TASKS)}")
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; known: train, test")
    corruption = corruption or CORRUPTIONS[task][0]
    if corruption not in CORRUPTIONS[task]:
        known = ", ".join(CORRUPTIONS[task])
        raise ValueError(f"unknown corruption {corruption!r} of {task}; known: {known}")
    rng, pairs = random.Random(seed), Pairs()
    while len(pairs) < n:
        if pairs.drawn >= _MAX_TRIES * max(n, 10):
            raise ValueError(
                f"only {len(pairs)} of {pairs.drawn} draws of {task} fit the tokenizer"
            )
        pairs.drawn += 1
        pair = _pair(SENTENCES[task](rng, split), corruption, tokenizer)
        if pair is not None:
            pairs.append(pair)
    return pairs
