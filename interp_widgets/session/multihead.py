"""``nn.MultiheadAttention`` written out, so that every part of every head can be read and changed.

torch computes it in one fused function that no hook sees. :func:`explicit_attention` changes the
class of the modules of a model to one that computes the same from the same weights, step by step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PARTS = ("q", "k", "v", "bias", "pattern", "z")
"""Modules that hold the parts of a :class:`HeadAttention`; each passes on what it gets."""


class HeadAttention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` whose parts are outputs of modules of their own.

    Whatever ``batch_first`` says of its inputs: ``q``, ``k``, ``v`` give
    ``[batch, head, position, d_head]``, ``bias`` (masks and pairwise biases added to the scores,
    where there are any) and ``pattern`` ``[batch, head, query, key]``, ``z``, what the heads return
    before the output projection, ``[batch, position, head · d_head]``. Parameters and their names
    are those of ``nn.MultiheadAttention``, so a checkpoint of the one loads into the other.

    Examples
    --------
    >>> session = iw.Session(iw.explicit_attention(model))
    >>> session.capture(prompt, "blocks.0.attn.pattern")
    """

    is_causal = False
    q: nn.Identity
    k: nn.Identity
    v: nn.Identity
    bias: nn.Identity
    pattern: nn.Identity
    z: nn.Identity

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _expose(self)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,  # noqa: FBT001, FBT002 - as in torch
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,  # noqa: FBT001, FBT002
        is_causal: bool = False,  # noqa: ARG002, FBT001, FBT002 - a hint; the mask is in attn_mask
    ) -> tuple[Tensor, Tensor | None]:
        """Return what ``nn.MultiheadAttention`` returns."""
        single, batch = query.ndim == 2, int(not self.batch_first)
        if single:
            query, key, value = (x.unsqueeze(batch) for x in (query, key, value))
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        masks = _added(attn_mask, key_padding_mask, q)
        masks = None if masks is None else self.bias(masks)
        attention_interface = attend
        z, pattern = attention_interface(
            self, self.q(q), self.k(k), self.v(v), None, scaling=self.head_dim**-0.5,
            position_bias=masks, is_causal=False,
        )  # fmt: skip
        out = self.out_proj(self.z(z.flatten(-2)))
        if not self.batch_first:
            out = out.transpose(0, 1)
        out = out.squeeze(batch) if single else out
        if not need_weights:
            return out, None
        weights = pattern.mean(1) if average_attn_weights else pattern
        return out, weights[0] if single else weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Return q, k and v ``[batch, head, position, d_head]``."""
        weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if weights[0] is None:
            weights = self.in_proj_weight.chunk(3)
        biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        whole = zip((query, key, value), weights, biases, strict=True)
        return [
            nn.functional.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, w, b in whole
        ]


def attend(
    module: HeadAttention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attention_mask: None = None,  # noqa: ARG001 - masks are in the bias
    *,
    scaling: float,
    position_bias: Tensor | None = None,
    is_causal: bool = False,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    """Return z ``[batch, position, head, d_head]`` and pattern ``[batch, head, query, key]``."""
    scores = q @ k.transpose(-2, -1) * scaling
    if position_bias is not None:
        scores = scores + position_bias
    pattern = module.pattern(scores.softmax(-1))
    kept = nn.functional.dropout(pattern, module.dropout, module.training)
    return (kept @ v).transpose(1, 2), pattern


def explicit_attention(model: nn.Module) -> nn.Module:
    """Make every ``nn.MultiheadAttention`` of a model readable head by head.

    Weights, outputs and the names in the state dict stay the same; what was one fused step becomes
    several, so the standard sites ``q``, ``k``, ``v``, ``pattern`` and ``z`` are there, with biases
    that each pair of positions has for itself.

    Parameters
    ----------
    model
        Any torch module; it is changed in place.

    Returns
    -------
    Module
        The same model.

    Raises
    ------
    ValueError
        For an attention with learned extra keys (``add_bias_kv``, ``add_zero_attn``).

    Examples
    --------
    >>> encoder = torch.nn.TransformerEncoder(layer, 4)
    >>> session = iw.Session(iw.explicit_attention(encoder))
    """
    for name, module in list(model.named_modules()):
        if type(module) is not nn.MultiheadAttention:
            continue
        if module.bias_k is not None or module.add_zero_attn:
            raise ValueError(
                f"{name or 'the model'} has extra keys (add_bias_kv or add_zero_attn), which no "
                "particle or token stands for; it cannot be written out"
            )
        module.__class__ = HeadAttention
        _expose(module)
    return model


def _expose(module: Any) -> None:
    for part in PARTS:
        module.add_module(part, nn.Identity())
    module._qkv_same_embed_dim = False  # noqa: SLF001 - torch's encoder layers else go round forward


def _added(attn_mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """Return what masks add to the scores ``[batch, head, query, key]``; None without masks."""
    found: Tensor | None = None
    if attn_mask is not None:
        found = _as_bias(attn_mask, q)
        if found.ndim == 3:
            found = found.unflatten(0, (len(q), -1))
    if padding is not None:
        hidden = _as_bias(padding, q).reshape(len(q), 1, 1, -1)
        found = hidden if found is None else found + hidden
    return None if found is None else found.expand(len(q), q.shape[1], q.shape[2], -1)


def _as_bias(mask: Tensor, q: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(q.dtype)
    return torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(
        mask, torch.finfo(q.dtype).min
    )
