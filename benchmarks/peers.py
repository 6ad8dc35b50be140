"""One view of another tool in a process of its own: ``python -m benchmarks.peers NAME T PAGE``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch


def patterns(length: int) -> torch.Tensor:
    """Random causal attention ``[12, 12, length, length]``."""
    scores = torch.randn(12, 12, length, length, generator=torch.Generator().manual_seed(0))
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return scores.masked_fill(~causal, -torch.inf).softmax(-1)


def circuitsvis(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    from circuitsvis import attention as views

    view = views.attention_patterns(tokens, attention.flatten(0, 1))
    return view.cdn_src, view.local_src


def bertviz(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    import bertviz as library

    view = library.head_view([layer[None] for layer in attention], tokens, html_action="return")
    return view.data, view.data


def main(name: str, length: int, page: Path) -> None:
    makers = {"circuitsvis": circuitsvis, "bertviz": bertviz}
    attention = patterns(length)
    start = time.perf_counter()
    carried, html = makers[name](attention, [f" t{i}" for i in range(length)])
    seconds = time.perf_counter() - start
    page.write_text(html)
    print(json.dumps({"bytes": len(carried.encode()), "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
