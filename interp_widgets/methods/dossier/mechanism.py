"""Which heads and MLPs carry a behaviour, how much of it, and whether others step in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.trials import Trials, bootstrap, limits
from interp_widgets.methods.dossier.splits import DossierError, Inputs, checked, halves, take
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.results.array import ArrayResult

ROWS = ("alone", "second", "mechanism")


@method(
    "dossier_mechanism",
    result="array",
    title="Mechanism of a behaviour",
    paper="Bereska and Gavves 2024, arXiv:2404.14082 §6; McGrath et al. 2023, arXiv:2307.15771 "
    "(self-repair)",
    family="dossier",
    unit="head or MLP",
    cost="a forward pass for each set of nodes and batch of pairs: nodes · (steps + 2) + draws",
    tags="mechanistic, interventional, global, verification, circuit, head, layer",
)
def mechanism(
    run: Run,
    positives: Inputs,
    negatives: Inputs,
    *,
    nodes: Sequence[str] | None = None,
    want: float = 0.95,
    most: int = 12,
    draws: int = 39,
    batch_size: int | None = None,
    seed: int = 0,
) -> ArrayResult:
    """Find the smallest set of heads and MLPs whose ablation takes a behaviour away.

    Ablated is what a node writes: it writes what it writes on the paired prompt without the
    behaviour. Nodes are added one by one, each time the one that takes most away, on half of the
    pairs; coverage is measured on the other half.

    Parameters
    ----------
    positives, negatives
        Pairs of prompts of the same length, with and without the behaviour; the positive ones have
        an answer (what the behaviour says) and a foil.
    nodes
        A mechanism to test instead of looking for one: ``["a0.h1", "m1"]``.
    want
        Coverage at which no more nodes are added.
    most
        Largest number of nodes.
    draws
        Random sets of as many nodes, for the null.
    batch_size
        Pairs per run.
    seed
        Of halves, sets and intervals.

    Returns
    -------
    ArrayResult
        ``[quantity, node]``: ``alone``, the share of the behaviour that goes with a node;
        ``second``, what it adds when the mechanism is ablated already (what has more then steps in
        for it); ``mechanism``, whether it is part of it. ``meta["mechanism"]``,
        ``meta["findings"]``: coverage with 95 % limits against random sets; what the largest
        stand-in gains, against its gain after random sets.

    Raises
    ------
    DossierError
        When the inputs are too few or no pairs, or a node does not exist.

    Examples
    --------
    >>> iw.dossier.mechanism(triggered, harmless).meta["mechanism"]
    """
    checked(positives, negatives, paired=True)
    find, test = halves(len(positives), seed)
    search = Search(run, take(positives, find), take(negatives, find), batch_size)
    named = search.names
    if nodes is None:
        chosen = search.grow(want, most)
    else:
        unknown = [n for n in nodes if n not in named]
        if unknown or not nodes:
            raise DossierError(
                f"there is no node {', '.join(unknown) or '()'}; "
                f"there are {', '.join(named[:6])}, …"
            )
        chosen = [named.index(n) for n in nodes]
    held = Search(run, take(positives, test), take(negatives, test), batch_size)
    own = held.coverage([chosen])[0]
    pick = bootstrap(held.trials.n_pairs, seed=seed)
    left = held.trials.shares_of_draws(held.samples([chosen]), pick)
    low, high = 1 - limits(left)[0][::-1]
    rng = np.random.default_rng(seed)
    others = [i for i in range(len(named)) if i not in chosen] or list(range(len(named)))
    size = min(len(chosen), len(others))
    random = [rng.choice(others, size, replace=False).tolist() for _ in range(draws)]
    null = held.coverage(random)
    alone = held.coverage([[i] for i in range(len(named))])
    after = held.coverage([sorted({*chosen, i}) for i in range(len(named))]) - own
    rest = [i for i in range(len(named)) if i not in chosen]
    title = ", ".join(named[i] for i in chosen)
    inputs = held.trials.n_pairs
    found = [
        {
            **finding(
                "coverage",
                f"share of the behaviour that goes when {_short(title)} {_is(chosen)} ablated",
                float(own),
                null,
                f"random sets of {size} other heads and MLPs",
                inputs=inputs,
                low=float(low),
                high=float(high),
                note=f"found on {len(find)} other pairs" if nodes is None else "given",
            ),
            "role": "coverage",
        }
    ]
    if rest:
        gains = (after - alone)[rest]
        stand_in = rest[int(gains.argmax())]
        elsewhere = [_gain(held, [stand_in], s, null[i]) for i, s in enumerate(random[:19])]
        found.append(
            {
                **finding(
                    "self-repair",
                    f"largest gain of another node by a second ablation ({named[stand_in]})",
                    float(gains.max()),
                    elsewhere,
                    "its gain after random sets",
                    inputs=inputs,
                    note="positive: it steps in when the mechanism is gone",
                ),
                "role": "self-repair",
            }
        )
    inside = np.isin(np.arange(len(named)), chosen).astype(float)
    arrays: dict[str, Any] = {
        "values": np.stack([alone, after, inside]).astype(np.float32),
        "random": np.asarray(null, np.float32),
    }
    return ArrayResult(
        arrays,
        {
            "dims": ["quantity", "node"],
            "labels": {"quantity": list(ROWS), "node": named},
            "quantity": "share of the behaviour",
            "signed": True,
            "title": "Mechanism of a behaviour",
            "mechanism": [named[i] for i in chosen],
            "ends": [float(held.trials.clean.mean()), float(held.trials.corrupted.mean())],
            "findings": found,
        },
    )


class Search:
    """Ablates sets of nodes on one set of pairs."""

    def __init__(
        self, run: Run, positives: Inputs, negatives: Inputs, batch_size: int | None
    ) -> None:
        problem = pose(Pairs.of(positives, negatives, batch_size), "logit_difference")
        self.trials = Trials(problem, run.progress)
        graph = self.trials.graph
        self.names = [node.name for node in graph.forward[1:]]
        self._real = graph.real_edge_mask

    def samples(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the metric ``[set, pair]`` with each set of nodes ablated."""
        self.trials.expect(len(sets))
        kept = []
        for some in sets:
            mask = np.array(self._real)
            mask[[i + 1 for i in some]] = False
            kept.append(mask)
        return self.trials.measure(kept)

    def coverage(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the share of the behaviour that goes with each set ``[set]``."""
        return 1 - self.trials.share(self.samples(sets))

    def grow(self, want: float, most: int) -> list[int]:
        """Add nodes one by one, then drop those that were made needless by later ones."""
        chosen: list[int] = []
        reached = 0.0
        while len(chosen) < min(most, len(self.names)) and reached < want:
            rest = [i for i in range(len(self.names)) if i not in chosen]
            found = self.coverage([[*chosen, i] for i in rest])
            chosen.append(rest[int(found.argmax())])
            reached = float(found.max())
        for node in list(chosen):
            without = [i for i in chosen if i != node]
            if without and float(self.coverage([without])[0]) >= min(want, reached - 0.005):
                chosen = without
        return sorted(chosen)


def _gain(held: Search, node: list[int], others: list[int], base: float) -> float:
    """Return what a node takes away after other ones, minus what it takes away alone."""
    both, alone = held.coverage([sorted({*node, *others}), node])
    return float(both - base - alone)


def _short(names: str) -> str:
    return names if len(names) <= 48 else names[:45] + "…"


def _is(chosen: Sequence[int]) -> str:
    return "is" if len(chosen) == 1 else "are"
