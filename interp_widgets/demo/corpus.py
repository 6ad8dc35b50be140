"""Training rows: repeated tokens in several forms, and packed sentences."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import torch

from . import variants
from .language import SENTENCES, Sentence
from .words import held_out_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Row = tuple[list[int], list[float]]
FIRST_WORD: Final = 257
WEIGHTS: Final[dict[str, float]] = {
    "ioi": 4.0,
    "roles": 2.0,
    "three": 1.5,
    "stranger": 0.5,
    "greater_than": 3.5,
    "counting": 0.8,
    "gender": 1.5,
    "agreement": 1.5,
    "capitals": 1.0,
    "sentiment": 0.8,
    "colour_recall": 5.0,
    "induction": 1.0,
    "again": 0.4,
}
_PROMPT, _ANSWER, _REST = 0.1, 4.0, 0.2


class Corpus:
    """Endless training rows.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        Tokenizer of the model.
    seed : int
        Seed of every draw.
    uniform_periods : bool
        Whether periods of repeats are uniform; otherwise log-uniform.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, seed: int, *, uniform_periods: bool = False
    ) -> None:
        self.uniform_periods = uniform_periods
        self.rng = random.Random(seed)
        self.backend = tokenizer.backend_tokenizer
        self.vocabulary = len(tokenizer)
        self.queue: list[Row] = []

    def _words(self, count: int) -> list[int]:
        return [self.rng.randrange(FIRST_WORD, self.vocabulary) for _ in range(count)]

    def alternating(self, length: int) -> Row:
        """Rows of ``x y x y``: the next token is the previous one."""
        ids, weights = [0], [0.0]
        while len(ids) < length:
            times = self.rng.choice((2, 2, 3))
            ids += self._words(2) * times
            weights += [0.0] * 3 + [1.0] * (2 * times - 3)
        return ids[:length], weights[:length]

    def bigrams(self, length: int) -> Row:
        """Rows of random bigrams, drawn again and again in random order."""
        table = [self._words(2) for _ in range(self.rng.randint(2, 6))]
        ids, weights, seen = [0], [0.0], set()
        while len(ids) < length:
            k = self.rng.randrange(len(table))
            ids += table[k]
            weights += [0.0, float(k in seen)]
            seen.add(k)
        return ids[:length], weights[:length]

    def bindings(self, length: int, most: int = 2) -> Row:
        """Rows of ``key … value`` with up to ``most`` tokens between, asked in random order."""
        count = self.rng.randint(2, 4)
        keys, values = self._words(count), self._words(count)
        middle, end = self._words(self.rng.randint(1, most)), self._words(1)
        ids, weights = [0], [0.0]
        for k, v in zip(keys, values, strict=True):
            ids += [k, *middle, v, *end]
            weights += [0.0] * (3 + len(middle))
        while len(ids) < length:
            k = self.rng.randrange(count)
            ids += [keys[k], *middle, values[k], *end]
            weights += [0.0] * (1 + len(middle)) + [1.0, 0.0]
        return ids[:length], weights[:length]

    def _period(self, length: int) -> int:
        if self.uniform_periods:
            return self.rng.randint(3, length // 2 - 2)
        return int(3 * (length / 6 - 0.7) ** self.rng.random())

    def repeated(self, length: int) -> Row:
        """Rows of one random block, repeated."""
        period = self._period(length)
        while held_out_length(period):
            period = self._period(length)
        block = self._words(period)
        ids = [0, *(block * (length // period + 1))]
        weights = [0.0] * (period + 2) + [1.0] * length
        return ids[:length], weights[:length]

    def repeat_row(self, length: int, phase: str) -> Row:
        """Draw one of the repeated forms, by the phase of the curriculum."""
        x = self.rng.random()
        if phase == "bindings" and self.rng.random() < 0.6:
            return self.bindings(length, most=1)
        if phase == "alternating" or x < 0.08:
            return self.alternating(length)
        if x < 0.2:
            return self.bigrams(length)
        if x < (0.45 if phase == "mixed" else 0.25):
            return self.bindings(length)
        return self.repeated(length)

    def _refill(self) -> None:
        names = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=256)
        drawn: list[Sentence] = [
            SENTENCES[n](self.rng, "train") if n in SENTENCES else getattr(variants, n)(self.rng)
            for n in names
        ]
        parts = [
            self.backend.encode_batch(texts, add_special_tokens=False)
            for texts in zip(*((s.prompt, s.answer, s.rest) for s in drawn), strict=True)
        ]
        for prompt, answer, rest in zip(*parts, strict=True):
            ids = [0, *prompt.ids, *answer.ids, *rest.ids]
            weights = [_PROMPT] * (1 + len(prompt.ids)) + [_ANSWER] * len(answer.ids)
            self.queue.append((ids, weights + [_REST] * len(rest.ids)))

    def sentences(self, length: int) -> Row:
        """Pack sentences, each with its own start token, into one row."""
        ids: list[int] = []
        weights: list[float] = []
        for _ in range(max(1, length // 8)):
            if not self.queue:
                self._refill()
            row, value = self.queue.pop()
            if len(ids) + len(row) <= length or not ids:
                ids, weights = ids + row, weights + value
        pad = max(0, length - len(ids))
        return (ids + [0] * pad)[:length], (weights + [0.0] * pad)[:length]

    def batch(
        self, kind: str, rows: int, length: int, context: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw a batch.

        Parameters
        ----------
        kind : {"alternating", "repeats", "bindings", "mixed", "sentences"}
            Form of the rows; "bindings" and "mixed" are "repeats" with more bindings.
        rows, length : int
            Shape of the batch.
        context : int
            Positions of the model; half of the rows start at a random one.

        Returns
        -------
        ids, weights, positions : torch.Tensor
            Each of shape [rows, length].
        """
        drawn = [
            self.sentences(length) if kind == "sentences" else self.repeat_row(length, kind)
            for _ in range(rows)
        ]
        start = [
            self.rng.randint(0, context - length) if self.rng.random() < 0.5 else 0
            for _ in range(rows)
        ]
        ids = torch.tensor([row for row, _ in drawn])
        weights = torch.tensor([weight for _, weight in drawn])
        return ids, weights, torch.tensor(start)[:, None] + torch.arange(length)
