"""Running the two parts of every activation through a model, for many sources at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from interp_widgets.methods.cdt.network import BlockParts, Network, network_of
from interp_widgets.methods.cdt.rules import (
    Parts,
    clean_signs,
    through_activation,
    through_gate,
    through_norm,
    with_bias,
)
from interp_widgets.methods.circuits.wiring import CircuitError, matrix
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

Rule = Literal["relative", "frozen"]
Slot = Literal["q", "k", "v", "z"]
ROWS = 64
"""Sources in one pass; the authors' number."""


@dataclass(frozen=True)
class Source:
    """What counts as relevant: a head, an MLP, or the words at some positions.

    Parameters
    ----------
    layer
        Layer of the head or MLP; of words, the layer whose input is split (0: the embeddings).
    head
        A head of the layer; None for its MLP, or for words.
    positions
        Where; None everywhere.
    words
        Whether the residual stream itself is the source, not a component.
    """

    layer: int
    head: int | None = None
    positions: tuple[int, ...] | None = None
    words: bool = False

    @property
    def name(self) -> str:
        """``a3.h7``, ``m3`` or ``input``, as in circuits."""
        if self.words:
            return "input"
        return f"m{self.layer}" if self.head is None else f"a{self.layer}.h{self.head}"


@dataclass
class Decomposition:
    """The logits split into what is due to each source, and the rest.

    Attributes
    ----------
    relevant, rest
        ``[source, position, vocabulary]`` (``[source, class]`` for a classifier).
    total
        The model's own logits.
    targets
        The two parts at the heads asked for, by (layer, head, slot): ``[source, position,
        d_head]``.
    """

    sources: list[Source]
    relevant: Tensor
    rest: Tensor
    total: Tensor
    targets: dict[tuple[int, int, Slot], Parts] = field(default_factory=dict)

    def check(self) -> float:
        """Return the largest |relevant + rest − logits|: 0 up to rounding, or a rule is wrong."""
        return float((self.relevant + self.rest - self.total).abs().max())


def decompose(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    *,
    attention: Rule = "relative",
    targets: Sequence[tuple[int, int, Slot]] = (),
    reference: dict[Site, Tensor] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Decomposition:
    """Split the logits by source (CD-T, arXiv 2407.00886).

    Parameters
    ----------
    session
        The live session; interventions are not applied.
    prompt
        The input.
    sources
        Heads, MLPs or words; each gets a row of its own.
    attention
        ``"relative"``: the relevant part attends by its own queries and keys, as in the code of the
        ICLR paper; ``"frozen"``: both parts use the pattern of the whole, as in the first version.
        Where the way from projections to queries is not known, only the second works.
    targets
        Heads to read on the way: (layer, head, ``"q"``, ``"k"``, ``"v"`` or ``"z"``).
    reference
        Means of ``z`` ``[position, head, d_head]`` and ``mlp_out`` ``[position, d_model]`` by
        site: a component's deviation from its mean is then the source. Default: all it writes.
    progress
        Called with (done, total) sources.

    Raises
    ------
    CircuitError
        When the model is of a form that is not known, or a source does not exist.

    Examples
    --------
    >>> parts = iw.cdt.decompose(session, prompt, [iw.cdt.Source(3, head=2)])
    >>> parts.relevant[0, -1, prompt.answer], parts.check()
    """
    network = network_of(session, prompt)
    _check(session, prompt, sources, targets)
    order = sorted(range(len(sources)), key=lambda i: _start(sources[i]))
    layers = range(session.anatomy.n_layers)
    sites = [Site(name, i) for i in layers for name in ("resid_pre", "q", "k", "v", "z")]
    logits = Site("logits")
    with torch.no_grad():
        acts = session.capture(prompt, [*sites, logits], interventions="none")
        runner = _Runner(session, network, acts, prompt, attention, tuple(targets), reference or {})
        ends: dict[int, Parts] = {}
        seen: dict[tuple[int, int, Slot], dict[int, Parts]] = {t: {} for t in targets}
        for some in _chunks(order, sources):
            end, at = runner.run([sources[i] for i in some])
            for row, i in enumerate(some):
                ends[i] = Parts(end.relevant[row], end.rest[row])
                for target, parts in at.items():
                    seen[target][i] = Parts(parts.relevant[row], parts.rest[row])
            if progress is not None:
                progress(len(ends), len(sources))

    def stacked(by_source: dict[int, Parts]) -> Parts:
        rows = [by_source[i] for i in range(len(sources))]
        return Parts(torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows]))

    end = stacked(ends)
    found = {target: stacked(rows) for target, rows in seen.items()}
    return Decomposition(list(sources), end.relevant, end.rest, acts[logits], found)


