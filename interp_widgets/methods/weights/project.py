"""Single parameters in vocabulary space, and what fine-tuning did to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.methods.weights.heads import head_matrices
from interp_widgets.methods.weights.space import Inverse, Space, WeightsError, some_prompt
from interp_widgets.methods.weights.tables import chosen_layers, table_of
from interp_widgets.methods.weights.topk import top_tokens
from interp_widgets.results.token_table import TokenTable
from interp_widgets.session.session import Session

Parameter = Literal["ff_keys", "ff_gates", "ff_values", "W_Q", "W_K", "W_V", "W_O"]
MLP = {"ff_keys": "up", "ff_gates": "gate", "ff_values": "down"}
WRITES = ("ff_values", "W_O")


def parameter_rows(session: Session, parameter: Parameter, layer: int) -> Tensor:
    """Return a parameter's vectors in the residual stream, ``[unit, d_model]``, in float32.

    Units are neurons, or head · d_head + j for sub-head j of a head. Of q, k and v they are the
    columns that read the stream, of the output projection the rows that write to it.
    """
    if parameter in MLP:
        return MlpParts.of(session, some_prompt(session))[layer].rows(MLP[parameter]).float()
    return head_matrices(session, layer)[parameter[-1].lower()].transpose(1, 2).flatten(0, 1)


@method(
    "project_weights",
    result="token_table",
    family="weights",
    unit="neuron or sub-head",
    cost="no forward pass",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, hypothesis generation, neuron, head",
)
def project(
    run: Run,
    session: Session,
    parameter: Parameter | Sequence[Parameter],
    *,
    layers: Sequence[int] | None = None,
    index: Sequence[int] | None = None,
    k: int = 30,
    inverse: Inverse = "transpose",
) -> TokenTable:
    """Project parameters into the vocabulary: neurons' keys and values, heads' sub-heads.

    What writes to the residual stream is multiplied with the output embedding, what reads it with
    the input embedding or its pseudo-inverse. Norms and biases are left out, as in the paper.

    Parameters
    ----------
    session
        The model; its interventions do not matter.
    parameter
        ``"ff_keys"``, ``"ff_gates"``, ``"ff_values"``, ``"W_Q"``, ``"W_K"``, ``"W_V"``, ``"W_O"``,
        or several that have the same units, which are shown side by side.
    layers
        Layers to read; default all.
    index
        Units to read; default all. Sub-head j of head h is h · d_head + j.
    k
        Tokens to keep for each vector and sign.
    inverse
        Of the reading side: ``"transpose"`` (default) or ``"pinv"``.

    Returns
    -------
    TokenTable
        With a column for each parameter; probabilities are the softmax of the projection as it is.

    Raises
    ------
    WeightsError
        When the weights are quantised, or the parameters have different units.
    ValueError
        When a layer or unit is not there.

    Examples
    --------
    >>> iw.weights.project(session, ["W_V", "W_O"], layers=[3]).specialised(10)
    """
    names: list[Parameter] = [parameter] if isinstance(parameter, str) else list(parameter)
    chosen = chosen_layers(session, layers)
    found = {n: [parameter_rows(session, n, i) for i in chosen] for n in names}
    return _table(run, session, found, chosen, index, k, inverse, f"weights of {session.name}")


@method(
    "weight_difference",
    result="token_table",
    family="weights",
    unit="neuron or sub-head",
    cost="no forward pass",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, developmental, observational, global, hypothesis generation, neuron, head",
)
def diff(
    run: Run,
    session: Session,
    other: Session,
    parameter: Parameter,
    *,
    layers: Sequence[int] | None = None,
    index: Sequence[int] | None = None,
    k: int = 30,
    inverse: Inverse = "transpose",
) -> TokenTable:
    """Project what fine-tuning changed: parameters of a model minus those of another.

    Parameters
    ----------
    session
        The fine-tuned model, through whose embeddings the differences are read.
    other
        The session of the original model, of the same shape.
    parameter, layers, index, k, inverse
        As in :func:`project`.

    Returns
    -------
    TokenTable
        Rows by size of the change where that is what you sort by; see ``meta["change"]`` for the
        norm of each row's difference.

    Raises
    ------
    WeightsError
        When the two models have other shapes.

    Examples
    --------
    >>> iw.weights.diff(tuned, base, "ff_values").specialised(10)
    """
    chosen = chosen_layers(session, layers)
    mine = [parameter_rows(session, parameter, i) for i in chosen]
    theirs = [parameter_rows(other, parameter, i) for i in chosen]
    if [x.shape for x in mine] != [x.shape for x in theirs]:
        raise WeightsError(
            f"{session.name} and {other.name} have {parameter} of other shapes, so there is no "
            "difference; compare them with iw.weights.align"
        )
    change = [a - b.to(a.device) for a, b in zip(mine, theirs, strict=True)]
    title = f"{session.name} minus {other.name}"
    table = _table(run, session, {parameter: change}, chosen, index, k, inverse, title)
    picked = [c if index is None else c[list(index)] for c in change]
    table.meta["change"] = torch.cat(picked).norm(dim=1).tolist()
    return table


def _table(
    run: Run,
    session: Session,
    rows: dict[Parameter, list[Tensor]],
    layers: list[int],
    index: Sequence[int] | None,
    k: int,
    inverse: Inverse,
    title: str,
) -> TokenTable:
    space = Space.of(session)
    counts = {len(part) for parts in rows.values() for part in parts}
    if len(counts) > 1:
        raise WeightsError(f"{', '.join(rows)} have different numbers of units: {sorted(counts)}")
    count = counts.pop()
    units = list(range(count)) if index is None else list(index)
    wrong = [u for u in units if not 0 <= u < count]
    if wrong or not units:
        raise ValueError(f"index={units[:8]}: units are 0 to {count - 1}")
    reading = None if all(name in WRITES for name in rows) else space.reading(inverse)
    tops: dict[str, list[object]] = {}
    done, total = 0, len(rows) * len(layers)
    for name, parts in rows.items():
        table = space.write if name in WRITES or reading is None else reading
        tops[name] = []
        for part in parts:
            run.progress(done, total)
            done += 1
            tops[name].append(top_tokens(part[units], table, k))
    meta = {
        "title": f"{', '.join(rows)}: {title} in tokens",
        "unit_name": "neuron" if next(iter(rows)) in MLP else "sub-head",
        "roles": ["write" if name in WRITES else "read" for name in rows],
        "quantity": "probability (raw logits)",
        "inverse": inverse,
    }
    return table_of(session, tops, [(i, u) for i in layers for u in units], meta)  # type: ignore[arg-type]


def keep_k(projection: Tensor, k: int) -> Tensor:
    """Zero all but the ``k`` largest magnitudes of each row ``[..., vocabulary]``.

    Inner products of projections survive this, which is why top tokens are worth reading
    (arXiv:2209.02535).
    """
    place = projection.abs().topk(k, dim=-1).indices
    kept = torch.zeros_like(projection)
    return kept.scatter_(-1, place, projection.gather(-1, place))
