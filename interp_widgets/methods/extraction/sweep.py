"""The greedy sweep: take away node after node, last layers first, while little changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from interp_widgets.methods.extraction.study import Study

Order = Literal["reverse", "shuffled"]


@dataclass(frozen=True)
class Sweep:
    """One sweep over all nodes.

    Attributes
    ----------
    nodes
        In the order in which they were tried.
    delta
        How much the divergence grew without each, beside those taken away before, in nats
        ``[step]``.
    kept
        Whether each stayed ``[step]``.
    kl, accuracy
        Of the model after each step ``[step]``.
    """

    nodes: tuple[str, ...]
    delta: np.ndarray
    kept: np.ndarray
    kl: np.ndarray
    accuracy: np.ndarray

    @property
    def removed(self) -> list[str]:
        """Nodes taken away."""
        return [name for name, stays in zip(self.nodes, self.kept, strict=True) if not stays]


def in_order(layers: Sequence[Sequence[str]], order: Order, seed: int) -> list[str]:
    """Return the nodes, last layer first; inside a layer the heads and then the MLP."""
    rng = np.random.default_rng(seed)
    found = []
    for names in reversed(layers):
        heads = [name for name in names if ".h" in name]
        if order == "shuffled":
            heads = [heads[i] for i in rng.permutation(len(heads))]
        found += [*heads, *(name for name in names if ".h" not in name)]
    return found


def sweep(
    study: Study,
    nodes: Sequence[str],
    threshold: float,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Take nodes away one after the other where the divergence grows by less than ``threshold``."""
    removed: set[str] = set()
    now = study.measure(removed)
    delta, kept, kl, accuracy = [], [], [], []
    for step, name in enumerate(nodes):
        if progress is not None:
            progress(step, len(nodes))
        tried = study.measure(removed | {name})
        grown = tried.divergence - now.divergence
        stays = not grown < threshold
        if not stays:
            removed.add(name)
            now = tried
        delta.append(grown)
        kept.append(stays)
        kl.append(now.divergence)
        accuracy.append(now.accuracy)
    columns = (np.array(delta), np.array(kept, bool), np.array(kl), np.array(accuracy))
    return Sweep(tuple(nodes), *columns)
