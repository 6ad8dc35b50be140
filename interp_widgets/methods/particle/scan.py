"""Which heads a tagger needs one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle.heads import Ablation, Heads, real_rows
from interp_widgets.methods.particle.metrics import EFFICIENCIES, Judge, interval
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

PAPER = "Dissecting a jet tagger, 2026, arXiv:2605.09881"


@method(
    "particle_scan",
    result="array",
    title="Heads of a tagger, one at a time",
    paper=PAPER,
    family="patching",
    unit="attention head, bias of pairs",
    cost="2 forward passes of all jets, and 1 for each head",
    tags="mechanistic, interventional, global, hypothesis generation, head",
)
def scan(
    run: Run,
    session: Session,
    jets: Tensor,
    labels: Tensor,
    *,
    ablation: Ablation = "zero",
    corrupted: Tensor | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Measure what a tagger loses without each of its heads.

    A head is replaced before the output projection, in particle and in class blocks. The row
    ``pair`` is the pairwise bias: without head h's bias in any block. One head at a time says what
    cannot be replaced, not what is used: redundant heads cost nothing by themselves
    (:func:`circuit` finds sets). The session's interventions apply.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable; its input is
        ``[jet, particle, 4]``.
    jets, labels
        ``[jet, particle, 4]`` of (px, py, pz, E) with padding of zeros; 1 for signal ``[jet]``.
    ablation
        ``"zero"``; ``"mean"`` over jets and particles; ``"interchange"``, from ``corrupted``.
    corrupted
        As many jets, of :func:`corrupt`.
    resamples, seed
        For the 95 % intervals over jets.

    Returns
    -------
    ArrayResult
        ``[quantity, layer, head]``: loss of AUC, and of log background rejection at 50 % and 30 %
        signal efficiency, each with its limits ``low`` and ``high``. ``meta["base"]`` holds the
        whole model's numbers.

    Raises
    ------
    ValueError
        When heads cannot be addressed, or jets, labels and corrupted jets do not fit.

    Examples
    --------
    >>> iw.particle.scan(session, jets, labels).figure(outline=[(0, 1), (3, 0)])
    """
    jets, labels = real_rows(jets, labels)
    heads, judge = Heads(session, jets), Judge(labels, resamples, seed)
    known = heads.known(jets, ablation, corrupted)
    whole = _measured(judge, heads.scores(jets, known))
    first = 0 if heads.pair is not None else 1
    found = np.full((3 * len(whole), len(heads.layers) + 1, heads.heads), np.nan, np.float32)
    places = [(i, h) for i in range(first, len(heads.layers) + 1) for h in range(heads.heads)]
    for done, at in enumerate(places):
        run.progress(done, len(places))
        off = torch.zeros(found.shape[1:], dtype=torch.bool)
        off[at] = True
        without = _measured(judge, heads.scores(jets, known, off))
        for k, (a, b) in enumerate(zip(whole.values(), without.values(), strict=True)):
            found[3 * k : 3 * k + 3, at[0], at[1]] = (a[0] - b[0], *interval(a - b))
    names = [f"{name}{end}" for name in whole for end in ("", ", low", ", high")]
    base = {name: [float(x[0]), *interval(x)] for name, x in whole.items()}
    meta: dict[str, Any] = {
        "dims": ["quantity", "layer", "head"],
        "labels": {"quantity": names, "layer": ["pair", *heads.layer_names][first:]},
        "quantity": "loss without the head",
        "signed": True,
        "site": "z",
        "base": base,
        "ablation": ablation,
        "title": f"Heads one at a time, {ablation} ablation",
        "note": f"AUC of the whole model {base['AUC'][0]:.3f} "
        f"({base['AUC'][1]:.3f} to {base['AUC'][2]:.3f}), {len(jets):,} jets",
    }
    return ArrayResult({"values": found[:, first:]}, meta)


def _measured(judge: Judge, scores: Tensor) -> dict[str, np.ndarray]:
    found = {"AUC": judge.auc(scores)}
    for share in EFFICIENCIES:
        name = f"log rejection at {share:.0%}"
        found[name] = np.log(judge.rejection(scores, share))
    return found
