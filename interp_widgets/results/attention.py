"""Who looks at whom: attention kept as q and k, patterns worked out when looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.results.attention_math import (
    HeadScores,
    attention_pattern,
    cells_of,
    pool_columns,
)
from interp_widgets.results.base import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["HEAD_SCORES", "AttentionResult", "attention_pattern"]

HEAD_SCORES: Final[dict[str, str]] = {
    "previous_token": "mean weight on the token just before",
    "first_token": "mean weight on the first token",
    "duplicate_token": "mean weight on earlier copies of the same token",
    "induction": "mean weight on what followed earlier copies of the token (arXiv:2209.11895)",
    "entropy": "mean entropy of a query's weights, in nats",
}
"""Scores of a head; each is a mean over the queries it is defined for, NaN if there are none."""

Pool = Literal["max", "mean"]


class AttentionResult(Result):
    """Attention of a prompt.

    Arrays: `q [layer, head, position, d_head]` and `k [layer, kv_head, position, d_head]` (also
    `v`; `bias [layer, head, 2 * position - 1]` for a position bias by distance; `valid [position]`,
    1 for real keys), or ready `pattern [layer, head, query, key]`. Memory grows with the number of
    tokens, not with its square.

    `meta`: `tokens`; `ids` (token ids, which the duplicate and induction scores compare; else the
    tokens are); `layers`, the model's numbers of the layers held (all, from 0, by default);
    `facts`, one dict per layer with `scaling`, `softcap`, `window`, `causal`, `sinks`.

    Everywhere `layer` is the model's number of the layer.

    Examples
    --------
    >>> iw.attention(prompt).pattern(layer=2, head=1)      # float tensor [query, key]
    """

    kind = "attention"

    def _check(self) -> None:
        if "pattern" in self.arrays:
            shape = tuple(self.arrays["pattern"].shape)
            if len(shape) != 4:
                raise ValueError(f"pattern has dims [layer, head, query, key], not shape {shape}")
            layers, positions = shape[0], shape[-1]
        elif "q" in self.arrays and "k" in self.arrays:
            q, k = tuple(self.arrays["q"].shape), tuple(self.arrays["k"].shape)
            if len(q) != 4 or len(k) != 4 or q[0] != k[0] or q[3] != k[3] or q[1] % k[1]:
                raise ValueError(
                    "q [layer, head, position, d_head] and k [layer, kv_head, position, d_head] do "
                    f"not fit: {q}, {k}"
                )
            layers, positions = q[0], k[2]
        else:
            raise ValueError("attention needs the arrays q and k, or pattern")
        if len(self.meta.get("tokens", ())) != positions:
            raise ValueError(f"{len(self.meta.get('tokens', ()))} tokens for {positions} keys")
        self.meta.setdefault("layers", list(range(layers)))
        if len(self.meta["layers"]) != layers:
            raise ValueError(f"{len(self.meta['layers'])} layer numbers for {layers} layers")
        self._normalisers: dict[tuple[int, int, int], Tensor] = {}
        self._scans: dict[tuple[int, int], dict[str, float]] = {}
        self._entropies: dict[tuple[int, int], Tensor] = {}

    @classmethod
    def of(
        cls,
        q: Sequence[Tensor],
        k: Sequence[Tensor],
        facts: Sequence[Mapping[str, Any]],
        tokens: Sequence[str],
        *,
        layers: Sequence[int] | None = None,
        ids: Sequence[int] | None = None,
        valid: Tensor | None = None,
        bias: Sequence[Tensor] | None = None,
        **meta: Any,
    ) -> AttentionResult:
        """Make a result from the captures of one prompt.

        Parameters
        ----------
        q, k
            One `[head, position, d_head]` and one `[kv_head, position, d_head]` per layer.
        facts
            Per layer what `AttentionFacts.to_json` gives.
        tokens
            Token strings.
        layers
            The model's numbers of these layers; None counts from 0.
        ids
            Token ids.
        valid
            Which positions are real, bool `[position]`.
        bias
            Per layer `[head, 2 * position - 1]`, or None.
        **meta
            More entries of `meta`.

        Raises
        ------
        ValueError
            If layers differ in shape (ask for fewer layers), or lengths do not fit.
        """
        if len({(tuple(a.shape), tuple(b.shape)) for a, b in zip(q, k, strict=True)}) > 1:
            raise ValueError(
                "these layers have heads of different shapes: ask for layers of one shape at a time"
            )
        arrays = {"q": torch.stack(list(q)), "k": torch.stack(list(k))}
        if valid is not None:
            arrays["valid"] = valid.to(torch.uint8)
        if bias is not None:
            arrays["bias"] = torch.stack(list(bias))
        meta = {
            "tokens": list(tokens),
            "facts": [dict(f) for f in facts],
            "layers": list(range(len(q)) if layers is None else layers),
            **({} if ids is None else {"ids": list(ids)}),
            **meta,
        }
        return cls(arrays, meta)

    # what there is

    @property
    def tokens(self) -> list[str]:
        """Token strings."""
        return list(self.meta["tokens"])

    @property
    def layers(self) -> list[int]:
        """The model's numbers of the layers held."""
        return list(self.meta["layers"])

    @property
    def n_layers(self) -> int:
        """Number of layers held."""
        return len(self.meta["layers"])

    @property
    def n_heads(self) -> int:
        """Number of query heads."""
        return int(self.arrays["pattern" if self.ready else "q"].shape[1])

    @property
    def positions(self) -> int:
        """Number of keys."""
        return len(self.meta["tokens"])

    @property
    def ready(self) -> bool:
        """Whether patterns are stored, instead of being recomputed from q and k."""
        return "pattern" in self.arrays

    # patterns

    def pattern(self, *, layer: int, head: int) -> Tensor:
        """Return one head's whole pattern, float32 `[query, key]`; rows sum to 1, less with a sink.

        Raises
        ------
        ValueError
            For a layer or head that is not there.
        """
        return self.tile(layer, head)

    def tile(
        self,
        layer: int,
        head: int,
        query: slice | None = None,
        key: slice | None = None,
        *,
        pool: Pool | None = None,
        out_shape: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return a part of one head's pattern, pooled if asked; exact, however long the prompt is.

        Parameters
        ----------
        layer, head
            Which head.
        query, key
            Part of the queries and keys, step 1; None is all.
        pool
            `"max"` shows that something is there, `"mean"` how much; None does not pool.
        out_shape
            Cells `(rows, columns)` to pool to; a dimension already smaller stays as it is.

        Returns
        -------
        Tensor
            float32 `[query, key]` or `[row, column]`.

        Raises
        ------
        ValueError
            For a layer or head that is not there, or `pool` without `out_shape`.
        """
        index = self._index(layer, head)
        rows, cols = self._range(query, self._queries()), self._range(key, self.positions)
        if (pool is None) != (out_shape is None):
            raise ValueError("pool and out_shape belong together: give both or neither")
        if pool is None or out_shape is None:
            parts = [self._weights(index, block, cols) for block in self._blocks(index, rows)]
            return torch.cat(parts) if parts else torch.zeros(0, len(cols))
        if pool not in ("max", "mean"):
            raise ValueError(f"pool is 'max' or 'mean', not {pool!r}")
        height, width = min(out_shape[0], len(rows)), min(out_shape[1], len(cols))
        return self._pooled(index, rows, cols, (height, width), pool)

    def _pooled(
        self, index: tuple[int, int], rows: range, cols: range, shape: tuple[int, int], pool: Pool
    ) -> Tensor:
        line = cells_of(len(rows), shape[0]) if shape[0] else torch.zeros(0)
        total: Tensor | None = None
        for block in self._blocks(index, rows):
            cells = pool_columns(self._weights(index, block, cols), shape[1], pool)
            if total is None:
                total = cells.new_zeros(shape)
            at = line[block.start - rows.start : block.stop - rows.start].to(cells.device)
            if pool == "max":
                total.scatter_reduce_(0, at[:, None].expand_as(cells), cells, "amax")
            else:
                total.index_add_(0, at, cells)
        if total is None:
            return torch.zeros(shape)
        if pool == "mean":
            total /= torch.bincount(line, minlength=shape[0]).to(total)[:, None]
        return total

    def scores(
        self, layer: int, head: int, query: slice | None = None, key: slice | None = None
    ) -> Tensor:
        """Return scores before the softmax, float32 `[query, key]`; hidden keys are minus infinity.

        Raises
        ------
        ValueError
            If only the pattern is stored.
        """
        index = self._index(layer, head)
        if self.ready:
            raise ValueError(
                "this result holds ready patterns, not q and k, so there are no scores"
            )
        rows, cols = self._range(query, self._queries()), self._range(key, self.positions)
        return self._head(index).scores(rows, cols)

    @torch.no_grad()
    def queries(self, layer: int, head: int, positions: Sequence[int]) -> Tensor:
        """Return the weights of some queries over all keys, float32 `[len(positions), key]`.

        For a few queries of a long prompt: no other query is worked out.

        Raises
        ------
        ValueError
            For a layer or head that is not there.
        """
        index = self._index(layer, head)
        if self.ready:
            return torch.as_tensor(self.arrays["pattern"])[index][list(positions)].float()
        scores, cols = self._head(index), range(self.positions)
        rows = [range(i, i + 1) for i in positions]
        return torch.cat([scores.weights(row, cols)[0] for row in rows])

    def overview(self, size: int = 48, pool: Pool = "max") -> Tensor:
        """Return every head as a thumbnail, float32 `[layer, head, size, size]`."""
        return torch.stack([self.layer_overview(layer, size, pool) for layer in self.layers])

    def layer_overview(self, layer: int, size: int = 48, pool: Pool = "max") -> Tensor:
        """Return the thumbnails of one layer's heads, float32 `[head, size, size]`."""
        shape = (size, size)
        return torch.stack(
            [self.tile(layer, head, pool=pool, out_shape=shape) for head in range(self.n_heads)]
        )

    def entropy(self, layer: int, head: int) -> Tensor:
        """Return the entropy of each query's weights in nats, `[query]`; NaN for padding."""
        index = self._index(layer, head)
        self._scan(index)
        return self._entropies[index]

    # head scores

    def head_score(self, name: str) -> np.ndarray:
        """Return a score of every head, float64 `[layer, head]`; NaN where it is not defined.

        Parameters
        ----------
        name
            One of `HEAD_SCORES`.

        Raises
        ------
        ValueError
            For another name.
        """
        if name not in HEAD_SCORES:
            raise ValueError(f"there is no head score {name!r}; choose {', '.join(HEAD_SCORES)}")
        found = np.empty((self.n_layers, self.n_heads))
        for index in np.ndindex(found.shape):
            found[index] = self._scan((index[0], index[1]))[name]
        return found

    def previous_token(self) -> np.ndarray:
        """Return each head's mean weight on the token just before, `[layer, head]`."""
        return self.head_score("previous_token")

    def first_token(self) -> np.ndarray:
        """Return each head's mean weight on the first token, `[layer, head]`."""
        return self.head_score("first_token")

    def duplicate_token(self) -> np.ndarray:
        """Return each head's mean weight on earlier copies of a token, `[layer, head]`."""
        return self.head_score("duplicate_token")

    def induction(self) -> np.ndarray:
        """Return each head's mean weight on what followed earlier copies, `[layer, head]`."""
        return self.head_score("induction")

    def _scan(self, index: tuple[int, int]) -> dict[str, float]:
        """Walk through one head's pattern once, in blocks, and keep all its scores."""
        if index in self._scans:
            return self._scans[index]
        ids = self._identities()
        real = self._valid()
        first = int(torch.nonzero(real)[0]) if bool(real.any()) else 0
        sums = dict.fromkeys(HEAD_SCORES, 0.0)
        counts = dict.fromkeys(HEAD_SCORES, 0)
        entropies = []
        for rows in self._blocks(index, range(self._queries())):
            cols = range(self.positions if self.ready else self._head(index).reach(rows).stop)
            weights = self._weights(index, rows, cols).cpu()
            i, j = torch.arange(rows.start, rows.stop), torch.arange(len(cols))
            square = self._queries() == self.positions
            here = real[rows.start : rows.stop] if square else torch.ones(len(rows)).bool()
            entropy = -torch.special.xlogy(weights, weights).sum(-1)
            entropies.append(torch.where(here, entropy, torch.nan))
            later = here & (i > first)
            copies = (ids[i][:, None] == ids[: len(cols)]) & real[: len(cols)]
            copies &= j < i[:, None]
            after = torch.nn.functional.pad(copies[:, :-1], (1, 0))
            before = (i - 1).clamp(0, len(cols) - 1)
            measured = {
                "previous_token": (weights.gather(1, before[:, None])[:, 0], later),
                "first_token": (weights[:, first], later),
                "duplicate_token": ((weights * copies).sum(-1), here & copies.any(-1)),
                "induction": ((weights * after).sum(-1), here & after.any(-1)),
                "entropy": (entropy, here),
            }
            for name, (value, defined) in measured.items():
                sums[name] += float(value[defined].double().sum())
                counts[name] += int(defined.sum())
        self._entropies[index] = torch.cat(entropies)
        self._scans[index] = {
            n: sums[n] / counts[n] if counts[n] else float("nan") for n in HEAD_SCORES
        }
        return self._scans[index]

    def _identities(self) -> Tensor:
        if "ids" in self.meta:
            return torch.as_tensor(self.meta["ids"])
        numbers: dict[str, int] = {}
        return torch.tensor([numbers.setdefault(token, len(numbers)) for token in self.tokens])

    def _valid(self) -> Tensor:
        valid = self.arrays.get("valid")
        if valid is None:
            return torch.ones(self.positions, dtype=torch.bool)
        return torch.as_tensor(valid).cpu().bool()

    # one head

    def _index(self, layer: int, head: int) -> tuple[int, int]:
        if layer not in self.meta["layers"]:
            raise ValueError(
                f"there is no layer {layer} here; the layers are {_ranges(self.layers)}"
            )
        if not 0 <= head < self.n_heads:
            raise ValueError(f"there is no head {head}; the heads are 0 to {self.n_heads - 1}")
        return self.meta["layers"].index(layer), int(head)

    def _queries(self) -> int:
        return int(self.arrays["pattern" if self.ready else "q"].shape[2])

    def _range(self, part: slice | None, count: int) -> range:
        start, stop, step = (part or slice(None)).indices(count)
        if step != 1:
            raise ValueError("query and key are slices with step 1")
        return range(start, max(start, stop))

    def _head(self, index: tuple[int, int]) -> HeadScores:
        layer, head = index
        q, k = torch.as_tensor(self.arrays["q"]), torch.as_tensor(self.arrays["k"])
        facts = self.meta["facts"][layer] if "facts" in self.meta else {}
        scaling, sinks = facts.get("scaling"), facts.get("sinks")
        valid, bias = self.arrays.get("valid"), self.arrays.get("bias")
        return HeadScores(
            q[layer, head],
            k[layer, head // (q.shape[1] // k.shape[1])],
            scaling=q.shape[-1] ** -0.5 if scaling is None else scaling,
            softcap=facts.get("softcap"),
            window=facts.get("window"),
            causal=facts.get("causal", True),
            valid=None if valid is None else torch.as_tensor(valid).bool(),
            bias=None if bias is None else torch.as_tensor(bias)[layer, head],
            sink=sinks[head] if sinks else None,
        )

    def _blocks(self, index: tuple[int, int], rows: range) -> list[range]:
        """Split queries along the blocks whose normalisers are remembered."""
        if self.ready:
            return [rows] if len(rows) else []
        return list(self._head(index).blocks(rows))

    @torch.no_grad()
    def _weights(self, index: tuple[int, int], rows: range, cols: range) -> Tensor:
        """Return the weights of queries that lie in one block."""
        if self.ready:
            pattern = torch.as_tensor(self.arrays["pattern"])[index]
            return pattern[rows.start : rows.stop, cols.start : cols.stop].float()
        head = self._head(index)
        start = rows.start // head.block_height * head.block_height
        block = range(start, min(start + head.block_height, head.queries))
        known = self._normalisers.get((*index, start))
        if known is None and rows == block:
            weights, known = head.weights(rows, cols)
        else:
            known = head.normaliser(block) if known is None else known
            part = known[rows.start - start : rows.stop - start]
            weights, _ = head.weights(rows, cols, part)
        self._normalisers[*index, start] = known
        return weights

    # words

    def frame(self) -> pd.DataFrame:
        """Return one row per head with its scores."""
        import pandas as pd

        scores = {name: self.head_score(name) for name in HEAD_SCORES}
        rows = [
            {
                "layer": layer,
                "head": head,
                **{name: value[i, head] for name, value in scores.items()},
            }
            for i, layer in enumerate(self.layers)
            for head in range(self.n_heads)
        ]
        return pd.DataFrame(rows)

    def text(self) -> str:
        """Name the strongest head of each kind."""
        lines = [self.alt_text()]
        for name, meaning in HEAD_SCORES.items():
            values = self.head_score(name)
            if name == "entropy" or np.isnan(values).all():
                continue
            i, head = np.unravel_index(int(np.nanargmax(values)), values.shape)
            lines.append(
                f"{name}: head {self.layers[i]}.{head} with {values[i, head]:.2f} ({meaning})"
            )
        return "\n".join(lines)

    def alt_text(self) -> str:
        """Say what is shown and how large it is."""
        shown = "".join(self.tokens[:8]).strip()
        rest = "…" if self.positions > 8 else ""
        what = f"{self.n_layers} layers with {self.n_heads} heads each"
        return f"Attention of {what} over {self.positions} tokens: {shown}{rest}"


def _ranges(numbers: Sequence[int]) -> str:
    whole = list(numbers) == list(range(numbers[0], numbers[-1] + 1)) if numbers else False
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
