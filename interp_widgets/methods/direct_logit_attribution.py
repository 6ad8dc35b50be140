"""How much every component writes straight into the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.wiring import matrix, wiring_of
from interp_widgets.methods.frozen_norm import FrozenNorm
from interp_widgets.methods.readout import COARSE, TOLERANCE, Readout
from interp_widgets.methods.target import Target
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site, SiteError

By = Literal["head", "layer", "component", "token"]


@method(
    "direct_logit_attribution",
    result="array",
    title="Direct logit attribution",
    paper="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; "
    "Wang et al. 2022, arXiv:2211.00593",
    family="attribution",
    unit="head, MLP, or component",
    cost="1 forward pass",
    tags="attributional, observational, local, hypothesis generation, head, layer, neuron",
)
def direct_logit_attribution(
    run: Run,
    prompts: Prompt | PromptBatch | Sequence[Prompt],
    by: By = "head",
    *,
    token: str | int | None = None,
    foil: str | int | None = None,
    position: int = -1,
) -> ArrayResult:
    """Split the logit difference into what every component writes straight into it.

    The residual stream is the sum of what embeddings, heads and MLPs write. With the final norm's
    scale held at its value in this run, the logits are linear in that sum, so every component has
    its share and the shares add up to the logit difference exactly. What a component does through
    later ones is not in its share; see :func:`path_patching` and :func:`patching` for that.

    Parameters
    ----------
    prompts
        A prompt with answer and foil; or several, then shares are means.
    by
        ``"head"``: ``[layer, head]``. ``"layer"``: ``[layer, part]``, attention and MLP.
        ``"component"``: ``[component]``, everything there is: embeddings, heads, biases of
        attention, MLPs, and the bias of final norm and unembedding. ``"token"``:
        ``[layer, head, key]``, each head's share by the token that it was read from (one length).
    token, foil
        Tokens instead of the prompt's answer and foil; without any foil it is the answer's logit
        that is split, without an answer that of the model's top token.
    position
        Where the logits are read; −1 is the last.

    Returns
    -------
    ArrayResult
        In logits; before the soft cap where the model has one (Gemma 2). ``by_prompt [prompt, …]``
        are the shares of each prompt. ``meta["total"]`` is the mean logit difference, and
        ``meta["shown"]`` the sum of what is shown; by component they are equal.

    Raises
    ------
    SiteError
        When the logits are not a norm and one matrix away from the residual stream, or a head's
        output is not its pattern times its values (``by="token"``).
    CircuitError
        When the residual stream is not a sum of what components write (post-norm models).
    ValueError
        When the position is not there, or prompts of different lengths are split by token.

    Examples
    --------
    >>> iw.direct_logit_attribution(prompt, by="component").frame().sort_values("value")
    """
    chosen = [prompts] if isinstance(prompts, Prompt) else list(prompts)
    if not chosen:
        raise ValueError("there is no prompt in the list; give at least one")
    if by == "token" and len({len(p) for p in chosen}) > 1:
        raise ValueError("prompts of different lengths have no mean by token; give one length")
    shares, labels = [], {}
    for i, prompt in enumerate(chosen):
        run.progress(i, len(chosen))
        target = Target.of(run.session, prompt, token, position=position, foil=foil)
        split = Shares.of(run.session, prompt, target, tokens=by == "token")
        shares.append(split)
        labels = split.labels(by, prompt)
    each = torch.stack([split.values(by) for split in shares])
    total = sum(split.total for split in shares) / len(shares)
    what = target.label if len(chosen) == 1 else target.metric.replace("_", " ")
    many = f", mean of {len(chosen)} prompts" if len(chosen) > 1 else ""
    capped = Readout.of(run.session, chosen[0]).softcap is not None
    dims = {"head": ["layer", "head"], "layer": ["layer", "part"], "component": ["component"]}
    missing = sum(float(s.total - s.values("component").sum()) for s in shares) / len(shares)
    note = {}
    if abs(missing) > 1e-3 * max(1.0, *(abs(s.total) for s in shares)):
        note["note"] = f"interventions on the residual stream add {missing:.3g} logits of their own"
    return ArrayResult(
        {"values": each.mean(0).float(), "by_prompt": each.float()},
        {
            **note,
            "dims": dims.get(by, ["layer", "head", "key"]),
            "labels": labels,
            "quantity": f"direct effect on the {what}, logits"
            + " before the soft cap" * capped
            + many,
            "signed": True,
            "title": f"Direct logit attribution by {by}",
            "total": float(total),
            "shown": float(each.mean(0).sum()),
        },
    )


@dataclass(frozen=True)
class Shares:
    """Shares of one prompt's logit difference, in float64.

    Parameters
    ----------
    embed, bias
        Of the embeddings; of the biases of final norm and unembedding.
    heads, attention_bias, mlps
        ``[layer, head]``, ``[layer]``, ``[layer]``; of a layer without MLP zero.
    by_token
        ``[layer, head, key]`` where asked for.
    total
        The logit difference.
    """

    embed: float
    bias: float
    heads: Tensor
    attention_bias: Tensor
    mlps: Tensor
    by_token: Tensor | None
    total: float

    def values(self, by: By) -> Tensor:
        """Return the shares as the method's ``by`` arranges them."""
        if by == "head":
            return self.heads
        if by == "layer":
            return torch.stack([self.heads.sum(1) + self.attention_bias, self.mlps], 1)
        if by == "token":
            assert self.by_token is not None
            return self.by_token
        parts = [self.heads, self.attention_bias[:, None], self.mlps[:, None]]
        ends = [self.heads.new_tensor([end]) for end in (self.embed, self.bias)]
        return torch.cat([ends[0], torch.cat(parts, 1).flatten(), ends[1]])

    def labels(self, by: By, prompt: Prompt) -> dict[str, list[str]]:
        """Return the labels of the dims."""
        layers, heads = self.heads.shape
        names = [str(i) for i in range(layers)]
        if by == "component":
            found = ["embed"]
            for i in range(layers):
                found += [f"a{i}.h{h}" for h in range(heads)] + [f"a{i} bias", f"m{i}"]
            return {"component": [*found, "bias"]}
        if by == "layer":
            return {"layer": names, "part": ["attention", "MLP"]}
        return {"layer": names, **({"key": list(prompt.tokens)} if by == "token" else {})}

    @classmethod
    def of(
        cls, session: Session, prompt: Prompt, target: Target, *, tokens: bool = False
    ) -> Shares:
        """Split a prompt's logit difference, with the session's interventions."""
        wiring = wiring_of(session, prompt)
        norm, weight, offset, scale = unembedding(session, prompt, target)
        layers = range(session.anatomy.n_layers)
        at = target.position % len(prompt)
        end = Site("resid_post", layers[-1])
        names = ["z", "attn_out", *(["v", "pattern"] if tokens else [])]
        sites = [Site(name, i) for name in names for i in layers]
        sites += [Site("mlp_out", i) for i in layers if wiring.layers[i].mlp_out is not None]
        found = session.capture(prompt, [Site("resid_pre", 0), end, *sites])
        last = found[end][at]
        frozen = FrozenNorm(norm, last)

        def share(written: Tensor) -> Tensor:
            return (frozen.linear(written) @ weight) * scale

        heads, biases, mlps, by_token = [], [], [], []
        for i in layers:
            outer, attention = wiring.layers[i], wiring.layers[i].attention
            module = wiring.module(attention.output)
            into = matrix(module).detach().double().unflatten(0, (attention.heads, -1))
            z = found[Site("z", i)][at].double()
            written = torch.einsum("he,hed->hd", z, into)
            bias = getattr(module, "bias", None)
            whole = written.sum(0) + (0 if bias is None else bias.detach().double())
            inner = None
            if attention.output_norm is not None:
                after = wiring.module(attention.output_norm)
                inner = FrozenNorm(after, whole.to(last.dtype))
            through = share if inner is None else (lambda x, f=inner: share(f.linear(x)))
            heads.append(through(written))
            biases.append(share(found[Site("attn_out", i)][at].double()) - heads[-1].sum())
            mlp = found[Site("mlp_out", i)][at] if outer.mlp_out is not None else last * 0
            mlps.append(share(mlp))
            if tokens:
                by_token.append(through(_by_key(found, i, at, into, z)))
        rest = float((torch.as_tensor(frozen.bias).double() * weight).sum() + offset) * scale
        return cls(
            float(share(found[Site("resid_pre", 0)][at])),
            rest,
            torch.stack(heads),
            torch.stack(biases),
            torch.stack(mlps),
            torch.stack(by_token) if tokens else None,
            float(share(last)) + rest,
        )


