"""The one estimator: the metric of every pair with every mediator overwritten, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.mediation.alignment import AlignedGroup, aligned_groups
from interp_widgets.methods.mediation.composed import Path, mediator_of
from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.mediation.names import check, describe
from interp_widgets.methods.mediation.network import Network
from interp_widgets.methods.mediation.paths import Paths
from interp_widgets.methods.mediation.sources import KINDS, Kind, Source, prefetch
from interp_widgets.methods.prompt_pairs import Prompts
from interp_widgets.methods.target import UNITS, Metric
from interp_widgets.results.mediation import MediationResult

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Direction = Literal["noising", "denoising"]
Scale = Literal["difference", "ratio"]


@dataclass
class Estimate:
    """Metric values from which all effects follow; see :class:`MediationResult`.

    Parameters
    ----------
    ends
        ``[2, pair]``: of the clean and of the counterfactual prompts, nothing changed.
    patched
        ``[2, mediator, pair]``: of either with the mediator changed.
    identity
        ``[mediator]``: how far total − (direct − reverse indirect) is from zero, the two taken
        from runs in which the mediator was overwritten, also by its own value.
    dims
        ``[mediator]``: dimensions at one position.
    """

    ends: Tensor
    patched: Tensor
    identity: Tensor
    dims: list[int]


class Estimator:
    """Estimates effects of mediators on pairs of prompts, through one way of intervention.

    Parameters
    ----------
    run
        Its session's model runs; progress is reported.
    groups
        The pairs.
    kind, vector, seed, strength
        As in :func:`mediation`.
    """

    def __init__(
        self,
        run: Run,
        groups: Sequence[AlignedGroup],
        *,
        kind: Kind = "interchange",
        vector: Any = None,
        seed: int = 0,
        strength: float = 1.0,
    ) -> None:
        if kind == "interchange" and not groups[0].corrupted:
            raise ValueError(
                "an interchange needs a counterfactual prompt for each clean one; or choose "
                'kind="zero", "mean" or another'
            )
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength} is not a share between 0 and 1")
        self.network = Network(run, groups)
        self.kind, self.strength, self.seed = kind, float(strength), seed
        self.sides = [0, 1] if groups[0].corrupted else [0]
        self._sources = {side: Source(self.network, kind, side, vector, seed) for side in (0, 1)}
        self._paths: Paths | None = None
        self._ends: Tensor | None = None

    @property
    def ends(self) -> Tensor:
        """Metric of the clean and of the counterfactual prompts ``[2, pair]``."""
        if self._ends is None:
            self._ends = self.network.ends()
            if not bool(torch.isfinite(self._ends[self.sides]).all()):
                raise ValueError("the metric is not finite on these prompts")
        return self._ends

    def estimate(self, mediators: Sequence[Mediator], strength: float | None = None) -> Estimate:
        """Run every pair with every mediator changed, clean and counterfactual."""
        share = self.strength if strength is None else float(strength)
        mediators = list(mediators)
        here = [i for i, m in enumerate(mediators) if not isinstance(m, Path)]
        shape = (2, len(mediators), self.network.pairs)
        patched = torch.full(shape, torch.nan, dtype=torch.float64)
        own = torch.full((2, len(mediators), self.network.pairs), torch.nan, dtype=torch.float64)
        if here:
            some = [mediators[i] for i in here]
            prefetch(self.network, some)
            for n, side in enumerate(self.sides):
                source = self._sources[side]
                if self.kind == "noise":
                    _ = source.deviation  # read now: within a run nothing else can be run
                steps = (2 * n, 2 * len(self.sides))
                patched[side, here] = self.network.patched(
                    side, some, source, strength=share, steps=steps
                )
                steps = (2 * n + 1, 2 * len(self.sides))
                own[side, here] = self.network.patched(
                    side, some, source.own, first=True, steps=steps
                )
        for i, mediator in enumerate(mediators):
            if isinstance(mediator, Path):
                for side in self.sides:
                    patched[side, i] = self.paths.patched(side, mediator, strength=share)
                    own[side, i] = self.paths.patched(
                        side, mediator, strength=1.0, own=True, first=True
                    )
        return Estimate(
            self.ends,
            patched,
            identity_error(self.ends, own),
            [self.size(mediator) for mediator in mediators],
        )

    @property
    def paths(self) -> Paths:
        """The edges of the model."""
        if self._paths is None:
            self._paths = Paths(self.network, self.kind, self.seed)
        return self._paths

    def size(self, mediator: Mediator) -> int:
        """Return a mediator's dimensions at one position."""
        if isinstance(mediator, Path):
            return self.paths.size(mediator)
        total = 0
        for part in mediator.parts:
            group = self.network.groups[0]
            site = part.where
            found = self.network.capture(group.clean, [site])[site]
            whole = found.ndim == 4 and part.head is None
            total += part.size(int(found.shape[-1] * (found.shape[-2] if whole else 1)))
        return total


