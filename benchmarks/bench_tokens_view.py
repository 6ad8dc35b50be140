"""Values of 12 × 3,072 neurons on 512 tokens: opening the view, sorting and finding neurons.

Reference: what CircuitsVis' text neuron activations carry for the same numbers, all of them as
JSON (measured on an eighth of the neurons and multiplied).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.table import Row

LAYERS, UNITS, TOKENS = 12, 3_072, 512


def neurons() -> Any:
    from interp_widgets.results.tokens import TokensResult

    values = torch.randn(LAYERS * UNITS, TOKENS, generator=torch.Generator().manual_seed(0))
    meta = {
        "tokens": [f" t{i}" for i in range(TOKENS)],
        "channels": [f"L{i // UNITS}N{i % UNITS}" for i in range(LAYERS * UNITS)],
        "channel_name": "Neuron",
        "quantity": "activation",
        "title": "Neurons",
    }
    return TokensResult({"values": values}, meta)


def all_as_json(values: torch.Tensor) -> tuple[float, float]:
    part = values[: len(values) // 8]
    start = time.perf_counter()
    text = json.dumps(part.T.tolist())
    return 8 * len(text), 8 * (time.perf_counter() - start)


def run() -> Iterator[Row]:
    from anywidget._util import remove_buffers

    import interp_widgets.views.tokens  # noqa: F401 - importing is another benchmark
    from interp_widgets.views.wire import pack

    result = neurons()
    theirs, their_seconds = all_as_json(result.values)
    start = time.perf_counter()
    view = result.view()
    first = pack(view.answer("channels", {"by": "max", "token": 0, "query": "", "start": 0}))
    seconds = time.perf_counter() - start
    state, _, buffers = remove_buffers(view.get_state())
    size = len(json.dumps(state, default=str)) + sum(map(len, buffers))
    size += len(json.dumps(first[0])) + sum(map(len, first[1]))
    label = f"{LAYERS * UNITS:,} neurons × {TOKENS}"
    yield Row(f"{label}: MB moved", size / 1e6, theirs / 1e6, "MB", "all as JSON", "2 MB")
    yield Row(f"{label}: make, sort, answer", seconds, their_seconds, "s", "all as JSON", "1 s")
    for by, payload in {
        "at a token": {"by": "token", "token": 300},
        "by variance": {"by": "variance"},
        "by name": {"by": "max", "query": "L3N120"},
        "its values": None,
    }.items():
        start = time.perf_counter()
        if payload is None:
            view.answer("values", {"channel": 12_345})
        else:
            view.answer("channels", payload)
        yield Row(f"{label}: {by}", time.perf_counter() - start, None, "s", "", "0.1 s")
    view.close()
