"""How faithful are circuits of heads and MLPs found by contextual decomposition?

Three tasks of the demo model: nodes are scored on training pairs, circuits of growing size are
measured on held-out pairs, all other nodes ablated with the corrupted prompt. Beside CD-T stand
EAP, EAP-IG, exact patching and random rankings. `curves(path)` draws the picture of the docs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import interp_widgets as iw
from benchmarks.bench_circuit_methods import pairs
from benchmarks.table import Row

TASKS = {"ioi": "swap", "greater_than": "01", "agreement": "number"}
TRAIN, TEST = 16, 64
METHODS: dict[str, dict[str, Any]] = {
    "CD-T": {"method": "cdt"},
    "CD-T, relative": {"method": "cdt", "options": {"attention": "relative"}},
    "CD-T search": {"method": "cdt-search"},
    "EAP": {"method": "eap"},
    "EAP-IG": {"method": "eap-ig"},
    "exact": {"method": "exact"},
}
SIZES = list(range(21))


def run() -> Iterator[Row]:
    for task, (found, seconds) in measured().items():
        for name in [*METHODS, "random"]:
            own = found.curves.get(name)
            least = "" if own is None else own.smallest(0.9)
            spent = f"{seconds[name]:.1f}" if name in seconds else ""
            cmd, cpr = found.cmd(name), found.cpr(name)
            print(f"| {task} | {name} | {cmd:.2f} | {cpr:.2f} | {least} | {spent} |")
            yield Row(f"{task}: {name}", cmd, found.cmd("random"), "CMD", "random rankings")


def measured() -> dict[str, tuple[Any, dict[str, float]]]:
    """Return curves and seconds of scoring, by task."""
    session = iw.demo()
    results = {}
    for task, corruption in TASKS.items():
        train = pairs(session, task, corruption, "train", TRAIN)
        test = pairs(session, task, corruption, "test", TEST)
        found, seconds = {}, {}
        for name, options in METHODS.items():
            start = time.process_time()
            found[name] = iw.circuit(*train, level="node", faithfulness=False, **options)
            seconds[name] = time.process_time() - start
        results[task] = iw.circuits.curves(session, found, *test, random=10, sizes=SIZES), seconds
    return results


def curves(path: str | Path, results: dict[str, Any] | None = None) -> None:
    """Draw faithfulness by number of nodes, a panel for each task."""
    import matplotlib.pyplot as plt

    results = results or measured()
    shown = {
        "CD-T": ("#0b62c4", "o", "-"),
        "EAP": ("#b3541e", "s", "--"),
        "random": ("#59636e", None, ":"),
    }
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.0), sharey=True, layout="constrained")
    for ax, (task, (found, _)) in zip(axes, results.items(), strict=True):
        table = found.frame()
        for name, (ink, marker, line) in shown.items():
            rows = table[table.method == name]
            ax.plot(rows.nodes, rows.faithfulness, line, color=ink, marker=marker, ms=4, label=name)
            ax.fill_between(rows.nodes, rows.low, rows.high, color=ink, alpha=0.15, lw=0)
        ax.axhline(1, color="#59636e", lw=0.8)
        ax.set_title(task.replace("_", "-").replace("ioi", "IOI"), fontsize=10)
        ax.set_xlabel("heads and MLPs kept (of 20)")
        ax.set_xticks(np.arange(0, 21, 5))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("faithfulness, held-out pairs")
    axes[2].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.88))
    figure.savefig(path, dpi=160)
