"""H5: another model finds the same (Kornblith et al. 2019, arXiv:1905.00414)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site


@method(
    "universality",
    result="array",
    title="Universality (H5)",
    paper="Kornblith et al. 2019, arXiv:1905.00414 (CKA); Gurnee et al. 2024, arXiv:2401.12181 "
    "(neurons); Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="layer, neuron or head",
    cost="1 forward pass of every prompt through both models",
    tags="mechanistic, observational, global, hypothesis generation, layer, neuron, head",
)
def universality(
    run: Run,
    prompts: PromptBatch | Sequence[Prompt],
    other: Session,
    *,
    site: str = "mlp_post",
    layers_site: str = "resid_post",
    heads: bool = True,
    most_units: int = 1024,
    draws: int = 20,
    seed: int = 0,
) -> ArrayResult:
    """Compare two models on the same prompts: layers by CKA, units and heads by their best match.

    Parameters
    ----------
    prompts
        Texts, read by both models token by token; both must make the same tokens of them.
    other
        The second model, such as another seed.
    site
        Units to match by the correlation of their activations.
    layers_site
        What linear CKA compares.
    heads
        Whether to match heads by the correlation of their patterns.
    most_units
        Units of each model that are matched, evenly taken.
    draws, seed
        Nulls. CKA: the other model's tokens shuffled. Units: the other model's units of a layer
        rotated, which keeps CKA as it is and leaves no unit in its place. Heads: patterns of
        another prompt of the same length.

    Returns
    -------
    ArrayResult
        ``[layer, other_layer]``: linear CKA. ``match`` and ``match_rotated`` ``[unit]``: largest
        |correlation| of every unit with a unit of the other model; ``mutual [unit]``: whether each
        is the other's best. ``head_match [head]``. ``meta["findings"]``: mean CKA of each layer's
        best layer, mean best correlation of units and of heads, each against its null.

    Raises
    ------
    ValueError
        When the models read the prompts as different tokens.

    Examples
    --------
    >>> iw.hypotheses.universality(prompts, other=second).meta["findings"]
    """
    ours = list(prompts)
    theirs = [other.prompt(p.to_json()) for p in ours]
    if any(a.ids != b.ids for a, b in zip(ours, theirs, strict=True)):
        raise ValueError("the models read these prompts as different tokens: give token ids")
    rng = np.random.default_rng(seed)
    own = _layers(run.session, ours, layers_site)
    run.progress(1, 6)
    away = _layers(other, theirs, layers_site)
    run.progress(2, 6)
    cka = np.array([[_cka(a, b) for b in away] for a in own])
    null = []
    for _ in range(draws):
        order = rng.permutation(own.shape[1])
        null.append(float(np.mean([max(_cka(a, b[order]) for b in away) for a in own])))
    found = [
        finding(
            "H5",
            "linear CKA of a layer with its most similar layer, mean",
            float(cka.max(1).mean()),
            null,
            "tokens of the other model shuffled",
            inputs=len(ours),
        )
    ]
    run.progress(3, 6)
    arrays: dict[str, Any] = {"values": cka.astype(np.float32)}
    mine, others = (
        _some(_layers(s, p, site), most_units) for s, p in ((run.session, ours), (other, theirs))
    )
    best, mutual = _match(_joined(mine), _joined(others))
    arrays["match"], arrays["mutual"] = best.astype(np.float32), mutual.astype(np.uint8)
    rotated = []
    for i in range(max(3, draws // 4)):
        turned = [layer @ _rotation(layer.shape[1], rng) for layer in others]
        values, _ = _match(_joined(mine), _joined(turned))
        rotated.append(values.mean())
        if not i:
            arrays["match_rotated"] = values.astype(np.float32)
    found.append(
        finding(
            "H5",
            f"|correlation| of a unit ({site}) with its best match, mean",
            float(best.mean()),
            rotated,
            "the other model's units rotated within each layer",
            inputs=len(ours),
            note=f"{mutual.mean():.0%} of units are each other's best match",
        )
    )
    run.progress(5, 6)
    if heads:
        values, shuffled = _heads(run.session, ours, other, theirs, rng, draws)
        if shuffled:
            arrays["head_match"] = values.astype(np.float32)
            found.append(
                finding(
                    "H5",
                    "correlation of a head's patterns with its best match, mean",
                    float(values.mean()),
                    shuffled,
                    "patterns of other prompts of the same length",
                    inputs=len(ours),
                )
            )
    names = [[str(i) for i in range(n)] for n in cka.shape]
    return ArrayResult(
        arrays,
        {
            "dims": ["layer", "other_layer"],
            "labels": {"layer": names[0], "other_layer": names[1]},
            "quantity": "linear CKA",
            "signed": False,
            "title": f"Universality: {run.session.name} and {other.name}",
            "findings": found,
        },
    )


def _layers(session: Session, prompts: Sequence[Prompt], site: str) -> np.ndarray:
    """Return ``[layer, token, unit]`` in float64."""
    layers = [Site(site, i) for i in range(session.anatomy.n_layers)]
    rows = []
    for prompt in prompts:
        found = session.capture(prompt, layers)
        rows.append(np.stack([found[s].flatten(1).double().cpu().numpy() for s in layers]))
    return np.concatenate(rows, axis=1)


def _cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear CKA of two sets of activations ``[token, unit]``."""
    a, b = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.norm(a.T @ b) ** 2
    scale = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(cross / scale) if scale else 0.0


