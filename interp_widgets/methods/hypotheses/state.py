"""H7: the model keeps what generated its input, and uses it (Li et al. 2022, arXiv:2210.13382)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import ConceptSite, at_end
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch

ROWS = ("read", "read, shuffled", "written", "written, random", "written, before")


@method(
    "internal_state",
    result="array",
    title="Internal state (H7)",
    paper="Li et al. 2022, arXiv:2210.13382 (Othello); Hewitt and Liang 2019, arXiv:1909.03368 "
    "(control tasks); Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="direction at a site",
    cost="1 forward pass of every prompt; 1 more of half of them for each layer and draw",
    tags="concept-based, interventional, global, verification, feature, layer",
)
def internal_state(
    run: Run,
    prompts: PromptBatch | Sequence[Prompt],
    states: Sequence[str],
    answers: Mapping[str, str | int],
    *,
    site: str = "resid_post",
    layers: int | Sequence[int] | None = None,
    position: int = -1,
    draws: int = 20,
    seed: int = 0,
) -> ArrayResult:
    """Read a latent variable off the activations, write another value, see if the output follows.

    Reading alone shows that the variable can be found, not that the model uses it; so each held-out
    prompt is moved from its state's mean to that of another state (means of the other half), and
    the answer among ``answers`` has to become that state's.

    Parameters
    ----------
    prompts
        Inputs, 8 or more for each state.
    states
        The latent variable's value for each prompt.
    answers
        The output token that is right in each state.
    site, layers, position
        Where it is read and written.
    draws, seed
        Null of reading: states shuffled among the prompts (a control task). Null of writing: random
        directions of the same lengths.

    Returns
    -------
    ArrayResult
        ``[quantity, layer]``, shares of held-out prompts: state read rightly by the nearest mean,
        the same for shuffled states, output follows what was written, follows a random change, and
        already was that before. ``meta["findings"]``: reading and writing at the best layer,
        against the best layer of each draw.

    Raises
    ------
    ValueError
        When states and answers do not fit.

    Examples
    --------
    >>> iw.hypotheses.internal_state(games, corners, {"left": " L", "right": " R"}).view()
    """
    kinds, labels, ids = _checked(run, prompts, states, answers)
    rng = np.random.default_rng(seed)
    place = ConceptSite(
        run.session, site, [layers] if isinstance(layers, int) else layers, position
    )
    values = place.activations(list(prompts))
    train, test = _split(labels, rng)
    held = [prompts[int(i)] for i in test]
    goal = (labels[test] + rng.integers(1, len(kinds), len(test))) % len(kinds)
    n_layers = len(values)
    read, shuffled = np.zeros(n_layers), np.zeros((draws, n_layers))
    for layer, x in enumerate(values):
        read[layer] = _nearest(x, labels, train, test, len(kinds))
        for d in range(draws):
            mixed = rng.permutation(labels)
            shuffled[d, layer] = _nearest(x, mixed, train, test, len(kinds))
    written, before = np.zeros(n_layers), np.zeros(n_layers)
    random = np.zeros((draws, n_layers))

    def follows(changes: np.ndarray, layer: int) -> float:
        def hit(logits: Tensor, batch: PromptBatch) -> Tensor:
            return at_end(logits, batch)[:, ids].argmax(-1).float()

        chosen = place.without(held, hit, layer, -changes.astype(np.float32))
        return float((chosen == goal).mean())

    for layer, x in enumerate(values):
        means = np.stack([x[train][labels[train] == k].mean(0) for k in range(len(kinds))])
        changes = means[goal] - means[labels[test]]
        before[layer] = follows(0 * changes, layer)
        written[layer] = follows(changes, layer)
        lengths = np.linalg.norm(changes, axis=1, keepdims=True)
        for d in range(draws):
            run.progress(layer * draws + d, n_layers * draws)
            noise = rng.normal(size=changes.shape)
            noise *= lengths / np.linalg.norm(noise, axis=1, keepdims=True)
            random[d, layer] = follows(noise, layer)
    table = np.stack([read, shuffled.mean(0), written, random.mean(0), before])
    best, moved = int(read.argmax()), int(written.argmax())
    found = [
        finding(
            "H7",
            f"state read rightly on held-out prompts, layer {place.labels[best]}",
            float(read[best]),
            shuffled.max(1),
            "states shuffled, best layer of each draw",
            inputs=len(test),
        ),
        finding(
            "H7",
            f"output follows the state that was written, layer {place.labels[moved]}",
            float(written[moved]),
            random.max(1),
            "random changes of the same length, best layer of each draw",
            inputs=len(test),
            note=f"before, {before[moved]:.0%} of the outputs were that",
        ),
    ]
    return ArrayResult(
        {"values": table.astype(np.float32)},
        {
            "dims": ["quantity", "layer"],
            "labels": {"quantity": list(ROWS), "layer": place.labels},
            "quantity": "share of held-out prompts",
            "signed": False,
            "draw": "lines",
            "title": "Internal state",
            "states": kinds,
            "findings": found,
        },
    )


def _checked(
    run: Run,
    prompts: PromptBatch | Sequence[Prompt],
    states: Sequence[str],
    answers: Mapping[str, str | int],
) -> tuple[list[str], np.ndarray, list[int]]:
    kinds = list(dict.fromkeys(states))
    if len(states) != len(prompts) or len(kinds) < 2:
        raise ValueError(f"{len(states)} states of {len(kinds)} kinds for {len(prompts)} prompts")
    lacking = [kind for kind in kinds if kind not in answers]
    if lacking:
        raise ValueError(f"answers lacks the token that is right in state {lacking[0]!r}")
    rare = next((kind for kind in kinds if list(states).count(kind) < 4), None)
    if rare is not None:
        raise ValueError(f"state {rare!r} has fewer than four prompts")
    labels = np.array([kinds.index(state) for state in states])
    return kinds, labels, [run.session.token_id(answers[kind]) for kind in kinds]


def _split(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return halves with as many prompts of each state."""
    parts: tuple[list[int], list[int]] = ([], [])
    for kind in range(labels.max() + 1):
        order = rng.permutation(np.flatnonzero(labels == kind))
        parts[0].extend(order[: len(order) // 2])
        parts[1].extend(order[len(order) // 2 :])
    return np.array(parts[0]), np.array(parts[1])


def _nearest(
    x: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, kinds: int
) -> float:
    """Return the share of test inputs nearest to the mean of their own state."""
    known = [k for k in range(kinds) if (labels[train] == k).any()]
    means = np.stack([x[train][labels[train] == k].mean(0) for k in known])
    scale = x[train].std(0) + 1e-6 * x[train].std() + 1e-12
    distances = (((x[test][:, None] - means[None]) / scale) ** 2).sum(2)
    return float((np.array(known)[distances.argmin(1)] == labels[test]).mean())
