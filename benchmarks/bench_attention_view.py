"""The attention view of 12 × 12 heads beside CircuitsVis, BertViz, plotly and treescope.

Python: seconds for making the view, with us the static picture included. MB: what the notebook
carries for it up to its first paint, our script and picture included. Display to painted: both the
Python and the seconds until the first head is painted in headless Chromium, requests answered live.
Heap: JavaScript's, then. Random q and k of the right shape. The others may use 8 GB and 90 seconds
in Python and 60 in the browser; they are tried up to 1,024 tokens.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.browser import browser, heap, paint
from benchmarks.live import open_live, static_bytes
from benchmarks.peers import PAINTED, scripts
from benchmarks.table import Row

LENGTHS = (64, 128, 256, 512, 1024, 4096, 32_768)
PEERS_UP_TO = 1024
HEAD_PAINTED = """() => {
  const canvas = document.querySelector('.iw-att-cells');
  if (!canvas || canvas.width < 50) return false;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size > 2;
}"""


def peer(name: str, length: int, page: Path) -> dict[str, float] | None:
    command = [sys.executable, "-m", "benchmarks.peers", name, str(length), str(page)]
    limit = 8 << 30
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
    except subprocess.TimeoutExpired:
        return None
    if "ModuleNotFoundError" in done.stderr:
        raise ModuleNotFoundError(f"{name} is not installed", name=name)
    return json.loads(done.stdout) if done.returncode == 0 else None


def ours(chromium: Any, length: int) -> dict[str, float]:
    from interp_widgets.results.attention import AttentionResult

    draw = torch.Generator().manual_seed(0)
    shape = (12, 12, length, 64)
    q, k = (torch.randn(shape, generator=draw, dtype=torch.float32).half() for _ in range(2))
    facts = [{"scaling": 0.125, "causal": True}] * 12
    tokens = [f" t{i}" for i in range(length)]
    result = AttentionResult({"q": q, "k": k}, {"tokens": tokens, "facts": facts})
    start = time.perf_counter()
    view = result.view(layer=0, head=0)
    view._repr_mimebundle_()
    made = time.perf_counter() - start
    live = open_live(chromium, view)
    start = time.perf_counter()
    live.tab.wait_for_function(HEAD_PAINTED, polling=16, timeout=60_000)
    painted = time.perf_counter() - start
    found = {
        "python": made,
        "MB": (live.moved + static_bytes(view)) / 1e6,
        "painted": made + painted,
        "heap": heap(live.tab),
    }
    live.tab.context.close()
    view.close()
    return found


def other(chromium: Any, name: str, length: int, page: Path) -> dict[str, float]:
    """The same of another tool; what failed is missing."""
    made = peer(name, length, page)
    if made is None:
        return {}
    found = {"python": made["python"], "MB": made["bytes"] / 1e6}
    shown = paint(chromium, page, PAINTED[name], scripts())
    if shown is not None:
        found |= {"painted": made["python"] + shown["seconds"], "heap": shown["heap"]}
    return found


ROWS = (
    ("python", "Python", "s", ""),
    ("MB", "MB", "MB", "2 MB"),
    ("painted", "display to painted", "s", "1 s"),
    ("heap", "heap of the page", "MB", ""),
)


def run() -> Iterator[Row]:
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        ours(chromium, 16)  # what a notebook has loaded by then
        for length in LENGTHS:
            mine = ours(chromium, length)
            names = PAINTED if length <= PEERS_UP_TO else ("",)
            for name in names:
                theirs = other(chromium, name, length, Path(folder) / "page.html") if name else {}
                for key, words, unit, budget in ROWS:
                    label = f"attention 12 × 12 × {length}: {words}"
                    yield Row(label, mine[key], theirs.get(key), unit, name, budget)
