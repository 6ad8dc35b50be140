"""Taking a behaviour away, and what else changes when one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.concept_site import ConceptSite
from interp_widgets.methods.dossier.actions import (
    ACCURACY,
    MEASURES,
    NOTHING,
    Action,
    Bench,
    lost,
    removed,
)
from interp_widgets.methods.dossier.monitor import Detector
from interp_widgets.methods.dossier.splits import DossierError, Inputs, checked, halves, take
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult

Name = Literal["direction", "gated direction", "ablation", "gated ablation"]
WORDS = {
    "direction": "setting its direction",
    "gated direction": "setting its direction where the detector fires",
    "ablation": "ablating the mechanism to its mean",
    "gated ablation": "ablating the mechanism where the detector fires",
}
Sets = tuple[Any, Any, Any]


@method(
    "dossier_control",
    result="array",
    title="Control and its side effects",
    paper="Arditi et al. 2024, arXiv:2406.11717 (directional ablation); Bereska and Gavves 2024, "
    "arXiv:2404.14082 §6",
    family="dossier",
    unit="direction at a site, head or MLP",
    cost="1 forward pass of every prompt for each action, and for each draw of the null",
    tags="mechanistic, interventional, global, verification, feature, head, layer",
)
def control(
    run: Run,
    monitor: ArrayResult,
    positives: Inputs,
    negatives: Inputs,
    clean: Inputs | None = None,
    *,
    nodes: Sequence[str] = (),
    actions: Sequence[Name] | None = None,
    layers: Sequence[int] | None = None,
    position: int | Literal["mean"] = -1,
    draws: int = 19,
    seed: int = 0,
) -> ArrayResult:
    """Take a behaviour away in several ways, and measure what that does to it and to the rest.

    ``direction``: the residual stream's projection on the mean difference of the pairs is set to
    what it is without the behaviour, at the layer that serves best. ``ablation``: the mechanism's
    nodes write their mean over negatives. ``gated …``: the same, only where the detector fires.
    Layers and the best action are chosen on half of the inputs and measured on the other half.

    Parameters
    ----------
    monitor
        What :func:`monitor` found: the gate.
    positives, negatives
        Pairs of prompts with and without the behaviour, with answer and foil on the positive ones.
    clean
        Inputs on which nothing should change, with the right answer (and foil, to which the choice
        is narrowed). Default: the negatives, with their answers.
    nodes
        The mechanism, for ``ablation``: ``["a0.h1", "m1"]``.
    actions
        Which to try; default all, ablations where there are nodes.
    layers, position
        Where a direction is set: in the residual stream after these layers (default all), at this
        token or, with ``"mean"``, at all.
    draws
        Null: random directions of which as much is set, or random nodes.
    seed
        Of halves and draws.

    Returns
    -------
    ArrayResult
        ``[measure, action]``, the side-effect table, on inputs held out; the first action is
        ``none``. ``meta["best"]`` is the action that takes most away, less what accuracy it costs,
        on the other half; ``meta["findings"]``: the share of the effect that it removes, and minus
        the accuracy that clean inputs lose.

    Raises
    ------
    DossierError
        When inputs are too few, or an action lacks its nodes.

    Examples
    --------
    >>> iw.dossier.control(iw.dossier.monitor(a, b), a, b, clean).frame()
    """
    checked(positives, negatives, paired=True)
    clean = list(negatives) if clean is None else list(clean)
    if any(p.answer is None for p in clean):
        raise DossierError(
            "clean inputs need their right answer, to count what the control costs: "
            "session.prompt(text, answer=…, foil=…)"
        )
    chosen: list[str] = list(actions or ["direction", "gated direction"])
    if actions is None and nodes:
        chosen += ["ablation", "gated ablation"]
    if any(name.endswith("ablation") for name in chosen) and not nodes:
        raise DossierError("the action 'ablation' needs nodes: a mechanism, ['a0.h1', 'm1']")
    find, test = halves(len(positives), seed)
    clean_find, clean_test = halves(len(clean), seed)
    sets = (take(positives, find), take(negatives, find), take(clean, clean_find))
    held = (take(positives, test), take(negatives, test), take(clean, clean_test))
    place = ConceptSite(run.session, "resid_post", layers, position)
    bench = Bench(run.session, Detector.of(monitor), list(nodes), place, sets[0], sets[1])
    steps, done = len(chosen) * (len(place.sites) + 1) + draws, 0

    def column(action: Action, inputs: Sets) -> np.ndarray:
        nonlocal done
        run.progress(min(done, steps), steps)
        done += 1
        return bench.column(action, *inputs)

    applied, best = _choose(column, chosen, sets, len(place.sites))
    values = np.stack([column(action, held) for action in (NOTHING, *applied)], 1)
    name, null = applied[best].name, []
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        drawn = replace(applied[best], random=rng.normal(size=bench.width))
        null.append(removed(np.stack([values[:, 0], column(drawn, held)], 1), 1))
    low, high = bench.spread(applied[best], *held[:2], seed=seed)
    accuracy = values[ACCURACY, [0, best + 1]]
    found = finding(
        "control",
        f"share of the behaviour that {WORDS[name]} removes",
        removed(values, best + 1),
        null,
        "random nodes" if name.endswith("ablation") else "the same with random directions",
        inputs=len(held[0]),
        low=low,
        high=high,
        note=f"accuracy on clean inputs {accuracy[0]:.1%} before and {accuracy[1]:.1%} after",
    )
    return ArrayResult(
        {"values": values.astype(np.float32)},
        {
            "dims": ["measure", "action"],
            "labels": {"measure": list(MEASURES), "action": ["none", *chosen]},
            "quantity": "share, logits or nats",
            "signed": True,
            "title": "Control and its side effects",
            "what": MEASURES,
            "best": name,
            "layers": {a.name: place.labels[a.layer] for a in applied if a.layer is not None},
            "nodes": list(nodes),
            "inputs": {"behaviour": len(held[0]), "clean": len(held[2])},
            "findings": [{**found, "role": "control", "lost": lost(values, best + 1)}],
        },
    )


def _choose(
    column: Callable[[Action, Sets], np.ndarray],
    names: Sequence[str],
    sets: Sets,
    layers: int,
) -> tuple[list[Action], int]:
    """Return each action at its best layer, and which of them is best."""
    first = column(NOTHING, sets)
    applied, merits = [], []
    for name in names:
        options = [Action(name)]
        if name.endswith("direction"):
            options = [Action(name, layer) for layer in range(layers)]
        tables = [np.stack([first, column(option, sets)], 1) for option in options]
        merit = [removed(table, 1) - lost(table, 1) for table in tables]
        applied.append(options[int(np.argmax(merit))])
        merits.append(max(merit))
    return applied, int(np.argmax(merits))
