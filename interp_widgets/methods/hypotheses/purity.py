"""H3: what makes a unit active is one kind of thing (Bricken et al. 2023)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import WITHOUT_LAYER, Site

READINGS = ("this token", "token before", "label of the prompt")


@method(
    "monosemanticity",
    result="array",
    title="Monosemanticity (H3)",
    paper="Bricken et al. 2023, Towards Monosemanticity; Bereska and Gavves 2024, "
    "arXiv:2404.14082 §3",
    family="hypotheses",
    unit="neuron or feature",
    cost="1 forward pass of every prompt",
    tags="mechanistic, observational, global, hypothesis generation, feature, neuron",
)
def monosemanticity(
    run: Run,
    prompts: PromptBatch | Sequence[Prompt],
    dictionary: Tensor | None = None,
    *,
    site: str = "mlp_post",
    layer: int = 0,
    labels: Sequence[str] | None = None,
    dictionary_site: str = "resid_post",
    threshold: float = 0.0,
    top: int = 10,
    draws: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Measure which share of a unit's strongest contexts one reading explains.

    A context is a position of a prompt. It is read as its token, the token before, or the label
    of its prompt, if prompts have labels; no language model judges.

    Parameters
    ----------
    prompts
        Texts.
    dictionary
        Directions ``[feature, d]`` of a sparse autoencoder's encoder: its features, ReLU of
        (activation · direction − ``threshold``) at ``dictionary_site``, are compared with neurons.
    site, layer
        The neurons.
    labels
        One for each prompt.
    top
        Contexts of a unit, of those where it is above zero; a unit with fewer than three is left
        out (NaN).
    draws, seed
        Null: as many contexts at random, read in the same way.

    Returns
    -------
    ArrayResult
        ``[reading, unit]``: share of the top contexts with the most common reading, minus what
        random contexts give on average, and ``best`` of these. ``meta["findings"]``: mean best
        share of neurons, and of features, against random contexts.

    Raises
    ------
    ValueError
        When labels or dictionary do not fit, or there are too few contexts.

    Examples
    --------
    >>> iw.hypotheses.monosemanticity(prompts, decoder, layer=3).meta["findings"]
    """
    texts = list(prompts)
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"{len(labels)} labels for {len(texts)} prompts")
    groups: dict[str, Tensor] = {}
    groups["neuron"] = _contexts(run, texts, Site(site, layer))
    if dictionary is not None:
        where = None if dictionary_site in WITHOUT_LAYER else layer
        stream = _contexts(run, texts, Site(dictionary_site, where))
        directions = torch.as_tensor(dictionary).float().cpu()
        if directions.ndim != 2 or directions.shape[1] != stream.shape[1]:
            raise ValueError(
                f"the dictionary is {list(directions.shape)}, and {dictionary_site} has "
                f"{stream.shape[1]} dimensions"
            )
        groups["feature"] = torch.relu(stream @ directions.T - threshold)
    readings = _readings(texts, labels)
    contexts = len(readings[0])
    if contexts < 2 * top:
        raise ValueError(f"{contexts} contexts are too few for the top {top}: give more prompts")
    rng = np.random.default_rng(seed)
    null = np.array([_shares(readings, rng.permutation(contexts)[:top]) for _ in range(draws)])
    expected = null.mean(0)
    best_null = (null - expected).max(1)
    rows, names, found = [], [], []
    for group, values in groups.items():
        own = np.array([_unit(values[:, u], readings, top) for u in range(values.shape[1])])
        own -= expected
        rows.append(own)
        names += [f"{group} {u}" for u in range(values.shape[1])]
        best = own.max(1)
        alive = np.isfinite(best)
        if not alive.any():
            continue
        means = rng.choice(best_null, (draws, int(alive.sum()))).mean(1)
        found.append(
            finding(
                "H3",
                f"share of a {group}'s top {top} contexts that one reading explains, above chance",
                float(best[alive].mean()),
                means,
                "as many random contexts, read in the same way",
                note=f"mean over {int(alive.sum())} of {len(best)} {group}s that are ever active",
            )
        )
    table = np.concatenate(rows).T.astype(np.float32)
    table = np.concatenate([table, table.max(0, keepdims=True)])
    kinds = [*READINGS[: len(readings)], "best"]
    return ArrayResult(
        {"values": table, "mask": np.isnan(table)},
        {
            "dims": ["reading", "unit"],
            "labels": {"reading": kinds, "unit": names},
            "quantity": "share of top contexts, above chance",
            "signed": True,
            "title": "Monosemanticity",
            "findings": found,
        },
    )


def _contexts(run: Run, prompts: Sequence[Prompt], site: Site) -> Tensor:
    """Return activations ``[context, unit]`` of all positions of all prompts."""
    parts = []
    for i, prompt in enumerate(prompts):
        run.progress(i, len(prompts))
        found = run.session.capture(prompt, site)[site]
        parts.append(found.flatten(1).float().cpu())
    return torch.cat(parts)


def _readings(prompts: Sequence[Prompt], labels: Sequence[str] | None) -> list[list[Any]]:
    here = [i for prompt in prompts for i in prompt.ids]
    before = [i for prompt in prompts for i in (-1, *prompt.ids[:-1])]
    readings: list[list[Any]] = [here, before]
    if labels is not None:
        readings.append([x for p, x in zip(prompts, labels, strict=True) for _ in p.ids])
    return readings


def _unit(values: Tensor, readings: list[list[Any]], top: int) -> list[float]:
    order = values.argsort(descending=True, stable=True)[:top].numpy()
    active = order[values[order].numpy() > 0]
    return _shares(readings, active) if len(active) >= 3 else [float("nan")] * len(readings)


def _shares(readings: list[list[Any]], contexts: np.ndarray) -> list[float]:
    """Return the share of the most common entry of each reading."""
    return [
        Counter(reading[i] for i in contexts).most_common(1)[0][1] / len(contexts)
        for reading in readings
    ]
