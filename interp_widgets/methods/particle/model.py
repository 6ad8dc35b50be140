"""A particle transformer whose heads can be addressed, with the names of the public checkpoints.

Qu, Li & Qian 2022, arXiv:2202.03772. Module and parameter names follow the authors' library, so a
checkpoint of theirs loads as it is (:meth:`ParticleTransformer.load_checkpoint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from interp_widgets.methods.particle import kinematics
from interp_widgets.session.multihead import HeadAttention

FEATURES = (
    ("log pT", 1.7, 0.7),
    ("log E", 2.0, 0.7),
    ("log pT/pT(jet)", -4.7, 0.7),
    ("log E/E(jet)", -4.7, 0.7),
    ("ΔR", 0.2, 4.0),
    ("Δη", 0.0, 1.0),
    ("Δφ", 0.0, 1.0),
)
"""Features of a particle; each is (x − second) · third, cut at ± 5."""
PAIRS = ("ln kT", "ln z", "ln Δ", "ln m²")


class Embed(nn.Module):
    """An MLP on each particle's features, ``[jet, particle, feature]`` to ``[…, d_model]``."""

    def __init__(self, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm1d(features)
        parts: list[nn.Module] = []
        for before, after in zip((features, *widths), widths, strict=False):
            parts += [nn.LayerNorm(before), nn.Linear(before, after), nn.GELU()]
        self.embed = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding."""
        whole: Tensor = self.embed(self.input_bn(x.transpose(1, 2)).transpose(1, 2))
        return whole


class PairEmbed(nn.Module):
    """An MLP on each pair's features: one number per head, added to its scores in every block."""

    def __init__(self, heads: int, widths: Sequence[int]) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.BatchNorm1d(len(PAIRS))]
        sizes = (len(PAIRS), *widths, heads)
        for before, after in pairwise(sizes):
            parts += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.GELU()]
        self.embed = nn.Sequential(*parts[:-1])

    def forward(self, jets: Tensor) -> Tensor:
        """Return the bias ``[jet, head, particle, particle]``."""
        found = kinematics.pairs(jets)
        features = torch.stack([found[name] for name in PAIRS], 1)
        bias: Tensor = self.embed(features.flatten(2))
        return bias.unflatten(-1, features.shape[-2:])


class HeadScale(nn.Module):
    """One learned factor for each of ``heads`` equal parts of a vector."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled vector."""
        parts = x.unflatten(-1, (len(self.weight), -1)) * self.weight[:, None]
        return parts.flatten(-2)


