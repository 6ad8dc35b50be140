"""Where the variables of a high-level causal model are: an alignment with places in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mediation.finders import How
from interp_widgets.methods.mediation.method import Places
from interp_widgets.methods.mediation.names import Given
from interp_widgets.methods.mediation.search import mediator_search
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt


@method(
    "variable_alignment",
    result="array",
    title="Alignment of variables",
    paper="Geiger et al. 2023, arXiv:2303.02536; Mueller et al. 2024, arXiv:2408.01416",
    family="patching",
    unit="subspace, or head, at a layer and position",
    cost="that of a search for each variable",
    tags="mechanistic, interventional, global, verification, layer, head, feature",
)
def variable_alignment(
    run: Run,
    variables: Mapping[str, Sequence[Sequence[Prompt]]],
    places: Given = "resid_post",
    *,
    method: How = "das",
    k: int = 1,
    steps: int | None = None,
    rate: float | None = None,
    batch: int = 32,
    held_back: float = 0.3,
    positions: Places | None = None,
    layers: Sequence[int] | None = None,
    seed: int = 0,
) -> ArrayResult:
    """Find for each variable of a hypothesis the place whose interchange acts as it says.

    A hypothesis names variables and says what answer follows when one of them takes its value from
    another prompt. Each is searched for in all places by its own pairs; then variables and places
    are matched one to one so that the summed interchange accuracy is largest.

    Parameters
    ----------
    variables
        By name: (clean prompts, counterfactual prompts) that differ in this variable. The answer of
        a counterfactual prompt (default: the clean one's foil) is what an interchange of the
        variable alone should give.
    places, positions, layers
        As the candidates of :func:`mediator_search`.
    method, k, steps, rate, batch, held_back, seed
        As there; ``"das"``, ``"probe"``, ``"difference"``, ``"pca"`` or ``"exhaustive"``.

    Returns
    -------
    ArrayResult
        Interchange accuracy on pairs that were held back ``[variable, place]``, NaN where the model
        solves none. ``meta["assignment"]`` is the place of each variable.

    Raises
    ------
    ValueError
        When there are more variables than places, or a search fails.

    Examples
    --------
    >>> found = iw.variable_alignment({"subject": (clean, other)}, "resid_post", positions=[-1])
    >>> found.meta["assignment"]
    """
    if method not in ("das", "probe", "difference", "pca", "exhaustive"):
        raise ValueError(f'method="{method}" gives no interchange accuracy; take "das"')
    if not variables:
        raise ValueError("variables is empty; give at least one")
    rows: list[np.ndarray] = []
    names: list[str] = []
    for number, (name, pairs) in enumerate(variables.items()):
        run.progress(number, len(variables))
        if len(pairs) != 2:
            raise ValueError(f"{name!r} needs (clean prompts, counterfactual prompts)")
        found = mediator_search(
            pairs[0],
            pairs[1],
            places,
            method=method,
            top=10_000,
            k=k,
            steps=steps,
            rate=rate,
            batch=batch,
            held_back=held_back,
            positions=positions,
            layers=layers,
            seed=seed,
        )
        order = found.meta["order"]
        accuracy = found.accuracy
        if accuracy is None:
            raise ValueError(f"{name!r}: answers and foils do not say what an interchange gives")
        row = np.full(len(order), np.nan)
        row[order] = accuracy
        rows.append(row)
        labels = [""] * len(order)
        for i, mediator in zip(order, found.mediators, strict=True):
            labels[i] = mediator.partition(" of ")[2] or mediator
        names = labels
    values = np.stack(rows)
    if len(values) > values.shape[1]:
        raise ValueError(f"{len(values)} variables do not fit {values.shape[1]} places")
    from scipy.optimize import linear_sum_assignment

    chosen = linear_sum_assignment(np.nan_to_num(values), maximize=True)
    meta: dict[str, Any] = {
        "dims": ["variable", "place"],
        "labels": {"variable": list(variables), "place": names},
        "quantity": "interchange accuracy",
        "signed": False,
        "title": "Alignment of variables",
        "assignment": {list(variables)[i]: names[j] for i, j in zip(*chosen, strict=True)},
    }
    return ArrayResult({"values": values}, meta)
