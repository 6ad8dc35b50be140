"""Screenshots compared with a tolerance: the data must agree, antialiasing need not."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

BLOCK = 12
"""Side in pixels of the blocks that are compared; glyphs may differ within one."""
SHIFTS = (-4, -2, 0, 2, 4)
"""Pixels by which all may have moved: another font makes a toolbar a little higher."""
MARGIN = 24
SHARE = 0.012


def blocks(image: Image.Image) -> np.ndarray:
    """The mean colour of each block, ``[row, column, channel]`` in 0 … 1."""
    size = max(image.width // BLOCK, 1), max(image.height // BLOCK, 1)
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=float) / 255


def share_that_differs(new: Image.Image, old: Image.Image) -> float:
    """Share of the blocks that differ by more than a fifth, at the best of some small shifts."""
    new, old = new.convert("RGB"), old.convert("RGB")
    if abs(new.width - old.width) > MARGIN or abs(new.height - old.height) > MARGIN:
        return 1.0
    size = min(new.width, old.width), min(new.height, old.height)
    new, reference = new.crop((0, 0, *size)), blocks(old.crop((0, 0, *size)))
    return min(
        float((np.abs(blocks(ImageChops.offset(new, x, y)) - reference).max(-1) > 0.2).mean())
        for x in SHIFTS
        for y in SHIFTS
    )


def same_picture(png: bytes, baseline: Path) -> bool:
    """Whether a screenshot shows what its baseline shows.

    With ``UPDATE_PICTURES=1`` the baseline is written; look at it before you commit it.
    """
    if os.environ.get("UPDATE_PICTURES"):
        baseline.parent.mkdir(exist_ok=True)
        baseline.write_bytes(png)
        return True
    with Image.open(io.BytesIO(png)) as new, Image.open(baseline) as old:
        return share_that_differs(new, old) < SHARE
