"""The attention view of 12 × 12 heads beside CircuitsVis and BertViz, where they survive.

Bytes: what the notebook carries for the view up to its first paint, our script and static picture
included. Seconds: from display, with the static picture made, to the first painted head in headless
Chromium, requests answered live. Random q and k of the right shape. The libraries may use 8 GB and
90 seconds; beyond 1,024 tokens they are not tried.
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

from benchmarks.browser import browser, seconds_to_paint
from benchmarks.live import open_live, static_bytes
from benchmarks.table import Row

LENGTHS = (128, 1024, 4096, 32_768)
PEERS_UP_TO = 1024
HEAD_VIEWS = ("circuitsvis", "bertviz")
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
    size = live.moved + static_bytes(view)
    live.tab.context.close()
    view.close()
    return {"bytes": size, "seconds": made + painted}


def run() -> Iterator[Row]:
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        ours(chromium, 16)  # what a notebook has loaded by then
        for length in LENGTHS:
            mine = ours(chromium, length)
            for name in HEAD_VIEWS:
                page = Path(folder) / f"{name}.html"
                other = peer(name, length, page) if length <= PEERS_UP_TO else None
                label = f"attention 12 × 12 × {length}"
                theirs = other and other["bytes"] / 1e6
                yield Row(f"{label}: MB", mine["bytes"] / 1e6, theirs, "MB", name, "2 MB")
                seconds = seconds_to_paint(chromium, page) if other else None
                theirs = other["seconds"] + seconds if other and seconds else None
                yield Row(f"{label}: display to painted", mine["seconds"], theirs, "s", name, "1 s")
