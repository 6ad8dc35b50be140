"""Light drawing for the screen: many words as one artist, a colour bar without axes, a quick PNG.

matplotlib makes several objects for every tick and draws every glyph by itself; a static twin has
to be there before the reader notices that it was made.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from textwrap import fill
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg, get_hinting_flag
from matplotlib.colors import LogNorm
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage, BboxImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.transforms import Bbox, IdentityTransform, Transform

from interp_widgets.figures.style import Style


class Words(Artist):
    """Words at points, each in its colour, upright or turned by 90 degrees; no mathematics."""

    def __init__(
        self,
        points: Any,
        words: Sequence[str],
        transform: Transform,
        *,
        size: float,
        colors: str | Sequence[str] = "black",
        align: tuple[str, str] = ("center", "center"),
        upright: bool = True,
        shift: Any = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.set_zorder(3)
        self.points = np.asarray(points, dtype=float).reshape(-1, 2)
        self.words = [w.replace(r"\$", "$") for w in words]
        self.colors = [colors] * len(words) if isinstance(colors, str) else list(colors)
        self.font = FontProperties(size=size)
        self.align = align
        self.upright = upright
        self.shift = shift
        self.set_transform(transform)

    def _placed(self, renderer: Any) -> Iterable[tuple[float, float, float, float, float]]:
        """Yield left, bottom, width and height of each word, and the depth below its baseline."""
        points = self.get_transform().transform(self.points)
        points = points + renderer.points_to_pixels(1.0) * np.asarray(self.shift)
        measure = renderer.get_text_width_height_descent
        _, high, deep = measure("lp", self.font, False)
        across, along = self.align
        left = {"left": 0.0, "center": 0.5, "right": 1.0}[across]
        low = {"bottom": 0.0, "center": 0.5, "top": 1.0}[along]
        for (x, y), word in zip(points, self.words, strict=True):
            long = measure(word, self.font, False)[0]
            width, height = (long, high) if self.upright else (high, long)
            yield x - left * width, y - low * height, width, height, deep

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """Return the box around all words, in pixels."""
        renderer = renderer or _measure()
        boxes = [Bbox.from_bounds(x, y, w, h) for x, y, w, h, _ in self._placed(renderer)]
        return Bbox.union(boxes) if boxes else Bbox.null()

    def draw(self, renderer: Any) -> None:
        """Draw the words that lie on the canvas."""
        if not self.get_visible():
            return
        canvas = renderer.get_canvas_width_height()[1]
        gc = renderer.new_gc()
        for (x, y, width, _, deep), word, color in zip(
            self._placed(renderer), self.words, self.colors, strict=True
        ):
            gc.set_foreground(color)
            at = (x, y + deep) if self.upright else (x + width - deep, y)
            down = canvas - at[1] if renderer.flipy() else at[1]
            renderer.draw_text(gc, at[0], down, word, self.font, 0 if self.upright else 90)
        gc.restore()
        self.stale = False


def write(
    ax: Axes,
    style: Style,
    points: Any,
    words: Sequence[str],
    colors: Sequence[str],
    size: float | None = None,
) -> None:
    """Write words centred at points of the data, as texts in a paper and as one artist here."""
    size = size or style.small
    if style.screen:
        made = Words(points, words, ax.transData, size=size, colors=colors)
        made.set_in_layout(False)
        ax.add_artist(made)
        return
    for (x, y), word, color in zip(points, words, colors, strict=True):
        text = ax.text(x, y, word, ha="center", va="center", fontsize=size, color=color)
        text.set_clip_on(True)
        text.set_in_layout(False)


class Cells(AxesImage):
    """Coloured cells, enlarged by repeating them; for the screen, where nothing is resampled."""

    def make_image(  # type: ignore[override]
        self, _renderer: Any, magnification: float = 1.0, *_unsampled: bool
    ) -> tuple[np.ndarray | None, float, float, Transform]:
        """Return the pixels, from the bottom up, and where they lie."""
        x0, x1, y0, y1 = self.get_extent()
        corners = self.axes.transData.transform([(x0, y0), (x1, y1)]).round().astype(int)
        (left, low), (right, high) = corners
        if right <= left or high <= low:
            return None, 0.0, 0.0, IdentityTransform()
        colors = self.to_rgba(np.ma.asarray(self.get_array()), bytes=True)[::-1]
        down, across = (
            ((np.arange(pixels) + 0.5) * cells / pixels).astype(int)
            for pixels, cells in zip(
                (round((high - low) * magnification), round((right - left) * magnification)),
                colors.shape,
                strict=False,
            )
        )
        return colors[down][:, across], float(left), float(low), IdentityTransform()


def show_cells(
    ax: Axes, style: Style, values: Any, extent: tuple[float, float, float, float], **colors: Any
) -> AxesImage:
    """Show ``values [row, column]`` as an image: its left, right, bottom and top in the data."""
    if not style.screen:
        return ax.imshow(values, extent=extent, aspect="auto", interpolation="nearest", **colors)
    cells = Cells(ax, extent=extent, **colors)
    cells.set_data(values)
    cells.set_clip_path(ax.patch)
    ax.add_image(cells)
    return cells


class ScaleBar(Artist):
    """A colour bar at the right of an axes, over its whole height."""

    WIDTH, GAP = 8.0, 6.0  # points

    def __init__(self, ax: Axes, artist: Any, label: str, size: float, line: float) -> None:
        super().__init__()
        self.set_zorder(3)
        self._ax = ax
        norm = artist.norm
        low, high = norm.vmin, norm.vmax
        bins = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
        ticks = (LogLocator() if isinstance(norm, LogNorm) else bins).tick_values(low, high)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        self._heights = np.asarray(norm(ticks))
        self._image = BboxImage(self._box, cmap=artist.cmap, norm=artist.norm)
        self._image.set_data(np.asarray(norm.inverse(np.linspace(1, 0, 128)))[:, None])
        self._frame = Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=line)
        self._numbers = Words(
            np.zeros((len(ticks), 2)),
            [f"{t:g}" if isinstance(norm, LogNorm) else number(t, ticks) for t in ticks],
            IdentityTransform(),
            size=size,
            align=("left", "center"),
        )
        self._label = label
        self._size = size
        self._name = Text(0, 0, label, size=size, rotation=90, ha="left", va="center")
        self.set_figure(ax.get_figure())  # type: ignore[arg-type]
        for child in (self._image, self._frame, self._numbers, self._name):
            child.set_figure(ax.get_figure())  # type: ignore[arg-type]
            child.set_transform(IdentityTransform())

    def _box(self, renderer: Any) -> Bbox:
        point = renderer.points_to_pixels(1.0)
        box = self._ax.get_window_extent(renderer)
        left = box.x1 + self.GAP * point
        return Bbox.from_extents(left, box.y0, left + self.WIDTH * point, box.y1)

    def _place(self, renderer: Any) -> Bbox:
        point = renderer.points_to_pixels(1.0)
        box = self._box(renderer)
        self._frame.set_bounds(box.x0, box.y0, box.width, box.height)
        heights = box.y0 + self._heights * box.height
        self._numbers.points = np.column_stack([np.full(len(heights), box.x1 + 3 * point), heights])
        ends = [box]
        if len(heights):
            ends.append(self._numbers.get_window_extent(renderer))
        right = max(end.x1 for end in ends)
        self._name.set_text(wrapped(self._label, box.height / point / 72, self._size))
        self._name.set_position((right + 5 * point, (box.y0 + box.y1) / 2))
        ends.append(self._name.get_window_extent(renderer))
        return Bbox.union(ends)

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """Return the box around bar, numbers and name, in pixels."""
        renderer = renderer or _measure()
        return self._place(renderer)

    def draw(self, renderer: Any) -> None:
        """Draw the bar where its axes is now."""
        self._place(renderer)
        for child in (self._image, self._frame, self._numbers, self._name):
            child.draw(renderer)
        self.stale = False


def wrapped(name: str, inches: float, size: float) -> str:
    """Break a name into lines of at most ``inches``, so that it does not leave the figure."""
    return fill(name, max(int(inches * 72 / (0.46 * size)), 12))


def number(value: float, all_of_them: np.ndarray) -> str:
    """Write a number with the digits that tell it from its neighbours."""
    step = float(np.diff(all_of_them).min()) if len(all_of_them) > 1 else abs(value) or 1.0
    if max(abs(all_of_them)) >= 1e5 or step < 1e-4:
        return f"{value:.2g}".replace("-", "\N{MINUS SIGN}")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1
    return f"{value + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


@lru_cache(maxsize=4096)
def width_of(word: str, size: float, family: tuple[str, ...]) -> float:
    """Width of a word in points."""
    renderer = _measure()
    font = FontProperties(family=list(family), size=size)
    return float(renderer.get_text_width_height_descent(word, font, False)[0])


@lru_cache(maxsize=1)
def _measure() -> ScreenRenderer:
    return ScreenRenderer(8, 8, 72)


class ScreenRenderer(RendererAgg):
    """Agg that keeps the pictures and sizes of words it has seen."""

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Return the size of a word in pixels."""
        key = (s, hash(prop), ismath, self.dpi)
        if key not in _sizes:
            if len(_sizes) > MOST_WORDS:
                _sizes.clear()
            _sizes[key] = super().get_text_width_height_descent(s, prop, ismath)
        return _sizes[key]

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,  # noqa: FBT002
        mtext: Any = None,
    ) -> None:
        """Draw a word, as a picture of all its glyphs."""
        if ismath:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        key = (s, hash(prop), self.dpi)
        if key not in _pictures:
            if len(_pictures) > MOST_WORDS:
                _pictures.clear()
            font = self._prepare_font(prop)
            font.set_text(s, 0, flags=get_hinting_flag())
            font.draw_glyphs_to_bitmap(antialiased=True)
            offset = [c / 64 for c in font.get_bitmap_offset()]
            _pictures[key] = (np.array(font.get_image()), offset, font.get_descent() / 64)
        picture, (right, down), deep = _pictures[key]
        turn = math.radians(angle)
        across, along = right + deep * math.sin(turn), down + deep * math.cos(turn)
        self._renderer.draw_text_image(picture, round(x + across), round(y + along) + 1, angle, gc)


