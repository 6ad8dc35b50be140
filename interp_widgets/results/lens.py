"""What each layer would predict at each position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from interp_widgets.results.base import Result, to_numpy

if TYPE_CHECKING:
    import pandas as pd

Pin = Sequence[int]


class LensTracker(Protocol):
    """Reads tokens off the model that a lens was made of."""

    def ids(self, text: str) -> list[int]:
        """Return the tokens that a text means."""

    def string(self, token: int) -> str:
        """Return a token as a person reads it."""

    def logits(self, ids: Sequence[int]) -> Any:
        """Return logits ``[token, layer, position]``."""


class LensResult(Result):
    """Top tokens of every layer and position, with their probabilities.

    Arrays, k best tokens first: ``ids``, ``probs`` and ``logits`` ``[layer, position, k]``;
    ``entropy`` and ``kl`` to the final distribution (nats) and ``log_normalizer`` (log Σ exp of the
    logits) ``[layer, position]``; with an answer also ``answer_rank`` (0 is the best),
    ``answer_prob`` and, with a foil, ``logit_difference``, each ``[layer, position]``; with pins
    ``pin_ids [token]`` and ``pin_probs [token, layer, position]``.
    ``meta``: ``tokens``, ``positions`` (of those tokens in the prompt), ``layers`` (row labels),
    ``strings`` (token id as str → text), ``pins`` (groups of token ids).

    Examples
    --------
    >>> lens = iw.logit_lens(prompt, pins=[[" Mary", "Mary"], [" John"]])
    >>> lens.top(layer=2, position=-1)[:3]      # [(" Mary", 0.41), …]
    >>> lens.trajectory(position=-1)            # probability of the pins, layer by layer
    """

    kind = "lens"
    tracker: LensTracker | None = None
    """Set while the model is there: any token can be followed then, not only the pinned."""

    @property
    def tokens(self) -> list[str]:
        """The prompt's token strings."""
        return list(self.meta["tokens"])

    @property
    def layers(self) -> list[str]:
        """Row labels, first the embedding, last the final output."""
        return list(self.meta["layers"])

    @property
    def positions(self) -> list[int]:
        """Where the columns are in the prompt."""
        return list(self.meta.get("positions") or range(len(self.tokens)))

    @property
    def pins(self) -> list[list[int]]:
        """Groups of token ids that are followed."""
        return [list(group) for group in self.meta.get("pins") or []]

    def string(self, token_id: int) -> str:
        """Text of a token."""
        token_id = int(token_id)
        known = self.meta["strings"].get(str(token_id))
        if known is None and self.tracker is not None:
            known = self.tracker.string(token_id)
        return f"#{token_id}" if known is None else str(known)

    def name(self, pin: Pin) -> str:
        """Text of a group of tokens: ``" Mary" + "Mary"``."""
        return " + ".join(f"“{self.string(i)}”" for i in pin)

    def token_ids(self, text: str) -> list[int]:
        """Return the tokens that a text means: as written, and with a space before it.

        Without the model only tokens that occur in the lens are found.

        Raises
        ------
        ValueError
            When it is no single token.
        """
        if self.tracker is not None:
            found = self.tracker.ids(text)
        else:
            by_text = {str(s): int(i) for i, s in self.meta["strings"].items()}
            found = [by_text[form] for form in (text, f" {text}") if form in by_text]
        if not found:
            what = "is not one token" if self.tracker else "does not occur in this lens"
            raise ValueError(f"{text!r} {what}; try one of its pieces")
        return found

    def groups(self, pins: Iterable[Any]) -> list[list[int]]:
        """Return groups of token ids for tokens given as text, id, or lists of them."""
        lists = [[pin] if isinstance(pin, str | int) else list(pin) for pin in pins]
        return [
            [t if isinstance(t, int) else self.token_ids(t)[0] for t in tokens]
            for tokens in lists
            if tokens
        ]

    def track(self, ids: Sequence[int]) -> np.ndarray:
        """Return the probability of tokens in every cell, ``[token, layer, position]``.

        Pinned tokens are there, others are read off the model. Without the model a token is known
        where it is among the k best of a cell, and NaN elsewhere.
        """
        known = {int(i): row for row, i in enumerate(to_numpy(self.arrays.get("pin_ids", _NONE)))}
        missing = [i for i in ids if i not in known]
        read: dict[int, np.ndarray] = {}
        if missing and self.tracker is not None:
            logits = to_numpy(self.tracker.logits(missing)).astype(np.float64)
            read = dict(zip(missing, np.exp(logits - self.numpy("log_normalizer")), strict=True))
        elif missing:
            best, probs = self.numpy("ids"), self.numpy("probs")
            for i in missing:
                here = best == i
                read[i] = np.where(here.any(-1), np.where(here, probs, 0).sum(-1), np.nan)
        rows = [read[i] if i in read else to_numpy(self.arrays["pin_probs"][known[i]]) for i in ids]
        shape = self.arrays["ids"].shape[:2]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, *shape), np.float32)

    def probability(self, pin: Pin) -> np.ndarray:
        """Return the probability of a group of tokens together, ``[layer, position]``."""
        return np.asarray(self.track(list(dict.fromkeys(pin))).sum(0))

    def top(self, layer: int, position: int) -> list[tuple[str, float]]:
        """Return the k best (token, probability) of one cell."""
        ids = self.numpy("ids")[layer, position]
        probs = self.numpy("probs")[layer, position]
        return [(self.string(i), float(p)) for i, p in zip(ids, probs, strict=True)]

    def trajectory(
        self,
        pins: Iterable[Any] | None = None,
        *,
        position: int | None = None,
        layer: int | None = None,
    ) -> pd.DataFrame:
        """Return the probability of pinned tokens through layers and positions.

        Parameters
        ----------
        pins
            Groups of tokens (text or id); default those of the lens.
        position, layer
            Keep one column (an index into ``tokens``) or one row (into ``layers``).

        Examples
        --------
        >>> lens.trajectory([[" Mary", "Mary"]], position=-1)
        """
        import pandas as pd

        groups = self.pins if pins is None else self.groups(pins)
        rows = range(len(self.layers)) if layer is None else [range(len(self.layers))[layer]]
        cols = range(len(self.tokens)) if position is None else [range(len(self.tokens))[position]]
        at = np.array([(r, c) for r in rows for c in cols], dtype=int).reshape(-1, 2)
        frames = [
            pd.DataFrame(
                {
                    "pin": self.name(group),
                    "layer": np.asarray(self.layers, dtype=object)[at[:, 0]],
                    "position": np.asarray(self.positions)[at[:, 1]],
                    "token": np.asarray(self.tokens, dtype=object)[at[:, 1]],
                    "probability": self.probability(group)[at[:, 0], at[:, 1]],
                }
            )
            for group in groups
        ]
        columns = ["pin", "layer", "position", "token", "probability"]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)

    def frame(self) -> pd.DataFrame:
        """Return one row per layer, position and rank."""
        layers, columns = range(len(self.layers)), range(len(self.tokens))
        return self._frame(list(layers), list(columns))

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the cells of the selected layer and token."""
        layer, token = selection.get("layer"), selection.get("token")
        rows, cols = range(len(self.layers)), range(len(self.tokens))
        return self._frame(
            [i for i in rows if layer is None or self.layers[i] == str(layer)],
            [i for i in cols if token is None or self.positions[i] == token],
        )

    def _frame(self, rows: list[int], cols: list[int]) -> pd.DataFrame:
        import pandas as pd

        cut = np.ix_(rows, cols)
        ids, probs = self.numpy("ids")[cut], self.numpy("probs")[cut]
        layer, position, rank = np.indices(ids.shape).reshape(3, -1)
        columns = {
            "layer": np.asarray(self.layers, dtype=object)[rows][layer],
            "position": np.asarray(self.positions)[cols][position],
            "token": np.asarray(self.tokens, dtype=object)[cols][position],
            "rank": rank,
            "prediction": [self.string(i) for i in ids.reshape(-1)],
            "probability": probs.reshape(-1),
        }
        for name in ("entropy", "kl", "answer_rank", "answer_prob", "logit_difference"):
            if name in self.arrays:
                columns[name] = self.numpy(name)[cut][layer, position]
        return pd.DataFrame(columns)

    def text(self) -> str:
        """Say what each layer predicts at the last position."""
        lines = []
        for i, name in enumerate(self.layers):
            token, prob = self.top(i, -1)[0]
            lines.append(f"{name}: {token!r} {prob:.2f}")
        return f"{self.title}, prediction at the last position by layer: " + ", ".join(lines)


_NONE = np.zeros(0, dtype=np.int32)
