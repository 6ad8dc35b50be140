"""The heads and MLPs of an extracted circuit on paper: a grid with the kept cells framed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.patches import Rectangle

from interp_widgets.figures.figure import new_figure, renderer
from interp_widgets.figures.heatmap import add_colorbar, draw_heatmap
from interp_widgets.figures.style import Style
from interp_widgets.results.task_circuit import TaskCircuit, node_parts

NEGLIGIBLE = 0.02
"""Share of the scale below which negative values are drawn as zero."""


@renderer("task_circuit")
def draw(result: TaskCircuit, style: Style, notes: list[str]) -> matplotlib.figure.Figure:
    """Draw what was lost with each node ``[layer, head]``, MLPs beside; nodes kept are framed."""
    grid, mlps = result.numpy_grid
    with_mlps = bool(np.isfinite(mlps).any())
    rows, cols = grid.shape
    cell = min(0.86 * style.width / (cols + 2.5), 2.0 * style.small / 72)
    height = max(rows * cell, min(rows, 12) * style.small / 72 * 1.25) + 0.55
    figure = new_figure(style, max(height, 0.34 * style.width))
    widths = (cols, 1.3) if with_mlps else (cols,)
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    finite = np.concatenate([grid[np.isfinite(grid)], mlps[np.isfinite(mlps)]])
    top = (float(np.abs(finite).max()) if finite.size else 0.0) or 1.0
    signed = bool((finite < -NEGLIGIBLE * top).any())
    limits = (-top, top) if signed else (0.0, top)
    if not signed:
        grid, mlps = np.maximum(grid, 0), np.maximum(mlps, 0)
    layers = [str(i) for i in range(rows)]
    artist = draw_heatmap(
        axes[0], grid, style, signed=signed, vlim=limits, rows=layers, notes=notes, marks=False
    )
    _frame(axes[0], result.outline)
    axes[0].set(xlabel="head", ylabel="layer")
    if with_mlps:
        draw_heatmap(
            axes[1], mlps[:, None], style, signed=signed, vlim=limits, rows=[""] * rows,
            cols=["MLP"], notes=[], marks=False,
        )  # fmt: skip
        kept = [node_parts(name)[0] for name in result.mlps if result.meta["mlps"]]
        _frame(axes[1], [(layer, 0) for layer in kept])
        axes[1].set_yticks([])
    add_colorbar(list(axes), artist, style, "KL added without it (nats)", notes)
    notes.append(
        f"Framed: kept at threshold {result.meta['threshold']:g} nats ({result.meta['ablation']} "
        f"ablation); KL {result.kl:.3g} nats, accuracy {result.accuracy:.3f} (whole model "
        f"{result.meta['baseline_accuracy']:.3f}) on {result.meta['n_prompts']} prompts of "
        f"{result.meta['length']} tokens; {result.size_reduction:.1%} fewer weights without "
        "embeddings"
    )
    return figure


def _frame(ax: Any, cells: Iterable[tuple[int, int]]) -> None:
    """Frame cells inside their edges, so that neighbours and the axes hide no frame."""
    for row, col in cells:
        for colour, width, inset in (("black", 1.4, 0.06), ("white", 0.8, 0.115)):
            side = 1 - 2 * inset
            box = Rectangle((col + inset, row + inset), side, side, zorder=3)
            box.set(fill=False, edgecolor=colour, linewidth=width)
            ax.add_patch(box)
