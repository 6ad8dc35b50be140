"""Concepts: directions of activations that stand for something, and how much they matter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from interp_widgets.methods import cav, tcav
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import ConceptSite, target_of
from interp_widgets.results.base import to_numpy
from interp_widgets.results.concepts import ConceptResult
from interp_widgets.session.prompts import Prompt, PromptBatch

Examples = PromptBatch | Sequence[Prompt] | Tensor
Token = str | int

FEWEST = 4


@method(
    "concepts",
    result="concepts",
    title="Concepts",
    paper=(
        "Kim et al. 2018, arXiv:1711.11279 (TCAV); Haufe et al. 2014, NeuroImage 87 (patterns); "
        "Pahde et al. 2022, arXiv:2202.03482 (pattern vectors)"
    ),
    family="concepts",
    unit="direction at a site",
    cost="1 forward pass per example; with a target 1 backward pass per input, and 1 forward pass "
    "per layer and example with the concept",
)
def concepts(
    run: Run,
    positive: Examples | dict[str, Examples],
    negative: Examples | dict[str, Examples] | None = None,
    *,
    labels: Sequence[Token] | None = None,
    site: str = "resid_post",
    layers: int | Sequence[int] | None = None,
    position: int | Literal["mean"] = -1,
    target: Token | Sequence[Token] | None = None,
    inputs: PromptBatch | Sequence[Prompt] | None = None,
    filter: Literal["pattern", "logistic", "ridge"] = "pattern",  # noqa: A002
    runs: int = 30,
    alpha: float = 0.05,
    correction: Literal["holm", "bonferroni"] = "holm",
    negligible: float = 0.2,
    probe: str | None = None,
    seed: int = 0,
) -> ConceptResult:
    """Find concept vectors, test them, and say how large their effect is.

    A concept is given by examples that have it and examples that have not. Its vector at a layer is
    fitted on all of them. With a ``target``, the effect is what the target loses when the concept's
    pattern (difference of means) is taken away from examples that have it, each with a pattern
    fitted without it; the TCAV score is the share of inputs whose target rises along the vector,
    over vectors of repeated halves of the examples. ``p`` tests the linear effect (mean gradient ·
    vector · gap) against vectors of shuffled labels, two-sided; ``p_sign`` is the original test of
    TCAV scores against those of random examples. Without a target, the effect is the held-out
    separation and ``p`` tests that it is above chance.

    A test gets significant for effects of no importance: both are reported, and
    ``result.flag(concept, layer)`` says "significant but negligible".

    Parameters
    ----------
    positive
        Prompts with the concept, a dict of concepts by name, or arrays ``[example, d]`` or
        ``[example, layer, d]``. With ``labels``, all examples together.
    negative
        Examples without any of the concepts, shared by all, or a dict with those of each concept.
        Default: the other concepts' examples.
    labels
        A name per example; each name becomes a concept, against all other examples.
    site, layers, position
        Where: a standard name with its layers (default all), or the path of a module; the position
        in every prompt (−1: the last token), or ``"mean"`` over positions.
    target
        ``"logit_difference"`` (of each prompt's answer and foil), a token or class (its logit), or
        two (their difference), at the last position. None for vectors and separation alone.
    inputs
        Prompts whose target the TCAV score and linear effect speak of, such as one class. Default:
        all examples.
    filter
        ``"pattern"``: difference of means, ``"logistic"`` or ``"ridge"`` regression. The default
        varies least and is what is taken away for the effect in any case.
    runs
        Repeated vectors, and as many random counterparts.
    alpha, correction
        Level of significance after Holm's or Bonferroni's correction over concepts × layers.
    negligible
        Effects below this share of the target's standard deviation over the inputs (of 1 standard
        deviation without a target) are called negligible; 0.2 is Cohen's "small".
    probe
        Name of the set of examples, for captions.
    seed
        Seed of all draws.

    Returns
    -------
    ConceptResult
        ``effect, low, high, score, accuracy, auc, p, p_corrected, gap [concept, layer]``,
        ``vectors [concept, layer, d]``; with a target ``score_null``, ``linear_effect``,
        ``p_sign``.

    Raises
    ------
    ValueError
        With fewer than 4 examples with or without a concept, arrays that do not fit together, or a
        target for arrays, which have no model.
    SiteError
        When the model has no such site.

    Notes
    -----
    Intervals are percentile bootstraps over examples (95 %). TCAV's repeated vectors share one pool
    of examples, so ``p_sign`` calls concepts significant too often; flags go by ``p``.

    Examples
    --------
    >>> result = iw.concepts({"female": women, "plural": groups}, others, target=(" she", " he"))
    >>> result.frame().sort_values("effect")
    """
    sets = _sets(positive, negative, labels)
    where = None
    if run.live:
        chosen = [layers] if isinstance(layers, int) else layers
        where = ConceptSite(run.session, site, chosen, position)
    elif target is not None:
        raise ValueError(
            "a target needs the model behind the activations: give prompts, not arrays"
        )
    data, names = _activations(run, where, sets, layers)
    _check(sets, data)
    table = _Table(len(sets), len(names), next(iter(data.values())).shape[-1])
    fit: dict[str, Any] = {"filter": filter, "seed": seed}
    for c, examples in enumerate(sets):
        for i in range(len(names)):
            _fit(table, c, i, *(data[key][i] for key in (examples.own, examples.other)), **fit)
    if where is None or target is None:
        quantity, threshold = "held-out separation (standard deviations)", negligible
        table.arrays["score"] = table.arrays["accuracy"]
        score_name, title = "held-out accuracy", "Concepts by separation"
        for name in ("score_null", "linear_effect", "p_sign"):
            del table.arrays[name]
    else:
        value, what = target_of(run.session, target)
        everything = [p for s in sets for p in (*s.positive, *s.negative)]
        probes = list(inputs) if inputs is not None else list(dict.fromkeys(everything))
        gradients, values = where.gradients(probes, value, _phase(run, 0.2, 0.4))
        _test(table, run, where, value, sets, data, gradients, runs=runs, **fit)
        quantity, threshold = f"removal effect on the {what}", negligible * float(values.std())
        score_name, title = "TCAV score", "Concepts by TCAV"
    arrays = table.arrays
    arrays["p_corrected"] = tcav.correct(arrays["p"], correction)
    arrays["significant"] = arrays["p_corrected"] < alpha
    arrays["negligible"] = np.abs(arrays["effect"]) < threshold
    arrays["n_positive"] = np.repeat([[s.size] for s in sets], len(names), axis=1)
    meta = {
        "title": title,
        "concepts": [s.name for s in sets],
        "layers": names,
        "site": site if where is not None else "given activations",
        "position": position,
        "quantity": quantity,
        "score_name": score_name,
        "target": None if where is None or target is None else what,
        "filter": filter,
        "alpha": alpha,
        "correction": correction,
        "negligible_below": threshold,
        "runs": runs,
        "probe": _probe(sets, probe),
    }
    return ConceptResult(arrays, meta)


@dataclass(frozen=True)
class _Set:
    """One concept's examples; ``own`` and ``other`` name their activations."""

    name: str
    positive: Any
    negative: Any
    own: str
    other: str

    @property
    def size(self) -> int:
        return len(self.positive)


