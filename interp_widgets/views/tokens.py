"""Values on tokens as coloured text or bars, and the channels worth looking at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np

from interp_widgets.results.base import to_numpy
from interp_widgets.results.channels import MEASURES, By, matching, measured, ordered, sparks
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.tokens import NORMALISED, TokensResult
from interp_widgets.views.base import MODES, View, one_of
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

LAYOUTS = ("text", "bars")
SCALES = ("channel", "global")
SORTS = ("position", "size")

EXPORT_VALUES = 250_000
"""Values in an exported page; beyond it only the channel in sight can be looked at."""
NAMED = 256
"""Channels whose names are all told to the browser; more are listed by request."""
LISTED = 15
"""Channels of one page of the list."""
SPARK = 64
"""Points of the small picture of a channel."""


@VIEWS.register("tokens")
class TokensView(View, bundle="tokens"):
    """Tokens coloured by a value each, one channel at a time.

    Only the channel that is looked at travels to the browser, and channels are sorted where they
    are, so results of tens of thousands of neurons open as fast as one.

    Parameters
    ----------
    result
        A :class:`TokensResult`.
    channel
        Index or name of the values shown first. In an attribution matrix a channel is a target.
        None: the first one; the last target of a matrix; of many channels the largest.
    layout
        ``"text"`` (default): coloured running text; ``"bars"``: one token per line.
    normalise
        ``"none"`` (default): the numbers as they are; ``"max"``: divided by the channel's largest
        magnitude; ``"sum"``: by the sum of its magnitudes. The legend says which.
    scale
        ``"channel"`` (default): the colours span this channel's values; ``"global"``: those of all
        channels, so that channels can be compared.
    sort
        Order of the bars: ``"position"`` (default) or ``"size"``.
    by
        What the list of many channels is sorted by: ``"max"`` (default), ``"magnitude"``,
        ``"mean"``, ``"variance"`` or ``"token"``, the value at the selected token.
    wrap, spaces
        Whether lines are wrapped (default) and white space is drawn (default not).
    mode
        ``"current"`` (default), ``"base"`` or ``"difference"`` after an intervention.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a channel or word that there is not.

    Examples
    --------
    >>> iw.attribute(prompt, method="integrated_gradients").view(layout="bars", sort="size")
    """

    def __init__(
        self,
        result: TokensResult,
        *,
        channel: int | str | None = None,
        layout: str = "text",
        normalise: str = "none",
        scale: str = "channel",
        sort: str = "position",
        by: str = "max",
        wrap: bool = True,
        spaces: bool = False,
        mode: str = "current",
        theme: str = "auto",
    ) -> None:
        self._cache: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        known = result.recipe.arguments if result.recipe else {}
        of_head = isinstance(known.get("target"), list)
        self._logits = {name: None if of_head else known.get(name) for name in ("target", "foil")}
        self._shown = result.channel(self._best(result, by) if channel is None else channel)
        state = {
            "channel": self._shown,
            "layout": one_of("layout", layout, LAYOUTS),
            "normalise": one_of("normalise", normalise, tuple(NORMALISED)),
            "scale": one_of("scale", scale, SCALES),
            "sort": one_of("sort", sort, SORTS),
            "by": one_of("by", by, tuple(MEASURES)),
            "wrap": bool(wrap),
            "spaces": bool(spaces),
            "mode": one_of("mode", mode, MODES),
        }
        super().__init__(result, theme=theme, state=state)

    def describe(self) -> dict[str, Any]:
        """Say what there is: tokens, channels, what the values mean."""
        result: TokensResult = self.current
        names = result.channels
        return {
            "tokens": result.tokens,
            "channels": names if len(names) <= NAMED else [],
            "n_channels": len(names),
            "channel_name": str(result.meta.get("channel_name", "Channel")),
            "measures": list(MEASURES.items()),
            "quantity": result.quantity,
            "signed": result.signed,
            "target": str(result.meta.get("target") or ""),
            "targets": result.targets,
            "note": str(result.meta.get("note") or ""),
            "units": result.units,
            "asked": self._asked(result),
        }

    def _asked(self, result: TokensResult) -> dict[str, Any] | None:
        """Say by which units and at which head the result was asked for, where that can change."""
        known = result.recipe.arguments if result.recipe else {}
        if result.units is None or "units" not in known:
            return None
        head = known.get("target")
        return {"units": known["units"], "head": head if isinstance(head, list) else None}

    @on_worker
    def on_explain(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Explain the text by other units, or another target: what the view follows from now on.

        ``units`` as in the method; ``head`` is ``[layer, head]``, or None for the logits.
        """
        if not self.is_closed and self._asked(self._origin) is None:
            raise ValueError("these values are not of words or phrases that could be chosen")
        head = payload["head"]
        to = self._logits if head is None else {"target": [int(i) for i in head], "foil": None}
        self.run_with(units=payload["units"], **to)
        return {}

    def first(self) -> dict[str, Any]:
        """Return the values of the channel in sight."""
        channel = int(self.state.get("channel", self._shown))
        channel = min(channel, len(self.current.channels) - 1)
        return {"channel": channel, **self.on_values({"channel": channel})}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name every channel while they are few, else those that the list shows first."""
        for mode in MODES if self.changed else MODES[:1]:
            for channel in self._exported():
                yield "values", {"mode": mode, "channel": channel}
            for by, token in self._exported_lists():
                payload = {"mode": mode, "by": by, "token": token, "query": "", "start": 0}
                yield "channels", payload

    def export_spec(self) -> dict[str, Any]:
        """Say which channels the page has, when it has not all."""
        spec = {**super().export_spec(), "listed": bool(self._exported_lists())}
        kept = self._exported()
        if len(kept) == len(self.current.channels):
            return spec
        names = self.current.channels
        return {**spec, "kept": [[i, names[i]] for i in kept]}

    def _exported_lists(self) -> list[tuple[By, int]]:
        """Return the orders whose first page an exported page holds."""
        if len(self.current.channels) <= LISTED:
            return []
        orders: list[tuple[By, int]] = [("max", 0), ("magnitude", 0), ("mean", 0), ("variance", 0)]
        tokens = len(self.current.tokens)
        return orders + ([("token", i) for i in range(tokens)] if tokens <= SPARK else [])

    def _exported(self) -> list[int]:
        result: TokensResult = self.current
        count = len(result.channels)
        modes = MODES if self.changed else MODES[:1]
        if count * len(result.tokens) * len(modes) <= EXPORT_VALUES:
            return list(range(count))
        room = max(1, EXPORT_VALUES // (len(modes) * len(result.tokens)))
        best = [
            int(i)
            for mode in modes
            for by, token in self._exported_lists()
            for i in self._order(mode, by, token, "")[:LISTED]
        ]
        return list(dict.fromkeys([int(self.state["channel"]), *best]))[:room]

    def on_values(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return one channel's values `[position]`, its name, and the range of all channels."""
        mode, channel = str(payload.get("mode", "current")), int(payload["channel"])
        result: TokensResult = self.pick(mode)
        values = to_numpy(result.arrays["values"][result.channel(channel)])
        if mode == "difference":
            values = values - to_numpy(self.base.arrays["values"][channel])
        name = result.meta["channels"][channel]
        return {"values": Array(values), "name": name, "global": self._range(mode)}

    def on_channels(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a page of channels, largest first, with a small picture of each.

        ``by`` and ``token`` say what they are sorted by, ``query`` what their names hold, ``start``
        where the page begins.
        """
        mode = str(payload.get("mode", "current"))
        by: By = one_of("by", str(payload.get("by", "max")), tuple(MEASURES))  # type: ignore[assignment]
        token = int(payload.get("token") or 0)
        result: TokensResult = self.pick(mode)
        numbers = self._measured(mode, by, token)
        query = str(payload.get("query") or "").strip()
        order = self._order(mode, by, token, query)
        start = max(0, int(payload.get("start", 0)))
        shown = order[start : start + LISTED]
        rows = to_numpy(result.arrays["values"][shown])
        if mode == "difference":
            rows = rows - to_numpy(self.base.arrays["values"][shown])
        return {
            "index": Array(shown, "int32"),
            "names": [result.meta["channels"][i] for i in shown],
            "numbers": Array(numbers[shown]),
            "sparks": Array(sparks(rows, SPARK)),
            "total": len(order),
            "page": LISTED,
        }

    def figure_options(self) -> dict[str, Any]:
        """Return what the figure shows: the channel, the layout and the normalisation."""
        names = ("channel", "layout", "normalise", "scale", "sort", "spaces")
        return {name: self.state[name] for name in names}

    def figure_result(self) -> TokensResult:
        """Return what is shown: now, before, or the difference."""
        result: TokensResult = self.pick(self.mode)
        if self.mode != "difference":
            return result
        values = to_numpy(result.arrays["values"]) - to_numpy(self.base.arrays["values"])
        meta = {**result.meta, "signed": True, "title": f"{result.title}, current − base"}
        return TokensResult({"values": values}, meta, result.recipe)

    def table(self, payload: dict[str, Any]) -> Any:
        """Return the channel in sight, or every channel while they are few."""
        mode = str(payload.get("mode", "current"))
        result: TokensResult = self.pick(mode)
        if result.arrays["values"].shape[0] * len(result.tokens) <= EXPORT_VALUES:
            return result.frame()
        channel = int(self.state["channel"])
        one = TokensResult(
            {"values": result.arrays["values"][channel : channel + 1]},
            {"tokens": result.tokens, "channels": [result.meta["channels"][channel]]},
        )
        return one.frame()

    def _best(self, result: TokensResult, by: str) -> int:
        """Return the channel that a reader wants to see first."""
        if result.targets is not None:
            return len(result.targets) - 1
        if len(result.channels) <= LISTED or by not in MEASURES:
            return 0
        how: By = "max" if by == "token" else by  # type: ignore[assignment]
        numbers = measured(result.arrays["values"], how)
        self._cache[(0, "current", how, 0)] = numbers
        return int(ordered(numbers)[0])

    def _range(self, mode: str) -> list[float]:
        def find() -> list[float]:
            low, high = self._measured(mode, "min", 0), self._measured(mode, "max", 0)
            if not np.isfinite(low).any():
                return [0.0, 0.0]
            return [float(np.nanmin(low)), float(np.nanmax(high))]

        return self._kept(("range", mode), find)

    def _measured(self, mode: str, by: By, token: int) -> np.ndarray:
        token = token if by == "token" else 0
        values = self.pick(mode).arrays["values"]
        if not 0 <= token < values.shape[1]:
            raise ValueError(f"there is no token {token}; there are {values.shape[1]}")

        def find() -> np.ndarray:
            return measured(values, by, token, self._other(mode))

        return self._kept((mode, by, token), find)

    def _order(self, mode: str, by: By, token: int, query: str) -> np.ndarray:
        def find() -> np.ndarray:
            numbers = self._measured(mode, by, token)
            if not query:
                return ordered(numbers)
            names = self.current.meta["channels"]
            hits = matching(names, query)
            exact = len(hits) and names[hits[0]].lower() == query.lower()
            rest = ordered(numbers, hits[1:] if exact else hits)
            return np.concatenate([hits[:1], rest]) if exact else rest

        return self._kept((mode, by, token if by == "token" else 0, query), find)

    def _other(self, mode: str) -> Any:
        return self.base.arrays["values"] if mode == "difference" else None

    def _kept(self, key: tuple[Any, ...], find: Any) -> Any:
        """Remember what was measured on this revision."""
        key = (self.revision, *key)
        if key not in self._cache:
            self._cache[key] = find()
            while len(self._cache) > 24:
                self._cache.popitem(last=False)
        return self._cache[key]
