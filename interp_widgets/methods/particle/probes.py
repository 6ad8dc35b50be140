"""What a tagger's residual stream says of a jet: probes of physics observables, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle import kinematics, ridge
from interp_widgets.methods.particle.heads import Heads
from interp_widgets.methods.particle.observables import FAMILIES, PRONGS, observables
from interp_widgets.methods.particle.scan import PAPER
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session

if TYPE_CHECKING:
    import pandas as pd

PROBED = tuple(name for family in FAMILIES.values() for name in family)


@method(
    "particle_probes",
    result="array",
    title="Observables in the residual stream",
    paper=PAPER,
    family="concepts",
    unit="residual stream of a layer",
    cost="1 forward pass of all jets; then linear algebra",
    tags="concept-based, observational, global, hypothesis generation, layer, feature",
)
def probes(
    run: Run,
    session: Session,
    jets: Tensor,
    *,
    targets: Sequence[str] = PROBED,
    residualise: Sequence[str] = ("mass", "pT"),
    resamples: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Measure how well a linear probe reads each observable at each layer.

    Ridge regression from the mean over particles (in class blocks: from the class token), with the
    penalty chosen by 5-fold cross-validation on half of the jets; R² is of the other half. In a
    second reading what ``residualise`` explains, with squares and products, is first regressed out
    of both the observable and the residual stream, so that what is left is not mass by another
    name. The session's interventions apply.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable.
    jets
        ``[jet, particle, 4]``.
    targets
        Names of :func:`observables`.
    residualise
        Observables that are regressed out.
    resamples, seed
        For the 95 % intervals over jets, and for the halves.

    Returns
    -------
    ArrayResult
        ``[quantity, observable, layer]``: ``R²`` and ``R² beyond mass, pT``, each with ``low`` and
        ``high``; layers are ``embed``, then the blocks. ``arrays["directions"]``
        ``[observable, layer, d_model]`` are the probes.

    Raises
    ------
    ValueError
        For an unknown observable, fewer than 40 jets, or when heads cannot be addressed.

    Examples
    --------
    >>> found = iw.particle.probes(session, jets)
    >>> iw.particle.families(found)
    """
    if len(jets) < 40:
        raise ValueError(f"{len(jets)} jets are too few to fit and test probes; give 40 or more")
    jets = jets.float()
    names, wanted = list(targets), list(dict.fromkeys([*targets, *residualise]))
    measured = observables(jets, wanted)
    y = measured[names].to_numpy(np.float64)
    heads = Heads(session, jets)
    layers = representations(heads, jets)
    rng = np.random.default_rng(seed)
    train = rng.permutation(len(jets)) < len(jets) // 2
    known = measured[list(residualise)].to_numpy(np.float64)
    left = ridge.Residual(known, train) if residualise else None
    test = np.flatnonzero(~train)
    picks = rng.integers(0, len(test), (resamples, len(test)))
    beyond = f"R² beyond {', '.join(residualise)}"
    readings = ["R²", *([beyond] if left else [])]
    shape = (3 * len(readings), len(names), len(layers))
    values = np.empty(shape, np.float32)
    width = max(x.shape[1] for x in layers.values())
    directions = np.zeros((len(names), len(layers), width), np.float32)
    for i, x in enumerate(layers.values()):
        for k in range(len(readings)):
            run.progress(i * len(readings) + k, len(layers) * len(readings))
            a, b = (x, y) if k == 0 or left is None else (left.of(x), left.of(y))
            probe = ridge.fit(a[train], b[train], seed)
            found = probe.predict(a[test])
            values[3 * k, :, i] = ridge.explained(b[test], found)
            drawn = [ridge.explained(b[test][p], found[p]) for p in picks]
            values[3 * k + 1 : 3 * k + 3, :, i] = np.quantile(drawn, [0.025, 0.975], axis=0)
            if k == 0:
                directions[:, i] = probe.weight
    labels = {
        "quantity": [f"{name}{end}" for name in readings for end in ("", ", low", ", high")],
        "observable": names,
        "layer": list(layers),
    }
    meta: dict[str, Any] = {
        "dims": ["quantity", "observable", "layer"],
        "labels": labels,
        "quantity": "R² of a ridge probe on held-out jets",
        "signed": False,
        "draw": "lines",
        "site": "",
        "title": "Observables in the residual stream",
        "note": f"fitted on {int(train.sum()):,} jets, tested on {len(test):,}",
    }
    return ArrayResult({"values": values, "directions": directions}, meta)


def representations(heads: Heads, jets: Tensor) -> dict[str, np.ndarray]:
    """Return what probes read ``[jet, d_model]``, float64, by layer.

    The mean over real particles after the embedding and each particle block; the class token after
    each class block.
    """
    paths = {} if heads.embed is None else {"embed": heads.embed}
    paths |= {name: x.block for name, x in zip(heads.layer_names, heads.layers, strict=True)}
    parts: dict[str, list[Tensor]] = {name: [] for name in paths}
    for rows in heads.chunks(jets):
        found = heads.run(jets[rows], read=list(paths.values()))[1]
        there = kinematics.real(jets[rows]).float()
        for name, path in paths.items():
            parts[name].append(pooled(found[path].float().cpu(), there))
    return {name: torch.cat(some).double().numpy() for name, some in parts.items()}


def pooled(stream: Tensor, there: Tensor) -> Tensor:
    """Return the mean over real particles, or the class token ``[jet, d_model]``."""
    if stream.shape[1] == 1:
        return stream[:, 0]
    return (stream * there[..., None]).sum(1) / there.sum(1, keepdim=True)


def families(
    result: ArrayResult, groups: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """Compare families of observables at equal numbers of targets.

    Parameters
    ----------
    result
        Of :func:`probes`.
    groups
        Names by family; None compares energy correlators with N-subjettiness, and 2-prong with
        3-prong observables. Families of one comparison count their n best read targets, n being
        the size of the smallest.

    Returns
    -------
    DataFrame
        ``comparison``, ``family``, ``reading``, ``layer``, ``targets`` and their mean ``R²``.

    Examples
    --------
    >>> iw.particle.families(found).query("layer == '2'")
    """
    import pandas as pd

    sets = {"given": groups} if groups else {"family": FAMILIES, "prongs": PRONGS}
    have = result.labels("observable")
    values = np.asarray(result.numpy("values"))
    rows = []
    for comparison, some in sets.items():
        known = {name: [have.index(x) for x in xs if x in have] for name, xs in some.items()}
        n = min(len(at) for at in known.values())
        for family, at in known.items():
            for k in range(0, len(values), 3):
                best = np.sort(values[k, at], axis=0)[::-1][:n]
                for layer, mean in zip(result.labels("layer"), best.mean(0), strict=True):
                    reading = result.labels("quantity")[k]
                    rows.append((comparison, family, reading, layer, n, float(mean)))
    columns = ["comparison", "family", "reading", "layer", "targets", "R²"]
    return pd.DataFrame(rows, columns=pd.Index(columns))
