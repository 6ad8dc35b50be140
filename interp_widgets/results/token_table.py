"""What rows of weight matrices say in tokens: neurons, sub-heads, or pairs of tokens of a head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd


def concept(token: str) -> str:
    """Return what ``" dog"``, ``"dog"`` and ``"Dog"`` have in common."""
    return token.replace("\u0120", " ").replace("\u2581", " ").strip().casefold()


class TokenTable(Result):
    """The top tokens of many vectors: one row for each neuron, in one or more columns.

    ``arrays``: ``ids``, ``logits`` and ``probability`` ``[row, column, sign, k]``, ``entropy``
    ``[row, column, sign]`` in nats, ``layer`` and ``unit`` ``[row]``, ``used`` ``[n]``: the token
    ids that occur, ascending. ``meta``: ``columns`` (``"up"``, ``"gate"``, ``"down"``), ``signs``
    (``"+"`` for the vector, ``"−"`` for its opposite), ``texts`` of the ``used`` ids, ``unit_name``
    (``"neuron"``, ``"sub-head"``, ``"pair"``), ``quantity``, ``roles``: ``"read"`` or ``"write"``
    for each column.

    Examples
    --------
    >>> table = iw.weights.decode(session)
    >>> table.specialised(5), table.find("dog")
    """

    kind = "token_table"

    def _check(self) -> None:
        shape = tuple(self.arrays["ids"].shape)
        if len(shape) != 4 or shape[1:3] != (len(self.columns), len(self.signs)):
            raise ValueError(
                f"ids of shape {shape} do not fit columns {self.columns} and signs {self.signs}"
            )
        for name in ("logits", "probability"):
            if tuple(self.arrays[name].shape) != shape:
                raise ValueError(f"{name} has shape {tuple(self.arrays[name].shape)}, ids {shape}")
        if len(self.arrays["used"]) != len(self.meta["texts"]):
            raise ValueError("every used token id needs one text")
        if any(len(self.arrays[n]) != shape[0] for n in ("layer", "unit")):
            raise ValueError("every row needs a layer and a unit")

    @property
    def columns(self) -> list[str]:
        """Names of the columns: the matrices that were read."""
        return list(self.meta["columns"])

    @property
    def signs(self) -> list[str]:
        """``"+"``, and ``"−"`` where the opposite direction was read too."""
        return list(self.meta["signs"])

    @property
    def top_ids(self) -> np.ndarray:
        """Token ids of the first column, ``[row, k]``."""
        return self.numpy("ids")[:, 0, 0]

    @property
    def top_p(self) -> np.ndarray:
        """Their probabilities ``[row, k]``."""
        return self.numpy("probability")[:, 0, 0]

    @cached_property
    def layers(self) -> list[int]:
        """Layers of the rows, ascending."""
        return [int(i) for i in np.unique(self.numpy("layer"))]

    @cached_property
    def _texts(self) -> np.ndarray:
        return np.array(self.meta["texts"], dtype=object)

    def texts(self, ids: np.ndarray) -> np.ndarray:
        """Return token ids as text, in the same shape."""
        found: np.ndarray = self._texts[np.searchsorted(self.numpy("used"), ids)]
        return found

    def best(self, column: int | str = 0, *, row: slice = slice(None)) -> np.ndarray:
        """Return confidence of the better sign ``[row]``: probability, or logit where none is."""
        values = self._scores[row, self.column(column), :, 0]
        best: np.ndarray = values.max(axis=1)
        return best

    @property
    def _scores(self) -> np.ndarray:
        probability = self.numpy("probability")
        return probability if self.has_probability else self.numpy("logits")

    @cached_property
    def has_probability(self) -> bool:
        """Whether the tokens have probabilities; cosines and pairs of tokens have none."""
        probability = self.numpy("probability")
        return not probability.size or bool(np.isfinite(probability.flat[0]))

    def column(self, column: int | str) -> int:
        """Return the index of a column.

        Raises
        ------
        ValueError
            When there is none of this name.
        """
        names = self.columns
        if isinstance(column, str):
            if column not in names:
                raise ValueError(f"there is no column {column!r}; there are {', '.join(names)}")
            return names.index(column)
        if not -len(names) <= column < len(names):
            raise ValueError(f"there is no column {column}; there are {len(names)}")
        return column % len(names)

    def row(self, layer: int, unit: int) -> int:
        """Return the row of a layer's unit.

        Raises
        ------
        ValueError
            When it was not read.
        """
        hits = np.flatnonzero((self.numpy("layer") == layer) & (self.numpy("unit") == unit))
        if not len(hits):
            raise ValueError(f"layer {layer} has no {self.unit_name} {unit} in this table")
        return int(hits[0])

    @property
    def unit_name(self) -> str:
        """What a row is: ``"neuron"``, ``"sub-head"`` or ``"pair"``."""
        return str(self.meta.get("unit_name", "neuron"))

    def name(self, row: int) -> str:
        """Return ``"L3N17"``, or ``"L3.17"`` where a row is no neuron."""
        between = "N" if self.unit_name == "neuron" else "."
        return f"L{int(self.numpy('layer')[row])}{between}{int(self.numpy('unit')[row])}"

    def order(self, column: int | str = 0, by: str = "confidence") -> np.ndarray:
        """Return all rows, the most specialised first.

        Parameters
        ----------
        column
            The column that decides.
        by
            ``"confidence"``: probability of the top token, of the better sign; ``"entropy"``: the
            smallest entropy first; ``"layer"``: as the model has them.
        """
        if by == "layer":
            return np.lexsort((self.numpy("unit"), self.numpy("layer")))
        if by == "entropy":
            values = -self.numpy("entropy")[:, self.column(column)].min(axis=1)
        elif by == "confidence":
            values = self.best(column)
        else:
            raise ValueError(f'by is "confidence", "entropy" or "layer", not {by!r}')
        return np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")

    def specialised(self, n: int = 20, column: int | str = 0) -> pd.DataFrame:
        """Return the ``n`` rows whose top token has most of the probability."""
        return self._frame(self.order(column)[:n])

    def find(self, token: str | int, column: int | str | None = None, depth: int = 5) -> np.ndarray:
        """Return the rows that have a token among their first ``depth``, the surest first.

        Parameters
        ----------
        token
            A token id, or text: ``"dog"`` finds `` dog``, ``dog`` and ``Dog``.
        column
            Where to look; None looks in all.
        depth
            How many of the top tokens count.
        """
        if isinstance(token, str):
            wanted = concept(token)
            known = np.array([concept(t) == wanted for t in self.meta["texts"]], dtype=bool)
            hits = self.numpy("used")[known]
        else:
            hits = np.array([token])
        where = slice(None) if column is None else [self.column(column)]
        ids, scores = self.numpy("ids")[:, where, :, :depth], self._scores[:, where, :, :depth]
        best = np.where(np.isin(ids, hits), scores, -np.inf).max(axis=(1, 2, 3), initial=-np.inf)
        rows = np.flatnonzero(np.isfinite(best))
        found: np.ndarray = rows[np.argsort(-best[rows], kind="stable")]
        return found

    def compare(self, other: TokenTable, column: int | str = 0) -> ArrayResult:
        """Return the share of rows with the same top token in another table, by layer.

        Tables of a base and a fine-tuned model are compared by the text of their top token.

        Raises
        ------
        ValueError
            When the tables do not have the same rows.
        """
        mine, theirs = ([tuple(x) for x in t._places] for t in (self, other))  # noqa: SLF001
        if mine != theirs:
            raise ValueError(
                f"the tables have other rows ({len(mine):,} and {len(theirs):,}): decode the same "
                "layers of two models of the same shape"
            )
        first, second = (t.texts(t.numpy("ids")[:, t.column(column), 0, 0]) for t in (self, other))
        same = first == second
        layer = self.numpy("layer")
        share = np.array([same[layer == i].mean() for i in self.layers], dtype=np.float32)
        meta = {
            "dims": ["layer"],
            "labels": {"layer": [str(i) for i in self.layers]},
            "quantity": "share with the same top token",
            "title": f"agreement of {self.title} with {other.title}, {same.mean():.1%} in all",
            "signed": False,
        }
        return ArrayResult({"values": share}, meta)

    @property
    def _places(self) -> np.ndarray:
        return np.stack([self.numpy("layer"), self.numpy("unit")], 1)

    def frame(self) -> pd.DataFrame:
        """Return a row for each row: layer, unit, and of each column its best tokens."""
        return self._frame(np.arange(len(self.arrays["layer"])))

    to_frame = frame

    def _frame(self, rows: np.ndarray, words: int = 5) -> pd.DataFrame:
        import pandas as pd

        data: dict[str, Any] = {
            "layer": self.numpy("layer")[rows],
            "unit": self.numpy("unit")[rows],
        }
        ids, scores = self.numpy("ids"), self._scores
        for c, column in enumerate(self.columns):
            for s, sign in enumerate(self.signs):
                name = column if sign == "+" else f"{column} −"
                text = self.texts(ids[rows, c, s, :words])
                data[name] = [" ".join(t.strip() or repr(t) for t in line) for line in text]
                data[f"{name} p" if self.has_probability else f"{name} score"] = scores[
                    rows, c, s, 0
                ]
        return pd.DataFrame(data)

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows at the selected layer and unit."""
        layer, unit = selection.get("layer"), selection.get("unit")
        keep = np.ones(len(self.arrays["layer"]), bool)
        for value, name in ((layer, "layer"), (unit, "unit")):
            if value is not None:
                digits = re.findall(r"\d+", str(value))
                keep &= self.numpy(name) == (int(digits[-1]) if digits else -1)
        nothing = layer is None and unit is None
        return self._frame(np.flatnonzero(keep)[: 0 if nothing else None])

    def text(self) -> str:
        """Return the most specialised rows in words."""
        rows = self.order()[:5]
        lines = [f"{self.title}: {len(self.arrays['layer']):,} {self.unit_name}s"]
        ids, scores = self.numpy("ids"), self._scores
        for row in rows:
            parts = []
            for c, column in enumerate(self.columns):
                sign = int(scores[row, c, :, 0].argmax())
                words = ", ".join(repr(t) for t in self.texts(ids[row, c, sign, :3]))
                parts.append(f"{column} {self.signs[sign]} {words} ({scores[row, c, sign, 0]:.2g})")
            lines.append(f"{self.name(int(row))}: " + "; ".join(parts))
        return "\n".join(lines)
