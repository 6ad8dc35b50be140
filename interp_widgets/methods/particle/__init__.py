"""Circuits of jet taggers: particle transformers (``iw.particle``)."""

from __future__ import annotations

from typing import Any

from interp_widgets.methods.particle.attended import attended, roc, spectrum
from interp_widgets.methods.particle.circuit import circuit, paths
from interp_widgets.methods.particle.correlators import correlators, efp
from interp_widgets.methods.particle.corrupt import corrupt
from interp_widgets.methods.particle.decision import decision
from interp_widgets.methods.particle.heads import Heads
from interp_widgets.methods.particle.jet import jet
from interp_widgets.methods.particle.jets import toy_jets
from interp_widgets.methods.particle.model import ParticleTransformer
from interp_widgets.methods.particle.observables import (
    FAMILIES,
    PRONGS,
    observables,
    subjettiness,
)
from interp_widgets.methods.particle.probes import families, probes
from interp_widgets.methods.particle.ridge import principal_angles
from interp_widgets.methods.particle.scan import scan
from interp_widgets.session.session import Session

__all__ = [
    "FAMILIES",
    "PRONGS",
    "Heads",
    "ParticleTransformer",
    "attended",
    "circuit",
    "correlators",
    "corrupt",
    "decision",
    "efp",
    "families",
    "jet",
    "observables",
    "paths",
    "principal_angles",
    "probes",
    "roc",
    "scan",
    "spectrum",
    "subjettiness",
    "tagger",
    "toy_jets",
]


def tagger(**options: Any) -> Session:
    """Open a session on the embedded tagger: 3 particle blocks and 1 class block of 4 heads.

    Trained on toy jets with three prongs against one (:func:`toy_jets`); without a network.

    Parameters
    ----------
    **options
        Passed on to :class:`Session`.

    Examples
    --------
    >>> session = iw.particle.tagger()
    >>> jets, labels = iw.particle.toy_jets(500, seed=1)
    >>> iw.particle.jet(session.prompt(jets[:1]), layer=1, head=3)
    """
    from interp_widgets.methods.particle.train import load

    return Session(load(), name="interp-widgets/particle-tagger", **options)