class _Table:
    """The numbers of all concepts and layers, filled cell by cell."""

    def __init__(self, concepts: int, layers: int, width: int) -> None:
        names = (
            *("effect", "low", "high", "score", "score_null", "linear_effect"),
            *("accuracy", "auc", "p", "p_sign", "gap"),
        )
        self.arrays: dict[str, Any] = {name: np.full((concepts, layers), np.nan) for name in names}
        self.arrays["vectors"] = np.zeros((concepts, layers, width), np.float32)

    def put(self, concept: int, layer: int, **values: float) -> None:
        for name, value in values.items():
            self.arrays[name][concept, layer] = value


def _sets(positive: Any, negative: Any, labels: Sequence[Token] | None) -> list[_Set]:
    """Pair every concept with what it is told apart from."""
    if labels is not None:
        if isinstance(positive, Mapping) or len(labels) != len(positive):
            raise ValueError("labels need one list of examples, with a label for each of them")
        names = list(dict.fromkeys(str(label) for label in labels))
        if len(names) < 2:
            raise ValueError(f"labels name {len(names)} concept; there is nothing to tell it from")
        at = {n: [i for i, label in enumerate(labels) if str(label) == n] for n in names}
        positive = {n: _take(positive, at[n]) for n in names}
    if not isinstance(positive, Mapping):
        positive = {"concept": positive}
    if not positive:
        raise ValueError("there are no concepts: the dict is empty")
    if isinstance(negative, Mapping):
        if set(negative) != set(positive):
            raise ValueError(
                f"negative names {', '.join(negative)}, and the concepts are {', '.join(positive)}"
            )
        return [_Set(n, e, negative[n], f"+{n}", f"-{n}") for n, e in positive.items()]
    if negative is not None:
        return [_Set(n, e, negative, f"+{n}", "-") for n, e in positive.items()]
    if len(positive) < 2:
        raise ValueError("give negative=: examples without the concept, or at least two concepts")
    sets = []
    for name, examples in positive.items():
        others = [e for other, e in positive.items() if other != name]
        joined = _join(others)
        sets.append(_Set(name, examples, joined, f"+{name}", f"-{name}"))
    return sets


