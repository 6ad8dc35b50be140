"""What a claim says will be seen: a number that can turn out otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Sealed
from interp_widgets.methods.claims.readings import METRICS, MetricName

Kind = Literal["explain", "detect", "predict", "fix"]
KINDS: dict[Kind, str] = {
    "explain": "the mechanism carries the behaviour, or does not",
    "detect": "how often outputs are right for the wrong reason",
    "predict": "which inputs of another distribution the model will fail on",
    "fix": "a change of the mechanism mends the behaviour and little else",
}
EFFECTS = {"drops": "lowers", "rises": "raises", "stays": "changes"}
PERCENT = ("accuracy",)


@dataclass(frozen=True)
class Prediction:
    """A prediction with everything that decides whether it came true.

    Parameters
    ----------
    metric
        ``"accuracy"`` (answer above foil, or above all tokens without one), ``"logit_difference"``,
        ``"probability"`` or ``"log_probability"`` of the answer.
    effect
        What changing the mechanism does to it: ``"drops"``, ``"rises"`` or ``"stays"``.
    min_size
        Least change for ``"drops"`` and ``"rises"``, most change for ``"stays"``, in the metric's
        unit. Without it a claim is vague and refused.
    on
        The sealed inputs that decide.
    sufficient
        Interval of the faithfulness when only the mechanism is kept, (0.8, 1.2) for example.
    shifted
        ``kind="predict"``: sealed inputs of another distribution, whose failures are foretold.
    tolerance
        How far the foretold share of failures may be off; 0.1.
    risk
        What goes with failure: ``"reliance"`` (default: decisions that hang on the mechanism fail
        where it misleads, learned by giving it the state of other inputs), or ``"absence"``
        (decisions without it fail, learned from failures on seen inputs).
    rate
        ``kind="detect"``: interval that holds the share of right outputs with the wrong reason.
    cause
        Whether the mechanism is the right reason (True) or a shortcut (False).
    threshold
        Share of a decision that has to go through a mechanism for it to be the reason; 0.5.
    controls, side_effect
        ``kind="fix"``: sealed inputs that should not change, and the most KL divergence in nats
        that their next-token distribution may move by.
    paraphrases
        ``kind="fix"``: sealed inputs worded otherwise; at least half of the gain must hold there.

    Examples
    --------
    >>> iw.claims.Prediction("accuracy", "drops", 0.3, on=sealed)
    """

    metric: MetricName = "accuracy"
    effect: Literal["drops", "rises", "stays"] | None = None
    min_size: float | None = None
    on: Sealed | None = None
    sufficient: tuple[float, float] | None = None
    shifted: Sealed | None = None
    tolerance: float = 0.1
    risk: Literal["reliance", "absence"] = "reliance"
    rate: tuple[float, float] | None = None
    cause: bool = True
    threshold: float = 0.5
    controls: Sealed | None = None
    side_effect: float | None = None
    paraphrases: Sealed | None = None

    def check(self, kind: Kind) -> None:
        """Refuse what could not fail.

        Raises
        ------
        ClaimError
            For a vague prediction; the message says what is missing.
        """
        if kind not in KINDS:
            raise ClaimError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
        if self.metric not in METRICS:
            raise ClaimError(f"metric is one of {', '.join(METRICS)}, not {self.metric!r}")
        if self.effect not in EFFECTS:
            raise ClaimError(
                "this claim is vague: say what changing the mechanism does, "
                'effect="drops", "rises" or "stays"'
            )
        size = self.min_size
        if size is None or not math.isfinite(size) or size <= 0:
            raise ClaimError(
                "this claim is vague: without a size nothing could prove it wrong. Say by how much "
                f"the {METRICS[self.metric]} {self.effect}: min_size=0.2, for example"
            )
        if self.metric in PERCENT and size >= 1:
            raise ClaimError(f"an accuracy cannot change by {size:g}: it lies between 0 and 1")
        if not isinstance(self.on, Sealed):
            raise ClaimError(
                "a prediction names the sealed inputs that decide: on=iw.claims.seal(prompts)"
            )
        lacking = {
            "detect": ("rate", "the interval of the share right for the wrong reason"),
            "predict": ("shifted", "sealed inputs of the distribution whose failures it foretells"),
            "fix": ("controls", "sealed inputs that should stay as they are"),
        }.get(kind)
        if lacking and getattr(self, lacking[0]) is None:
            raise ClaimError(f"a claim of kind {kind!r} needs {lacking[0]}=: {lacking[1]}")
        if kind == "fix" and self.side_effect is None:
            raise ClaimError("a fix needs side_effect=: the most KL (nats) that controls may move")
        for name in ("sufficient", "rate"):
            pair = getattr(self, name)
            if pair is not None and not (len(pair) == 2 and pair[0] < pair[1]):
                raise ClaimError(f"{name} is an interval (low, high), not {pair!r}")
        if self.rate is not None and self.rate[0] <= 0 and self.rate[1] >= 1:
            raise ClaimError("this claim is vague: every rate lies between 0 and 1")

    @property
    def size_text(self) -> str:
        """The size with its unit."""
        unit = {"logit_difference": " logits", "log_probability": " nats"}.get(self.metric, "")
        return f"{self.min_size or 0:.3g}{unit}"

    def words(self, change: str) -> str:
        """Say the prediction in a sentence."""
        on = self.on
        assert on is not None
        assert self.effect is not None
        bound = "less than" if self.effect == "stays" else "at least"
        metric = METRICS[self.metric].partition(" (")[0]
        text = (
            f"{change[:1].upper()}{change[1:]} {EFFECTS[self.effect]} the {metric} by {bound} "
            f"{self.size_text} on {len(on)} sealed inputs ({on.name})"
        )
        if self.sufficient is not None:
            low, high = self.sufficient
            text += f"; alone it keeps {low:.3g} to {high:.3g} of the behaviour"
        if self.rate is not None:
            low, high = self.rate
            why = "without it" if self.cause else "through it"
            text += f"; {low:.0%} to {high:.0%} of right outputs come {why}"
        if self.shifted is not None:
            text += (
                f"; it foretells the share of failures on {len(self.shifted)} inputs "
                f"({self.shifted.name}) within {self.tolerance:.2g}, and which, better than "
                "confidence and length"
            )
        if self.controls is not None and self.side_effect is not None:
            text += (
                f"; {len(self.controls)} controls ({self.controls.name}) move by less than "
                f"{self.side_effect:.3g} nats"
            )
        return text + "."

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the hash of each sealed set in its place."""
        sealed = {
            name: {"name": s.name, "n": len(s), "digest": s.digest}
            for name, s in self.sealed.items()
        }
        plain = {
            name: getattr(self, name)
            for name in ("metric", "effect", "min_size", "tolerance", "risk", "cause", "threshold")
        }
        pairs = {
            name: None if getattr(self, name) is None else list(map(float, getattr(self, name)))
            for name in ("sufficient", "rate")
        }
        return {**plain, **pairs, "side_effect": self.side_effect, "sealed": sealed}

    @property
    def sealed(self) -> dict[str, Sealed]:
        """The sealed sets by name."""
        names = ("on", "shifted", "controls", "paraphrases")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
