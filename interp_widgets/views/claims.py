"""Claims as cards: what was foretold, three lamps, effect against random ones, history."""

from __future__ import annotations

from typing import Any

from interp_widgets.results.claims import LAMPS, ClaimsResult
from interp_widgets.results.registry import METHODS, VIEWS
from interp_widgets.views.base import View
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array

QUIET = ("inputs", "log")
"""Parts of a card that travel only when they are asked for."""
DRAWN = ("null", "score", "margin")


@VIEWS.register("claims")
class ClaimsView(View, bundle="claims"):
    """A report card of claims, and the card of the one that is chosen.

    Of a claim that was not tested the least effect can be moved, and the test be run, from here.
    Verdicts are records: they do not follow the session's interventions.

    Parameters
    ----------
    result
        A :class:`ClaimsResult`.
    claim
        The claim whose card is shown first.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For a claim that there is not.

    Examples
    --------
    >>> iw.claims.card(session).view(claim=1)
    """

    def __init__(self, result: ClaimsResult, *, claim: int = 0, theme: str = "auto") -> None:
        if not 0 <= claim < len(result.cards):
            raise ValueError(f"there is no claim {claim}; there are {len(result.cards)}")
        super().__init__(result, theme=theme, state={"claim": claim})

    def describe(self) -> dict[str, Any]:
        """Return the cards, and which of them can still be changed and tested."""
        result: ClaimsResult = self.current
        open_ = [bool(c) and not c.tested for c in self._claims()]
        free = [bool(c) and not c.locked for c in self._claims()]
        return {
            "cards": [
                {
                    **{k: v for k, v in card.items() if k not in QUIET},
                    "runs": len(card.get("log", ())),
                    "can_test": open_[i],
                    "can_change": free[i],
                }
                for i, card in enumerate(result.cards)
            ],
            "lamp_names": dict(LAMPS),
            "can_colour": self._session is not None and bool(result.live),
        }

    def first(self) -> dict[str, Any]:
        """Send the numbers that are drawn: random effects, scores, foretold failures by bin."""
        result: ClaimsResult = self.current
        found = []
        for i in range(len(result.cards)):
            arrays = {name: result.array(name, i) for name in DRAWN}
            table = result.calibration(i)
            found.append(
                {
                    **{k: Array(v) for k, v in arrays.items() if v is not None},
                    "calibration": table.to_numpy(float).tolist(),
                }
            )
        return {"numbers": found}

    def export_spec(self) -> dict[str, Any]:
        """Say that nothing can be changed or tested on a page without a kernel."""
        spec = super().export_spec()
        cards = [{**c, "can_test": False, "can_change": False} for c in spec["cards"]]
        return {**spec, "cards": cards, "can_colour": False}

    def export_requests(self) -> Any:
        """Name the inputs behind the first dots of every claim."""
        for i, card in enumerate(self.current.cards):
            for k in range(min(60, len(card.get("inputs", ())))):
                yield "input", {"claim": i, "input": k}

    def on_input(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the tokens of an input, its answer and its foil."""
        inputs = self.current.cards[int(payload["claim"])].get("inputs", ())
        at = int(payload["input"])
        if not 0 <= at < len(inputs):
            raise ValueError(f"the card keeps {len(inputs)} inputs; there is no {at} among them")
        return dict(inputs[at])

    @on_worker
    def on_tokens(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return how much each token of an input matters for its answer (gradient × input)."""
        claim = self._claim(payload)
        prompt = claim.input(int(payload["input"]))
        found = METHODS.get("attribute").call((prompt,), {"method": "gradient_x_input"})
        return {"values": Array(found.numpy("values")[0])}

    def on_minimum(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Move the least effect (the most, for a claim that nothing changes) before the test."""
        self._claim(payload).change(min_size=float(payload["value"]))
        self._renew(int(payload["claim"]))
        return {}

    @on_worker
    def on_test(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Open the sealed inputs and test the claim."""
        self._claim(payload).test()
        self._renew(int(payload["claim"]))
        return {}

    def figure_options(self) -> dict[str, Any]:
        """Return the claim that is shown."""
        return {"claim": self.state["claim"]}

    def _claims(self) -> list[Any]:
        live = list(self.current.live)
        return live or [None] * len(self.current.cards)

    def _claim(self, payload: dict[str, Any]) -> Any:
        claim = self._claims()[int(payload["claim"])]
        if claim is None:
            raise ValueError("this card was read from a file: open its claim with Claim.from_json")
        return claim

    def _renew(self, at: int) -> None:
        """Take a claim's card of now."""
        result: ClaimsResult = self.current
        own = self._claims()[at].card()
        result.meta["cards"][at] = own.cards[0]
        arrays = {k: v for k, v in own.arrays.items() if k.startswith("0.")}
        result.arrays.update({f"{at}.{k[2:]}": v for k, v in arrays.items()})
        self.revision += 1
        self._publish()

    def _on_event(self, event: str) -> None:
        """Keep the verdict: it is about the model as it was."""
        if event != "interventions":
            super()._on_event(event)
