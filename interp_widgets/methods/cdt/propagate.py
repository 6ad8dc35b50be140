"""Running the two parts of every activation through a model, for many sources at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_widgets.methods.cdt.network import BlockParts, Network
from interp_widgets.methods.cdt.rules import (
    Parts,
    clean_signs,
    through_activation,
    through_gate,
    through_norm,
    with_bias,
)
from interp_widgets.methods.cdt.sources import Rule, Source, Target
from interp_widgets.methods.circuits.wiring import CircuitError, matrix
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Seen = dict[Target, Parts]


def at_target(session: Session, values: Mapping[Site, Tensor], target: Target) -> Tensor:
    """Take what a target is ``[position, width]`` from activations, or from means, by site."""
    layer, head, slot = target
    if head is None:
        return values[Site("mlp_out", layer)]
    value = values[Site(slot, layer)]
    if slot in ("k", "v"):  # shared between query heads
        facts = session.anatomy.attention(layer)
        head = head // (facts.heads // facts.kv_heads)
    return value[:, head] if slot == "z" else value[head]


@dataclass
class Runner:
    """One prompt's activations and the rules by which parts of them go on.

    Parameters
    ----------
    acts
        Of every layer: ``resid_pre`` ``[position, d_model]``, ``q``, ``k``, ``v``
        ``[head, position, d_head]``, ``z`` ``[position, head, d_head]``, ``mlp_out``.
    attention, targets, reference
        As in :func:`interp_widgets.methods.cdt.decompose.decompose`.
    at
        Positions whose logits are wanted; None: all.
    """

    session: Session
    network: Network
    acts: dict[Site, Tensor]
    attention: Rule
    targets: tuple[Target, ...]
    reference: dict[Site, Tensor]
    at: slice | None = None

    def __post_init__(self) -> None:
        if self.attention == "relative" and any(b.turn is None for b in self.network.blocks):
            raise CircuitError(
                "how this model turns its projections into queries and keys is not known, so the "
                'relevant part cannot attend by itself: use attention="frozen", of iw.circuit '
                'options={"frozen": 1}'
            )
        self._patterns: dict[int, Tensor] = {}

    def run(self, sources: list[Source]) -> tuple[Parts, Seen]:
        """Decompose for sources of one layer and kind; return the logits and the targets."""
        first = sources[0].layer
        stream = self.acts[Site("resid_pre", first)]
        total = stream.expand(len(sources), *stream.shape)
        state = Parts(torch.zeros_like(total), total.clone())
        if sources[0].words:
            mean = self.reference.get(Site("resid_pre", first))
            own = (total if mean is None else total - mean.to(total)) * self._mask(sources)
            state = Parts(own, total - own)
        seen: Seen = {}
        for i in range(first, len(self.network.blocks)):
            starting = sources if i == first and not sources[0].words else []
            state = self._block(i, state, starting, seen)
        for target in self.targets:
            if target[0] < first:  # before the sources nothing is relevant
                seen[target] = self._nothing(target, len(sources))
        return self._ending(state), seen

    def _mask(self, sources: list[Source]) -> Tensor:
        """Return bool ``[source, position, 1]``: where each source is."""
        length = len(self.acts[Site("resid_pre", 0)])
        mask = torch.zeros(len(sources), length, 1, dtype=torch.bool)
        for row, source in enumerate(sources):
            where = range(length) if source.positions is None else source.positions
            mask[row, list(where)] = True
        return mask.to(self.acts[Site("resid_pre", 0)].device)

    def _nothing(self, target: Target, rows: int) -> Parts:
        own = at_target(self.session, self.acts, target)
        own = own.expand(rows, *own.shape)
        return Parts(torch.zeros_like(own), own)

    def _block(
        self,
        i: int,
        state: Parts,
        starting: list[Source],
        seen: Seen,
    ) -> Parts:
        block = self.network.blocks[i]
        written = self._attend(i, block, state, starting, seen)
        middle = clean_signs(state + written)
        if block.added[0] is not None:
            middle = through_norm(middle, block.added[0])
        if block.mlp is None:
            return middle
        out = self._mlp(block, state if block.parallel else middle)
        out = self._from_mlps(i, out, starting)
        if (i, None, "mlp") in self.targets:
            seen[i, None, "mlp"] = out
        end = clean_signs(middle + out)
        return end if block.added[1] is None else through_norm(end, block.added[1])

    def _attend(
        self,
        i: int,
        block: BlockParts,
        state: Parts,
        starting: list[Source],
        seen: Seen,
    ) -> Parts:
        read = state if block.attention_norm is None else through_norm(state, block.attention_norm)
        made: dict[str, Parts] = {}
        for slot in "qkv":
            weight, bias = block.weights[slot]
            parts = read.each(partial(torch.einsum, "hde,btd->bthe", weight))
            made[slot] = with_bias(parts, bias)
        turned = dict(made)
        if block.turn is not None:
            turned |= {slot: block.turn(slot, made[slot]) for slot in "qk"}
        pattern = self._pattern(i)
        whole = torch.einsum("hqk,bkhe->bqhe", pattern, made["v"].total)
        if self.attention == "relative":
            own = self._weights(i, turned["q"].relevant, turned["k"].relevant)
            relevant = torch.einsum("bhqk,bkhe->bqhe", own, made["v"].relevant)
        else:
            relevant = torch.einsum("hqk,bkhe->bqhe", pattern, made["v"].relevant)
        z = self._from_heads(i, Parts(relevant, whole - relevant), starting)
        for layer, head, slot in self.targets:
            if layer == i and head is not None:
                parts = z if slot == "z" else turned.get(slot, made[slot])
                seen[layer, head, slot] = Parts(parts[0][:, :, head], parts[1][:, :, head])
        out = z.each(lambda x: torch.einsum("bthe,hed->btd", x, block.output))
        out = with_bias(out, block.output_bias)
        if block.attention_out_norm is not None:
            out = through_norm(out, block.attention_out_norm)
        return out

    def _from_heads(self, i: int, z: Parts, starting: list[Source]) -> Parts:
        """Let the sources among the heads be relevant: their deviation from the mean."""
        rows = [row for row, source in enumerate(starting) if source.head is not None]
        if not rows:
            return z
        relevant, rest = z.relevant.clone(), z.rest.clone()
        mean = self.reference.get(Site("z", i))
        for row in rows:
            head, at = starting[row].head, self._where(starting[row], z)
            total = z.total[row, at, head]
            mu = torch.zeros_like(total) if mean is None else mean[at, head].to(total)
            relevant[row, at, head] = total - mu
            rest[row, at, head] = mu
        return Parts(relevant, rest)

    def _from_mlps(self, i: int, out: Parts, starting: list[Source]) -> Parts:
        rows = [row for row, source in enumerate(starting) if source.head is None]
        if not rows:
            return out
        relevant, rest = out.relevant.clone(), out.rest.clone()
        mean = self.reference.get(Site("mlp_out", i))
        for row in rows:
            at = self._where(starting[row], out)
            total = out.total[row, at]
            mu = torch.zeros_like(total) if mean is None else mean[at].to(total)
            relevant[row, at], rest[row, at] = total - mu, mu
        return Parts(relevant, rest)

    @staticmethod
    def _where(source: Source, parts: Parts) -> list[int]:
        positions = source.positions
        return list(range(parts.relevant.shape[1]) if positions is None else positions)

    def _mlp(self, block: BlockParts, state: Parts) -> Parts:
        mlp = block.mlp
        assert mlp is not None
        read = state if block.mlp_norm is None else through_norm(state, block.mlp_norm)

        def linear(parts: Parts, name: str) -> Parts:
            weight = mlp.rows(name) if name == "down" else mlp.rows(name).T
            return with_bias(parts.each(lambda x: x @ weight), mlp.bias(name))

        up = clean_signs(linear(read, "up"))
        if mlp.gate is None:
            hidden = through_activation(up, mlp.act)
        else:
            hidden = through_gate(clean_signs(linear(read, "gate")), up, mlp.act)
        out = clean_signs(linear(hidden, "down"))
        return out if block.mlp_out_norm is None else through_norm(out, block.mlp_out_norm)

    def _pattern(self, i: int) -> Tensor:
        """Return the pattern of the whole ``[head, query, key]``, in the model's precision."""
        if i not in self._patterns:
            q, k = (self.acts[Site(slot, i)].transpose(0, 1)[None] for slot in "qk")
            k = k.repeat_interleave(self.network.blocks[i].attention.group, -2)
            self._patterns[i] = self._weights(i, q, k)[0]
        return self._patterns[i]

    def _weights(self, i: int, q: Tensor, k: Tensor) -> Tensor:
        """Return softmax weights ``[source, head, query, key]`` as this layer computes them."""
        facts = self.session.anatomy.attention(i)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) * facts.scaling
        if facts.softcap is not None:
            scores = facts.softcap * torch.tanh(scores / facts.softcap)
        query = torch.arange(scores.shape[-2], device=scores.device)[:, None]
        key = torch.arange(scores.shape[-1], device=scores.device)[None]
        hidden = torch.zeros_like(scores[0, 0], dtype=torch.bool)
        if facts.causal:
            hidden |= key > query
        if facts.window is not None:
            hidden |= (query - key).abs() >= facts.window
        scores = scores.masked_fill(hidden, -torch.inf)
        if facts.sinks:
            sinks = scores.new_tensor(facts.sinks)[None, :, None, None]
            sinks = sinks.expand(*scores.shape[:3], 1)
            return torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
        return scores.softmax(-1)

    def _ending(self, state: Parts) -> Parts:
        network = self.network
        if network.at is not None:
            state = state.each(lambda x: x[:, network.at])
        elif self.at is not None:
            state = state.each(lambda x: x[:, self.at])
        for module in network.ending:
            weight = getattr(module, "weight", None)
            if weight is None:
                state = through_activation(state, partial(type(module).forward, module))
            elif weight.ndim == 1:
                state = through_norm(state, module)
            else:
                bias = getattr(module, "bias", None)
                weights = matrix(module)
                state = with_bias(Parts(state.relevant @ weights, state.rest @ weights), bias)
        state = state.each(lambda x: x * network.scale)
        cap = network.softcap
        if cap is not None:
            state = through_activation(state, lambda x: cap * torch.tanh(x / cap))
        return state
