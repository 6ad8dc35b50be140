"""What each layer would predict at each position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


class LensResult(Result):
    """Top tokens of every layer and position, with their probabilities.

    Arrays, k best tokens first: ``ids``, ``probs`` and ``logits`` ``[layer, position, k]``;
    ``entropy`` (nats) and ``kl`` to the final distribution (nats) ``[layer, position]``; with an
    answer also ``answer_rank`` (0 is the best), ``answer_prob`` and, with a foil,
    ``logit_difference``, each ``[layer, position]``.
    ``meta``: ``tokens``, ``positions`` (of those tokens in the prompt), ``layers`` (row labels),
    ``strings`` (token id as str → text).

    Examples
    --------
    >>> lens = iw.logit_lens(prompt)
    >>> lens.top(layer=2, position=-1)[:3]      # [(" Mary", 0.41), …]
    """

    kind = "lens"

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

    def string(self, token_id: int) -> str:
        """Text of a token that occurs in the result."""
        return str(self.meta["strings"].get(str(int(token_id)), f"#{int(token_id)}"))

    def top(self, layer: int, position: int) -> list[tuple[str, float]]:
        """Return the k best (token, probability) of one cell."""
        ids = self.numpy("ids")[layer, position]
        probs = self.numpy("probs")[layer, position]
        return [(self.string(i), float(p)) for i, p in zip(ids, probs, strict=True)]

    def frame(self) -> pd.DataFrame:
        """Return one row per layer, position and rank."""
        import pandas as pd

        ids, probs = self.numpy("ids"), self.numpy("probs")
        layer, position, rank = np.indices(ids.shape).reshape(3, -1)
        columns = {
            "layer": np.asarray(self.layers, dtype=object)[layer],
            "position": np.asarray(self.positions)[position],
            "token": np.asarray(self.tokens, dtype=object)[position],
            "rank": rank,
            "prediction": [self.string(i) for i in ids.reshape(-1)],
            "probability": probs.reshape(-1),
        }
        for name in ("entropy", "kl", "answer_rank", "answer_prob", "logit_difference"):
            if name in self.arrays:
                columns[name] = self.numpy(name)[layer, position]
        return pd.DataFrame(columns)

    def text(self) -> str:
        """Say what each layer predicts at the last position."""
        lines = []
        for i, name in enumerate(self.layers):
            token, prob = self.top(i, -1)[0]
            lines.append(f"{name}: {token!r} {prob:.2f}")
        return f"{self.title}, prediction at the last position by layer: " + ", ".join(lines)
