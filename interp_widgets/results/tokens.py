"""One or more values per token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


class TokensResult(Result):
    """Values on tokens, shown as coloured text.

    ``arrays["values"]`` is ``[channel, position]``; ``meta`` has ``tokens``, ``channels`` (names),
    ``quantity``, ``signed``, for attributions ``target`` (what is explained) and ``method``, and
    ``note``, a warning that belongs to the numbers.

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

    def frame(self) -> pd.DataFrame:
        """Return one row per channel and position."""
        import pandas as pd

        values = self.numpy("values")
        channel, position = np.indices(values.shape).reshape(2, -1)
        return pd.DataFrame(
            {
                "channel": np.asarray(self.channels, dtype=object)[channel],
                "position": position,
                "token": np.asarray(self.tokens, dtype=object)[position],
                "value": values.reshape(-1),
            }
        )

    def text(self) -> str:
        """Say which tokens carry most, first channel first."""
        values = self.numpy("values")[0]
        order = np.argsort(-np.abs(np.nan_to_num(values)))[:5]
        top = ", ".join(f"{self.tokens[i]!r} ({i}) {values[i]:+.3g}" for i in order)
        target = f" for {self.meta['target']}" if self.meta.get("target") else ""
        note = f". Note: {self.meta['note']}" if self.meta.get("note") else ""
        return f"{self.title}: {self.quantity}{target}; largest: {top}{note}"
