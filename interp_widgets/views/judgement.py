"""The tests of a circuit: against random ones, complete, minimal, with p-values."""

from __future__ import annotations

from typing import Any

from interp_widgets.results.judgement import JudgementResult
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View, one_of
from interp_widgets.views.wire import Array

PARTS = ("all", "faithfulness", "completeness", "minimality")


@VIEWS.register("judgement")
class JudgementView(View, bundle="claims"):
    """Faithfulness beside random circuits, completeness, minimality, and the hypothesis tests.

    Parameters
    ----------
    result
        A :class:`JudgementResult`.
    part
        Picture shown large: ``"all"`` (default), ``"faithfulness"``, ``"completeness"``,
        ``"minimality"``.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For another part.

    Examples
    --------
    >>> iw.circuits.judge(session, circuit, held_out, held_out_corrupted).view()
    """

    def __init__(self, result: JudgementResult, *, part: str = "all", theme: str = "auto") -> None:
        super().__init__(result, theme=theme, state={"part": one_of("part", part, PARTS)})

    def describe(self) -> dict[str, Any]:
        """Return the table of findings, the tests, and what the numbers are about."""
        result: JudgementResult = self.current
        frame = result.frame()
        complete, minimal = result.meta["completeness"], result.meta["minimality"]
        return {
            "findings": frame.astype(object).where(frame.notna(), None).to_dict("records"),
            "nulls": {test["name"]: str(test["null"]) for test in result.meta["tests"]},
            "size": int(result.meta["size"]),
            "total": int(result.meta["total"]),
            "level": str(result.meta["level"]),
            "n_pairs": int(result.meta["n_pairs"]),
            "metric": str(result.meta["metric"]),
            "ablation": str(result.meta["ablation"]),
            "note": str(result.meta["note"]),
            "nodes": list(result.meta["nodes"]),
            "sets": list(complete["labels"]["set"]),
            "kinds": list(complete["kinds"]),
            "superfluous": list(minimal["superfluous"]),
            "faithfulness": result.faithfulness,
        }

    def first(self) -> dict[str, Any]:
        """Send what is drawn."""
        result: JudgementResult = self.current
        return {
            "random": Array(result.numpy("random")),
            "network": Array(result.numpy("completeness_network")),
            "circuit": Array(result.numpy("completeness_circuit")),
            "largest": Array(result.numpy("minimality_largest")),
            "limits": Array(result.numpy("minimality_interval")),
        }

    def figure_options(self) -> dict[str, Any]:
        """Return the picture that is shown."""
        part = self.state["part"]
        return {} if part == "all" else {"parts": (part,)}
