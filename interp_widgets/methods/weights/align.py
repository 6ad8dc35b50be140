"""Layers of two models with the same vocabulary, matched in vocabulary space."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.weights.project import WRITES, Parameter, parameter_rows
from interp_widgets.methods.weights.space import Space, WeightsError
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session


def projected_correlation(x: Tensor, ex: Tensor, y: Tensor, ey: Tensor) -> Tensor:
    """Correlate projected vectors over the vocabulary, without vectors as wide as it.

    Parameters
    ----------
    x, y
        Vectors of two models ``[n, d1]`` and ``[m, d2]``.
    ex, ey
        Token vectors ``[vocabulary, d1]`` and ``[vocabulary, d2]``, of the same tokens in order.

    Returns
    -------
    Tensor
        Pearson correlations ``[n, m]`` of ``x @ exᵀ`` with ``y @ eyᵀ``.

    Examples
    --------
    >>> projected_correlation(keys_a, embed_a, keys_b, embed_b).argmax(1)
    """
    if len(ex) != len(ey):
        raise WeightsError(
            f"the vocabularies have {len(ex):,} and {len(ey):,} tokens; they have to be the same"
        )
    x, ex, y, ey = (t.double() for t in (x, ex, y, ey))
    ex, ey = ex - ex.mean(0), ey - ey.mean(0)
    covariance = x @ (ex.T @ ey) @ y.T
    sizes = [((v @ (e.T @ e)) * v).sum(1).clamp_min(1e-300).sqrt() for v, e in ((x, ex), (y, ey))]
    return (covariance / sizes[0][:, None] / sizes[1][None]).float()


@method(
    "align_models",
    result="array",
    family="weights",
    unit="layer",
    cost="no forward pass",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, hypothesis generation, layer",
)
def align(
    run: Run,
    session: Session,
    other: Session,
    parameter: Parameter = "ff_values",
    *,
    average: Literal["all", "best"] = "all",
    raw: bool = False,
) -> ArrayResult:
    """Match the layers of two models that share a vocabulary but not a basis.

    Parameters of every pair of layers are compared as vectors over the vocabulary; a clear diagonal
    says that the layers correspond, although the models' own coordinates have nothing in common.

    Parameters
    ----------
    session, other
        Two models with the same tokens in the same order, for example two seeds.
    parameter
        What is compared, see :func:`project`.
    average
        ``"all"`` (default, as in the paper): the mean over all pairs of vectors; ``"best"``: over
        the first layer's vectors, of each with its best partner, which is clearer.
    raw
        Whether to correlate the vectors in the models' own coordinates: the control, which fails.

    Returns
    -------
    ArrayResult
        Mean absolute correlation ``[layer, other layer]``. ``meta["matching"]`` is the best
        one-to-one match: of each layer, the other model's.

    Raises
    ------
    WeightsError
        When the vocabularies differ; with ``raw``, when the widths differ.

    Examples
    --------
    >>> iw.weights.align(seed0, seed1).meta["matching"]
    """
    from scipy.optimize import linear_sum_assignment

    spaces = Space.of(session), Space.of(other)
    tables = [(s.write if parameter in WRITES else s.read).float().cpu() for s in spaces]
    if raw:
        if tables[0].shape[1] != tables[1].shape[1]:
            raise WeightsError("the models have different widths, so they share no coordinates")
        tables = [torch.eye(tables[0].shape[1])] * 2
    sizes = [s.anatomy.n_layers for s in (session, other)]
    rows = [
        [parameter_rows(s, parameter, i).cpu() for i in range(n)]
        for s, n in zip((session, other), sizes, strict=True)
    ]
    values = torch.empty(sizes)
    for i, mine in enumerate(rows[0]):
        for j, theirs in enumerate(rows[1]):
            run.progress(i * sizes[1] + j, sizes[0] * sizes[1])
            found = projected_correlation(mine, tables[0], theirs, tables[1]).abs()
            values[i, j] = (found if average == "all" else found.amax(1)).mean()
    first, second = linear_sum_assignment(-values.numpy())
    matching = {str(int(a)): int(b) for a, b in zip(first, second, strict=True)}
    return ArrayResult(
        {"values": values},
        {
            "dims": ["layer", "other layer"],
            "labels": {
                "layer": [str(i) for i in range(sizes[0])],
                "other layer": [str(i) for i in range(sizes[1])],
            },
            "quantity": "mean |correlation|"
            if average == "all"
            else "mean of the best |correlation|",
            "title": f"{parameter} of {session.name} and {other.name}"
            + (", own coordinates" if raw else ""),
            "signed": False,
            "matching": matching,
        },
    )
