"""Running the two parts of every activation through a model, for many sources at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, get_args

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
from interp_widgets.methods.cdt.sources import EDGE, Rule, Source, Target
from interp_widgets.methods.circuits.wiring import CircuitError, matrix
from interp_widgets.methods.frozen_norm import FrozenNorm
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Seen = dict[Target, Parts]
UNKNOWN_TURN = "how this model turns its projections into queries and keys is not known"


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


def _only(parts: Parts, edges: Sequence[Source], *slots: str) -> Parts:
    """Leave relevant ``[edge, position, head, …]`` only the heads that edges end at by a slot."""
    keep = torch.zeros(len(edges), 1, parts.relevant.shape[2], 1, dtype=torch.bool)
    for row, source in enumerate(edges):
        if source.into is not None and source.into != "logits" and source.slot in slots:
            keep[row, 0, source.into[1]] = True
    relevant = torch.where(keep.to(parts.relevant.device), parts.relevant, 0)
    return Parts(relevant, parts.total - relevant)


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
        if self.attention not in get_args(Rule):
            raise CircuitError(f"attention is one of {get_args(Rule)}, not {self.attention!r}")
        if self.attention != "frozen" and any(b.turn is None for b in self.network.blocks):
            raise CircuitError(
                f"{UNKNOWN_TURN}, so the relevant part cannot attend by itself: use "
                'attention="frozen", of iw.circuit options={"attention": "frozen"}'
            )
        self._patterns: dict[int, Tensor] = {}

    def run(self, sources: list[Source]) -> tuple[Parts, Seen]:
        """Decompose for sources of one start; return the logits and the targets."""
        blocks = self.network.blocks
        start, kind = sources[0].start
        first = len(blocks) if start == math.inf else int(start)
        site = Site("resid_pre", first) if first < len(blocks) else Site("resid_post", first - 1)
        total = self.acts[site].expand(len(sources), *self.acts[site].shape)
        state = Parts(torch.zeros_like(total), total.clone())
        if kind == 0:
            own = torch.stack([self._written(source) for source in sources])
            state = Parts(own, total - own)
        if kind == EDGE:
            self._check_edges(first)
        seen: Seen = {}
        for i in range(first, len(blocks)):
            state = self._block(i, state, sources if i == first and kind else [], seen)
        state = self._along(state, sources, "logits")
        for target in self.targets:
            if target[0] < first:  # before the sources nothing is relevant
                seen[target] = self._nothing(target, len(sources))
        return self._ending(state), seen

    def _check_edges(self, layer: int) -> None:
        blocks = self.network.blocks
        if blocks[0].added[0] is not None:
            raise CircuitError(
                "this model normalises the residual stream itself after each addition (post-norm), "
                "so nothing goes along an edge: take heads, MLPs or words as sources"
            )
        if layer < len(blocks) and blocks[layer].turn is None:
            raise CircuitError(f"{UNKNOWN_TURN}, so edges into its heads cannot be followed")

    def _written(self, source: Source) -> Tensor:
        """Return what a source adds to the residual stream beyond its mean ``[position, d]``."""
        name = "resid_pre" if source.words else "mlp_out" if source.head is None else "z"
        site = Site(name, source.layer)
        whole, mean = self.acts[site], self.reference.get(site)
        own = whole if mean is None else whole - mean.to(whole)
        if source.head is not None:
            block = self.network.blocks[source.layer]
            own = own[:, source.head] @ block.output[source.head]
            if block.attention_out_norm is not None:
                out = torch.einsum("the,hed->td", whole, block.output)
                out = out if block.output_bias is None else out + block.output_bias
                own = FrozenNorm(block.attention_out_norm, out).linear(own).to(whole.dtype)
        if source.positions is None:
            return own
        mask = torch.zeros(len(own), 1, dtype=own.dtype, device=own.device)
        mask[list(source.positions)] = 1
        return own * mask

    def _along(self, read: Parts, starting: list[Source], *slots: str) -> Parts:
        """Let the edges into these slots begin: what their writers wrote is relevant to it."""
        rows = [row for row, source in enumerate(starting) if source.slot in slots]
        if not rows:
            return read
        relevant = read.relevant.clone()
        relevant[rows] = torch.stack([self._written(starting[row]) for row in rows])
        return Parts(relevant, read.total - relevant)

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
        out = self._mlp(block, self._along(state if block.parallel else middle, starting, "mlp"))
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
        edges = [source for source in starting if source.into is not None]
        read = self._along(state, edges, *"qkv")
        read = read if block.attention_norm is None else through_norm(read, block.attention_norm)
        made: dict[str, Parts] = {}
        for slot in "qkv":
            weight, bias = block.weights[slot]
            parts = read.each(partial(torch.einsum, "hde,btd->bthe", weight))
            made[slot] = with_bias(parts, bias)
            if edges:
                made[slot] = _only(made[slot], edges, slot)
        turned = dict(made)
        if block.turn is not None:
            turned |= {slot: block.turn(slot, made[slot]) for slot in "qk"}
        pattern = self._pattern(i)
        whole = torch.einsum("hqk,bkhe->bqhe", pattern, made["v"].total)
        if edges or self.attention == "difference":
            own = self._weights(i, turned["q"].rest, turned["k"].rest)
            relevant = whole - torch.einsum("bhqk,bkhe->bqhe", own, made["v"].rest)
            if edges:
                relevant = _only(Parts(relevant, whole - relevant), edges, *"qkv").relevant
        elif self.attention == "relative":
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
        rows = [
            r for r, source in enumerate(starting) if source.head is not None and not source.into
        ]
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
        rows = [r for r, source in enumerate(starting) if source.head is None and not source.into]
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