def identity_error(ends: Tensor, own: Tensor) -> Tensor:
    """Return by how much total = direct − reverse indirect is missed ``[mediator]``.

    In ``own [2, mediator, pair]`` the mediator was overwritten by its own value. The reverse
    indirect and the direct effect share the run ``Y(x′, M(x))``; what is left of the identity is
    that each of their other ends, taken from such runs, is the plain run's. The error is relative
    to the largest of 1 and the metric's size.
    """
    missed = (own - ends[:, None]).abs()
    scale = ends.abs().nan_to_num(0).amax().clamp_min(1.0)
    both = missed.nan_to_num(0).amax(-1) / scale
    return both.sum(0)


def measure(
    session: Session,
    clean: Prompts,
    corrupted: Prompts | None,
    mediators: Sequence[Any],
    *,
    metric: Metric = "logit_difference",
    kind: Kind = "interchange",
    direction: Direction = "noising",
    scale: Scale = "difference",
    strength: float = 1.0,
    vector: Any = None,
    seed: int = 0,
) -> MediationResult:
    """Estimate effects of any mediators, also of those that hold functions (:class:`Featurizer`).

    The same estimator as ``iw.mediation``, without a recipe: the result cannot follow
    interventions.

    Examples
    --------
    >>> iw.mediators.measure(session, clean, corrupted, [Featurizer(site=…, forward=f, inverse=g)])
    """

    def work() -> MediationResult:
        run = Run(session, seed, "mediation")
        with torch.no_grad():
            groups = aligned_groups(session, clean, corrupted, metric)
            estimator = Estimator(
                run, groups, kind=kind, vector=vector, seed=seed, strength=strength
            )
            chosen = [check(session, mediator_of(one)) for one in mediators]
            return result_of(estimator, chosen, metric=metric, direction=direction, scale=scale)

    result: MediationResult = session.run(work, label="Causal mediation")
    result.session = session
    return result


def result_of(
    estimator: Estimator,
    mediators: Sequence[Mediator],
    *,
    metric: Metric,
    direction: Direction,
    scale: Scale,
    meta: dict[str, Any] | None = None,
) -> MediationResult:
    """Run the mediators and put the numbers into a result."""
    if estimator.kind != "interchange" and direction == "denoising":
        raise ValueError(
            f"{estimator.kind} changes the clean run by a value of no prompt of the pair: its "
            'direction is "noising"; denoising puts clean values into the counterfactual run'
        )
    if scale == "ratio" and metric == "logit":
        raise ValueError(
            'a ratio needs probabilities: metric="logit_difference" (the ratio of two), '
            '"log_probability" or "probability"'
        )
    found = estimator.estimate(mediators)
    arrays = {
        "ends": found.ends,
        "patched": found.patched,
        "identity": found.identity,
    }
    groups = estimator.network.groups
    described = [describe(m, n) for m, n in zip(mediators, found.dims, strict=True)]
    names = [None] * estimator.network.pairs
    for group in groups:
        for j, i in enumerate(group.at):
            names[i] = [  # type: ignore[call-overload]
                "".join(p.tokens) for p in (*group.clean[j : j + 1], *group.corrupted[j : j + 1])
            ]
    first = groups[0].targets[0]
    one = len({target.label for group in groups for target in group.targets}) == 1
    labels = expected(groups)
    if labels is not None and metric == "logit_difference":
        arrays["expected"] = labels
    result = MediationResult(
        arrays,
        {
            "mediators": described,
            "kind": estimator.kind,
            "put": KINDS[estimator.kind],
            "direction": direction,
            "scale": scale,
            "strength": estimator.strength,
            "metric": first.label if one else metric.replace("_", " "),
            "metric_name": metric.replace("_", " "),
            "unit": UNITS[metric],
            "pair_texts": names,
            **(meta or {}),
        },
    )

    session = estimator.network.session
    state = session.interventions.key

    def tune(index: int, strength: float) -> Tensor:
        if session.interventions.key != state:
            raise ValueError("the session's interventions have changed since: result.rerun() first")
        again = estimator.estimate([mediators[index]], strength)
        return again.patched[:, 0]

    result.tuner = tune
    return result


def expected(groups: Sequence[AlignedGroup]) -> Tensor | None:
    """Return what the high-level variable asks of each pair ``[pair]``.

    1 where the clean answer stays right when the variable is interchanged, −1 where the foil
    becomes right; None where answers are not known. A counterfactual prompt without an answer of
    its own is taken to make the foil right.
    """
    found = torch.ones(sum(len(group.at) for group in groups), dtype=torch.float64)
    for group in groups:
        if not group.corrupted:
            return None
        for j, i in enumerate(group.at):
            clean, other = group.clean[j], group.corrupted[j]
            if clean.foil is None:
                return None
            right = clean.foil if other.answer is None else other.answer
            if right not in (clean.answer, clean.foil):
                return None
            found[i] = 1.0 if right == clean.answer else -1.0
    return found
