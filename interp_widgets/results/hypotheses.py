"""What a model says to hypotheses about networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import Result
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import VIEWS

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
COLUMNS = ("hypothesis", "statistic", "value", "unit", "null_mean", "null_95", "p", "reading")


class HypothesisReport(Result):
    """Numbers with their nulls, and the arrays behind them.

    Arrays: those of each part, ``"H4/values"``. ``meta``: ``findings`` (a dict for each number:
    hypothesis, statistic, value, null draws, p), ``parts`` (meta and recipe of each),
    ``not_run`` (why each other hypothesis is not here).

    Examples
    --------
    >>> report = iw.hypotheses.run(session, ["H1", "H4"])
    >>> report.frame(), report.view("H4")
    """

    kind = "hypotheses"

    def _check(self) -> None:
        for found in self.meta.get("findings", ()):
            if not found.get("null"):
                raise ValueError(f"{found.get('statistic')!r} has no null: a number alone is none")

    @classmethod
    def of(
        cls, parts: Mapping[str, ArrayResult], not_run: Mapping[str, str], model: str
    ) -> HypothesisReport:
        """Join results of single hypotheses."""
        arrays = {
            f"{name}/{key}": value
            for name, part in parts.items()
            for key, value in part.arrays.items()
        }
        meta = {
            "title": f"Hypotheses about {model}",
            "findings": [found for part in parts.values() for found in part.meta["findings"]],
            "parts": {
                name: {
                    **{k: v for k, v in part.meta.items() if k != "findings"},
                    "recipe": asdict(part.recipe) if part.recipe else None,
                }
                for name, part in parts.items()
            },
            "not_run": dict(not_run),
        }
        return cls(arrays, meta)

    @property
    def parts(self) -> dict[str, ArrayResult]:
        """The array of each hypothesis, to open as a heatmap."""
        return {name: self._part(name) for name in self.meta["parts"]}

    def _part(self, name: str) -> ArrayResult:
        prefix = f"{name}/"
        arrays = {
            key.removeprefix(prefix): value
            for key, value in self.arrays.items()
            if key.startswith(prefix)
        }
        meta = dict(self.meta["parts"][name])
        recipe = meta.pop("recipe")
        made = Recipe(**recipe) if recipe else None
        return ArrayResult(arrays, meta, made, self.session if made else None)

    def frame(self) -> pd.DataFrame:
        """Return one row per number: value, mean and 95th percentile of the null, p, reading."""
        import pandas as pd

        rows = []
        for found in self.meta["findings"]:
            null = np.array(found["null"])
            row = {key: found.get(key) for key in COLUMNS if key in found}
            row |= {"null_mean": null.mean(), "null_95": np.quantile(null, 0.95)}
            rows.append({**row, "reading": reading(found), "null": found["null_name"]})
        return pd.DataFrame(rows, columns=pd.Index([*COLUMNS, "null"]))

    def text(self) -> str:
        """Say what was found, number by number."""
        lines = []
        for found in self.meta["findings"]:
            number = f"{found['value']:.3g} {found['unit']}".rstrip()
            lines.append(
                f"{found['hypothesis']} {found['statistic']}: {number} ({reading(found)}, "
                f"p = {found['p']:.2g}; null: {found['null_name']})"
            )
        lines += [f"{name} not run: {why}" for name, why in self.meta["not_run"].items()]
        return f"{self.title}. " + "; ".join(lines)

    def view(self, part: str | None = None, **state: Any) -> Any:
        """Open a part as a live heatmap; the first one by default.

        Raises
        ------
        ValueError
            For a hypothesis that is not in the report.
        """
        names = list(self.meta["parts"])
        chosen = names[0] if part is None and names else part
        if chosen not in names:
            raise ValueError(f"this report has {', '.join(names) or 'no parts'}, not {part!r}")
        return VIEWS.get("array")(self._part(str(chosen)), **state)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Show the table with the figure below."""
        del include, exclude
        import base64

        picture = base64.b64encode(self.figure().png()).decode()
        table = self.frame().to_html(index=False, na_rep="", float_format=lambda x: f"{x:.3g}")
        image = f'<img alt="Numbers and their nulls" src="data:image/png;base64,{picture}">'
        return {"text/plain": self.text(), "text/html": f"<div>{table}</div>{image}"}


def reading(found: Mapping[str, Any]) -> str:
    """Say whether a number is above its null at the 5 % level, and what is too few to say."""
    draws = len(found["null"])
    if found["p"] <= ALPHA:
        return "above its null"
    if 1 / (draws + 1) > ALPHA and found["value"] > max(found["null"]):
        return f"above all {draws} draws of its null, too few for 5 %"
    return "not above its null"
