"""Neurons as the tokens they read and write, with a slider that tests the reading."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import to_numpy
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.token_table import TokenTable
from interp_widgets.views.base import View, one_of
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

if TYPE_CHECKING:
    from torch import Tensor

SORTS = ("confidence", "entropy", "layer")
LISTED = 12
"""Rows of one page of the list."""
WORDS = 3
MOST_POINTS = 12_000
"""Points of the scatter; of more rows the surest of each layer and an even sample of the rest."""
BARS = 10
BINS = 24
CONTINUED = 16
"""Tokens that the generation box adds."""
SMALL = 1e-4
"""Below this the up projection says nothing about the gate."""


@VIEWS.register("token_table")
class TokenTableView(View, bundle="token_table"):
    """Rows of weight matrices as tokens: list, layer × confidence, and one row in full.

    The chosen neuron can be clamped through the session while the next token's probabilities are
    shown beside those of the model as it was.

    Parameters
    ----------
    result
        A :class:`TokenTable`.
    row
        Row shown in full; None takes the surest.
    column
        Matrix that list, order and picture are about; by default the first.
    sort
        ``"confidence"`` (default), ``"entropy"`` (smallest first) or ``"layer"``.
    layer
        Only this layer; None (default) shows all.
    query
        A token: only rows that have it among their first five, however it is written.
    prompt
        Text whose next token the clamp is watched on; None takes the session's last prompt.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a row, column, layer or order that there is not.

    Examples
    --------
    >>> iw.weights.decode(session).view(query="dog")
    """

    def __init__(
        self,
        result: TokenTable,
        *,
        row: int | None = None,
        column: int | str = 0,
        sort: str = "confidence",
        layer: int | None = None,
        query: str = "",
        prompt: str | None = None,
        theme: str = "auto",
    ) -> None:
        count = len(result.arrays["layer"])
        if row is not None and not 0 <= row < count:
            raise ValueError(f"there is no row {row}; there are {count:,}")
        if layer is not None and layer not in result.layers:
            raise ValueError(f"there is no layer {layer} in this table; it has {result.layers}")
        self._orders: dict[tuple[Any, ...], np.ndarray] = {}
        at = result.column(column)
        if row is None and count:
            row = int(result.order(at, one_of("sort", sort, SORTS))[0])
        state = {
            "row": row,
            "column": at,
            "sort": one_of("sort", sort, SORTS),
            "layer": layer,
            "query": str(query),
            "prompt": prompt,
        }
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Return what columns and numbers mean, and what is clamped."""
        result: TokenTable = self.current
        clamps = result.meta.get("clamps")
        return {
            "columns": result.columns,
            "roles": result.meta.get("roles", ["read"] * len(result.columns)),
            "signs": result.signs,
            "layers": result.layers,
            "unit_name": result.unit_name,
            "quantity": str(result.meta.get("quantity", "probability")),
            "probable": result.has_probability,
            "count": len(result.arrays["layer"]),
            "depth": int(result.arrays["ids"].shape[-1]),
            "can_clamp": bool(clamps) and self._session is not None,
            "gated": bool(result.meta.get("gated")),
            "note": str(result.meta.get("note") or ""),
            **self._doing(),
        }

    def first(self) -> dict[str, Any]:
        """Return the row shown in full."""
        row = self.state.get("row")
        return {} if row is None else {"row": self.on_row({"row": row})}

    def export_spec(self) -> dict[str, Any]:
        """Say that a page without a kernel clamps nothing and knows the listed rows only."""
        return {**super().export_spec(), "can_clamp": False, "clamped": None}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name the picture and first page of every order, and the rows on those pages."""
        kept: dict[int, None] = {}
        for column in range(len(self.current.columns)):
            yield "points", {"column": column}
            for sort in SORTS:
                payload = {"column": column, "sort": sort, "layer": None, "query": "", "start": 0}
                kept.update((int(i), None) for i in self._order(payload)[:LISTED])
                yield "rows", payload
        for row in kept:
            yield "row", {"row": row}

    def on_rows(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a page of rows: ``index, names, words, sign, scores, total, page``."""
        result: TokenTable = self.current
        order = self._order(payload)
        start = max(0, int(payload.get("start", 0)))
        shown = order[start : start + LISTED]
        scores = (result.numpy("probability" if result.has_probability else "logits"))[
            shown, :, :, 0
        ]
        sign = scores.argmax(2)
        ids = np.take_along_axis(
            result.numpy("ids")[shown, :, :, :WORDS], sign[:, :, None, None], axis=2
        )[:, :, 0]
        words = result.texts(ids) if len(shown) else np.empty((0, len(result.columns), 0), object)
        return {
            "index": Array(shown.astype(np.int32), "int32"),
            "names": [result.name(int(i)) for i in shown],
            "words": words.tolist(),
            "sign": Array(sign.astype(np.int32), "int32"),
            "scores": Array(scores.max(2)),
            "total": len(order),
            "page": LISTED,
        }

    def on_row(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one row: of each column and sign its tokens, scores, logits and entropy."""
        result: TokenTable = self.current
        row = self._row(payload)
        return {
            "row": row,
            "name": result.name(row),
            "layer": int(result.numpy("layer")[row]),
            "unit": int(result.numpy("unit")[row]),
            "tokens": result.texts(result.numpy("ids")[row]).tolist(),
            "probability": Array(result.numpy("probability")[row]),
            "logits": Array(result.numpy("logits")[row]),
            "entropy": Array(result.numpy("entropy")[row]),
        }

    def on_points(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the points of the picture: row, layer and confidence of each."""
        result: TokenTable = self.current
        best = result.best(int(payload.get("column", 0)))
        layer = result.numpy("layer")
        rows = np.arange(len(best))
        if len(rows) > MOST_POINTS:
            room = MOST_POINTS // (2 * len(result.layers))
            surest = [
                np.flatnonzero(layer == i)[np.argsort(-best[layer == i], kind="stable")[:room]]
                for i in result.layers
            ]
            even = np.linspace(0, len(best) - 1, MOST_POINTS // 2).astype(int)
            rows = np.unique(np.concatenate([*surest, even]))
        return {
            "index": Array(rows.astype(np.int32), "int32"),
            "layer": Array(layer[rows].astype(np.int32), "int32"),
            "score": Array(best[rows].astype(np.float32)),
            "total": len(best),
        }

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the rows in the order shown."""
        del payload
        return self.current._frame(self._order(self.state)[:5000])  # noqa: SLF001

    def figure_options(self) -> dict[str, Any]:
        """Return the row, column, order, layer and query."""
        names = ("row", "column", "sort", "layer", "query")
        return {name: self.state.get(name) for name in names}

    # The clamp.

    def on_clamp(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Clamp the row's neuron to ``value`` at every position; None takes the clamp away."""
        row, value = self._row(payload), payload.get("value")
        target = self._target(row)
        interventions = self._live().interventions
        known = self._known(target)
        if value is None:
            if known is not None:
                interventions.remove(known)
        else:
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(f"the value is {number}; it has to be finite")
            if known is not None:
                interventions.change(known, value=number, on=True)
            else:
                label = self.current.name(row)
                interventions.add({"kind": "clamp", "value": number, "label": label, **target})
        return {"value": value}

    @on_worker
    def on_live(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the next token's probabilities with and without the session's interventions.

        ``tokens``, ``now`` and ``base`` of the ten tokens that are likeliest in either, the
        neuron's own activation and standard deviation, the gate at the last position, and how its
        activation is distributed over the prompt.
        """
        session: Any = self._live()
        prompt = self._prompt(session, payload.get("prompt"))
        if prompt is None:
            return {"prompt": "", "tokens": []}
        target = self._target(self._row(payload))
        base, now = (
            session.capture(prompt, ["logits"], interventions=how)["logits"][-1].float().softmax(-1)
            for how in ("none", "current")
        )
        first = [*now.topk(min(BARS, len(now))).indices.tolist(), *base.topk(3).indices.tolist()]
        ids = list(dict.fromkeys(first))[:BARS]
        ids.sort(key=lambda i: -float(now[i]))
        place = f"{target['site']}.{target['layer']}" if "layer" in target else target["site"]
        sites = [place, f"mlp_post.{self._layer(self._row(payload))}"]
        own = session.capture(prompt, sites, interventions="none")
        values = [own[site].reshape(len(prompt), -1).float() for site in sites]
        up, post = values[0][:, target["unit"]], values[1][:, self._unit(self._row(payload))]
        sd = float(up.std()) if len(up) > 1 else 0.0
        gated = bool(self.current.meta.get("gated"))
        known = gated and abs(float(up[-1])) > SMALL
        text = prompt.text if prompt.text is not None else "".join(prompt.tokens)
        return {
            "prompt": text,
            "tokens": [session.token_string(i) for i in ids],
            "now": [float(now[i]) for i in ids],
            "base": [float(base[i]) for i in ids],
            "own": float(up[-1]),
            "sd": sd if sd > 0 else 1.0,
            "gate": float(post[-1] / up[-1]) if known else None,
            **_distribution(up, prompt.tokens),
        }

    @on_worker
    def on_generate(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Continue the prompt greedily, with the session's interventions and without.

        Returns
        -------
        dict
            ``prompt``, and the texts ``now`` and ``base`` of :data:`CONTINUED` tokens; fewer where
            the model's longest prompt ends.
        """
        session: Any = self._live()
        prompt = self._prompt(session, payload.get("prompt"))
        if prompt is None:
            raise ValueError("type a prompt to continue")
        made = {}
        try:
            for name, how in (("now", "current"), ("base", "none")):
                ids = _continued(session, prompt, how)
                made[name] = "".join(session.token_string(i) for i in ids)
        finally:
            session.capture(prompt, ["logits"])  # so that it is the last one that was read
        return {"prompt": prompt.text or "".join(prompt.tokens), **made}

    def _prompt(self, session: Any, text: Any) -> Any:
        if isinstance(text, str) and text:
            return session.prompt(text)
        recent = session.recent
        return recent if hasattr(recent, "tokens") else None

    def _target(self, row: int) -> dict[str, Any]:
        clamps = self.current.meta.get("clamps") or {}
        layer = self._layer(row)
        if str(layer) not in clamps:
            raise ValueError(
                f"{self.current.name(row)} cannot be clamped: it is no neuron of an MLP"
            )
        target = dict(clamps[str(layer)])
        return {**target, "unit": target["unit"] + self._unit(row)}

    def _layer(self, row: int) -> int:
        return int(self.current.numpy("layer")[row])

    def _unit(self, row: int) -> int:
        return int(self.current.numpy("unit")[row])

    def _known(self, target: dict[str, Any]) -> Any:
        for item in self._live().interventions:
            same = (item.site, item.layer) == (target["site"], target.get("layer"))
            if item.kind == "clamp" and same and item.unit == (target["unit"],):
                return item
        return None

    def _row(self, payload: dict[str, Any]) -> int:
        row, count = int(payload["row"]), len(self.current.arrays["layer"])
        if not 0 <= row < count:
            raise ValueError(f"there is no row {row}; there are {count:,}")
        return row

    def _order(self, payload: dict[str, Any]) -> np.ndarray:
        result: TokenTable = self.current
        column = result.column(int(payload.get("column") or 0))
        sort = one_of("sort", str(payload.get("sort", "confidence")), SORTS)
        query, layer = str(payload.get("query") or "").strip(), payload.get("layer")
        key = (column, sort, query, layer)
        if key not in self._orders:
            order = result.order(column, sort)
            if query:
                found = result.find(query, column)
                order = found if sort == "confidence" else order[np.isin(order, found)]
            if layer is not None:
                order = order[result.numpy("layer")[order] == int(layer)]
            while len(self._orders) > 16:
                self._orders.pop(next(iter(self._orders)))
            self._orders[key] = order
        return self._orders[key]

    def _doing(self) -> dict[str, Any]:
        """Return the clamps that are on, by row name, and how often interventions changed."""
        if self._session is None:
            return {"clamped": {}, "turn": 0}
        items = self._live().interventions
        clamped = {i.label: i.value for i in items if i.kind == "clamp" and i.on and i.label}
        return {"clamped": clamped, "turn": str(items.key)}

    def _on_event(self, event: str) -> None:
        """Weights do not change with interventions: only the bars are asked for again."""
        if event != "interventions":
            super()._on_event(event)
        elif not self._closed:
            self.spec = {**self.spec, **self._doing()}


def _continued(session: Any, prompt: Any, how: str) -> list[int]:
    """Return the likeliest next token again and again, until the model's longest prompt."""
    ids = list(prompt.ids)
    while len(ids) < len(prompt) + CONTINUED:
        try:
            longer = session.prompt(ids)
        except ValueError:  # too long for the model
            break
        logits = session.capture(longer, ["logits"], interventions=how)["logits"]
        ids.append(int(logits[-1].argmax()))
    return ids[len(prompt) :]


def _distribution(values: Tensor, tokens: Sequence[str]) -> dict[str, Any]:
    """Count a neuron's activations ``[position]`` in bins, and name the tokens with the largest."""
    counts, edges = np.histogram(to_numpy(values), BINS)
    top = values.topk(min(WORDS, len(values))).indices.tolist()
    return {
        "counts": counts.tolist(),
        "range": [float(edges[0]), float(edges[-1])],
        "highest": [[tokens[i], float(values[i])] for i in top],
    }
