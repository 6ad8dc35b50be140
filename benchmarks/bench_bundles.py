"""What the scripts of the views and their style sheet weigh, also compressed as a server does."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from benchmarks.table import Row
from interp_widgets.views.base import STATIC


def run() -> Iterator[Row]:
    for path in sorted(STATIC.glob("*.*")):
        data = path.read_bytes()
        small = f"{len(gzip.compress(data)) / 1e3:.0f} kB compressed"
        yield Row(f"bundle {path.name}", len(data) / 1e3, 200, "kB", f"limit; {small}", "60 kB")
