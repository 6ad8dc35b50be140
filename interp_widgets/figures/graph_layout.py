"""Where the nodes of a graph stand on paper, in inches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from interp_widgets.figures.style import Style

PORTS = {"q": -0.34, "k": 0.0, "v": 0.34}
"""Where on the lower edge of a box its inputs are, in box widths."""
LETTER = {"serif": 0.5, "sans": 0.62}
"""Mean width of a letter in font sizes."""

NARROWEST, WIDEST = 0.2, 0.8
"""Inches between the boxes of a row."""


@dataclass(frozen=True)
class Edge:
    """One drawn edge; ``port`` is ``"q"``, ``"k"``, ``"v"``, several with commas, or empty.

    ``look`` is ``""``, ``"miss"`` or ``"extra"`` beside a reference.
    """

    source: str
    target: str
    port: str
    score: float
    look: str = ""


@dataclass
class Box:
    """A node: its lines of text, centre, width and height in inches."""

    name: str
    kind: str
    level: float
    lines: list[str] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    face: str = "#ffffff"
    look: str = ""
    order: float = 0.0


def fold(
    edges: Iterable[Edge], into: Mapping[str, str], *, merge_ports: bool = False
) -> list[Edge]:
    """Return the edges between groups: scores added up, edges inside a group left out."""
    found: dict[tuple[str, str, str], Edge] = {}
    for edge in edges:
        source, target = into.get(edge.source, edge.source), into.get(edge.target, edge.target)
        if source == target:
            continue
        key = source, target, "" if merge_ports else edge.port
        known = found.get(key)
        if known is None:
            found[key] = replace(edge, source=source, target=target)
        else:
            ports = [p for p in known.port.split(",") if p]
            if edge.port and edge.port not in ports:
                ports.append(edge.port)
            look = edge.look if edge.look == known.look else ""
            score = known.score + edge.score
            found[key] = replace(known, score=score, port=",".join(sorted(ports)), look=look)
    return sorted(found.values(), key=lambda e: -abs(e.score))


def text_width(text: str, size: float, style: Style) -> float:
    """Return about how wide a text of ``size`` points is, in inches."""
    return len(text) * LETTER[style.venue.family] * size / 72


def wrap(words: Sequence[str], room: int) -> list[str]:
    """Put words into lines of at most ``room`` letters, with commas between."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= room:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return lines


def measure(boxes: Iterable[Box], style: Style, size: float, most: float) -> None:
    """Give boxes the size of their text, at most ``most`` inches wide."""
    for box in boxes:
        widest = max((text_width(line, size, style) for line in box.lines), default=0.0)
        box.width = min(most, max(0.34, widest + 0.14))
        box.height = 0.09 + len(box.lines) * size / 72 * 1.25


def bands(boxes: Sequence[Box], edges: Sequence[Edge], near: float) -> list[list[Box]]:
    """Put boxes into rows from below: near in layer, and nobody above what it reads."""
    fed: dict[str, set[str]] = {}
    for edge in edges:
        fed.setdefault(edge.target, set()).add(edge.source)
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda b: (b.level, b.order, b.name)):
        row = rows[-1] if rows else []
        joins = (
            row
            and (box.kind == "end") == (row[0].kind == "end")
            and box.level - row[0].level < near
            and not any(other.name in fed.get(box.name, ()) for other in row)
        )
        if joins:
            row.append(box)
        else:
            rows.append([box])
    return rows


def stack(rows: list[list[Box]], edges: Sequence[Edge], width: float, gap: float) -> float:
    """Place rows above one another, each box above what feeds it; return the height."""
    rows = [part for row in rows for part in _fit(row, width, NARROWEST)]
    at: dict[str, float] = {}
    y = 0.06
    for n, row in enumerate(rows):
        wish = {box.name: _wish(box, edges, at, width) for box in row}
        row.sort(key=lambda b: (wish[b.name], b.name))
        filled = sum(box.width for box in row)
        between = min(max((width - filled) / (len(row) + 1), NARROWEST), WIDEST)
        used = filled + between * (len(row) - 1)
        alone = len(row) == 1 and 0 < n < len(rows) - 1
        aside = (-1 if n % 2 else 1) * min((width - used) / 2, 0.16 * width) if alone else 0.0
        x = (width - used) / 2 + aside
        tall = max(box.height for box in row)
        for box in row:
            box.x, box.y = x + box.width / 2, y + tall / 2
            at[box.name] = box.x
            x += box.width + between
        y += tall + gap
    return y - gap + 0.06


def _fit(row: list[Box], width: float, between: float) -> list[list[Box]]:
    parts: list[list[Box]] = [[]]
    used = 0.0
    for box in row:
        if parts[-1] and used + box.width > width:
            parts.append([])
            used = 0.0
        parts[-1].append(box)
        used += box.width + between
    return parts


def _wish(box: Box, edges: Sequence[Edge], at: Mapping[str, float], width: float) -> float:
    known = [at[e.source] for e in edges if e.target == box.name and e.source in at]
    return sum(known) / len(known) if known else box.order * width


def move(
    boxes: Iterable[Box],
    positions: Mapping[str, Sequence[float]],
    width: float,
    height: float,
    names: Collection[str] = (),
) -> None:
    """Put boxes where a reader put them: shares of the width, and of the height from below."""
    for box in boxes:
        key = box.name.removeprefix("group:") if box.name.removeprefix("group:") in names else ""
        at = positions.get(key or box.name)
        if at is not None:
            box.x = min(max(at[0] * width, box.width / 2), width - box.width / 2)
            box.y = min(max(at[1] * height, box.height / 2), height - box.height / 2)
