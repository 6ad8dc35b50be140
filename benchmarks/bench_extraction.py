"""Circuit extraction: sizes and accuracy on a trained toy, known heads on the demo model, time.

``python -m benchmarks.bench_extraction`` also draws the pictures of ``docs/extraction.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import interp_widgets as iw
from benchmarks.table import Row
from interp_widgets.session.session import Session
from tests.methods import extraction_toy as toy

IMAGES = Path(__file__).parents[1] / "docs" / "images"
BATCH = 256


def opened() -> tuple[Session, list[Any], list[Any]]:
    session = Session(toy.load(), name="toy")
    return session, toy.prompts(session, 256, seed=1), toy.prompts(session, 256, seed=2)


def run() -> Iterator[Row]:
    """Measure the forward time of the toy's circuit and the weights left."""
    session, prompts, reference = opened()
    small = iw.extract_circuit(prompts, reference, threshold=0.1).prune()
    times = small.benchmark(batch=BATCH, repeats=7)["median_ms"]
    yield Row(
        "pruned toy, 256 prompts", times["pruned"], times["original"], "ms", "the whole model"
    )
    session.close()


def toy_table() -> None:
    session, prompts, reference = opened()
    rng = np.random.default_rng(0)
    for threshold in (0.01, 0.03, 0.1):
        found = iw.extract_circuit(prompts, reference, threshold=threshold)
        heads = [name for name in found.meta["nodes"] if ".h" in name]
        sets = [rng.choice(heads, len(found.heads), replace=False) for _ in range(20)]
        random = [found.measure([*some, *found.mlps])["accuracy"] for some in sets]
        zero = iw.extract_circuit(prompts, reference, threshold=threshold, ablation="zero")
        print(
            f"| {threshold:g} | {len(found.heads)}/24 | {len(found.mlps)}/3 | {found.kl:.3f} | "
            f"{found.accuracy:.3f} | {100 * found.size_reduction:.1f} % | {np.mean(random):.2f} "
            f"({min(random):.2f} to {max(random):.2f}) | {len(zero.heads)}/24, "
            f"{zero.accuracy:.3f} |"
        )
    small = found.prune()
    print(small, small.disagreement)
    print(small.frame().to_string())
    print(small.benchmark(batch=BATCH).round(1).to_string())
    found.figure("aaai", width="text").save(IMAGES / "extraction-grid.png", dpi=150)
    sizes = iw.extraction_sweep(
        [*prompts, *reference],
        thresholds=np.geomspace(1e-4, 3, 10).tolist(),
        ablations=["mean", "zero"],
        mlps=[True, False],
        repeats=5,
    )
    print(sizes.text())
    figure = sizes.figure("aaai", width="text", threshold=0.1)
    figure.save(IMAGES / "extraction-sizes.png", dpi=150)
    session.close()


def demo_table() -> None:
    session = iw.demo()
    for task in ("ioi", "greater_than"):
        drawn = iw.tasks.generate(task, 400, session.tokenizer, split="train")
        lengths = [len(session.prompt(pair.clean)) for pair in drawn]
        most = Counter(lengths).most_common(1)[0][0]
        pairs = [pair for pair, n in zip(drawn, lengths, strict=True) if n == most][:128]
        many = isinstance(pairs[0].answer, tuple)
        prompts = [session.prompt(p.clean, answer=None if many else p.answer) for p in pairs]
        answers = [list(p.answer) for p in pairs] if many else None
        known = iw.circuits.known("demo-" + task.replace("_", "-"))
        for ablation in ("mean", "zero"):
            for mlps in (False, True):
                found = iw.extract_circuit(
                    prompts, threshold=0.03, ablation=ablation, mlps=mlps, answers=answers
                )
                beside = found.compare(known)
                print(
                    f"| {task}, {most} tokens | {ablation} | {'yes' if mlps else 'no'} | "
                    f"{len(found.heads)}/16 | {len(found.mlps)}/4 | {found.kl:.3f} | "
                    f"{found.accuracy:.3f} ({found.meta['baseline_accuracy']:.3f}) | "
                    f"{100 * found.size_reduction:.1f} % | {beside.tpr:.2f} | {beside.fpr:.2f} | "
                    f"{beside.roc.auc:.2f} |"
                )
    session.close()


if __name__ == "__main__":
    toy_table()
    demo_table()