def _take(examples: Any, at: list[int]) -> Any:
    return to_numpy(examples)[at] if hasattr(examples, "shape") else [examples[i] for i in at]


def _join(parts: list[Any]) -> Any:
    if all(hasattr(part, "shape") for part in parts):
        return np.concatenate([to_numpy(part) for part in parts])
    return [example for part in parts for example in part]


def _activations(
    run: Run, where: ConceptSite | None, sets: list[_Set], layers: Any
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return ``{key: [layer, example, d]}`` and the layers' names."""
    wanted = {s.own: s.positive for s in sets} | {s.other: s.negative for s in sets}
    given = {key: hasattr(examples, "shape") for key, examples in wanted.items()}
    if where is None:
        if not all(given.values()):
            raise ValueError("give prompts, or arrays [example, d], for every concept")
        found = {}
        for key, examples in wanted.items():
            array = to_numpy(examples).astype(np.float64)
            array = array[:, None] if array.ndim == 2 else array
            if array.ndim != 3:
                raise ValueError(
                    f"arrays are [example, d] or [example, layer, d], not {array.shape}"
                )
            found[key] = array.transpose(1, 0, 2)
        if len({(a.shape[0], a.shape[2]) for a in found.values()}) > 1:
            shapes = ", ".join(str(tuple(to_numpy(e).shape)) for e in wanted.values())
            raise ValueError(f"all arrays need the same layers and width, got {shapes}")
        n = next(iter(found.values())).shape[0]
        names = [str(i) for i in range(n)]
        if isinstance(layers, Sequence):
            if len(layers) != n:
                raise ValueError(f"{len(layers)} layers named for arrays with {n}")
            names = [str(i) for i in layers]
        return found, names
    if any(given.values()):
        raise ValueError("give either prompts or arrays for all concepts, not both")
    unique = list(dict.fromkeys(p for examples in wanted.values() for p in examples))
    rows = {prompt: i for i, prompt in enumerate(unique)}
    everything = where.activations(unique, _phase(run, 0.0, 0.2))
    found = {key: everything[:, [rows[p] for p in examples]] for key, examples in wanted.items()}
    return found, where.labels


def _check(sets: list[_Set], data: dict[str, np.ndarray]) -> None:
    for s in sets:
        for key, kind in ((s.own, "with"), (s.other, "without")):
            if data[key].shape[1] < FEWEST:
                raise ValueError(
                    f"{s.name!r} has {data[key].shape[1]} examples {kind} the concept; {FEWEST} "
                    "are the least to fit and test a vector on, 30 and more give useful intervals"
                )
            if not np.isfinite(data[key]).all():
                raise ValueError(f"activations of {s.name!r} ({kind} the concept) are not finite")


def _fit(
    table: _Table,
    c: int,
    i: int,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    filter: cav.Filter,  # noqa: A002
    seed: int,
) -> None:
    """Fit one vector, and say how well it tells held-out examples apart."""
    vector = cav.direction(positive, negative, filter)
    own, other = cav.held_out_projections(positive, negative, filter, seed=seed)
    low, high = tcav.bootstrap((own, other), cav.separation, seed=seed)
    table.arrays["vectors"][c, i] = vector
    table.put(
        c,
        i,
        effect=cav.separation(own, other),
        low=low,
        high=high,
        accuracy=cav.balanced_accuracy(own, other),
        auc=cav.auc(own, other),
        p=tcav.welch_p(own, other, greater=True),
        gap=float((positive @ vector).mean() - (negative @ vector).mean()),
    )


def _test(
    table: _Table,
    run: Run,
    where: ConceptSite,
    value: Any,
    sets: list[_Set],
    data: dict[str, np.ndarray],
    gradients: np.ndarray,
    *,
    filter: cav.Filter,  # noqa: A002
    seed: int,
    runs: int,
) -> None:
    """Measure the target's side: TCAV, its test, and the effect of taking the concept away."""
    layers = len(where.places)
    report = _phase(run, 0.4, 1.0)
    for c, examples in enumerate(sets):
        prompts = list(examples.positive)
        before = where.values(prompts, value)
        for i in range(layers):
            report(c * layers + i, len(sets) * layers)
            positive, negative = data[examples.own][i], data[examples.other][i]
            test = tcav.tcav_test(
                positive, negative, gradients[i], filter=filter, runs=runs, seed=seed
            )
            patterns = _patterns(positive, negative, seed)
            lost = before - where.without(prompts, value, i, patterns)
            low, high = tcav.bootstrap((lost,), np.mean, seed=seed)
            table.put(
                c,
                i,
                effect=float(lost.mean()),
                low=low,
                high=high,
                score=float(test.scores.mean()),
                score_null=float(test.null.mean()),
                p=test.p,
                p_sign=test.p_sign,
                linear_effect=test.effect,
            )
    report(1, 1)


def _patterns(positive: np.ndarray, negative: np.ndarray, seed: int, folds: int = 5) -> np.ndarray:
    """Return for each positive example the pattern of all the others' folds ``[example, d]``."""
    folds = min(folds, len(positive))
    part = np.random.default_rng(seed).permutation(np.arange(len(positive)) % folds)
    out = np.empty_like(positive)
    for fold in range(folds):
        out[part == fold] = cav.gap(positive[part != fold], negative)
    return out


def _phase(run: Run, start: float, stop: float) -> Callable[[int, int], None]:
    """Return a progress function for the share of the work from ``start`` to ``stop``."""
    return lambda done, total: run.progress(
        round(1000 * (start + (stop - start) * done / total)), 1000
    )


def _probe(sets: list[_Set], name: str | None) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=8)
    for s in sets:
        for examples in (s.positive, s.negative):
            if hasattr(examples, "shape"):
                digest.update(to_numpy(examples).tobytes())
            else:
                digest.update("|".join(p.key for p in examples).encode())
    counts = {s.name: s.size for s in sets}
    others = len(sets[0].negative)
    described = f"{sum(counts.values())} examples with and {others} without"
    return {
        "name": name or described,
        "hash": digest.hexdigest(),
        "n_positive": counts,
        "n_negative": others,
    }