def _start(source: Source) -> tuple[int, bool]:
    return source.layer, not source.words


def _chunks(order: list[int], sources: Sequence[Source]) -> Iterator[list[int]]:
    """Yield sources of one layer and kind together: what comes before them is not run again."""
    group: list[int] = []
    for i in order:
        if group and (_start(sources[i]) != _start(sources[group[0]]) or len(group) == ROWS):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _check(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    targets: Sequence[tuple[int, int, Slot]],
) -> None:
    anatomy = session.anatomy
    for source in sources:
        ok = 0 <= source.layer < anatomy.n_layers
        ok = ok and (source.head is None or 0 <= source.head < anatomy.n_heads)
        ok = ok and all(-len(prompt) <= p < len(prompt) for p in source.positions or ())
        if not ok:
            raise CircuitError(
                f"there is no {source}: the model has {anatomy.n_layers} layers of "
                f"{anatomy.n_heads} heads, the prompt {len(prompt)} positions"
            )
        if source.head is None and not source.words and not anatomy.has_mlp:
            raise CircuitError(f"layer {source.layer} has no MLP to be a source")
    for layer, head, slot in targets:
        if slot not in ("q", "k", "v", "z"):
            raise CircuitError(f'a target is read at "q", "k", "v" or "z", not {slot!r}')
        if not (0 <= layer < anatomy.n_layers and 0 <= head < anatomy.n_heads):
            raise CircuitError(f"there is no head {layer}.{head}")


@dataclass
class _Runner:
    session: Session
    network: Network
    acts: dict[Site, Tensor]
    prompt: Prompt
    attention: Rule
    targets: tuple[tuple[int, int, Slot], ...]
    reference: dict[Site, Tensor]

    def __post_init__(self) -> None:
        if self.attention == "relative" and any(b.turn is None for b in self.network.blocks):
            raise CircuitError(
                "how this model turns its projections into queries and keys is not known, so the "
                'relevant part cannot attend by itself: use attention="frozen"'
            )
        self._patterns: dict[int, Tensor] = {}

    def run(self, sources: list[Source]) -> tuple[Parts, dict[tuple[int, int, Slot], Parts]]:
        """Decompose for sources of one layer and kind; return the logits and the targets."""
        first = sources[0].layer
        stream = self.acts[Site("resid_pre", first)]
        total = stream.expand(len(sources), *stream.shape)
        state = Parts(torch.zeros_like(total), total.clone())
        if sources[0].words:
            mask = self._mask(sources)
            state = Parts(total * mask, total * ~mask)
        seen: dict[tuple[int, int, Slot], Parts] = {}
        for i in range(first, len(self.network.blocks)):
            starting = sources if i == first and not sources[0].words else []
            state = self._block(i, state, starting, seen)
        for layer, head, slot in self.targets:
            if layer < first:  # before the sources nothing is relevant
                seen[layer, head, slot] = self._nothing(layer, head, slot, len(sources))
        return self._ending(state), seen

    def _mask(self, sources: list[Source]) -> Tensor:
        """Return bool ``[source, position, 1]``: where each source is."""
        length = len(self.acts[Site("resid_pre", 0)])
        mask = torch.zeros(len(sources), length, 1, dtype=torch.bool)
        for row, source in enumerate(sources):
            where = range(length) if source.positions is None else source.positions
            mask[row, list(where)] = True
        return mask.to(self.acts[Site("resid_pre", 0)].device)

    def _nothing(self, layer: int, head: int, slot: Slot, rows: int) -> Parts:
        value = self.acts[Site(slot, layer)]
        group = self.network.blocks[layer].attention.group
        own = value[:, head] if slot == "z" else value[head // (1 if slot == "q" else group)]
        own = own.expand(rows, *own.shape)
        return Parts(torch.zeros_like(own), own)

    def _block(
        self,
        i: int,
        state: Parts,
        starting: list[Source],
        seen: dict[tuple[int, int, Slot], Parts],
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
        end = clean_signs(middle + out)
        return end if block.added[1] is None else through_norm(end, block.added[1])

    def _attend(
        self,
        i: int,
        block: BlockParts,
        state: Parts,
        starting: list[Source],
        seen: dict[tuple[int, int, Slot], Parts],
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
            if layer == i:
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
