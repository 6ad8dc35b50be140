"""One row per measurement: ours, the reference, the ratio."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A figure of ours; ``reference`` is None where ``against`` failed or where nobody else is."""

    name: str
    ours: float
    reference: float | None
    unit: str
    against: str
    budget: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.reference else None


def paired(
    ours: Callable[[], object],
    reference: Callable[[], object],
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Median seconds of both, run in turn so that a busy machine disturbs both alike.

    What one leaves behind is collected before the other begins.
    """
    times: tuple[list[float], list[float]] = ([], [])
    ours(), reference()
    for _ in range(rounds):
        for work, seconds in zip((ours, reference), times, strict=True):
            gc.collect()
            start = clock()
            work()
            seconds.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def show(row: Row) -> None:
    failed = "failed" if row.against else ""
    reference = failed if row.reference is None else f"{row.reference:.4g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}×"
    print(
        f"{row.name:<46} {row.ours:>10.4g} {reference:>10} {ratio:>9}  "
        f"{row.unit:<3} {row.against}" + (f"  (budget {row.budget})" if row.budget else ""),
        flush=True,
    )


def write(rows: Iterable[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [{**asdict(row), "ratio": row.ratio} for row in rows]
    path.write_text(json.dumps(data, indent=1) + "\n")
