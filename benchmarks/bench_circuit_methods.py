"""Which discovery method needs the fewest edges of the demo model to be faithful to 0.9?

Indirect object identification and greater-than. Edges are scored on training pairs; circuits of the
best edges, pruned, are measured on held-out pairs, with bootstrap intervals over those. Beside each
stands a ranking at random.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

import interp_widgets as iw
from benchmarks.table import Row

TASKS = {"ioi": "swap", "greater_than": "01"}
TRAIN, TEST, ENOUGH = 16, 64, 0.9
SIZES = [5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 180, 220, 260, 300, 350, 400, 1.0]
METHODS: dict[str, dict[str, Any]] = {
    "eap": {},
    "eap-ig": {},
    "eap-ig-activations": {},
    "clean-corrupted": {},
    "exact": {},
    "acdc": {"options": {"taus": [0.1, 0.03, 0.01, 0.003]}},
    "edge-pruning": {"steps": 150},
    "ugs": {"steps": 150},
    "flow-routes": {},
}


def run() -> Iterator[Row]:
    session = iw.demo()
    for task, corruption in TASKS.items():
        train = pairs(session, task, corruption, "train", TRAIN)
        test = pairs(session, task, corruption, "test", TEST)
        chance = random_edges(session, train, test)
        for method, options in METHODS.items():
            start = time.process_time()
            found = iw.circuit(*train, method=method, faithfulness=False, **options)
            seconds = time.process_time() - start
            curve = iw.circuits.evaluate(session, found, *test, sizes=SIZES)
            edges, at, low, high = smallest(curve)
            limits = curve.interval()[at]
            print(
                f"| {task} | {method} | {edges} ({low} to {high}) | {curve.values[at]:.2f} "
                f"({limits[0]:.2f} to {limits[1]:.2f}) | {curve.cpr:.2f} | {curve.cmd:.2f} "
                f"| {seconds:.1f} |"
            )
            yield Row(f"{task}: {method}", edges, chance, "edges", "a random ranking")


def pairs(session: Any, task: str, corruption: str, split: str, n: int) -> tuple[Any, Any]:
    """Return pairs of the most frequent length whose clean prompt the model solves."""
    found = []
    for pair in iw.tasks.generate(
        task, 6 * n, session.tokenizer, seed=1, split=split, corruption=corruption
    ):
        answer, foil = (
            text if isinstance(text, str) else text[len(text) // 2]
            for text in (pair.answer, pair.foil)
        )
        clean = session.prompt(pair.clean, answer=answer, foil=foil)
        found.append((clean, session.prompt(pair.corrupted)))
    length = Counter(len(clean) for clean, _ in found).most_common(1)[0][0]
    solved = []
    for clean, corrupted in found:
        if len(clean) == length and len(solved) < n:
            logits = session.capture(clean, "logits")["logits"][-1]
            if logits[clean.answer] > logits[clean.foil]:
                solved.append((clean, corrupted))
    if len(solved) < n:
        raise RuntimeError(f"only {len(solved)} of {n} pairs of {task} could be used")
    clean, corrupted = zip(*solved, strict=True)
    return list(clean), list(corrupted)


def smallest(curve: Any, draws: int = 1000) -> tuple[int, int, int, int]:
    """Return the fewest edges of enough faithfulness, their index, and 95 % limits over pairs.

    In a draw of pairs where none is enough, all edges are counted.
    """
    pick = np.random.default_rng(0).integers(0, curve.samples.shape[1], (draws, TEST))
    ends = [x[pick].mean(-1) for x in (curve.clean_samples, curve.corrupted_samples)]
    drawn = (curve.samples[:, pick].mean(-1) - ends[1]) / (ends[0] - ends[1])
    enough = drawn >= ENOUGH
    first = np.where(enough.any(0), enough.argmax(0), len(curve.sizes) - 1)
    low, high = np.quantile(curve.kept[first], [0.025, 0.975])
    at = int(np.argmax(curve.values >= ENOUGH))
    return int(curve.kept[at]), at, int(low), int(high)


def random_edges(session: Any, train: Any, test: Any) -> float:
    """Edges that random rankings need, the mean of three."""
    found = iw.circuit(*train, method="eap", faithfulness=False)
    counts = []
    for seed in range(3):
        scores = np.random.default_rng(seed).random(found.graph.shape)
        graph = found.graph.with_scores(np.where(found.graph.real_edge_mask, scores, 0))
        counts.append(smallest(iw.circuits.evaluate(session, graph, *test, sizes=SIZES))[0])
    return float(np.mean(counts))
