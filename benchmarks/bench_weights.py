"""Reading 36,864 neurons over 50,257 tokens beside the bare matrix product of the same size.

Processor seconds, which a busy machine changes least.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import torch

from benchmarks.table import Row
from interp_widgets.methods.weights.topk import CHUNK, TILE, half_is_fast, top_tokens

NEURONS, TOKENS, WIDTH = 36_864, 50_257, 768
PART = int(os.environ.get("WEIGHTS_NEURONS", NEURONS))
"""Fewer neurons for a quick look: the share of the peak does not depend on their number."""


def run() -> Iterator[Row]:
    draw = torch.Generator().manual_seed(0)
    table = 0.14 * torch.randn(TOKENS, WIDTH, generator=draw)
    rows = torch.randn(PART, WIDTH, generator=draw)
    half = half_is_fast("cpu")
    dtype = torch.bfloat16 if half else torch.float32
    left, right = rows.to(dtype), table.to(dtype)
    space = torch.empty(TILE * CHUNK, dtype=dtype)
    seconds = {"both": 0.0, "one": 0.0, "product": 0.0}
    step = TILE
    for start in range(0, PART, step):  # in turn: others disturb all alike
        some = slice(start, start + step)
        for name, work in (
            ("both", lambda some=some: top_tokens(rows[some], table, 20)),
            ("one", lambda some=some: top_tokens(rows[some], table, 20, signs=(1,))),
            ("product", lambda some=some: _product(left[some], right, space)),
        ):
            begin = time.process_time()
            work()
            seconds[name] += time.process_time() - begin
    what = f"{PART:,} × {TOKENS:,} × {WIDTH}, {str(dtype)[6:]}"
    against = f"matrix product, {2 * PART * TOKENS * WIDTH / seconds['product'] / 1e9:.0f} GFLOP/s"
    for name, words in (("both", "both signs"), ("one", "one sign")):
        title = f"top 20, softmax, entropy, {words}, {what}"
        yield Row(title, seconds[name], seconds["product"], "s", against, "1/0.70 = 1.43×")
    few = slice(0, 256)
    exact = (rows[few] @ table.T).topk(20, dim=1)
    found = top_tokens(rows[few], table, 20)
    wrong = int((found.ids[:, 0] != exact.indices).any(1).sum())
    yield Row("rows of 256 with other top 20 than the whole matrix", wrong, 256, "", "rows", "0")


def _product(left: torch.Tensor, right: torch.Tensor, space: torch.Tensor) -> None:
    for top in range(0, len(left), TILE):
        part = left[top : top + TILE]
        for start in range(0, len(right), CHUNK):
            tokens = right[start : start + CHUNK]
            out = space[: len(part) * len(tokens)].view(len(part), len(tokens))
            torch.mm(part, tokens.T, out=out)
