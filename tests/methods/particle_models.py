"""The embedded tagger and jets that it was not trained on, shared by the tests of `iw.particle`."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from interp_widgets.methods import particle
from interp_widgets.methods.particle.model import ParticleTransformer
from interp_widgets.session.session import Session


@cache
def tagger() -> Session:
    """One session on the embedded tagger, without interventions."""
    return particle.tagger()


@cache
def jets(n: int = 600, seed: int = 101) -> tuple[Tensor, Tensor]:
    """``2n`` jets with labels."""
    return particle.toy_jets(n, seed=seed)


def random_model(**sizes) -> ParticleTransformer:
    """An untrained tagger of an odd shape: 2 particle and 2 class blocks of 3 heads."""
    torch.manual_seed(0)
    shape = {"embed": [20, 24], "pair_embed": [10], "heads": 3, "layers": 2, "cls_layers": 2}
    return ParticleTransformer(**{**shape, "ratio": 2, **sizes}).eval()