def unembedding(
    session: Session, prompt: Prompt, target: Target
) -> tuple[nn.Module | None, Tensor, float, float]:
    """Return final norm, the direction of the target in it ``[d_model]``, its bias, and the scale.

    Raises
    ------
    SiteError
        When the logits are not a norm and a matrix away from the residual stream.
    """
    readout = Readout.of(session, prompt)
    *before, head = readout.steps
    if not isinstance(head, nn.Linear) or len(before) > 1:
        raise SiteError(
            f"the logits of {type(session.anatomy.root).__name__} are not one norm and one matrix "
            "away from the residual stream, so components have no direct share in them; "
            "use iw.patching"
        )
    rows = head.weight.detach().double()
    weight = rows[target.answer]
    offset = 0.0 if head.bias is None else float(head.bias[target.answer])
    if target.foil is not None:
        weight = weight - rows[target.foil]
        offset -= 0.0 if head.bias is None else float(head.bias[target.foil])
    return (before[0] if before else None), weight, offset, readout.scale


def _by_key(found: Any, layer: int, at: int, into: Tensor, z: Tensor) -> Tensor:
    """Return what each head writes for each key, ``[head, key, d_model]``."""
    pattern = found[Site("pattern", layer)][:, at].double()
    v = found[Site("v", layer)].double()
    v = v.repeat_interleave(len(pattern) // len(v), 0)
    mixed = pattern[..., None] * v  # [head, key, d_head]
    limit = TOLERANCE.get(found[Site("z", layer)].dtype, COARSE) * float(z.abs().max() + 1e-6)
    if float((mixed.sum(1) - z).abs().max()) > limit:
        raise SiteError(
            f"layer {layer}: what its heads give is not their pattern times their values, so it "
            'cannot be split by token; use by="head"'
        )
    return torch.einsum("hke,hed->hkd", mixed, into)
