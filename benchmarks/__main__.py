"""Run all benchmarks, or those whose names are given: ``python -m benchmarks capture circuits``.

``views`` stands for all that is about views: scale beside other tools, sizes, seconds, frames.
``python -m benchmarks soak --minutes 40`` plays longer.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

import torch

from benchmarks.table import Row, show, write

HERE = Path(__file__).parent
GROUPS = {
    "views": (
        *("attention_view", "heatmap_view", "lens_view", "tokens_view", "circuit_view"),
        *("bundles", "twin", "click", "updates"),
    )
}


def main(chosen: list[str], minutes: float | None) -> None:
    torch.set_num_threads(1)
    names = [m.name for m in pkgutil.iter_modules([str(HERE)]) if m.name.startswith("bench_")]
    wanted = {part for name in chosen for part in GROUPS.get(name, (name,))}
    rows: list[Row] = []
    print(f"{'name':<46} {'ours':>10} {'reference':>10} {'ratio':>9}")
    for name in names:
        if wanted and name.removeprefix("bench_") not in wanted:
            continue
        try:
            module = importlib.import_module(f"benchmarks.{name}")
            if minutes is not None and hasattr(module, "MINUTES"):
                module.MINUTES = minutes
            for row in module.run():
                show(row)
                rows.append(row)
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, {error.name} is not installed")
    write(rows, HERE / "results" / "latest.json")


parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
parser.add_argument("names", nargs="*", help="without bench_; all where none is named")
parser.add_argument("--minutes", type=float, help="how long the soak lasts")
given = parser.parse_args()
main(given.names, given.minutes)
