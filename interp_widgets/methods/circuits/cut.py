"""What cut edges change in what each reader reads, while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_widgets.results.graph import Graph


class Cut:
    """The state of one run with edges cut: what was written so far, and what readers miss of it.

    Parameters
    ----------
    graph
        Whose edges are cut.
    values
        What cut edges carry ``[n_forward, batch, position, d]``; a batch or position of 1 stands
        for all.
    edges
        ``[n_forward, n_backward]``, ``[batch, n_forward, n_backward]`` or
        ``[batch, n_forward, n_backward, position]``; 1 is cut, 0 is whole, between them is mixed.
    neurons
        Dimensions of what is written that cut edges change ``[n_forward, d]``; default all.
    grad
        Whether the run is to be differentiated: then every reader is rewritten, cut or not.
    """

    def __init__(
        self,
        graph: Graph,
        values: Tensor,
        edges: Tensor,
        *,
        neurons: Tensor | None = None,
        grad: bool = False,
    ) -> None:
        masks = edges.to(values.device, values.dtype)
        if masks.ndim == 2:
            masks = masks[None]
        if masks.ndim == 3:
            masks = masks[..., None]
        if masks.shape[1:3] != graph.shape:
            raise ValueError(f"edges must be {graph.shape}, got {tuple(masks.shape[1:3])}")
        self.values = values
        self._neurons = None if neurons is None else neurons.to(values.device, values.dtype)
        self.masks = masks
        self.grad = grad
        self.streams: dict[int, Tensor] = {}
        self._limits = graph.first_unreadable
        self._used = masks.detach().ne(0).any(-1).any(0)
        self._written: list[tuple[int, Tensor]] = []

    def write(self, row: int, written: Tensor) -> None:
        """Note what writers from ``row`` on wrote ``[writer, batch, position, d]``."""
        rows = slice(row, row + len(written))
        difference = self.values[rows] - written
        if self._neurons is not None:
            difference = difference * self._neurons[rows, None, None]
        self._written.append((row, difference))

    def hits(self, column: int) -> bool:
        """Whether anything that this reader reads is changed."""
        return self.grad or bool(self._used[: self._limits[column], column].any())

    def change(self, columns: Sequence[int]) -> Tensor:
        """Return what is added to readers of one limit ``[batch, position, reader, d]``."""
        limit = int(self._limits[columns[0]])
        total: Tensor | None = None
        for row, difference in self._written:
            end = row + len(difference)
            if row >= limit or not (self.grad or self._used[row:end, columns].any()):
                continue
            part = self.masks[:, row:end, columns]
            if part.shape[-1] == 1:
                part, form = part[..., 0], "bwr,wbtd->btrd"
            else:
                form = "bwrt,wbtd->btrd"
            added = torch.einsum(form, part, difference)
            total = added if total is None else total + added
        if total is None:
            _, batch, position, d = self._written[0][1].shape
            return self.values.new_zeros(batch, position, len(columns), d)
        return total
