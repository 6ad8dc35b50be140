"""Run all benchmarks, or those whose names are given: ``python -m benchmarks capture eap``."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import torch

from benchmarks.table import Row, show, write

HERE = Path(__file__).parent


def main(chosen: list[str]) -> None:
    torch.set_num_threads(1)
    names = [m.name for m in pkgutil.iter_modules([str(HERE)]) if m.name.startswith("bench_")]
    rows: list[Row] = []
    print(f"{'name':<46} {'ours':>10} {'reference':>10} {'ratio':>9}")
    for name in names:
        if chosen and name.removeprefix("bench_") not in chosen:
            continue
        try:
            for row in importlib.import_module(f"benchmarks.{name}").run():
                show(row)
                rows.append(row)
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, {error.name} is not installed")
    write(rows, HERE / "results" / "latest.json")


main(sys.argv[1:])
