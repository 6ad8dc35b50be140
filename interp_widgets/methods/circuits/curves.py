"""Faithfulness over size of several circuits side by side, with random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.methods.circuits.evaluate import (
    Faithfulness,
    faithfulness,
    prompts_and_metric,
    sizes_of,
    units_of,
    way_of,
)
from interp_widgets.methods.circuits.levels import Units
from interp_widgets.methods.circuits.pairs import Pairs, Prompts
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.circuit import CircuitResult

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from interp_widgets.session.session import Session

INKS = ("#0b62c4", "#b3541e", "#2f7d4f", "#8a3ffc", "#9a6700", "#c2255c")
RANDOM = "random"


@dataclass(frozen=True)
class Curves:
    """Faithfulness by size of circuits on the same pairs.

    Parameters
    ----------
    curves
        By name, as :func:`iw.circuits.evaluate` gives them.
    titles
        What readers call them.
    random
        The curves of random rankings.
    """

    curves: dict[str, Faithfulness]
    titles: dict[str, str]
    random: tuple[Faithfulness, ...] = ()

    def cmd(self, name: str) -> float:
        """Area between a curve and 1 (0 is best); of ``"random"`` the mean over rankings."""
        return float(np.mean([curve.cmd for curve in self._of(name)]))

    def cpr(self, name: str) -> float:
        """Area under a curve; of ``"random"`` the mean over rankings."""
        return float(np.mean([curve.cpr for curve in self._of(name)]))

    def frame(self) -> pd.DataFrame:
        """Return one row per method and size, with 95 % limits.

        Of a circuit these are bootstrap limits over pairs; of random rankings the smallest and the
        largest.
        """
        import pandas as pd

        rows = []
        for name in [*self.curves, *([RANDOM] if self.random else [])]:
            own = self._of(name)
            level, sizes = own[0].level, own[0].sizes
            every = np.stack([curve.values for curve in own])  # noqa: PD011
            values, limits = every.mean(0), own[0].interval()
            if name == RANDOM:
                limits = np.stack([every.min(0), every.max(0)], 1)
            for size, value, (low, high) in zip(sizes, values, limits, strict=True):
                rows.append(
                    {
                        "method": name,
                        f"{level}s": int(size),
                        "faithfulness": float(value),
                        "low": float(low),
                        "high": float(high),
                    }
                )
        return pd.DataFrame(rows)

    def chart(self) -> go.Figure:
        """Return the curves as a plotly chart with their limits and lines at 0 and 1.

        Examples
        --------
        >>> iw.circuits.curves(session, {"cdt": a, "eap": b}, clean, corrupted).chart()
        """
        import plotly.graph_objects as go

        figure = go.Figure()
        table = self.frame()
        level = next(iter(self.curves.values())).level
        total = next(iter(self.curves.values())).total
        dashes = ("solid", "dash", "dashdot", "longdash")
        for i, (name, rows) in enumerate(table.groupby("method", sort=False)):
            chance = name == RANDOM
            ink = "#59636e" if chance else INKS[i % len(INKS)]
            figure.add_scatter(
                x=rows[f"{level}s"],
                y=rows.faithfulness,
                name=f"random ({len(self.random)})" if chance else self.titles[str(name)],
                mode="lines+markers",
                line={"color": ink, "dash": "dot" if chance else dashes[i % len(dashes)]},
                marker={"symbol": i, "size": 7},
                error_y={
                    "array": rows.high - rows.faithfulness,
                    "arrayminus": rows.faithfulness - rows.low,
                    "thickness": 1,
                    "width": 2,
                },
            )
        for at in (0, 1):
            figure.add_hline(at, line={"width": 1, "dash": "dot", "color": "#59636e"})
        figure.update_xaxes(title=f"{level}s kept (of {total:,})")
        figure.update_yaxes(title="faithfulness")
        figure.update_layout(
            template="simple_white",
            height=340,
            margin={"t": 40, "r": 16},
            legend={"orientation": "h", "y": 1.12, "x": 0},
        )
        return figure

    def _of(self, name: str) -> Sequence[Faithfulness]:
        if name == RANDOM and self.random:
            return self.random
        if name not in self.curves:
            raise CircuitError(f"there is no curve {name!r}; there are {', '.join(self.curves)}")
        return (self.curves[name],)


def curves(
    session: Session,
    circuits: Mapping[str, CircuitResult],
    clean: Prompts,
    corrupted: Prompts,
    *,
    random: int = 5,
    sizes: Sequence[float] | None = None,
    seed: int = 0,
) -> Curves:
    """Measure circuits of growing size found by several methods, beside random rankings.

    Parameters
    ----------
    session
        The live session.
    circuits
        By name, all of one level (edges, nodes or neurons) and found with one way of ablation and
        one metric.
    clean, corrupted
        Pairs to measure on; held-out ones say more.
    random
        Random rankings of the same units.
    sizes
        Numbers of units, or shares as floats; default the ten sizes of the MIB benchmark.
    seed
        Of the random rankings.

    Raises
    ------
    CircuitError
        When circuits differ in level, ablation or metric, or prompts do not fit.

    Examples
    --------
    >>> found = {m: iw.circuit(clean, corrupted, method=m, level="node") for m in ("cdt", "eap")}
    >>> iw.circuits.curves(session, found, held_out, held_out_corrupted).chart()
    """
    if not circuits:
        raise CircuitError("give at least one circuit")
    asked = {name: _asked(session, own, clean, corrupted) for name, own in circuits.items()}
    (metric, way, level), *others = dict.fromkeys(asked.values())
    if others:
        raise CircuitError(
            f"curves can be compared where metric, ablation and level are one; here: {asked}"
        )

    def work() -> Curves:
        problem = pose(Pairs.of(clean, corrupted), metric, way, level=level, seed=seed)
        units = {name: units_of(own) for name, own in circuits.items()}
        first = next(iter(units.values()))
        wanted = sizes_of(first.total, sizes)
        rng = np.random.default_rng(seed)
        chance = [Units(first.graph, level, rng.random(first.scores.shape)) for _ in range(random)]
        every = [*units.values(), *chance]
        found = []
        for i, own in enumerate(every):

            def progress(done: int, of: int, i: int = i) -> None:
                session.progress(i * of + done, len(every) * of)

            found.append(faithfulness(problem, own, wanted, progress))
        named = dict(zip(units, found, strict=False))
        titles = {name: _title(name) for name in units}
        return Curves(named, titles, tuple(found[len(units) :]))

    measured: Curves = session.run(work, label="Faithfulness curves")
    return measured


def _asked(session: Session, circuit: CircuitResult, clean: Prompts, corrupted: Prompts) -> Any:
    metric = prompts_and_metric(session, circuit, clean, corrupted, None)[2]
    return metric, way_of(circuit), circuit.level


def _title(name: str) -> str:
    from interp_widgets.methods.circuits.scorers import SCORERS

    return SCORERS[name].title if name in SCORERS else name
