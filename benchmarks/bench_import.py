"""What `import interp_widgets` costs, and the demo model up to its first attention result."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.table import Row

FIRST_RESULT = """
import interp_widgets as iw
session = iw.demo()
prompt = session.prompt("When Mary and John went to the store, John gave a drink to")
iw.attention(prompt).view().close()
"""


def seconds(code: str, rounds: int = 5) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run() -> Iterator[Row]:
    bare = seconds("pass")
    libraries = (
        "import nnsight, anywidget\n"
        "from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast"
    )
    yield Row(
        "import interp_widgets",
        seconds("import interp_widgets") - bare,
        seconds("import torch") - bare,
        "s",
        "import torch",
        "0.3 s",
    )
    yield Row(
        "process start to a built attention view, demo",
        seconds(FIRST_RESULT, 3),
        seconds(libraries, 3),
        "s",
        "importing nnsight, anywidget and transformers' GPT-2",
    )
