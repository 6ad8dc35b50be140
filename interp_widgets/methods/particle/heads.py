"""All heads of a tagger, in particle and class blocks: run it with some of them replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import nnsight
import torch
from torch import Tensor

from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.observables import check_jets
from interp_widgets.session.location import Location, resolve
from interp_widgets.session.multihead import HeadAttention
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session

Ablation = Literal["zero", "mean", "interchange"]
Change = Callable[[Tensor], Tensor]
CELLS = 2**20
"""Pairs of particles of all rows of a forward pass together."""
SIGNAL = 1


@dataclass(frozen=True)
class HeadLayer:
    """One attention of the model.

    ``path`` is its module; ``block`` the block around it; ``of_class`` whether the class token
    alone asks.
    """

    path: str
    block: str
    of_class: bool


class Heads:
    """The heads of a tagger in the order in which they run.

    Layers count on through particle and class blocks. The module that writes the bias of each pair
    of particles, where there is one, is a node of its own, ``pair``.

    Parameters
    ----------
    session
        A session on a model whose attention is :class:`HeadAttention` and whose input is
        ``[jet, particle, 4]``; its interventions apply to every run.
    jets
        Jets of the shape that will be run.

    Raises
    ------
    ValueError
        When the model has no such attention, layers differ in heads, or these are no jets.
    """

    def __init__(self, session: Session, jets: Tensor) -> None:
        check_jets(jets)
        self.session = session
        if not session.anatomy.tried:
            session.prompt(jets[:1])
        anatomy = session.anatomy
        root = anatomy.root
        found = [(n, m) for n, m in root.named_modules() if isinstance(m, HeadAttention)]
        if not found:
            raise ValueError(
                "no attention of this model can be addressed by head: open the session on "
                "iw.explicit_attention(model)"
            )
        if len({m.num_heads for _, m in found}) > 1:
            raise ValueError("the layers of this model differ in heads, which no grid can hold")
        self.heads = found[0][1].num_heads
        shapes = anatomy.output_shapes
        self.layers = [
            HeadLayer(path, path.rpartition(".")[0], shapes[f"{path}.q"][2] == 1)
            for path, _ in sorted(found, key=lambda entry: self._order(entry[0]))
        ]
        self.width = found[0][1].embed_dim
        wanted = (1, self.heads, jets.shape[1], jets.shape[1])
        first = anatomy.order(Location(self.layers[0].block, "input"))
        self.pair: str | None = next(
            (p for p, s in shapes.items() if s == wanted and self._order(p) < first), None
        )
        stream = (1, jets.shape[1], self.width)
        before = [p for p, s in shapes.items() if s == stream and self._order(p) < first]
        self.embed = max(before, key=self._order, default=None)

    def _order(self, path: str) -> float:
        return self.session.anatomy.order(Location(path, "output"))

    # names

    @cached_property
    def layer_names(self) -> list[str]:
        """Name of each layer: its number, and ``class`` where the class token asks."""
        return [f"{i} class" if x.of_class else str(i) for i, x in enumerate(self.layers)]

    @cached_property
    def nodes(self) -> list[tuple[int, int]]:
        """(layer, head) of every head, in order."""
        return [(i, h) for i in range(len(self.layers)) for h in range(self.heads)]

    # runs

    def chunks(self, jets: Tensor) -> Iterator[slice]:
        """Cut jets into parts that one forward pass takes."""
        rows = max(1, CELLS // jets.shape[1] ** 2)
        return (slice(i, i + rows) for i in range(0, len(jets), rows))

    def run(
        self,
        jets: Tensor,
        change: Mapping[str, Change] | None = None,
        read: Sequence[str] = (),
        bias: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the model once.

        Parameters
        ----------
        jets
            ``[jet, particle, 4]``.
        change
            By path of a module: takes its output and returns what stands in its place.
        read
            Paths of modules whose outputs are wanted, as changed.
        bias
            What the pair module returns, where it is known: then it does not run.

        Returns
        -------
        (Tensor, dict)
            Score of the signal minus that of the background ``[jet]``; outputs by path.
        """
        session, model = self.session, self.session.model
        change = change or {}
        end = session.anatomy.locate("logits")
        wanted = {*change, *read}
        known = {self.pair} - wanted if bias is not None and self.pair else set()
        places = sorted(wanted | known, key=self._order)
        given = jets.to(session.device, session.dtype)
        names = tuple(str(i) for i in range(jets.shape[1]))
        prompt = Prompt(session, (), names, values=given)
        with torch.no_grad(), session.trace(prompt):
            kept = []
            for path in places:
                module = resolve(model, path)
                if path in known:
                    module.skip(bias)
                    continue
                value = module.output
                if path in change:
                    value = change[path](value)
                    module.output = value
                if path in read:
                    kept.append(value)
            logits = end.read(model)
            saved = nnsight.save((logits, kept))
        logits, values = saved
        order = [path for path in places if path in read]
        score = logits[:, SIGNAL] - logits.detach().clone().index_fill_(
            1, torch.tensor([SIGNAL], device=logits.device), -torch.inf
        ).logsumexp(1)
        return score.float().cpu(), dict(zip(order, values, strict=True))

    def parts(self, name: str) -> list[str]:
        """Return the paths of one part of every head layer: q, k, v, bias, pattern or z."""
        return [f"{layer.path}.{name}" for layer in self.layers]

    def scores(self, jets: Tensor, known: Known | None = None, off: Tensor | None = None) -> Tensor:
        """Return the score of each jet with some heads replaced.

        Parameters
        ----------
        jets
            ``[jet, particle, 4]``.
        known
            What replaced heads write, of :meth:`known`; None where none is.
        off
            Which are replaced, bool ``[1 + layer, head]``; the first row is the pair bias.

        Returns
        -------
        Tensor
            ``[jet]``, logit of the signal minus the background's, on the CPU.
        """
        done = []
        for rows in self.chunks(jets):
            change = {} if known is None or off is None else known.change(off, rows)
            bias = None if known is None or known.bias is None else known.bias[rows]
            done.append(self.run(jets[rows], change, bias=bias)[0])
        return torch.cat(done)

    def known(self, jets: Tensor, ablation: Ablation, corrupted: Tensor | None = None) -> Known:
        """Work out what replaced heads write.

        Parameters
        ----------
        jets
            The jets that will be run.
        ablation
            ``"zero"``; ``"mean"``: the mean over these jets and their real particles (of the pair
            bias: over jets, for each pair of positions); ``"interchange"``: what the head writes
            on ``corrupted``, particle by particle.
        corrupted
            As many jets with the same padding.

        Raises
        ------
        ValueError
            When corrupted jets are missing, or do not fit.
        """
        if ablation == "interchange":
            if corrupted is None or corrupted.shape != jets.shape:
                raise ValueError(
                    "interchange takes as many corrupted jets of the same shape: "
                    "corrupted=iw.particle.corrupt(jets, …)"
                )
            if bool((kinematics.real(jets) != kinematics.real(corrupted)).any()):
                raise ValueError(
                    "jets and corrupted jets differ in their padding, so their particles cannot be "
                    "aligned; swap only jets with as many particles"
                )
        bias = self._of_pairs(jets)
        zeros = [torch.zeros(self.width) for _ in self.layers]
        if ablation == "zero":
            off = None if bias is None else torch.zeros_like(bias[:1])
            return Known(self, zeros, off, bias)
        if corrupted is not None and ablation == "interchange":
            other = self._of_pairs(corrupted)
            parts = [self.run(corrupted[rows], read=self.parts("z"))[1] for rows in
                     self.chunks(corrupted)]  # fmt: skip
            whole = [torch.cat([part[path] for part in parts]) for path in self.parts("z")]
            return Known(self, whole, other, bias)
        total = [torch.zeros(self.width, dtype=torch.float64) for _ in self.layers]
        for rows in self.chunks(jets):
            found = self.run(jets[rows], read=self.parts("z"))[1]
            there = kinematics.real(jets[rows])
            for i, (layer, path) in enumerate(zip(self.layers, self.parts("z"), strict=True)):
                z = found[path].double().cpu()
                weight = torch.ones(z.shape[:2]) if layer.of_class else there.cpu()
                total[i] += (z * (weight / weight.sum(1, keepdim=True))[..., None]).sum((0, 1))
        mean = [(x / len(jets)).float() for x in total]
        return Known(self, mean, None if bias is None else bias.mean(0, keepdim=True), bias)

    def _of_pairs(self, jets: Tensor) -> Tensor | None:
        """Return the pair bias ``[jet, head, particle, particle]``; None where there is none."""
        if self.pair is None:
            return None
        parts = [self.run(jets[rows], read=[self.pair])[1][self.pair] for rows in self.chunks(jets)]
        return torch.cat(parts)


