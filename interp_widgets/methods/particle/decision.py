"""When a tagger decides: trained probes beside the model's own readout, layer by layer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle import kinematics, ridge
from interp_widgets.methods.particle.heads import Change, Heads, real_rows
from interp_widgets.methods.particle.metrics import Judge, interval
from interp_widgets.methods.particle.probes import pooled, representations
from interp_widgets.methods.particle.scan import PAPER
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

READINGS = ("trained probe", "lens", "early exit")


@method(
    "particle_decision",
    result="array",
    title="When the tagger decides",
    paper=PAPER,
    family="lens",
    unit="residual stream of a layer",
    cost="1 forward pass of all jets, and 2 for each layer",
    tags="mechanistic, observational, global, hypothesis generation, layer",
)
def decision(
    run: Run,
    session: Session,
    jets: Tensor,
    labels: Tensor,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Measure how well each layer tells signal from background, in three readings.

    ``trained probe``: a logistic regression on the mean over particles (or the class token), with
    its penalty chosen by cross-validation. ``lens``: the model's own end (final norm and head) on
    the same vector. ``early exit``: the class blocks on the particles as they are after that layer.
    Where the lens jumps at a class block and the probe was good before, the decision was there
    already, in another basis. Half of the jets train, the other half is measured.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable.
    jets, labels
        ``[jet, particle, 4]``; 1 for signal ``[jet]``.
    resamples, seed
        For the 95 % intervals over jets, and for the halves.

    Returns
    -------
    ArrayResult
        ``[quantity, reading, layer]``: AUC with ``low`` and ``high``; NaN for an early exit from a
        class block. ``meta["angles"]``: degrees between the probe directions of successive
        layers; ``arrays["directions"] [layer, d_model]``.

    Raises
    ------
    ValueError
        When heads cannot be addressed, or jets and labels do not fit.

    Examples
    --------
    >>> iw.particle.decision(session, jets, labels).figure()
    """
    from sklearn.linear_model import LogisticRegressionCV

    jets, labels = real_rows(jets, labels)
    heads = Heads(session, jets)
    layers = representations(heads, jets)
    rng = np.random.default_rng(seed)
    train = rng.permutation(len(jets)) < len(jets) // 2
    test = torch.from_numpy(np.flatnonzero(~train))
    judge, y = Judge(labels[test], resamples, seed), labels.numpy()
    names = list(layers)
    values = np.full((3, len(READINGS), len(names)), np.nan, np.float32)
    directions = []
    for i, (name, x) in enumerate(layers.items()):
        run.progress(i, len(names))
        centre, spread = x[train].mean(0), np.maximum(x[train].std(0), 1e-9)
        fitted = LogisticRegressionCV(
            Cs=[0.01, 0.1, 1.0, 10.0], cv=3, max_iter=500, use_legacy_attributes=False,
            l1_ratios=(0.0,), scoring="neg_log_loss",
        ).fit((x[train] - centre) / spread, y[train])  # fmt: skip
        directions.append(fitted.coef_[0] / spread)
        probed = torch.from_numpy(x[test.numpy()] @ directions[-1])
        scores = [probed, _lens(heads, jets[test], name), _exit(heads, jets[test], name)]
        for k, score in enumerate(scores):
            if score is not None:
                drawn = judge.auc(score)
                values[:, k, i] = (drawn[0], *interval(drawn))
    angles = [float(ridge.principal_angles(a, b)[0]) for a, b in pairwise(directions)]
    meta: dict[str, Any] = {
        "dims": ["quantity", "reading", "layer"],
        "labels": {
            "quantity": ["AUC", "AUC, low", "AUC, high"],
            "reading": list(READINGS),
            "layer": names,
        },
        "quantity": "AUC",
        "signed": False,
        "draw": "lines",
        "site": "",
        "angles": angles,
        "title": "When the tagger decides",
        "note": "Angles between probe directions of successive layers: "
        + ", ".join(f"{a:.0f}°" for a in angles),
    }
    arrays = {"values": values, "directions": np.stack(directions).astype(np.float32)}
    return ArrayResult(arrays, meta)


def _path(heads: Heads, name: str) -> tuple[str, bool]:
    """Return the module whose output a layer's state is, and whether it is of the class token."""
    if name == "embed":
        return str(heads.embed), False
    layer = heads.layers[heads.layer_names.index(name)]
    return layer.block, layer.of_class


def _lens(heads: Heads, jets: Tensor, name: str) -> Tensor:
    """Put the mean over particles after a layer where the last block would return."""
    path, _ = _path(heads, name)
    return _carried(heads, jets, path, heads.layers[-1].block, pool=True)


def _exit(heads: Heads, jets: Tensor, name: str) -> Tensor | None:
    """Put the particles after a layer where the last particle block would return them."""
    path, of_class = _path(heads, name)
    if of_class or not heads.layers[-1].of_class:
        return None
    last = [layer for layer in heads.layers if not layer.of_class][-1]
    return _carried(heads, jets, path, last.block, pool=False)


def _carried(heads: Heads, jets: Tensor, path: str, end: str, *, pool: bool) -> Tensor:
    """Run with a later module returning what an earlier one returned, pooled or not."""
    done = []
    for rows in heads.chunks(jets):
        there = kinematics.real(jets[rows]).float()
        if path == end:
            done.append(heads.run(jets[rows])[0])
            continue
        change = _carry(path, end, there if pool else None)
        done.append(heads.run(jets[rows], change)[0])
    return torch.cat(done)


def _carry(path: str, end: str, there: Tensor | None) -> dict[str, Change]:
    held: list[Tensor] = []

    def keep(value: Tensor) -> Tensor:
        held.append(value)
        return value

    def put(value: Tensor) -> Tensor:
        state = held[0]
        if there is None:
            return state
        return pooled(state, there.to(state))[:, None].expand_as(value)

    return {path: keep, end: put}
