"""H2: features are directions (Park et al. 2023, arXiv:2311.03658; Mikolov et al. 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import ConceptSite, target_of
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch

Examples = PromptBatch | Sequence[Prompt] | Tensor
QUANTITIES = ("held-out cosine", "swapped pairs", "other partners")


@method(
    "linear_representation",
    result="array",
    title="Linear representation (H2)",
    paper="Park et al. 2023, arXiv:2311.03658; Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="direction at a site",
    cost="1 forward pass of every prompt; with a target, 1 of every positive prompt for each "
    "strength and direction",
    tags="concept-based, interventional, global, verification, feature, layer",
)
def linear_representation(
    run: Run,
    positive: Examples,
    negative: Examples,
    *,
    site: str = "resid_post",
    layers: int | Sequence[int] | None = None,
    position: int = -1,
    target: str | int | Sequence[str | int] | None = None,
    strengths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    splits: int = 10,
    draws: int = 50,
    seed: int = 0,
) -> ArrayResult:
    """Ask whether pairs with and without a concept differ along one direction.

    The mean difference of half of the pairs is compared with the differences of the other half.

    Parameters
    ----------
    positive, negative
        Pairs in the same order: prompts, or activations ``[pair, d]``.
    site, layers, position
        Where activations are read from prompts.
    target
        ``"logit_difference"`` of each prompt's answer and foil, a token, or two: then the mean
        difference is also added to the negative prompts at the best layer, ``strengths`` times, and
        the target must follow on a line.
    strengths
        Multiples of the mean difference; default from without the concept to with it.
    splits
        Halves drawn; the cosine is the mean over them.
    draws, seed
        Draws of the nulls. ``swapped pairs``: half of the pairs, in both halves, with positive and
        negative exchanged, so that there is no common direction. ``other partners``: each positive
        prompt with the negative one of another pair, which shows what the pairing is worth.

    Returns
    -------
    ArrayResult
        ``[quantity, layer]``: cosine of held-out differences with the mean difference, and its
        mean under both nulls. With a target ``steered [direction, strength]``, its change along the
        mean difference (first) and along random directions of the same length.
        ``meta["findings"]``: the best layer's cosine against the largest of all layers in each
        draw of swapped pairs; the slope against that of random directions, with R² of the line.

    Raises
    ------
    ValueError
        For fewer than four pairs or pairs that do not match.

    Examples
    --------
    >>> iw.hypotheses.linear_representation(positive, negative, target="logit_difference")
    """
    place, high, low, names = read_pairs(run, positive, negative, site, layers, position)
    differences = high - low
    rng = np.random.default_rng(seed)
    pairs = differences.shape[1]
    halves = [_half(pairs, rng) for _ in range(splits)]
    own = np.mean([_cosine(differences, *half) for half in halves], axis=0)
    swapped, partners = [], []
    for i in range(draws):
        run.progress(i, draws)
        train, test = halves[i % splits]
        signs = np.ones(pairs)
        for part in (train, test):
            signs[rng.permutation(part)[: len(part) // 2]] = -1
        swapped.append(_cosine(differences * signs[None, :, None], train, test))
        order = (np.arange(pairs) + rng.integers(1, pairs)) % pairs
        partners.append(_cosine(high - low[:, order], train, test))
    best = int(own.argmax())
    found = [
        finding(
            "H2",
            f"cosine of held-out pair differences with the mean, layer {names[best]}",
            float(own[best]),
            np.max(swapped, axis=1),
            "half of the pairs swapped, best layer of each draw",
            inputs=pairs // 2,
        )
    ]
    arrays: dict[str, Any] = {
        "values": np.stack([own, np.mean(swapped, 0), np.mean(partners, 0)]).astype(np.float32)
    }
    if target is not None and place is not None:
        steered, line = _steer(
            place, list(negative), best, differences[best].mean(0), target, strengths, rng
        )
        arrays["steered"] = steered
        found.append({**line, "inputs": pairs})
    meta = {
        "dims": ["quantity", "layer"],
        "labels": {"quantity": list(QUANTITIES), "layer": names},
        "quantity": "cosine",
        "signed": True,
        "draw": "lines",
        "title": "Linear representation",
        "strengths": list(strengths),
        "findings": found,
    }
    return ArrayResult(arrays, meta)


def read_pairs(
    run: Run,
    positive: Examples,
    negative: Examples,
    site: str,
    layers: int | Sequence[int] | None,
    position: int,
) -> tuple[ConceptSite | None, np.ndarray, np.ndarray, list[str]]:
    """Return where they were read, activations ``[layer, pair, d]`` of both, names of layers."""
    if len(positive) != len(negative) or len(positive) < 4:
        raise ValueError(
            f"{len(positive)} positive and {len(negative)} negative examples: give four pairs or "
            "more, in the same order"
        )
    if isinstance(positive, Tensor) or isinstance(negative, Tensor):
        high, low = (np.asarray(x, np.float64)[None] for x in (positive, negative))
        if high.ndim != 3 or high.shape != low.shape:
            raise ValueError(f"activations are [pair, d], not {high.shape[1:]} and {low.shape[1:]}")
        return None, high, low, ["given"]
    chosen = [layers] if isinstance(layers, int) else layers
    place = ConceptSite(run.session, site, chosen, position)
    high, low = (place.activations(list(x)) for x in (positive, negative))
    return place, high, low, place.labels


def _half(pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(pairs)
    return order[: pairs // 2], order[pairs // 2 :]


def _cosine(differences: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the mean cosine ``[layer]`` of held-out differences with the mean of the others."""
    mean = differences[:, train].mean(1, keepdims=True)
    held = differences[:, test]
    lengths = np.linalg.norm(held, axis=2) * np.linalg.norm(mean, axis=2)
    return np.asarray(((held * mean).sum(2) / np.maximum(lengths, 1e-12)).mean(1))


def _steer(
    place: ConceptSite,
    prompts: list[Prompt],
    layer: int,
    direction: np.ndarray,
    target: Any,
    strengths: Sequence[float],
    rng: np.random.Generator,
    others: int = 19,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Add multiples of a direction; return the target's changes and the finding of its slope."""
    measure, name = target_of(place.session, target)
    random = rng.normal(size=(others, len(direction)))
    random *= np.linalg.norm(direction) / np.linalg.norm(random, axis=1, keepdims=True)
    base = place.values(prompts, measure).mean()
    steered = np.zeros((1 + others, len(strengths)), np.float32)
    for i, vector in enumerate((direction, *random)):
        for j, strength in enumerate(strengths):
            change = np.repeat(-strength * vector[None], len(prompts), 0).astype(np.float32)
            steered[i, j] = place.without(prompts, measure, layer, change).mean() - base
    slopes = [float(np.polyfit(strengths, row, 1)[0]) for row in steered]
    line = np.polyval(np.polyfit(strengths, steered[0], 1), strengths)
    rest = float(((steered[0] - line) ** 2).sum())
    total = float(((steered[0] - steered[0].mean()) ** 2).sum())
    r2 = 1 - rest / total if total else float("nan")
    return steered, finding(
        "H2",
        f"|slope| of the {name.partition(' (')[0]} per mean difference added, "
        f"layer {place.labels[layer]}",
        abs(slopes[0]),
        np.abs(slopes[1:]),
        "random directions of the same length",
        unit="logits",
        note=f"R² of a line in the strength: {r2:.3f}",
    )