class Block(nn.Module):
    """Attention and MLP with the extra norms of NormFormer (arXiv:2110.09456).

    With ``cls`` the class token alone asks, and sees itself and the particles (arXiv:2103.17239).
    """

    def __init__(
        self, width: int, heads: int, ratio: int, *, scale_resids: bool, dropout: float
    ) -> None:
        super().__init__()
        self.pre_attn_norm = nn.LayerNorm(width)
        self.attn = HeadAttention(width, heads, dropout=dropout, batch_first=True)
        self.c_attn = HeadScale(heads)
        self.post_attn_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.pre_fc_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * ratio)
        self.act = nn.GELU()
        self.post_fc_norm = nn.LayerNorm(width * ratio)
        self.fc2 = nn.Linear(width * ratio, width)
        self.w_resid = nn.Parameter(torch.ones(width)) if scale_resids else None

    def forward(
        self,
        x: Tensor,
        particles: Tensor | None = None,
        padding: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Return the residual stream after the block."""
        if particles is None:
            u = self.pre_attn_norm(x)
            heard = self.attn(
                u, u, u, key_padding_mask=padding, attn_mask=bias, need_weights=False
            )[0]
        else:
            u = self.pre_attn_norm(torch.cat([x, particles], 1))
            heard = self.attn(x, u, u, key_padding_mask=padding, need_weights=False)[0]
        x = x + self.dropout(self.post_attn_norm(self.c_attn(heard)))
        inner = self.post_fc_norm(self.act(self.fc1(self.pre_fc_norm(x))))
        kept = x if self.w_resid is None else x * self.w_resid
        return kept + self.dropout(self.fc2(inner))


class ParticleTransformer(nn.Module):
    """A particle transformer on four-momenta alone.

    Called with jets ``[jet, particle, 4]`` (px, py, pz, E in GeV; zeros are padding) it returns
    logits ``[jet, class]``. ``blocks[i].attn`` and ``cls_blocks[i].attn`` are
    :class:`HeadAttention`; ``pair_embed`` returns the bias that all blocks share.

    Parameters
    ----------
    classes
        Number of classes; class 1 is the signal.
    embed, pair_embed
        Widths of the two embedding MLPs; the last of ``embed`` is d_model.
    heads, layers, cls_layers, ratio
        Heads per block, particle and class blocks, hidden units per d_model.
    scale_resids
        Whether a block scales its residual stream by learned weights before adding the MLP.
    dropout
        In particle blocks, while training.

    Examples
    --------
    >>> model = iw.particle.ParticleTransformer()             # the published size, 2.1 M parameters
    >>> model.load_checkpoint(torch.load("ParT_kin.pt", weights_only=True))
    """

    def __init__(
        self,
        classes: int = 2,
        *,
        embed: Sequence[int] = (128, 512, 128),
        pair_embed: Sequence[int] = (64, 64, 64),
        heads: int = 8,
        layers: int = 8,
        cls_layers: int = 2,
        ratio: int = 4,
        scale_resids: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = embed[-1]
        self.embed = Embed(len(FEATURES), embed)
        self.pair_embed = PairEmbed(heads, pair_embed)

        def made(n: int, rate: float) -> nn.ModuleList:
            more: dict[str, Any] = {"scale_resids": scale_resids, "dropout": rate}
            return nn.ModuleList(Block(width, heads, ratio, **more) for _ in range(n))

        self.blocks, self.cls_blocks = made(layers, dropout), made(cls_layers, 0.0)
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Sequential(nn.Linear(width, classes))
        self.cls_token = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))

    def forward(self, jets: Tensor) -> Tensor:
        """Return logits ``[jet, class]``."""
        padding = ~kinematics.real(jets)
        x = self.embed(features(jets)).masked_fill(padding[..., None], 0)
        bias = self.pair_embed(jets).flatten(0, 1)
        for block in self.blocks:
            x = block(x, padding=padding, bias=bias)
        cls = self.cls_token.expand(len(jets), 1, -1)
        seen = nn.functional.pad(padding, (1, 0), value=False)
        for block in self.cls_blocks:
            cls = block(cls, particles=x, padding=seen)
        logits: Tensor = self.fc(self.norm(cls)[:, 0])
        return logits

    def load_checkpoint(self, state: Mapping[str, Tensor]) -> None:
        """Load the state dict of the authors' library, whose names may begin with ``mod.``.

        Raises
        ------
        RuntimeError
            When shapes or names do not fit; torch names them.
        """
        named = {name.removeprefix("mod."): value for name, value in state.items()}
        self.load_state_dict(
            {f"{n}.weight" if n.endswith("c_attn") else n: value for n, value in named.items()}
        )


def features(jets: Tensor) -> Tensor:
    """Return the standardised features of each particle ``[jet, particle, 7]``."""
    there = kinematics.real(jets)
    whole = jets.sum(-2, keepdim=True)
    t, e = kinematics.pt(jets), jets[..., 3]
    across, around = kinematics.around_axis(jets)
    least = kinematics.TINY
    raw = [
        t.clamp(min=least).log(),
        e.clamp(min=least).log(),
        (t / kinematics.pt(whole)).clamp(min=least).log(),
        (e / whole[..., 3]).clamp(min=least).log(),
        (across.square() + around.square()).sqrt(),
        across,
        around,
    ]
    scaled = [(x - at) * by for x, (_, at, by) in zip(raw, FEATURES, strict=True)]
    return torch.stack(scaled, -1).clamp(-5, 5) * there[..., None]
