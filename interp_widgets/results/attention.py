"""Who looks at whom: attention kept as q and k, patterns worked out when looked at."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.results import attention_tables
from interp_widgets.results.attention_check import check
from interp_widgets.results.attention_heads import Heads
from interp_widgets.results.attention_math import attention_pattern, pooled_part
from interp_widgets.results.attention_product import Product
from interp_widgets.results.attention_scores import HEAD_SCORES, Scans
from interp_widgets.results.base import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from interp_widgets.results.attention_heads import Pool

__all__ = ["HEAD_SCORES", "AttentionResult", "Product", "attention_pattern"]

QUICK = 30_000_000
"""Weights of all heads together that are worked out in a second or two; beyond, only on request."""

FEW = 64
"""Heads whose scores stand in the text beside a view; of more, `frame()` has them."""


class AttentionResult(Result):
    """Attention of a prompt.

    Arrays: `q [layer, head, position, d_head]` and `k [layer, kv_head, position, d_head]` (also
    `v`; `bias [layer, head, 2 * position - 1]` for a position bias by distance, or `[layer, head,
    query, key]` for one of each pair; `valid [position]`, 1 for real keys), or ready `pattern
    [layer, head, query, key]`. Memory grows with the number of tokens, not with its square.
    Optional: `value_norm [layer, head, key]`, the norm of what a head
    writes for a key, `‖v W_O‖`; `image [height, width, 3]`, uint8, the picture the patches are of;
    `against.q`, `against.k`, … of a second prompt.

    `meta`: `tokens` (of the keys); `query_tokens` where the queries are another text
    (cross-attention); `patches` with `extra`, `rows`, `columns`, where tokens are patches of an
    image; `against`, the `meta` of the second prompt; `ids` (token ids, which the duplicate and
    induction scores compare; else the tokens are); `layers`, the model's numbers of the layers held
    (all, from 0, by default); `site`, where heads are ablated (`z` by default);
    `facts`, one dict per layer with `scaling`, `softcap`, `window`, `causal`, `sinks`.

    Everywhere `layer` is the model's number of the layer.

    Examples
    --------
    >>> iw.attention(prompt).pattern(layer=2, head=1)      # float tensor [query, key]
    """

    kind = "attention"

    def _check(self) -> None:
        check(self.arrays, self.meta)
        self._heads = Heads(self.arrays, self.meta)
        shape = (self.n_layers, self.n_heads, self.n_queries, self.positions)
        self._scans = Scans(self._heads, shape)

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
            Per layer `[head, 2 * position - 1]` or `[head, query, key]`, or None.
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
    def query_tokens(self) -> list[str]:
        """Token strings of the queries; those of the keys but in cross-attention."""
        return list(self.meta.get("query_tokens") or self.meta["tokens"])

    @property
    def cross(self) -> bool:
        """Whether queries and keys are different tokens."""
        return "query_tokens" in self.meta

    @cached_property
    def against(self) -> AttentionResult | None:
        """The same heads on the second prompt, or None."""
        if "against" not in self.meta:
            return None
        named = {n.partition(".")[2]: a for n, a in self.arrays.items() if n.startswith("against.")}
        return AttentionResult(named, {"layers": self.layers, **self.meta["against"]})

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

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return int(self.arrays["pattern" if self.ready else "q"].shape[2])

    @property
    def quick(self) -> bool:
        """Whether all patterns together are worked out in a second or two."""
        weights = self.n_layers * self.n_heads * self.n_queries * self.positions
        return weights <= QUICK

    # patterns

    def pattern(self, *, layer: int, head: int) -> Tensor:
        """Return one head's whole pattern, float32 `[query, key]`; rows sum to 1, less with a sink.

        Raises
        ------
        ValueError
            For a layer or head that is not there.
        """
        return self.tile(layer, head)

    def held(self, layer: int, *, by_value: bool = False) -> Tensor | None:
        """Return the patterns of all heads, float32 `[head, query, key]`, of a short prompt.

        None where only q and k are held and all patterns are more than 1,048,576 weights.

        Raises
        ------
        ValueError
            For a layer that is not there, or ``by_value`` without norms.
        """
        return self._heads.held(self._index(layer, 0)[0], by_value=by_value)

    def tile(
        self,
        layer: int,
        head: int,
        query: slice | None = None,
        key: slice | None = None,
        *,
        pool: Pool | None = None,
        out_shape: tuple[int, int] | None = None,
        by_value: bool = False,
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
        by_value
            Weigh each key by the norm of what the head writes for it, `‖v W_O‖` (Kobayashi et al.
            2020, arXiv:2004.10102).

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
        rows, cols = self._range(query, self.n_queries), self._range(key, self.positions)
        if (pool is None) != (out_shape is None):
            raise ValueError("pool and out_shape belong together: give both or neither")
        if pool is None or out_shape is None:
            return self._heads.whole(index, rows, cols, by_value=by_value)
        if pool not in ("max", "mean"):
            raise ValueError(f"pool is 'max' or 'mean', not {pool!r}")
        return self._heads.pooled(index, rows, cols, out_shape, pool, by_value=by_value)

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
        rows, cols = self._range(query, self.n_queries), self._range(key, self.positions)
        return self._heads.head(index).scores(rows, cols)

    def product(self, layer: int, head: int, query: int, key: int) -> Product:
        """Return how one query and one key make one weight, dimension by dimension.

        Raises
        ------
        ValueError
            If only the pattern is stored, or for a query or key that is not there.

        Examples
        --------
        >>> result.product(2, 1, query=9, key=4).terms.sort().values[-3:]
        """
        for name, at, count in (
            ("query", query, self.n_queries),
            ("key", key, self.positions),
        ):
            if not 0 <= at < count:
                raise ValueError(f"there is no {name} {at}; there are {count}")
        score = self.scores(layer, head, slice(query, query + 1), slice(key, key + 1))
        scores = self._heads.head(self._index(layer, head))
        q, k = scores.q[query].float(), scores.k[key].float()
        terms = q * k * scores.scaling
        weight = self.queries(layer, head, [query], slice(key, key + 1))
        return Product(q, k, terms, float(terms.sum()), float(score), float(weight))

    def queries(
        self,
        layer: int,
        head: int,
        positions: Sequence[int],
        key: slice | None = None,
        *,
        by_value: bool = False,
    ) -> Tensor:
        """Return the weights of some queries, float32 `[len(positions), key]`.

        For a few queries of a long prompt: no other query is worked out.

        Raises
        ------
        ValueError
            For a layer or head that is not there.
        """
        cols = self._range(key, self.positions)
        return self._heads.some(self._index(layer, head), positions, cols, by_value=by_value)

    def sketch(self, layer: int, cells: int = 48, how: Pool = "max") -> Tensor:
        """Return quick thumbnails of one layer, float32 `[head, row, column]`.

        A row is one query, the last of those that the row stands for; a cell is the largest (or
        mean) weight of its keys. Exact where there are no more tokens than cells.

        Parameters
        ----------
        layer
            Which layer.
        cells
            Longest side of a thumbnail.
        how
            `"max"` or `"mean"` over the keys of a cell.
        """
        step = -(-max(self.n_queries, self.positions) // cells)
        rows, cols = range(self.n_queries), range(self.positions)

        def of(head: int) -> Tensor:
            def part(some: range | Sequence[int], keys: range) -> Tensor:
                return self.queries(layer, head, list(some), slice(keys.start, keys.stop))

            return pooled_part(part, rows, cols, step, how, sampled=True)

        return torch.stack([of(head) for head in range(self.n_heads)])

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
        return self._scans.entropies(self._index(layer, head))

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
            found[index] = self._scans.scores((index[0], index[1]))[name]
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

    # one head

    def _index(self, layer: int, head: int) -> tuple[int, int]:
        if layer not in self.meta["layers"]:
            raise ValueError(
                f"there is no layer {layer} here; the layers are {_ranges(self.layers)}"
            )
        if not 0 <= head < self.n_heads:
            raise ValueError(f"there is no head {head}; the heads are 0 to {self.n_heads - 1}")
        return self.meta["layers"].index(layer), int(head)

    def _range(self, part: slice | None, count: int) -> range:
        start, stop, step = (part or slice(None)).indices(count)
        if step != 1:
            raise ValueError("query and key are slices with step 1")
        return range(start, max(start, stop))

    # words

    @property
    def source(self) -> str:
        """Where the patterns come from, in words."""
        return "stored patterns" if self.ready else "recomputed from q and k"

    def frame(self) -> pd.DataFrame:
        """Return one row per head with its scores."""
        return attention_tables.heads(self)

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the weights at the selected token, layer and head.

        Parameters
        ----------
        selection
            `token`, `layer`, `head`, each an int or None.

        Returns
        -------
        DataFrame
            With a token, columns `layer, head, query, key, query_token, key_token, weight`: all
            keys that the token attends to if a head is selected, else each head's five strongest.
            Without a token one row per head with its scores.
        """
        return attention_tables.at(self, selection)

    def text(self) -> str:
        """Name the strongest head of each kind; of many heads only say what there is."""
        return "\n".join([self.alt_text(), f"Patterns: {self.source}.", *self._strongest()])

    def _strongest(self) -> list[str]:
        lines = []
        few = self.quick and self.n_layers * self.n_heads <= FEW
        for name, meaning in HEAD_SCORES.items() if few else ():
            values = self.head_score(name)
            if name == "entropy" or np.isnan(values).all():
                continue
            i, head = np.unravel_index(int(np.nanargmax(values)), values.shape)
            lines.append(
                f"{name}: head {self.layers[i]}.{head} with {values[i, head]:.2f} ({meaning})"
            )
        return lines

    def alt_text(self) -> str:
        """Say what is shown and how large it is."""
        shown = "".join(self.tokens[:8]).strip()
        rest = "…" if self.positions > 8 else ""
        layers = "1 layer" if self.n_layers == 1 else f"{self.n_layers} layers"
        heads = "1 head" if self.n_heads == 1 else f"{self.n_heads} heads"
        tokens = "1 token" if self.positions == 1 else f"{self.positions} tokens"
        over = f"from {self.n_queries} to {tokens}" if self.cross else f"over {tokens}"
        return f"Attention of {layers} with {heads} each {over}: {shown}{rest}"


def _ranges(numbers: Sequence[int]) -> str:
    whole = list(numbers) == list(range(numbers[0], numbers[-1] + 1)) if numbers else False
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
