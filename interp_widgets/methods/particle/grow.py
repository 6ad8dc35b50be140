"""Grow the smallest set of heads that does the task, prune it, and test it on other jets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.particle.heads import Ablation, Heads
from interp_widgets.methods.particle.metrics import Judge, interval

Node = tuple[int, int]
CHANCE = 0.5


@dataclass
class Growth:
    """A set of heads and how it was found.

    Attributes
    ----------
    heads
        (layer, head) of the heads that were kept, in the order of growth.
    steps
        Each step of growth and pruning: head, ``"added"`` or ``"dropped"``, AUC after it.
    full, empty, kept
        AUC of the whole model, of none and of the kept heads on the jets not grown on, each with
        its 95 % limits.
    minimality
        What the kept set loses without each of its heads, there, with limits.
    random
        AUC of random sets of as many heads, there.
    """

    heads: list[Node]
    steps: list[dict[str, Any]] = field(default_factory=list)
    full: tuple[float, float, float] = (0.0, 0.0, 0.0)
    empty: tuple[float, float, float] = (0.0, 0.0, 0.0)
    kept: tuple[float, float, float] = (0.0, 0.0, 0.0)
    minimality: dict[Node, tuple[float, float, float]] = field(default_factory=dict)
    random: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """AUC above chance that the kept heads have of the whole model's."""
        return (self.kept[0] - CHANCE) / (self.full[0] - CHANCE)


class Grower:
    """Measures sets of heads on one sample of jets; all others are replaced.

    Parameters
    ----------
    heads
        Of the tagger.
    jets, labels
        The sample.
    ablation, corrupted
        What replaced heads write.
    draws, seed
        Resamples for intervals.
    """

    def __init__(
        self,
        heads: Heads,
        jets: Tensor,
        labels: Tensor,
        ablation: Ablation,
        corrupted: Tensor | None = None,
        draws: int = 0,
        seed: int = 0,
    ) -> None:
        self.heads, self.jets = heads, jets
        self.judge = Judge(labels, draws, seed)
        self.known = heads.known(jets, ablation, corrupted)

    def auc(self, kept: Sequence[Node]) -> np.ndarray:
        """Return the AUC with only these heads at work ``[1 + draw]``; the pair bias stays."""
        off = torch.ones(len(self.heads.layers) + 1, self.heads.heads, dtype=torch.bool)
        off[0] = False
        for layer, head in kept:
            off[layer + 1, head] = False
        return self.judge.auc(self.heads.scores(self.jets, self.known, off))

    def grow(
        self, target: float, most: int, progress: Callable[[int, int], None]
    ) -> tuple[list[Node], list[dict[str, Any]]]:
        """Add the best head until the share of AUC above chance reaches ``target``; then prune.

        Without a head of a class block nothing reaches the score, so growth begins with the best
        pair of one of these and another head.

        Returns
        -------
        (list, list)
            The heads, and the steps.
        """
        nodes = self.heads.nodes
        goal = CHANCE + target * (float(self.auc(nodes)[0]) - CHANCE)
        kept: list[Node] = []
        steps: list[dict[str, Any]] = []
        most = min(most, len(nodes))
        last = [n for n in nodes if self.heads.layers[n[0]].of_class]
        starts: list[tuple[Node, ...]] = [
            (n, c) for c in last for n in nodes if n < c or n not in last
        ]
        done, best = 0, -np.inf
        total = len(starts) + sum(len(nodes) - i for i in range(2, most))
        while len(kept) < most and best < goal:
            options = starts if starts and not kept else [(n,) for n in nodes if n not in kept]
            scores: dict[tuple[Node, ...], float] = {}
            for some in options:
                progress(min(done, total), total)
                done += 1
                scores[some] = float(self.auc([*kept, *some])[0])
            chosen = max(scores, key=lambda s: scores[s])
            best = scores[chosen]
            kept += chosen
            steps += [{"head": list(node), "what": "added", "auc": best} for node in chosen]
        while len(kept) > 1:
            without = {n: float(self.auc([k for k in kept if k != n])[0]) for n in kept}
            node = max(without, key=lambda n: without[n])
            if without[node] < min(goal, best):
                break
            kept.remove(node)
            best = without[node]
            steps.append({"head": list(node), "what": "dropped", "auc": best})
        return kept, steps

    def judged(self, kept: list[Node], random: int, g: torch.Generator) -> Growth:
        """Measure a set of heads here: with intervals, without each, and against random sets."""
        found, full, empty = self.auc(kept), self.auc(self.heads.nodes), self.auc([])
        growth = Growth(kept, full=_with(full), empty=_with(empty), kept=_with(found))
        for node in kept:
            rest = self.auc([k for k in kept if k != node])
            growth.minimality[node] = _with(found - rest)
        nodes = self.heads.nodes
        for _ in range(random):
            some = torch.randperm(len(nodes), generator=g)[: len(kept)].tolist()
            growth.random.append(float(self.auc([nodes[i] for i in some])[0]))
        return growth


def _with(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values[0]), *interval(values))
