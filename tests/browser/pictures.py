"""Screenshots compared with a tolerance: the layout must agree, antialiasing need not."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

COARSE = 12
"""Side in pixels of the blocks that are compared; fonts differ between machines within one."""


def blocks(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    small = image.convert("RGB").resize(
        (max(size[0] // COARSE, 1), max(size[1] // COARSE, 1)), Image.Resampling.BOX
    )
    return np.asarray(small, dtype=float) / 255


def same_picture(png: bytes, baseline: Path, share: float = 0.06) -> bool:
    """Whether fewer than ``share`` of the blocks differ by more than a fifth.

    With ``UPDATE_PICTURES=1`` the baseline is written; look at it before you commit it.
    """
    if os.environ.get("UPDATE_PICTURES"):
        baseline.parent.mkdir(exist_ok=True)
        baseline.write_bytes(png)
        return True
    new, old = Image.open(io.BytesIO(png)), Image.open(baseline)
    if abs(new.width - old.width) > 24 or abs(new.height - old.height) > 0.1 * old.height:
        return False
    differs = np.abs(blocks(new, old.size) - blocks(old, old.size)).max(axis=-1) > 0.2
    return bool(differs.mean() < share)
