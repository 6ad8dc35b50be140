"""The dossier of a behaviour: rows of evidence, rules, and limits that cannot be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp_widgets.results import dossier_page
from interp_widgets.results.base import Result
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import KINDS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "title",
    "statistic",
    "value",
    "low",
    "high",
    "p",
    "inputs",
    "paradigm",
    "causal_nature",
    "scope",
    "phase",
    "status",
    "reason",
    "note",
)
ENOUGH = 0.9
"""Share detected below which a failure of the detector is a limit."""
ALWAYS = (
    (
        "Coverage is a share of this behaviour on these inputs, by this ablation; other inputs and "
        "other ablations may give other mechanisms (arXiv:2407.08734)."
    ),
    (
        "That no alternative was found is not that there is none: single second ablations see no "
        "alternative that needs two nodes."
    ),
    "A detector's false-positive rate holds for inputs like those it was measured on.",
    "What the model does after more training or in other languages was not measured.",
)
"""Limits of every dossier."""


class DossierResult(Result):
    """Rows of evidence about a behaviour, each verified or not.

    Arrays: those of each part, ``"0/values"``. ``meta``: ``behaviour``, ``threat``, ``benefits``,
    ``risks``, ``dual_use``, ``gaps``, ``coverage_needed``, ``rows`` (a dict for each number, with
    its tags, status and reason), ``parts`` (kind, meta and recipe of each result).

    The limits are made from the evidence each time they are asked for: there is nothing to delete.

    Examples
    --------
    >>> report = iw.dossier.new(session, "backdoor", triggered, harmless).report()
    >>> report.status, report.gaps, report.to_html("backdoor.html")
    """

    kind = "dossier"

    def _check(self) -> None:
        for name in ("behaviour", "rows", "parts"):
            if name not in self.meta:
                raise ValueError(f"a dossier needs {name}")

    @classmethod
    def of(cls, parts: Sequence[Result], meta: dict[str, Any]) -> DossierResult:
        """Join results."""
        arrays = {f"{i}/{k}": v for i, part in enumerate(parts) for k, v in part.arrays.items()}
        kept = [
            {
                "kind": part.kind,
                "meta": part.meta,
                "recipe": asdict(part.recipe) if part.recipe is not None else None,
            }
            for part in parts
        ]
        title = f"Dossier: {meta['behaviour']}"
        return cls(arrays, {"title": title, **meta, "parts": kept})

    @property
    def parts(self) -> list[Result]:
        """The results that are the evidence."""
        found = []
        for i, part in enumerate(self.meta["parts"]):
            prefix = f"{i}/"
            arrays = {
                key.removeprefix(prefix): value
                for key, value in self.arrays.items()
                if key.startswith(prefix)
            }
            recipe = Recipe(**part["recipe"]) if part["recipe"] else None
            kind: type[Result] = KINDS.get(part["kind"])
            found.append(kind(arrays, dict(part["meta"]), recipe, self.session if recipe else None))
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The evidence, a dict for each number."""
        return list(self.meta["rows"])

    def row(self, role: str) -> dict[str, Any] | None:
        """Return the latest row of a role: coverage, self-repair, detection, control, shift, …."""
        return next((r for r in reversed(self.rows) if r.get("role") == role), None)

    @property
    def coverage(self) -> dict[str, Any] | None:
        """The row that says which share of the behaviour the mechanism explains."""
        return self.row("coverage")

    @property
    def rules(self) -> list[dict[str, Any]]:
        """What has to be there for "verified": ``rule``, ``met``, ``why``."""
        meta, tested = self.meta, [r for r in self.rows if r["status"] == "verified"]
        covered, needed = self.coverage, float(meta.get("coverage_needed", 0.8))
        low = covered["low"] if covered else None
        repair, detect, act = (self.row(k) for k in ("self-repair", "detection", "control"))
        shift, words = self.row("shift"), self.row("paraphrase")
        said = {
            name: bool(str(meta.get(name, "")).strip()) for name in ("threat", "benefits", "risks")
        }
        return [
            _rule("the threat is stated", said["threat"], meta.get("threat", "")),
            _rule(
                "an interventional, global test above its null on inputs held out",
                bool(tested),
                tested[0]["statistic"] if tested else "none of the evidence is one",
            ),
            _rule(
                f"the mechanism explains {needed:.0%} of the behaviour (lower 95 % limit)",
                low is not None and low >= needed and covered["status"] == "verified",  # type: ignore[index]
                f"lower limit {low:.1%}" if low is not None else "no coverage measured",
            ),
            _rule("a second ablation looked for stand-ins", repair is not None, _says(repair)),
            _rule(
                "a detector at a fixed false-positive rate, on inputs held out",
                detect is not None and detect["p"] <= 0.05,
                _says(detect),
            ),
            _rule(
                "a control with its side effects",
                act is not None and act["status"] == "verified",
                _says(act),
            ),
            _rule("the detector was tested on a shift", shift is not None, _says(shift)),
            _rule("the detector was tested on paraphrases", words is not None, _says(words)),
            _rule(
                "dual use is assessed",
                meta.get("dual_use", "not assessed") != "not assessed",
                str(meta.get("dual_use", "not assessed")),
            ),
            _rule(
                "benefits and risks are stated",
                said["benefits"] and said["risks"],
                "both" if said["benefits"] and said["risks"] else "not both",
            ),
        ]

    @property
    def verified(self) -> bool:
        """Whether all rules are met."""
        return all(rule["met"] for rule in self.rules)

    @property
    def status(self) -> str:
        """``"verified"`` or ``"unverified"``."""
        return "verified" if self.verified else "unverified"

    @property
    def restricted(self) -> bool:
        """Whether exports are marked restricted: dual use, or not assessed."""
        return self.meta.get("dual_use", "not assessed") != "none"

    @property
    def gaps(self) -> list[str]:
        """Open questions: rules that are not met, and those that the author named."""
        unmet = [f"{rule['rule']}: {rule['why']}" for rule in self.rules if not rule["met"]]
        return [*unmet, *self.meta.get("gaps", ())]

    @property
    def failures(self) -> list[str]:
        """What was tested and did not hold: stand-ins, shifts, evasions."""
        own = []
        repair = self.row("self-repair")
        if repair is not None and repair["value"] > 0.1:
            own.append(
                f"Something steps in when the mechanism is ablated: {repair['statistic']}, "
                f"{repair['value']:.0%} of the behaviour."
            )
        shift = self.row("shift")
        if shift is not None and (shift.get("detected") or 0.0) < ENOUGH:
            own.append(
                f"The detector does not carry over: {shift.get('detected') or 0.0:.0%} detected on "
                "shifted inputs at its threshold."
            )
        words = self.row("paraphrase")
        if words is not None and words["value"] < ENOUGH:
            own.append(f"The detector can be evaded: {words['value']:.0%} detected under search.")
        return own

    @property
    def limits(self) -> list[str]:
        """What this dossier cannot say; made from its evidence, so that it cannot be deleted."""
        own = self.failures
        doubtful = [r for r in self.rows if r["status"] == "unverified"]
        if doubtful:
            own.append(
                f"{len(doubtful)} of {len(self.rows)} rows of evidence are unverified: "
                + "; ".join(dict.fromkeys(f"{r['title']} ({r['reason']})" for r in doubtful))
                + "."
            )
        return [*own, *ALWAYS]

    def frame(self) -> pd.DataFrame:
        """Return the evidence, one number a row, with status and reason."""
        import pandas as pd

        return pd.DataFrame([{k: row.get(k) for k in COLUMNS} for row in self.rows])

    def text(self) -> str:
        """Say what the dossier says, with its limits."""
        mark = " (restricted)" if self.restricted else ""
        lines = [f"{self.title}{mark}: {self.status}"]
        if self.coverage is not None:
            own = self.coverage
            lines.append(f"coverage {own['value']:.1%} ({own['low']:.1%} to {own['high']:.1%})")
        lines += [f"gap: {gap}" for gap in self.gaps]
        lines += [f"limit: {limit}" for limit in self.limits]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the dossier as Markdown."""
        return dossier_page.markdown(self)

    def view(self, part: int = 0, **state: Any) -> Any:
        """Open a piece of evidence as a live view.

        Raises
        ------
        ValueError
            When there is no such piece.
        """
        parts = self.parts
        if not 0 <= part < len(parts):
            raise ValueError(f"this dossier has {len(parts)} pieces of evidence, not {part}")
        return parts[part].view(**state)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the dossier as one offline page, in which its evidence is alive."""
        views = [part.view() for part in self.parts]
        try:
            page = str(
                views[0].document(
                    views, title=self.title, body=dossier_page.body(self), style=dossier_page.STYLE
                )
            )
        finally:
            for view in views:
                view.close()
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Show status, figure, evidence and limits."""
        del include, exclude
        import base64

        picture = base64.b64encode(self.figure().png()).decode()
        image = f'<img alt="Numbers of the dossier" src="data:image/png;base64,{picture}">'
        return {
            "text/plain": self.text(),
            "text/html": f"<style>{dossier_page.STYLE}</style>{dossier_page.inline(self)}{image}",
        }


def _rule(rule: str, met: bool, why: str) -> dict[str, Any]:  # noqa: FBT001
    return {"rule": rule, "met": bool(met), "why": str(why).strip() or "not stated"}


def _says(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not done"
    return f"{row['statistic']}: {row['value']:.3g}" + (f" ({row['note']})" if row["note"] else "")
