"""The attention view of 12 × 12 heads beside CircuitsVis and BertViz, where they survive.

Bytes: what the notebook carries for the view up to its first paint, our script and static picture
included. Seconds: making the view in Python; and from opening the page to painted cells.
The libraries may use 8 GB and 90 seconds.
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

import torch

from benchmarks.browser import browser, seconds_to_paint
from benchmarks.table import Row

LENGTHS = (128, 512, 1024)
HEAD_VIEWS = ("circuitsvis", "bertviz")


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


def ours(length: int, page: Path) -> dict[str, float]:
    from interp_widgets.results.attention import AttentionResult

    draw = torch.Generator().manual_seed(0)
    q, k = (torch.randn(12, 12, length, 64, generator=draw) for _ in range(2))
    facts = [{"scaling": 0.125, "causal": True}] * 12
    result = AttentionResult.of(list(q), list(k), facts, [f" t{i}" for i in range(length)])
    start = time.perf_counter()
    view = result.view(layer=0, head=0)
    bundle = view._repr_mimebundle_()
    seconds = time.perf_counter() - start
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    from anywidget._util import remove_buffers

    state, _, buffers = remove_buffers(view.get_state())
    size = len(json.dumps(state, default=str)) + sum(len(b) for b in buffers)
    size += len(data.get("image/png", ""))
    page.write_text(view.to_html())
    view.close()
    return {"bytes": size, "seconds": seconds}


def run() -> Iterator[Row]:
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            page = Path(folder) / "ours.html"
            mine = ours(length, page)
            painted = seconds_to_paint(chromium, page)
            for name in HEAD_VIEWS:
                other_page = Path(folder) / f"{name}.html"
                other = peer(name, length, other_page)
                label = f"attention 12 × 12 × {length}"
                yield Row(
                    f"{label}: MB",
                    mine["bytes"] / 1e6,
                    other and other["bytes"] / 1e6,
                    "MB",
                    name,
                    "2 MB",
                )
                yield Row(f"{label}: make", mine["seconds"], other and other["seconds"], "s", name)
                if name == "circuitsvis" and painted is not None:
                    theirs = seconds_to_paint(chromium, other_page) if other else None
                    yield Row(f"{label}: open to painted", painted, theirs, "s", name)
