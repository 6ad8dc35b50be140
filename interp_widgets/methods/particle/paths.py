"""What a head does to another head's input, and straight to the score: path patching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_widgets.methods.particle.heads import Change, Heads

SLOTS = ("q", "k", "v")
INPUT, PAIR = "input", "pair"
Sender = str | tuple[int, int]


@dataclass
class Paths:
    """Effects of paths on the score, jet by jet, as changes of the corrupted run's sign.

    Attributes
    ----------
    senders
        ``"input"`` (the particles' embedding), ``"pair"`` (the bias of pairs), (layer, head).
    effect
        Through the inputs of each head ``[sender, layer, head, slot, jet]``; the slots are q, k and
        v, or one for all three.
    direct
        Straight to the score, every other head held ``[sender, jet]``.
    total
        Change of the score from clean to corrupted ``[jet]``.
    """

    senders: list[Sender]
    effect: Tensor
    direct: Tensor
    total: Tensor

    def shares(self, values: Tensor) -> Tensor:
        """Return the mean over jets as a share of the whole change."""
        return values.mean(-1) / self.total.mean()

    def limits(self, values: Tensor, draws: int, seed: int) -> Tensor:
        """Return the 95 % limits of :meth:`shares` over jets ``[2, …]``."""
        g = torch.Generator().manual_seed(seed)
        n = len(self.total)
        picks = torch.randint(n, (draws, n), generator=g)
        weights = torch.zeros(draws, n).scatter_add_(1, picks, torch.ones(draws, n)) / n
        resampled = values @ weights.T / (weights @ self.total)
        return resampled.quantile(torch.tensor([0.025, 0.975]), dim=-1)


class PathRuns:
    """Path patching on one sample of clean and corrupted jets with the same padding.

    The sender writes what it writes on the corrupted jet, every other head what it writes on the
    clean one, MLPs act on what changed; what receivers read then is put into a clean run, where the
    rest is recomputed (Wang et al. 2022, arXiv:2211.00593, appendix B).
    """

    def __init__(self, heads: Heads, clean: Tensor, corrupted: Tensor) -> None:
        self.heads, self.clean = heads, clean
        heads.known(clean, "interchange", corrupted)  # checks that they fit
        parts = heads.parts("z")
        pair = [] if heads.pair is None else [heads.pair]
        start = [] if heads.embed is None else [heads.embed]
        self.score, self.before = heads.run(clean, read=[*parts, *pair, *start])
        self.other, self.after = heads.run(corrupted, read=[*parts, *pair, *start])
        self.bias = self.before[pair[0]] if pair else None
        self.d_head = heads.width // heads.heads

    def senders(self) -> list[Sender]:
        """Return all that can send."""
        first: list[Sender] = [INPUT] if self.heads.embed is not None else []
        return [*first, *([PAIR] if self.heads.pair is not None else []), *self.heads.nodes]

    def measure(
        self,
        senders: Sequence[Sender],
        receivers: Sequence[tuple[int, int]],
        *,
        apart: bool,
        progress: Callable[[int, int], None],
    ) -> Paths:
        """Patch the paths from each sender to each receiver, and straight to the score."""
        heads, n = self.heads, len(self.clean)
        shape = (len(senders), len(heads.layers), heads.heads, 3 if apart else 1, n)
        effect, direct = torch.zeros(shape), torch.zeros(len(senders), n)
        for i, sender in enumerate(senders):
            progress(i, len(senders))
            if sender == PAIR:
                self._through_bias(effect[i], receivers)
                continue
            first = -1 if sender == INPUT else int(sender[0])
            later = [r for r in receivers if r[0] > first]
            score, read = self._sent(sender, sorted({layer for layer, _ in later}))
            direct[i] = score - self.score
            self._received(effect[i], later, read, apart=apart)
        return Paths(list(senders), effect, direct, self.other - self.score)

    def _sent(self, sender: Sender, layers: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Run with the sender corrupted and other heads held; read q, k and v of these layers."""
        change: dict[str, Change] = {}
        for i, path in enumerate(self.heads.parts("z")):
            held = self.before[path]
            if isinstance(sender, tuple) and sender[0] == i:
                span = slice(sender[1] * self.d_head, (sender[1] + 1) * self.d_head)
                held = held.clone()
                held[..., span] = self.after[path][..., span]
            change[path] = _always(held)
        if sender == INPUT and self.heads.embed is not None:
            change[self.heads.embed] = _always(self.after[self.heads.embed])
        read = [f"{self.heads.layers[i].path}.{slot}" for i in layers for slot in SLOTS]
        return self.heads.run(self.clean, change, read, self.bias)

    def _received(
        self,
        effect: Tensor,
        receivers: list[tuple[int, int]],
        read: dict[str, Tensor],
        *,
        apart: bool,
    ) -> None:
        """Put what receivers read into clean runs, one row of jets for each of them."""
        slots: list[tuple[str, ...]] = [(slot,) for slot in SLOTS] if apart else [SLOTS]
        cells = [(r, s) for r in receivers for s in range(len(slots))]
        for part in self._groups(cells):
            change: dict[str, list[tuple[int, int, Tensor]]] = {}
            for row, ((layer, head), s) in enumerate(part):
                for slot in slots[s]:
                    path = f"{self.heads.layers[layer].path}.{slot}"
                    change.setdefault(path, []).append((row, head, read[path][:, head]))
            self._add(effect, part, change)

    def _through_bias(self, effect: Tensor, receivers: Sequence[tuple[int, int]]) -> None:
        """Give each receiver alone the corrupted bias of pairs; it counts for all its slots."""
        assert self.heads.pair is not None
        assert self.bias is not None
        moved = self.after[self.heads.pair] - self.bias
        cells = [((layer, head), 0) for layer, head in receivers
                 if not self.heads.layers[layer].of_class]  # fmt: skip
        for part in self._groups(cells):
            change: dict[str, list[tuple[int, int, Tensor]]] = {}
            for row, ((layer, head), _) in enumerate(part):
                path = f"{self.heads.layers[layer].path}.bias"
                change.setdefault(path, []).append((row, head, moved[:, head]))
            self._add(effect, part, change, added=True)

    def _add(
        self,
        effect: Tensor,
        part: list[tuple[tuple[int, int], int]],
        change: dict[str, list[tuple[int, int, Tensor]]],
        *,
        added: bool = False,
    ) -> None:
        n, times = len(self.clean), len(part)
        bias = None if self.bias is None else self.bias.repeat(times, 1, 1, 1)
        puts = {path: _cells(cells, n, added=added) for path, cells in change.items()}
        score, _ = self.heads.run(self.clean.repeat(times, 1, 1), puts, bias=bias)
        for row, ((layer, head), s) in enumerate(part):
            effect[layer, head, s] = score[row * n : (row + 1) * n] - self.score

    def _groups(
        self, cells: list[tuple[tuple[int, int], int]]
    ) -> list[list[tuple[tuple[int, int], int]]]:
        one = next(self.heads.chunks(self.clean))
        rows = max(1, (one.stop - one.start) // len(self.clean))
        return [cells[i : i + rows] for i in range(0, len(cells), rows)]


def _always(value: Tensor) -> Change:
    return lambda _: value


def _cells(cells: list[tuple[int, int, Tensor]], n: int, *, added: bool) -> Change:
    """Replace (or add to) one head in some blocks of ``n`` rows."""

    def change(value: Tensor) -> Tensor:
        value = value.clone()
        for row, head, new in cells:
            at = slice(row * n, (row + 1) * n)
            value[at, head] = value[at, head] + new if added else new
        return value

    return change
