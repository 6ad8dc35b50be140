"""Paths of edges that pass beside the boxes that they do not touch, in inches.

An edge is a chain of S-curves that leave and arrive upwards. Where the plain curve would run behind
a box, it takes a lane between the boxes of each row that it has to pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

import numpy as np

from interp_widgets.figures.graph_layout import Box

CLEAR = 0.06
"""Inches between an edge and a box that it passes."""
LANE = 0.07
"""Inches between two edges that pass a row side by side."""
CROWDED = 0.4
"""What it costs to share a lane, in inches of detour."""
STEEP = 8.0
"""Cost of moving aside where there is no height to do it."""

_T = np.linspace(0, 1, 257)
_SWAY = np.interp(_T, 1.5 * _T * (1 - _T) + _T**3, _T**2 * (3 - 2 * _T)).tolist()

Point = tuple[float, float]


class Router:
    """Routes edges one by one; later ones keep off the lanes of earlier ones."""

    def __init__(self, boxes: Iterable[Box], left: float, right: float) -> None:
        self.boxes = list(boxes)
        self.bounds = left, right
        self.lanes: list[tuple[float, float, float]] = []

    def route(self, start: Point, end: Point, ends: Collection[str]) -> list[Point]:
        """Return the knots of an edge between two boxes called ``ends``, from below."""
        low, high = start[1], end[1]
        passed = [
            box
            for box in self.boxes
            if box.name not in ends and _top(box) > low and _bottom(box) < high
        ]
        knots = [start, end]
        if high > low and not _is_clear(start, end, passed):
            rows = _rows(passed, low, high)
            choices = [self._lanes_of(row, start, end) for row in rows]
            if all(choices):
                lanes = self._best(rows, choices, start, end)
                knots = [start]
                for (y0, y1, _), x in zip(rows, lanes, strict=True):
                    knots += [(x, y0), (x, y1)]
                knots = _pulled([*knots, end], passed)
        self.lanes += [
            (a[0], a[1], b[1]) for a, b in pairwise(knots) if abs(a[0] - b[0]) < LANE / 2
        ]
        return knots

    def _lanes_of(self, row: _Row, start: Point, end: Point) -> list[float]:
        y0, y1, boxes = row
        share = ((y0 + y1) / 2 - start[1]) / (end[1] - start[1])
        wishes = start[0], end[0], start[0] + share * (end[0] - start[0])
        found = set()
        for lo, hi in _gaps(boxes, *self.bounds):
            for wish in wishes:
                for step in (0, -1, 1, -2, 2):
                    found.add(min(max(min(max(wish, lo), hi) + step * LANE, lo), hi))
        return sorted(found)

    def _best(
        self, rows: Sequence[_Row], choices: Sequence[Sequence[float]], start: Point, end: Point
    ) -> list[float]:
        """Return the lane in each row that makes the shortest way."""
        costs, at = np.zeros(1), np.array([start[0]])
        back: list[np.ndarray] = []
        below = start[1]
        for (y0, y1, _), lanes in zip(rows, choices, strict=True):
            x = np.array(lanes)
            way = np.abs(x[:, None] - at) * (STEEP if y0 - below < CLEAR else 1.0)
            total = way + costs
            back.append(total.argmin(axis=1))
            costs = total.min(axis=1) + self._crowd(x, y0, y1)
            at, below = x, y1
        last = costs + np.abs(end[0] - at) * (STEEP if end[1] - below < CLEAR else 1.0)
        n = int(last.argmin())
        lanes_taken = []
        for lanes, came in zip(reversed(choices), reversed(back), strict=True):
            lanes_taken.append(lanes[n])
            n = int(came[n])
        return lanes_taken[::-1]

    def _crowd(self, x: np.ndarray, y0: float, y1: float) -> np.ndarray:
        taken = [lane for lane, low, high in self.lanes if low < y1 and high > y0]
        if not taken:
            return np.zeros(len(x))
        near = 1 - np.abs(x[:, None] - np.array(taken)) / LANE
        shared: np.ndarray = CROWDED * near.clip(0).sum(axis=1)
        return shared


_Row = tuple[float, float, list[Box]]


def _top(box: Box) -> float:
    return box.y + box.height / 2


def _bottom(box: Box) -> float:
    return box.y - box.height / 2


def _sway(share: float) -> float:
    """Return the share of the way aside when a share of the way up is done."""
    at = min(max(share, 0.0), 1.0) * (len(_SWAY) - 1)
    i = min(int(at), len(_SWAY) - 2)
    return float(_SWAY[i] + (at - i) * (_SWAY[i + 1] - _SWAY[i]))


def _is_clear(a: Point, b: Point, boxes: Iterable[Box], room: float = CLEAR * 0.9) -> bool:
    """Tell whether one S-curve misses the boxes: its x is monotone, so two look-ups tell."""
    rise, aside = b[1] - a[1], b[0] - a[0]
    for box in boxes:
        half = box.height / 2 + room / 2
        low, high = box.y - half, box.y + half
        if high <= a[1] or low >= b[1]:
            continue
        left, right = box.x - box.width / 2 - room, box.x + box.width / 2 + room
        if (a[0] <= left and b[0] <= left) or (a[0] >= right and b[0] >= right):
            continue
        shares = ((low - a[1]) / rise, (high - a[1]) / rise) if rise > 0 else (0.0, 1.0)
        x0, x1 = (a[0] + aside * _sway(share) for share in shares)
        if min(x0, x1) < right and max(x0, x1) > left:
            return False
    return True


def _rows(boxes: Iterable[Box], low: float, high: float) -> list[_Row]:
    """Gather boxes that share a height into rows, from below."""
    rows: list[_Row] = []
    for box in sorted(boxes, key=_bottom):
        y0 = max(low, _bottom(box) - CLEAR / 2)
        y1 = min(high, _top(box) + CLEAR / 2)
        if rows and y0 <= rows[-1][1]:
            before = rows[-1]
            rows[-1] = before[0], max(before[1], y1), [*before[2], box]
        else:
            rows.append((y0, y1, [box]))
    return rows


def _gaps(boxes: Iterable[Box], left: float, right: float) -> list[tuple[float, float]]:
    """Return where a row can be passed."""
    gaps = []
    at = left
    for box in sorted(boxes, key=lambda b: b.x - b.width / 2):
        half = box.width / 2 + CLEAR
        if box.x - half >= at:
            gaps.append((at, box.x - half))
        at = max(at, box.x + half)
    return [*gaps, (at, right)] if at <= right else gaps


def _pulled(knots: Sequence[Point], boxes: Sequence[Box]) -> list[Point]:
    """Leave out knots that the edge can do without."""
    kept = [knots[0]]
    i = 0
    while i < len(knots) - 1:
        i = next(
            j
            for j in range(len(knots) - 1, i, -1)
            if j == i + 1 or _is_clear(knots[i], knots[j], boxes)
        )
        kept.append(knots[i])
    return kept
