"""Which of many channels to look at: measured, sorted and found where the values are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

By = Literal["max", "min", "mean", "magnitude", "variance", "token"]

MEASURES: dict[str, str] = {
    "max": "largest value",
    "magnitude": "largest magnitude",
    "mean": "mean",
    "variance": "variance",
    "token": "at the selected token",
}
"""What channels can be sorted by, largest first."""

CHUNK = 2**22
"""Values worked on at a time."""


def measured(values: Any, by: By, token: int = 0, base: Any = None) -> np.ndarray:
    """Return one number per channel of ``values [channel, position]``, on their device, in chunks.

    Parameters
    ----------
    values
        A tensor or array.
    by
        ``"max"``, ``"min"``, ``"mean"``, ``"magnitude"`` (max |value|), ``"variance"`` over
        positions, or ``"token"``, the value at one position. NaN and infinity do not count.
    token
        The position for ``"token"``.
    base
        Subtracted first, for differences.

    Returns
    -------
    ndarray
        ``[channel]`` float32; NaN where nothing is finite.

    Examples
    --------
    >>> best = measured(values, "max").argsort()[::-1][:20]
    """
    import torch

    numbers = torch.as_tensor(values)
    step = max(1, CHUNK // max(1, numbers.shape[1]))
    found = []
    for i in range(0, numbers.shape[0], step):
        part = numbers[i : i + step]
        part = part[:, token : token + 1] if by == "token" else part
        part = part.float()
        if base is not None:
            other = torch.as_tensor(base)[i : i + step].to(part.device)
            part = part - (other[:, token : token + 1] if by == "token" else other).float()
        found.append(_reduce(part, by).cpu())
    return np.asarray(torch.cat(found).numpy() if found else np.zeros(0, np.float32))


def _reduce(part: Any, by: By) -> Any:
    import torch

    if by == "token":
        return torch.where(torch.isfinite(part), part, torch.nan)[:, 0]
    plain = {
        "min": lambda: part.amin(dim=1),
        "max": lambda: part.amax(dim=1),
        "magnitude": lambda: torch.maximum(part.amax(dim=1), -part.amin(dim=1)),
        "mean": lambda: part.mean(dim=1),
        "variance": lambda: part.var(dim=1, unbiased=False),
    }[by]()
    return _sound(plain, part, by)


def _sound(plain: Any, part: Any, by: By) -> Any:
    """Return ``plain``, with the rows that NaN or infinity spoilt made again without them."""
    import torch

    spoilt = ~torch.isfinite(plain)
    if not spoilt.any():
        return plain
    rows = part[spoilt]
    ok = torch.isfinite(rows)
    some = ok.any(dim=1)
    gaps = torch.where(ok, rows, torch.nan)
    if by == "mean":
        again = gaps.nanmean(dim=1)
    elif by == "variance":
        again = (gaps - gaps.nanmean(dim=1, keepdim=True)).square().nanmean(dim=1)
    elif by == "min":
        again = torch.where(ok, rows, torch.inf).amin(dim=1)
    else:
        sizes = rows.abs() if by == "magnitude" else rows
        again = torch.where(ok, sizes, -torch.inf).amax(dim=1)
    plain[spoilt] = torch.where(some, again, torch.nan)
    return plain


def ordered(numbers: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Return channel indices, largest number first, NaN last; ties in the channels' order."""
    among = np.arange(len(numbers)) if among is None else among
    key = np.nan_to_num(numbers[among], nan=-np.inf)
    return among[np.argsort(-key, kind="stable")]


def matching(names: Sequence[str], text: str) -> np.ndarray:
    """Return the channels whose name holds ``text``, an exact one first; case does not count."""
    wanted = text.strip().lower()
    hits = [i for i, name in enumerate(names) if wanted in name.lower()]
    hits.sort(key=lambda i: names[i].lower() != wanted)
    return np.asarray(hits, dtype=int)


def sparks(rows: np.ndarray, width: int) -> np.ndarray:
    """Shrink ``rows [channel, position]`` to at most ``width`` points by the largest magnitude."""
    count, length = rows.shape
    if length <= width:
        return rows.astype(np.float32)
    step = -(-length // width)
    padded = np.pad(rows.astype(np.float32), ((0, 0), (0, -length % step)), constant_values=np.nan)
    blocks = padded.reshape(count, -1, step)
    pick = np.where(np.isnan(blocks), -1.0, np.abs(blocks)).argmax(-1)
    return np.take_along_axis(blocks, pick[..., None], axis=-1)[..., 0]