MOST_WORDS = 8192
_sizes: dict[Any, tuple[float, float, float]] = {}
_pictures: dict[Any, tuple[np.ndarray, list[float], float]] = {}


def lay_out(figure: matplotlib.figure.Figure) -> None:
    """Lay a figure for the screen out now, and for good."""
    width, height = (int(c) for c in figure.bbox.size)
    _execute(figure, ScreenRenderer(width, height, figure.dpi))
    figure.set_layout_engine("none")


def _execute(figure: matplotlib.figure.Figure, renderer: ScreenRenderer) -> None:
    canvas, engine = FigureCanvasAgg(figure), figure.get_layout_engine()
    canvas.get_renderer = lambda: renderer  # type: ignore[method-assign]
    if engine is not None:
        engine.execute(figure)


def png(figure: matplotlib.figure.Figure, dpi: float, metadata: dict[str, str]) -> bytes:
    """Return the figure as PNG, laid out once and drawn once."""
    before = figure.dpi
    engine = figure.get_layout_engine()
    figure.set_dpi(dpi)
    try:
        width, height = (int(c) for c in figure.bbox.size)
        renderer = ScreenRenderer(width, height, dpi)
        _execute(figure, renderer)
        figure.set_layout_engine("none")
        figure.draw(renderer)
        picture = np.asarray(renderer.buffer_rgba())[..., :3]
    finally:
        figure.set_dpi(before)
        if engine is not None:
            figure.set_layout_engine(engine)
        FigureCanvasAgg(figure)
    return _encoded(picture, dpi, metadata)


def _encoded(picture: np.ndarray, dpi: float, metadata: dict[str, str]) -> bytes:
    """Encode `[height, width, 3]` as PNG: a row is its difference from the row above."""
    height, width, _ = picture.shape
    flat = picture.reshape(height, -1)
    rows = np.empty((height, 1 + flat.shape[1]), np.uint8)
    rows[:, 0] = 2
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    pitch = round(dpi / 0.0254)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"pHYs", struct.pack(">2IB", pitch, pitch, 1)),
        *(
            (b"iTXt", name.encode("latin-1") + bytes(5) + text.encode())
            for name, text in metadata.items()
        ),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    ]
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
