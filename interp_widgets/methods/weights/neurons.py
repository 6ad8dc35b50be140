"""Neurons read through the output head: which tokens each reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.methods.weights.clamp import clamp_target
from interp_widgets.methods.weights.space import Norm, Space, WeightsError, some_prompt
from interp_widgets.methods.weights.tables import chosen_layers, table_of
from interp_widgets.methods.weights.topk import CHUNK, Top
from interp_widgets.results.token_table import TokenTable
from interp_widgets.session.session import Session

Matrix = Literal["up", "gate", "down", "all"]
ROLES = {"up": "read", "gate": "read", "down": "write"}


@method(
    "decode_neurons",
    result="token_table",
    family="weights",
    unit="MLP neuron",
    cost="no forward pass; 2 · neurons · d_model · vocabulary operations for each matrix",
    paper="arXiv:2501.02688",
    tags="mechanistic, observational, global, hypothesis generation, neuron",
)
def decode(
    run: Run,
    session: Session,
    *,
    layers: Sequence[int] | None = None,
    matrix: Matrix = "all",
    k: int = 20,
    norm: Norm = "rms",
    chunk: int = CHUNK,
) -> TokenTable:
    """Read every MLP neuron's weights as a distribution over the vocabulary.

    A row of the up projection is the direction of the residual stream that the neuron reads
    along; through the output head it is a distribution over tokens, and a neuron whose distribution
    has one high peak is specialised. Needs no data. Both signs are read: a neuron may read along
    the opposite of a token.

    Parameters
    ----------
    session
        The model; its interventions do not matter, since only weights are read.
    layers
        Layers to read; default all.
    matrix
        ``"up"``, ``"gate"``: what the neuron reads; ``"down"``: what it writes; ``"all"``
        (default): those that there are, side by side.
    k
        Tokens to keep for each neuron, matrix and sign.
    norm
        ``"rms"`` (default): the row goes through the final norm like a hidden state of unit size,
        so that its softmax is as peaked as a prediction; ``"raw"``: as it is, nearly flat;
        ``"cosine"``: cosine of row and token vector, a ranking without probabilities.
    chunk
        Tokens at a time; memory does not grow with the vocabulary.

    Returns
    -------
    TokenTable
        A row for each neuron of each layer, with ``columns`` for the matrices.

    Raises
    ------
    WeightsError
        When the weights are quantised, there is no output head or no gate.
    SiteError
        When the model has no MLP neurons, as in mixtures of experts.
    ValueError
        When a layer is not there, or ``k`` is larger than the vocabulary.

    Examples
    --------
    >>> table = iw.weights.decode(session, layers=[3])
    >>> table.specialised(5)
    """
    chosen = chosen_layers(session, layers)
    space = Space.of(session)
    mlps = MlpParts.of(session, some_prompt(session))
    if matrix == "gate" and any(mlps[i].gate is None for i in chosen):
        raise WeightsError("this model's MLPs have no gate; they have up and down")
    gated = all(mlps[i].gate is not None for i in chosen)
    names = ["up", *(["gate"] if gated else []), "down"] if matrix == "all" else [matrix]
    tops: dict[str, list[Top]] = {name: [] for name in names}
    places: list[tuple[int, int]] = []
    steps = len(chosen) * len(names)
    for i, layer in enumerate(chosen):
        for j, name in enumerate(names):
            rows = mlps[layer].rows(name)
            at = i * len(names) + j

            def report(done: int, total: int, at: int = at) -> None:
                run.progress(at * 1000 + 1000 * done // max(total, 1), steps * 1000)

            tops[name].append(space.top(rows, k, norm, chunk=chunk, progress=report))
        places += [(layer, unit) for unit in range(len(rows))]
    meta = {
        "title": f"neurons of {session.name} in tokens",
        "quantity": {"rms": "probability", "raw": "probability (raw logits)"}.get(norm, norm),
        "roles": [ROLES[name] for name in names],
        "norm": norm,
        "gated": gated,
        "clamps": {str(i): clamp_target(session, i, 0) for i in chosen},
    }
    return table_of(session, tops, places, meta, probabilities=norm != "cosine")