def _some(layers: np.ndarray, most: int) -> list[np.ndarray]:
    width = max(1, most // len(layers))
    step = max(1, -(-layers.shape[2] // width))
    return [layer[:, ::step] for layer in layers]


def _joined(layers: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(layers, axis=1)


def _match(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest |correlation| of every unit of ``a``, and whether the match is mutual."""
    a, b = (x - x.mean(0) for x in (a, b))
    a, b = (x / np.maximum(np.linalg.norm(x, axis=0), 1e-12) for x in (a, b))
    scores = np.abs(a.T @ b)
    forth, back = scores.argmax(1), scores.argmax(0)
    return scores.max(1), back[forth] == np.arange(len(forth))


def _rotation(width: int, rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return np.asarray(q * np.sign(np.diag(r)))


def _heads(
    session: Session,
    ours: Sequence[Prompt],
    other: Session,
    theirs: Sequence[Prompt],
    rng: np.random.Generator,
    draws: int,
) -> tuple[np.ndarray, list[float]]:
    """Return each head's best match, and the mean with other prompts of the same lengths."""
    groups: dict[int, list[int]] = {}
    for i, prompt in enumerate(ours):
        groups.setdefault(len(prompt), []).append(i)
    if all(len(group) < 2 for group in groups.values()):
        return np.empty(0), []
    own = [_patterns(session, prompt) for prompt in ours]
    away = [_patterns(other, prompt) for prompt in theirs]
    values, _ = _match(np.concatenate(own), np.concatenate(away))
    null = []
    for _ in range(draws):
        order = np.arange(len(ours))
        for group in groups.values():
            order[group] = np.roll(rng.permutation(group), 1)[np.argsort(rng.permutation(group))]
        shuffled, _ = _match(np.concatenate(own), np.concatenate([away[i] for i in order]))
        null.append(float(shuffled.mean()))
    return values, null


def _patterns(session: Session, prompt: Prompt) -> np.ndarray:
    """Return ``[query and key, head]`` of all layers, below and on the diagonal."""
    sites = [Site("pattern", i) for i in range(session.anatomy.n_layers)]
    found = session.capture(prompt, sites)
    stacked = np.concatenate([found[s].float().cpu().numpy() for s in sites])
    rows, columns = np.tril_indices(stacked.shape[-1])
    return np.asarray(stacked[:, rows, columns].T)
