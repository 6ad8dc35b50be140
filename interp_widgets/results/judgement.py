"""What the tests of a circuit found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result
from interp_widgets.results.registry import VIEWS
from interp_widgets.results.scatter import ScatterResult

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("completeness", "minimality")


class JudgementResult(Result):
    """Faithfulness, completeness, minimality and tests of one circuit, on the same pairs.

    Arrays: ``samples [4, pair]``, the metric of the network, of everything ablated, of the circuit
    and of the network without it; ``own [2, 3]``, faithfulness of the last two with limits;
    ``random`` and ``random_without`` ``[draw]``, faithfulness of random circuits of equal size and
    of the network without them; ``completeness_network`` and ``completeness_circuit`` ``[set]``,
    ``members [set, node]``; ``minimality [node, set]``, ``minimality_largest [node]``; with a
    ranking, ``sizes``, ``faithfulness`` ``[size]`` and ``faithfulness_interval [size, 2]``.
    Limits are 95 % by bootstrap over pairs. ``meta``: ``nodes``, ``size``, ``total``, ``tests``,
    ``metric``, ``ablation``, ``n_pairs``, ``note``.

    Examples
    --------
    >>> found = iw.circuits.judge(session, circuit, held_out, held_out_corrupted)
    >>> found.faithfulness, found.tests
    """

    kind = "judgement"

    def _check(self) -> None:
        nodes, sets = self.arrays["minimality"].shape
        if nodes != len(self.meta["nodes"]) or self.arrays["samples"].shape[0] != 4:
            raise ValueError(
                f"{nodes} nodes measured do not fit the {len(self.meta['nodes'])} named"
            )
        if sets > len(self.arrays["completeness_network"]):
            raise ValueError("minimality has more sets than completeness")

    @property
    def faithfulness(self) -> float:
        """(m(C) − m(ablated)) / (m(network) − m(ablated)); never clipped."""
        return float(self.numpy("own")[0, 0])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % limits of the faithfulness, by bootstrap over pairs."""
        low, high = self.numpy("own")[0, 1:]
        return float(low), float(high)

    @property
    def completeness(self) -> ScatterResult:
        """F(C without K) against F(network without K), one point for each set K."""
        arrays = {
            "x": self.numpy("completeness_network"),
            "y": self.numpy("completeness_circuit"),
            "cell": np.arange(len(self.numpy("completeness_network")))[:, None],
            "members": self.numpy("members"),
            "gap_interval": self.numpy("completeness_interval"),
        }
        return ScatterResult(arrays, self.meta["completeness"])

    @property
    def minimality(self) -> ArrayResult:
        """What each node adds, by the set left out beside it ``[node, set]``."""
        arrays = {
            "values": self.numpy("minimality"),
            "largest": self.numpy("minimality_largest"),
            "largest_interval": self.numpy("minimality_interval"),
        }
        return ArrayResult(arrays, self.meta["minimality"])

    @property
    def tests(self) -> pd.DataFrame:
        """One row per statistical test: null hypothesis, statistic, p-value, reading."""
        import pandas as pd

        return pd.DataFrame(self.meta["tests"])

    @property
    def curve(self) -> pd.DataFrame:
        """Faithfulness by size with limits; no rows when the circuit came without scores."""
        import pandas as pd

        names = ["size", "kept", "faithfulness", "low", "high"]
        if "sizes" not in self.arrays:
            return pd.DataFrame(columns=pd.Index(names))
        limits = self.numpy("faithfulness_interval")
        columns = [self.numpy(k) for k in ("sizes", "kept_by_size", "faithfulness")]
        return pd.DataFrame(dict(zip(names, [*columns, *limits.T], strict=True)))

    def frame(self) -> pd.DataFrame:
        """Return the report as a table: what was measured, its value, limits, p-value, reading."""
        import pandas as pd

        own, rest = self.numpy("own")
        random = self.numpy("random")
        complete, minimal = self.meta["completeness"], self.meta["minimality"]
        largest = np.abs(self.numpy("minimality_largest"))
        at, worst = int(largest.argmin()), self.completeness
        k = worst.meta["labels"]["set"].index(complete["worst"])
        gap = worst.numpy("y")[k] - worst.numpy("x")[k]
        gap_low, gap_high = worst.numpy("gap_interval")[k]
        idle = minimal["superfluous"]
        rows: list[dict[str, Any]] = [
            {
                "finding": "faithfulness of the circuit",
                "value": own[0],
                "low": own[1],
                "high": own[2],
                "reading": "1: all of the behaviour, 0: none",
            },
            {
                "finding": "faithfulness of the rest, without the circuit",
                "value": rest[0],
                "low": rest[1],
                "high": rest[2],
                "reading": "0 when the behaviour is in the circuit alone",
            },
            {
                "finding": f"faithfulness of {len(random)} random circuits",
                "value": float(np.median(random)),
                "low": float(random.min()),
                "high": float(random.max()),
                "reading": "median, smallest, largest",
            },
            {
                "finding": "completeness: largest F(C∖K) − F(M∖K)",
                "value": gap,
                "low": gap_low,
                "high": gap_high,
                "reading": f"K = {complete['worst']}",
            },
            {
                "finding": "minimality: least needed node",
                "value": largest[at],
                "reading": f"{self.meta['nodes'][at]}; below 0.01: {', '.join(idle) or 'none'}",
            },
        ]
        rows += [
            {
                "finding": f"test of {test['name']}",
                "value": test["statistic"],
                "p": test["p"],
                "reading": test["reading"],
            }
            for test in self.meta["tests"]
        ]
        names = ["finding", "value", "low", "high", "p", "reading"]
        return pd.DataFrame(rows, columns=pd.Index(names))

    def text(self) -> str:
        """Say how the circuit did."""
        low, high = self.interval
        size, total, level = (self.meta[key] for key in ("size", "total", "level"))
        rest, random = self.numpy("own")[1, 0], np.median(self.numpy("random"))
        gap = self.meta["completeness"]["incompleteness"]
        idle = ", ".join(self.meta["minimality"]["superfluous"]) or "none"
        lines = [
            f"{self.title}: {size:,} of {total:,} {level}s, {self.meta['n_pairs']} pairs",
            f"faithfulness {self.faithfulness:.2f} ({low:.2f} to {high:.2f})",
            f"without the circuit {rest:.2f}, random circuits {random:.2f} (median)",
            f"largest difference of circuit and network without the same nodes {gap:.2f}",
            f"superfluous nodes: {idle}",
        ]
        lines += [
            f"{test['name']}: {test['reading']} (p = {test['p']:.2g})"
            for test in self.meta["tests"]
        ]
        return "; ".join([*lines, self.meta["note"]])

    def view(self, part: str = "all", **state: Any) -> Any:
        """Open the report as a view, or a part of it in the view of its kind.

        Parameters
        ----------
        part
            ``"all"`` (default) or ``"faithfulness"``: the report. ``"completeness"``: each set in a
            scatter that can be brushed. ``"minimality"``: nodes by sets as a heatmap.

        Raises
        ------
        ValueError
            For another part.
        """
        if part in PARTS:
            shown = getattr(self, part)
            return VIEWS.get(shown.kind)(shown, **state)
        return VIEWS.get(self.kind)(self, part=part, **state)
