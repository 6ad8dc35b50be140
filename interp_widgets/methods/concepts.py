"""Concepts: directions of activations that stand for something, and how much they matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from interp_widgets.methods import cav, tcav
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_sets import (
    ConceptSet,
    Pool,
    check_sets,
    pool_of,
    probe_of,
    sets_of,
)
from interp_widgets.methods.concept_site import ConceptSite, targets_of
from interp_widgets.results.concepts import OF_TARGET, ConceptResult
from interp_widgets.session.prompts import Prompt, PromptBatch

Examples = PromptBatch | Sequence[Prompt] | Tensor
Token = str | int
Aim = Token | Sequence[Token]

MOST_TOKEN_SCORES = 4_000_000
"""Concepts × layers × tokens up to which every token of every input gets its presence."""


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
    cost="2 forward passes per example and input; with a target 1 backward pass per input and "
    "target, and 1 forward pass per layer and example with the concept",
    tags="concept-based, observational, global, verification, feature, layer",
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
    target: Aim | None = None,
    targets: Sequence[Aim] | Mapping[str, Aim] | None = None,
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
    targets
        Several of those, one for each class or answer, or a dict with their names:
        ``result.of_target(name)`` has the numbers of each.
    inputs
        Prompts whose target the TCAV score and linear effect speak of, such as one class. Default:
        all examples.
    filter
        ``"pattern"``: difference of means, ``"logistic"`` or ``"ridge"`` regression. The default
        varies least and is what is taken away for the effect in any case.
    runs
        Repeated vectors, and as many random counterparts.
    alpha, correction
        Level of significance after Holm's or Bonferroni's correction over concepts × layers ×
        targets.
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
        ``p_sign``. ``presence [concept, layer, input]`` says how much of a concept is in each
        example and input, ``token_presence [concept, layer, token]`` in each of their tokens: 1 is
        the mean of the examples with the concept, −1 of those without. Examples of a concept are
        projected on a vector that was fitted without them.

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
    sets = sets_of(positive, negative, labels)
    aims = _aims(target, targets)
    where = None
    if run.live:
        chosen = [layers] if isinstance(layers, int) else layers
        where = ConceptSite(run.session, site, chosen, position)
    elif aims:
        raise ValueError(
            "a target needs the model behind the activations: give prompts, not arrays"
        )
    pool = pool_of(where, sets, layers, inputs, _phase(run, 0.0, 0.2))
    check_sets(sets, pool)
    fit: dict[str, Any] = {"filter": filter, "seed": seed}
    arrays = _vectors(sets, pool, **fit)
    meta: dict[str, Any] = {
        "title": "Concepts by separation",
        "quantity": "held-out separation (standard deviations)",
        "score_name": "held-out accuracy",
        "target": None,
        "targets": [],
    }
    thresholds = [negligible]
    if where is None or not aims:
        tested = {n: arrays[n][None] for n in ("effect", "low", "high", "accuracy", "p")}
        tested["score"] = tested.pop("accuracy")
    else:
        value, what = targets_of(run.session, list(aims.values()))
        probes = list(inputs) if inputs is not None else pool.prompts or []
        gradients, values = where.gradients(probes, value, _phase(run, 0.2, 0.4))
        tested = _test(run, where, value, sets, pool, gradients, runs=runs, **fit)
        thresholds = [negligible * float(spread) for spread in values.std(axis=0)]
        meta |= {
            "title": "Concepts by TCAV",
            "quantity": f"removal effect on the {what[0]}",
            "score_name": "TCAV score",
            "target": what[0],
            "targets": list(aims),
            "target_quantities": [f"removal effect on the {name}" for name in what],
        }
    tested["p_corrected"] = tcav.correct(tested["p"], correction)
    tested["significant"] = tested["p_corrected"] < alpha
    limits = np.reshape(thresholds, (-1, 1, 1))
    tested["negligible"] = np.abs(tested["effect"]) < limits
    arrays |= {name: table[0] for name, table in tested.items()}
    if len(aims) > 1:
        arrays |= {OF_TARGET + name: table for name, table in tested.items()}
    arrays["n_positive"] = np.repeat([[s.size] for s in sets], len(pool.layers), axis=1)
    arrays |= _presence(sets, pool, arrays["vectors"], **fit)
    arrays["norm"] = np.linalg.norm(pool.activations, axis=-1).mean(axis=1)
    meta |= {
        "concepts": [s.name for s in sets],
        "layers": pool.layers,
        "site": site if where is not None else "given activations",
        "position": position,
        "filter": filter,
        "alpha": alpha,
        "correction": correction,
        "negligible_below": thresholds[0],
        "runs": runs,
        "probe": probe_of(sets, probe),
        "inputs": _names(pool),
    }
    tokens = None if where is None else _token_presence(run, where, pool, arrays)
    if tokens is not None and pool.prompts is not None:
        arrays["token_presence"] = tokens
        meta["input_tokens"] = [list(p.tokens) for p in pool.prompts]
    return ConceptResult(arrays, meta)


def _aims(target: Aim | None, targets: Any) -> dict[str, Any]:
    """Return the targets by name."""
    if targets is None:
        return {} if target is None else {str(target): target}
    if target is not None:
        raise ValueError("give target= or targets=, not both")
    if not isinstance(targets, Mapping):
        targets = {_called(aim): aim for aim in targets}
    if not targets:
        raise ValueError("targets is empty; leave it out for vectors and separation alone")
    return {str(name): aim for name, aim in targets.items()}


def _called(aim: Any) -> str:
    parts = [aim] if isinstance(aim, str | int) else list(aim)
    return " − ".join(str(p).strip() or repr(p) for p in parts)


def _vectors(
    sets: list[ConceptSet],
    pool: Pool,
    *,
    filter: cav.Filter,  # noqa: A002
    seed: int,
) -> dict[str, Any]:
    """Fit every vector, and say how well it tells held-out examples apart."""
    shape = (len(sets), len(pool.layers))
    names = ("effect", "low", "high", "accuracy", "auc", "p", "gap")
    out: dict[str, Any] = {name: np.full(shape, np.nan) for name in names}
    out["vectors"] = np.zeros((*shape, pool.activations.shape[-1]), np.float32)
    for c, i in np.ndindex(*shape):
        positive, negative = pool.of(sets[c].own, i), pool.of(sets[c].other, i)
        vector = cav.direction(positive, negative, filter)
        own, other = cav.held_out_projections(positive, negative, filter, seed=seed)
        out["vectors"][c, i] = vector
        out["effect"][c, i] = cav.separation(own, other)
        interval = tcav.bootstrap((own, other), cav.separation, seed=seed)
        out["low"][c, i], out["high"][c, i] = interval
        out["accuracy"][c, i] = cav.balanced_accuracy(own, other)
        out["auc"][c, i] = cav.auc(own, other)
        out["p"][c, i] = tcav.welch_p(own, other, greater=True)
        out["gap"][c, i] = 2 * cav.scale_of(positive, negative, vector)[1]
    return out


def _presence(
    sets: list[ConceptSet],
    pool: Pool,
    vectors: np.ndarray,
    *,
    filter: cav.Filter,  # noqa: A002
    seed: int,
) -> dict[str, Any]:
    """Return how much of each concept is in each input, and which inputs are its examples."""
    member = pool.membership(sets)
    out = np.empty((len(sets), len(pool.layers), pool.activations.shape[1]), np.float32)
    scale = np.empty((len(sets), len(pool.layers), 2))
    for c, i in np.ndindex(*out.shape[:2]):
        positive, negative = pool.of(sets[c].own, i), pool.of(sets[c].other, i)
        vector = vectors[c, i].astype(np.float64)
        scale[c, i] = middle, half = cav.scale_of(positive, negative, vector)
        out[c, i] = (pool.activations[i] @ vector - middle) / half
        held = cav.held_out_projections(positive, negative, filter, seed=seed, scaled=True)
        out[c, i, pool.rows[sets[c].other]] = held[1]
        out[c, i, pool.rows[sets[c].own]] = held[0]
    return {"presence": out, "member": member, "presence_scale": scale}


def _token_presence(
    run: Run, where: ConceptSite, pool: Pool, arrays: dict[str, Any]
) -> np.ndarray | None:
    """Return ``[concept, layer, token]``, the tokens of all inputs one after another."""
    prompts = pool.prompts or []
    concepts, layers = arrays["vectors"].shape[:2]
    if not prompts[0].ids or concepts * layers * sum(map(len, prompts)) > MOST_TOKEN_SCORES:
        return None
    found = where.projections(prompts, arrays["vectors"])
    if found is None:
        return None
    middle, half = np.moveaxis(arrays["presence_scale"], -1, 0)[..., None]
    run.progress(1000, 1000)
    return np.asarray((np.concatenate(found, axis=-1) - middle) / half, np.float32)


def _names(pool: Pool) -> list[str]:
    if pool.prompts is None:
        return [f"input {i}" for i in range(pool.activations.shape[1])]
    return [
        (p.text if p.text is not None else "".join(p.tokens)) if p.ids else f"input {i}"
        for i, p in enumerate(pool.prompts)
    ]


def _test(
    run: Run,
    where: ConceptSite,
    value: Any,
    sets: list[ConceptSet],
    pool: Pool,
    gradients: np.ndarray,
    *,
    filter: cav.Filter,  # noqa: A002
    seed: int,
    runs: int,
) -> dict[str, Any]:
    """Measure the side of the targets: TCAV, its test, and what taking the concept away costs.

    Every array is ``[target, concept, layer]``.
    """
    layers = len(where.places)
    names = ("effect", "low", "high", "score", "score_null", "p", "p_sign", "linear_effect")
    shape = (len(gradients), len(sets), layers)
    out = {name: np.full(shape, np.nan) for name in names}
    report = _phase(run, 0.4, 1.0)
    for c, examples in enumerate(sets):
        prompts = list(examples.positive)
        before = where.values(prompts, value)
        for i in range(layers):
            report(c * layers + i, len(sets) * layers)
            positive, negative = pool.of(examples.own, i), pool.of(examples.other, i)
            patterns = _patterns(positive, negative, seed)
            lost = before - where.without(prompts, value, i, patterns)
            for t in range(len(gradients)):
                test = tcav.tcav_test(
                    positive, negative, gradients[t, i], filter=filter, runs=runs, seed=seed
                )
                low, high = tcav.bootstrap((lost[:, t],), np.mean, seed=seed)
                cell = {
                    "effect": lost[:, t].mean(),
                    "low": low,
                    "high": high,
                    "score": test.scores.mean(),
                    "score_null": test.null.mean(),
                    "p": test.p,
                    "p_sign": test.p_sign,
                    "linear_effect": test.effect,
                }
                for name, number in cell.items():
                    out[name][t, c, i] = number
    report(1, 1)
    return out


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
