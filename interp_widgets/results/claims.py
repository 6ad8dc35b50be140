"""Claims about models with what their tests found: cards, and a report card of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.base import Result

if TYPE_CHECKING:
    import pandas as pd

LAMPS = {"F": "falsifiable", "R": "reproducible", "P": "predictive"}
"""The three demands on a claim (Lee et al. 2026, arXiv:2605.05508)."""
STATES = {True: "passed", False: "failed", None: "untested"}
COLUMNS = (
    *("model", "claim", "lamp", "test", "wanted", "value", "low", "high", "p", "status", "reading"),
)


UNTESTED: dict[str, Any] = {
    **dict.fromkeys(("lamp", "name", "wanted"), ""),
    **dict.fromkeys(("value", "low", "high", "p", "passed")),
    "reading": "nothing was tested yet",
}


class ClaimsResult(Result):
    """One claim or several: prediction, tests, verdict; arrays of claim ``i`` begin with ``"i."``.

    Arrays (where the claim has them): ``i.null [draw]``, effect of random mechanisms (``i.kept``,
    their faithfulness when they alone are kept); ``i.change
    [input]``, change of the metric on each sealed input; ``i.score`` and ``i.margin`` ``[input]``,
    share of the decision through the mechanism and margin of the answer; ``i.forecast``,
    ``i.failed``, ``i.confidence`` ``[input]``, foretold and observed failure, and what confidence
    foretells. ``meta["cards"]``: per claim ``statement``, ``kind``, ``model``, ``hash``,
    ``prediction``, ``minimum``, ``metric``, ``effect``, ``lamps {F, R, P: bool | None}``,
    ``status``, ``rows`` (the tests), ``snapshot`` (accuracy with limits), ``timeline``, ``inputs``.

    Examples
    --------
    >>> card = iw.claims.card(session)
    >>> card.frame(); card.lamps(0)
    """

    kind = "claims"

    live: Sequence[Any] = ()
    """The claims themselves, where they are open in this process; a result from a file has none."""

    def _check(self) -> None:
        cards = self.meta.get("cards")
        if not cards:
            raise ValueError("a result of claims holds at least one card")
        for card in cards:
            unknown = set(card["lamps"]) ^ set(LAMPS)
            if unknown:
                raise ValueError(f"a card has the lamps {', '.join(LAMPS)}, not {unknown}")

    @property
    def cards(self) -> list[dict[str, Any]]:
        """What is known of each claim, as plain data."""
        found: list[dict[str, Any]] = self.meta["cards"]
        return found

    @property
    def status(self) -> str:
        """Status of the first claim: ``registered``, ``stands``, ``refuted``, ``not confirmed``."""
        return str(self.cards[0]["status"])

    def lamps(self, claim: int = 0) -> dict[str, str]:
        """Return the three lamps in words: passed, failed, untested."""
        return {LAMPS[k]: STATES[v] for k, v in self.cards[claim]["lamps"].items()}

    def array(self, name: str, claim: int = 0) -> np.ndarray | None:
        """Return an array of a claim; None where it has none."""
        key = f"{claim}.{name}"
        return self.numpy(key) if key in self.arrays else None

    def row(self, name: str, claim: int = 0) -> dict[str, Any]:
        """Return a test of a claim by its name.

        Raises
        ------
        KeyError
            When the claim has no such test; the names of those there are follow.
        """
        rows = self.cards[claim]["rows"]
        for row in rows:
            if row["name"] == name:
                found: dict[str, Any] = row
                return found
        raise KeyError(f"no test {name!r}; there are {', '.join(r['name'] for r in rows)}")

    def calibration(self, claim: int = 0, bins: int = 8) -> pd.DataFrame:
        """Return foretold and observed shares of failures in bins of equal size.

        No rows where the claim foretold none.
        """
        import pandas as pd

        forecast, failed = self.array("forecast", claim), self.array("failed", claim)
        names = ["foretold", "observed", "inputs"]
        if forecast is None or failed is None:
            return pd.DataFrame(columns=pd.Index(names))
        order = np.argsort(forecast, kind="stable")
        parts = [part for part in np.array_split(order, bins) if len(part)]
        rows = [[forecast[p].mean(), failed[p].mean(), len(p)] for p in parts]
        return pd.DataFrame(rows, columns=pd.Index(names))

    def scatter(self, claim: int = 0) -> pd.DataFrame:
        """Return mechanism score, margin, correctness and reason of each input; no rows without."""
        import pandas as pd

        score, margin = self.array("score", claim), self.array("margin", claim)
        names = ["score", "margin", "correct", "wrong_reason"]
        if score is None or margin is None:
            return pd.DataFrame(columns=pd.Index(names))
        card = self.cards[claim]
        limit = float(card["threshold"])
        wrong = (score < limit) if card["cause"] else (score >= limit)
        data = dict(zip(names, [score, margin, margin > 0, (margin > 0) & wrong], strict=True))
        return pd.DataFrame(data)

    def frame(self) -> pd.DataFrame:
        """Return one row per test: claim, lamp, test, value, limits, p, status, reading."""
        import pandas as pd

        rows = [
            {
                "model": card["model"],
                "claim": card["statement"],
                "lamp": row["lamp"],
                "test": row["name"],
                **{name: row[name] for name in ("wanted", "value", "low", "high", "p")},
                "status": STATES[row["passed"]],
                "reading": row["reading"],
            }
            for card in self.cards
            for row in card["rows"] or [UNTESTED]
        ]
        return pd.DataFrame(rows, columns=pd.Index(COLUMNS))

    def report(self) -> pd.DataFrame:
        """Return the report card: snapshot on the left, mechanism on the right; no single score."""
        import pandas as pd

        rows = []
        for card in self.cards:
            snapshot = card.get("snapshot") or {}
            words = {LAMPS[k]: STATES[v] for k, v in card["lamps"].items()}
            rows.append(
                {
                    "model": card["model"],
                    "accuracy": snapshot.get("accuracy"),
                    "claim": card["statement"],
                    "minimum": card["minimum"],
                    "effect": card.get("value"),
                    **words,
                    "status": card["status"],
                }
            )
        return pd.DataFrame(rows)

    def text(self) -> str:
        """Say every claim, its status, and which tests failed."""
        lines = []
        for card in self.cards:
            lamps = ", ".join(f"{LAMPS[k]}: {STATES[v]}" for k, v in card["lamps"].items())
            failed = [r["name"] for r in card["rows"] if r["passed"] is False]
            line = f"{card['model']}: “{card['statement']}” {card['status']} ({lamps})"
            lines.append(line + (f"; failed: {', '.join(failed)}" if failed else ""))
        return "\n".join(lines)
