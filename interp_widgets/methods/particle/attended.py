"""What pairs of particles a head attends to, and what the scores of all jets look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.heads import Heads, real_rows
from interp_widgets.methods.particle.metrics import Judge, interval
from interp_widgets.methods.particle.scan import PAPER
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.scatter import ScatterResult
from interp_widgets.session.session import Session

QUANTITIES = ("ln kT", "pair pT", "ln Δ", "ln m²")


@method(
    "particle_attended",
    result="array",
    title="What heads of a tagger attend to",
    paper=PAPER,
    family="attention",
    unit="attention head",
    cost="1 forward pass of all jets",
    tags="mechanistic, observational, global, verification, head",
)
def attended(run: Run, session: Session, jets: Tensor) -> ArrayResult:
    """Correlate each head's attention with what is known of the attended pair.

    Pearson correlation, within each jet and then averaged, over all pairs of different real
    particles, of the attention weight with ln kT, the pair's summed pT, ln Δ and ln m². A relay
    that looks for hard substructure attends to pairs of high kT and pT. The session's
    interventions apply.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable.
    jets
        ``[jet, particle, 4]``.

    Returns
    -------
    ArrayResult
        ``[quantity, layer, head]`` of the particle blocks.

    Raises
    ------
    ValueError
        When heads cannot be addressed.

    Examples
    --------
    >>> iw.particle.attended(session, jets).sel(quantity=0)      # with ln kT
    """
    jets = jets.float()
    heads = Heads(session, jets)
    layers = [i for i, layer in enumerate(heads.layers) if not layer.of_class]
    paths = [f"{heads.layers[i].path}.pattern" for i in layers]
    total = torch.zeros(len(QUANTITIES), len(layers), heads.heads, dtype=torch.float64)
    for rows in heads.chunks(jets):
        run.progress(rows.start, len(jets))
        found = heads.run(jets[rows], read=paths)[1]
        known = kinematics.pairs(jets[rows])
        t = kinematics.pt(jets[rows])
        known["pair pT"] = t[:, :, None] + t[:, None, :]
        there = kinematics.real(jets[rows])
        inside = there[:, :, None] & there[:, None, :]
        inside &= ~torch.eye(jets.shape[1], dtype=torch.bool)
        for i, path in enumerate(paths):
            pattern = found[path].double().cpu()
            for k, name in enumerate(QUANTITIES):
                other = known[name].double()[:, None]
                total[k, i] += _correlation(pattern, other, inside[:, None].double()).sum(0)
    meta: dict[str, Any] = {
        "dims": ["quantity", "layer", "head"],
        "labels": {"quantity": list(QUANTITIES), "layer": [heads.layer_names[i] for i in layers]},
        "quantity": "correlation with attention",
        "signed": True,
        "site": "z",
        "title": "What heads attend to",
    }
    return ArrayResult({"values": (total / len(jets)).float()}, meta)


def _correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return Pearson's r over the last two dims, where the weight is 1 ``[jet, head]``."""
    n = weight.sum((-2, -1), keepdim=True).clamp(min=1)
    a, b = (x - (x * weight).sum((-2, -1), keepdim=True) / n for x in (a, b))
    both = (a * b * weight).sum((-2, -1))
    own = ((a.square() * weight).sum((-2, -1)) * (b.square() * weight).sum((-2, -1))).sqrt()
    return both / own.clamp(min=1e-12)


@method(
    "particle_spectrum",
    result="array",
    title="Scores of signal and background",
    family="activations",
    unit="jet",
    cost="1 forward pass of all jets",
    tags="behavioural, observational, global, hypothesis generation, feature",
)
def spectrum(
    run: Run, session: Session, jets: Tensor, labels: Tensor, *, bins: int = 30
) -> ArrayResult:
    """Count jets by their score, for signal and background: it moves when heads are ablated.

    Parameters
    ----------
    session
        On a tagger.
    jets, labels
        ``[jet, particle, 4]``; 1 for signal ``[jet]``.
    bins
        Between −12 and 12 of the score, logit of signal minus background; ends are open.

    Returns
    -------
    ArrayResult
        Share of the jets of a kind ``[kind, score]``.

    Raises
    ------
    ValueError
        When jets and labels do not fit.

    Examples
    --------
    >>> iw.particle.spectrum(session, jets, labels)          # then ablate a head in another view
    """
    del run
    jets, labels = real_rows(jets, labels)
    scores = Heads(session, jets).scores(jets)
    edges = np.linspace(-12, 12, bins + 1)
    clipped = np.clip(scores.numpy(), edges[0], edges[-1])
    kinds = (("background", 0), ("signal", 1))
    counts = [np.histogram(clipped[labels.numpy() == k], edges)[0] for _, k in kinds]
    shares = np.stack([c / c.sum() for c in counts]).astype(np.float32)
    drawn = Judge(labels, 200).auc(scores)
    low, high = interval(drawn)
    meta: dict[str, Any] = {
        "dims": ["kind", "score"],
        "labels": {
            "kind": [name for name, _ in kinds],
            "score": [f"{x:.1f}" for x in (edges[1:] + edges[:-1]) / 2],
        },
        "quantity": "share of jets",
        "signed": False,
        "draw": "bars",
        "site": "",
        "title": "Scores of signal and background",
        "note": f"AUC {drawn[0]:.3f} ({low:.3f} to {high:.3f}), {len(jets):,} jets",
    }
    return ArrayResult({"values": shares}, meta)


@method(
    "particle_roc",
    result="scatter",
    title="ROC curve",
    family="activations",
    unit="jet",
    cost="1 forward pass of all jets",
    tags="behavioural, observational, global, verification, feature",
)
def roc(
    run: Run, session: Session, jets: Tensor, labels: Tensor, *, cuts: int = 200
) -> ScatterResult:
    """Trace what share of signal and background pass a cut on the score.

    Parameters
    ----------
    session
        On a tagger.
    jets, labels
        ``[jet, particle, 4]``; 1 for signal ``[jet]``.
    cuts
        Cuts, at quantiles of the scores.

    Returns
    -------
    ScatterResult
        ``x`` share of background kept, ``y`` share of signal kept, a point for each cut.

    Raises
    ------
    ValueError
        When jets and labels do not fit.

    Examples
    --------
    >>> iw.particle.roc(session, jets, labels).figure()
    """
    del run
    jets, labels = real_rows(jets, labels)
    scores = Heads(session, jets).scores(jets).numpy()
    at = np.quantile(scores, np.linspace(1, 0, cuts))
    y = labels.numpy().astype(bool)
    x, kept = ((scores[kind][None] >= at[:, None]).mean(1) for kind in (~y, y))
    drawn = Judge(labels, 200).auc(torch.from_numpy(scores))
    meta: dict[str, Any] = {
        "dims": ["cut"],
        "labels": {"cut": [f"{cut:.2f}" for cut in at]},
        "x": {"title": "background kept", "quantity": "share of jets"},
        "y": {"title": "signal kept", "quantity": "share of jets"},
        "map": True,
        "title": "ROC curve",
        "note": "AUC {:.3f} ({:.3f} to {:.3f})".format(drawn[0], *interval(drawn)),
    }
    arrays = {"x": x.astype(np.float32), "y": kept.astype(np.float32)}
    return ScatterResult({**arrays, "cell": np.arange(cuts)[:, None]}, meta)
