"""One or more values per token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result, to_numpy
from interp_widgets.results.channels import By, matching, measured, ordered

if TYPE_CHECKING:
    import pandas as pd


Normalisation = Literal["none", "max", "sum"]

NORMALISED = {
    "none": "",
    "max": "divided by the largest magnitude",
    "sum": "divided by the sum of magnitudes",
}
"""How a reader is told of each normalisation."""


class TokensResult(Result):
    """Values on tokens, shown as coloured text.

    ``arrays["values"]`` is ``[channel, position]``; ``meta`` has ``tokens``, ``channels`` (names),
    ``quantity``, ``signed``, for attributions ``target`` (what is explained) and ``method``;
    ``targets``, where each channel explains a token of the text: their positions; ``units``, where
    tokens share a value: their positions, with ``unit_scores`` and ``unit_rest``; and ``note``, a
    warning that belongs to the numbers.

    Examples
    --------
    >>> result = iw.attribute(prompt, method="integrated_gradients")
    >>> result.frame().sort_values("value").tail(3)
    """

    kind = "tokens"

    def _check(self) -> None:
        values = self.arrays["values"]
        if values.ndim != 2:
            raise ValueError(f"values must be [channel, position], got shape {tuple(values.shape)}")
        channels = self.meta.setdefault("channels", [str(i) for i in range(values.shape[0])])
        if len(channels) != values.shape[0]:
            raise ValueError(f"{len(channels)} channel names for {values.shape[0]} channels")
        targets = self.meta.get("targets")
        if targets is not None and len(targets) != values.shape[0]:
            raise ValueError(f"{len(targets)} targets for {values.shape[0]} channels")
        if len(self.meta["tokens"]) != values.shape[1]:
            raise ValueError(f"{len(self.meta['tokens'])} tokens for {values.shape[1]} positions")

    @property
    def values(self) -> Any:
        """The tensor ``[channel, position]``, on its device."""
        return self.arrays["values"]

    @property
    def tokens(self) -> list[str]:
        """The token strings."""
        return list(self.meta["tokens"])

    @property
    def channels(self) -> list[str]:
        """Names of the values each token has."""
        return list(self.meta["channels"])

    @property
    def quantity(self) -> str:
        """What is measured, with its unit."""
        return str(self.meta.get("quantity", "value"))

    @property
    def signed(self) -> bool:
        """Whether zero is the middle of the colour scale."""
        return bool(self.meta.get("signed", bool((self.arrays["values"] < 0).any())))

    @property
    def targets(self) -> list[int] | None:
        """Positions of the tokens that the channels explain, in an attribution matrix."""
        found = self.meta.get("targets")
        return None if found is None else [int(i) for i in found]

    @property
    def units(self) -> list[dict[str, Any]] | None:
        """Words or phrases whose tokens share a value: ``at``, ``score`` and ``rest`` of each."""
        found = self.meta.get("units")
        if found is None:
            return None
        values = zip(found, self.meta["unit_scores"], self.meta["unit_rest"], strict=True)
        return [
            {"at": [int(i) for i in at], "score": float(score), "rest": float(rest)}
            for at, score, rest in values
        ]

    def matrix(self) -> ArrayResult:
        """Return an attribution matrix as an array ``[target, position]``, to see all at once.

        A target cannot depend on itself or on what comes later: those cells are masked.

        Raises
        ------
        ValueError
            When the channels do not explain tokens of the text.

        Examples
        --------
        >>> iw.attribute(prompt, targets="all").matrix()
        """
        targets = self.targets
        if targets is None:
            raise ValueError("only channels that explain tokens make a matrix: see meta['targets']")
        tokens = self.tokens
        values = self.numpy("values")
        later = np.arange(len(tokens)) >= np.asarray(targets)[:, None]
        return ArrayResult(
            {"values": values, "mask": later & (values == 0)},
            {
                "dims": ["target", "position"],
                "labels": {"target": [tokens[i] for i in targets], "position": tokens},
                "quantity": self.quantity,
                "signed": self.signed,
                "title": f"{self.title}, target by token",
            },
        )

    def channel(self, name: int | str) -> int:
        """Return the index of a channel given by name or index.

        Raises
        ------
        ValueError
            When there is none.
        """
        channels = self.meta["channels"]
        if isinstance(name, str):
            if name not in channels:
                some = ", ".join(channels[:20])
                raise ValueError(f"there is no channel {name!r}; there are {some}")
            return int(channels.index(name))
        if not 0 <= name < len(channels):
            raise ValueError(f"there is no channel {name}; there are {len(channels)}, from 0")
        return int(name)

    def normalised(self, channel: int, how: Normalisation = "none") -> np.ndarray:
        """Return one channel's values ``[position]``, divided as a reader asks for.

        Parameters
        ----------
        channel
            Index of the channel.
        how
            ``"none"``; ``"max"``: by the largest magnitude, so that it becomes 1; ``"sum"``: by the
            sum of magnitudes, so that these add up to 1. NaN and infinity do not count.
        """
        values = to_numpy(self.arrays["values"][channel]).astype(np.float64)
        return values / divisor(values, how)

    def top(
        self, by: By = "max", n: int = 20, token: int = 0, query: str = ""
    ) -> list[tuple[str, float]]:
        """Return the n channels that are largest, with their number.

        Parameters
        ----------
        by
            ``"max"``, ``"magnitude"``, ``"mean"``, ``"variance"`` over positions, or ``"token"``.
        n, token, query
            How many; the position for ``by="token"``; text that their name must hold.

        Examples
        --------
        >>> iw.neurons(prompt).top(by="token", token=9, n=5)
        """
        numbers = measured(self.arrays["values"], by, token)
        among = matching(self.meta["channels"], query) if query else None
        return [(self.meta["channels"][i], float(numbers[i])) for i in ordered(numbers, among)[:n]]

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the values at the selected token (of every token while none is selected)."""
        token = selection.get("token")
        if token is None:
            return self.frame()
        if not 0 <= token < len(self.meta["tokens"]):
            return self._frame(np.zeros(0, dtype=int))
        return self._frame(np.array([token]))

    def frame(self) -> pd.DataFrame:
        """Return one row per channel and position."""
        return self._frame(np.arange(len(self.tokens)))

    def _frame(self, positions: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        values = to_numpy(self.arrays["values"][:, positions])
        channel, at = np.indices(values.shape).reshape(2, -1)
        columns = {
            "channel": np.asarray(self.channels, dtype=object)[channel],
            "position": positions[at],
            "token": np.asarray(self.tokens, dtype=object)[positions[at]],
            "value": values.reshape(-1),
        }
        if self.targets is not None:
            columns["target"] = np.asarray(self.targets)[channel]
        return pd.DataFrame(columns)

    def text(self) -> str:
        """Say which tokens carry most, first channel first."""
        values = self.numpy("values")[0]
        order = np.argsort(-np.abs(np.nan_to_num(values)))[:5]
        top = ", ".join(f"{self.tokens[i]!r} ({i}) {values[i]:+.3g}" for i in order)
        target = f" for {self.meta['target']}" if self.meta.get("target") else ""
        note = f". Note: {self.meta['note']}" if self.meta.get("note") else ""
        return f"{self.title}: {self.quantity}{target}; largest: {top}{note}"


def divisor(values: np.ndarray, how: str) -> float:
    """Return what values are divided by; 1 where there is nothing to divide by."""
    sizes = np.abs(values[np.isfinite(values)])
    if how == "none" or not sizes.size:
        return 1.0
    return float(sizes.max() if how == "max" else sizes.sum()) or 1.0
