"""A lens of 80 layers × 512 tokens with the ten best tokens and two pinned groups.

Reference: the whole lens as data (ids, probabilities and strings of the ten best, and the pinned
planes), which is what a view that sends everything moves.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.browser import browser, paint
from benchmarks.peers import CANVAS_PAINTED
from benchmarks.table import Row

LAYERS, TOKENS, K, VOCABULARY = 80, 512, 10, 128_000
PINS = [[11, 12], [13]]


def lens() -> Any:
    from interp_widgets.results.lens import LensResult

    draw = np.random.default_rng(0)
    ids = draw.integers(0, VOCABULARY, (LAYERS, TOKENS, K), dtype="i4")
    probs = np.sort(draw.dirichlet(np.ones(K), (LAYERS, TOKENS)).astype("f4"), axis=-1)[..., ::-1]
    tracked = sorted(i for group in PINS for i in group)
    arrays = {
        "ids": ids,
        "probs": probs,
        "entropy": draw.random((LAYERS, TOKENS), dtype="f4"),
        "pin_ids": np.array(tracked, dtype="i4"),
        "pin_probs": draw.random((len(tracked), LAYERS, TOKENS), dtype="f4"),
    }
    meta = {
        "tokens": [f" t{i}" for i in range(TOKENS)],
        "layers": ["embed", *map(str, range(LAYERS - 1))],
        "strings": {str(i): f" w{i}" for i in np.unique(ids).tolist()} | {"11": " a", "12": "a"},
        "pins": PINS,
        "title": "Logit lens",
    }
    return LensResult(arrays, meta)


def moved(view: Any) -> tuple[int, float]:
    """Bytes and seconds of opening: the traits, the window of words, the pinned planes."""
    from anywidget._util import remove_buffers

    from interp_widgets.views.wire import pack

    start = time.perf_counter()
    asked = [
        view.answer("tile", {"channel": "probability", "mode": "current", "col": 1}),
        *(view.answer("words", {"mode": "current", "row": r, "col": 0}) for r in range(2)),
        view.answer("track", {"mode": "current", "ids": [11, 12, 13]}),
    ]
    answers = [pack(a) for a in asked]
    seconds = time.perf_counter() - start
    state, _, buffers = remove_buffers(view.get_state())
    scripts = {name: state.pop(name) for name in ("_esm", "_css") if name in state}
    size = sum(len(text) for text in scripts.values()) + len(json.dumps(state, default=str))
    size += sum(len(json.dumps(p)) + sum(map(len, b)) for p, b in answers)
    return size + sum(len(b) for b in buffers), seconds


def run() -> Iterator[Row]:
    import interp_widgets.views.lens  # noqa: F401 - importing is another benchmark

    result = lens()
    everything = sum(a.nbytes for a in result.arrays.values()) + len(json.dumps(result.meta))
    start = time.perf_counter()
    view = result.view()
    made = time.perf_counter() - start
    size, answering = moved(view)
    label = f"lens {LAYERS} × {TOKENS}, top {K}"
    yield Row(f"{label}: MB moved", size / 1e6, everything / 1e6, "MB", "all of it", "2 MB")
    yield Row(f"{label}: make and answer", made + answering, None, "s", "", "1 s")
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "lens.html"
        page.write_text(view.to_html())
        painted = paint(chromium, page, CANVAS_PAINTED)
    view.close()
    if painted is not None:
        yield Row(f"{label}: page open to painted", painted["seconds"], None, "s", "", "1 s")