@dataclass
class Known:
    """What replaced heads write, and the pair bias of the jets that are run.

    ``z`` per layer ``[…, head · d_head]`` and ``other`` ``[…, head, particle, particle]`` are
    values of replaced heads: for all jets, or jet by jet. ``bias`` is the clean pair bias.
    """

    of: Heads
    z: list[Tensor]
    other: Tensor | None
    bias: Tensor | None

    def change(self, off: Tensor, rows: slice) -> dict[str, Change]:
        """Return the changes that replace heads where ``off [1 + layer, head]`` is true."""
        found: dict[str, Change] = {}
        if self.of.pair is not None and self.other is not None and bool(off[0].any()):
            heads = off[0][None, :, None, None]
            found[self.of.pair] = _put(heads, _rows(self.other, rows, 4))
        d_head = self.of.width // self.of.heads
        for path, mask, z in zip(self.of.parts("z"), off[1:], self.z, strict=True):
            if bool(mask.any()):
                found[path] = _put(mask.repeat_interleave(d_head), _rows(z, rows, 3))
        return found


def _rows(values: Tensor, rows: slice, ndim: int) -> Tensor:
    return values[rows] if values.ndim == ndim and len(values) > 1 else values


def _put(where: Tensor, values: Tensor) -> Change:
    def change(value: Tensor) -> Tensor:
        return torch.where(where.to(value.device), values.to(value), value)

    return change


def real_rows(jets: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Return jets as float tensors and labels as 0 and 1.

    Raises
    ------
    ValueError
        When they do not fit each other, or a class is missing.
    """
    jets, labels = torch.as_tensor(jets).float(), torch.as_tensor(labels).flatten().long()
    check_jets(jets)
    if len(labels) != len(jets):
        raise ValueError(f"{len(jets)} jets and {len(labels)} labels")
    if not set(labels.tolist()) == {0, 1}:
        raise ValueError("labels are 0 (background) and 1 (signal), and both must be there")
    return jets, labels
