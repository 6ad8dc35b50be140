"""Edges of an attribution graph: what each source adds to each target, by backward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.rows import MOST_ROWS, TOKENS
from interp_widgets.session.errors import OutOfMemory
from interp_widgets.session.forward import is_out_of_memory
from interp_widgets.session.loading import device_memory

if TYPE_CHECKING:
    from interp_widgets.methods.attribution_graph.features import Features
    from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel, Reads
    from interp_widgets.methods.attribution_graph.transcoders import Transcoders

Targets = tuple[int | None, Tensor, Tensor, Tensor]
"""Layer (None: the logits), positions, directions ``[target, d_model]`` and constants."""

BETWEEN = 4
"""Batches of features that are traced before the next most influential ones are chosen."""


@dataclass(frozen=True)
class Logits:
    """Outputs to explain: token ids, probabilities, and directions ``[token, d_model]``."""

    ids: list[int]
    probabilities: list[float]
    directions: Tensor
    constants: Tensor


@dataclass(frozen=True, eq=False)
class Edges:
    """Everything that was traced.

    Attributes
    ----------
    matrix
        ``[target, source]``: what the source adds to the target. Targets are the expanded features,
        in the order of ``expanded``, after the logits; sources all active features, then errors
        ``layer × position``, then tokens.
    expanded
        Number of each expanded feature among the active ones.
    values, biases
        ``[target]``: the target's pre-activation (a logit's distance from the mean logit), and what
        of it comes from biases: ``values = matrix.sum(1) + biases``.
    """

    matrix: np.ndarray
    expanded: np.ndarray
    values: np.ndarray
    biases: np.ndarray


class Tracer:
    """Backward passes through the frozen model, a row of a batch each.

    Parameters
    ----------
    model, features, transcoders
        What is traced.
    logits
        The outputs to explain.
    rows
        Targets of one backward pass; default as many as fit, at most 64.
    """

    def __init__(
        self,
        model: FrozenModel,
        features: Features,
        transcoders: Transcoders,
        logits: Logits,
        rows: int | None = None,
    ) -> None:
        self.model = model
        self.features = features
        self.transcoders = transcoders
        self.logits = logits
        self.rows = rows or max(1, min(MOST_ROWS, TOKENS // len(model.prompt)))
        self.layers = range(model.n_layers)
        self.width = len(features) + (model.n_layers + 1) * len(model.prompt)
        self._segments = list(_segments(features))
        self._zero = self._run_biases()
        self._graph: Reads | None = None
        self._leaves: list[Tensor] = []

    def edges(self, most: int, progress: Callable[[int, int], None]) -> Edges:
        """Trace the logits and at most ``most`` features, the most influential first.

        Raises
        ------
        OutOfMemory
            When the matrix of edges does not fit; the message says how many features do.
        """
        n = len(self.logits.ids)
        total = n + min(most, len(self.features))
        matrix = self._room(total)
        values, biases = np.zeros(total), np.zeros(total)
        done = 0
        expanded: list[int] = []

        def trace(targets: list[Targets]) -> None:
            nonlocal done
            stop = done + sum(len(t[1]) for t in targets)
            edges, own, bias = self._trace(targets)
            matrix[done:stop], values[done:stop], biases[done:stop] = edges, own, bias
            done = stop
            progress(done, total)

        for at in range(0, n, self.rows):
            ends = slice(at, min(at + self.rows, n))
            last = torch.full((ends.stop - at,), -1, dtype=torch.long)
            trace([(None, last, self.logits.directions[ends], self.logits.constants[ends])])
        while len(expanded) < total - n:
            room = total - n - len(expanded)
            chosen = self._next(matrix[:done], expanded, min(room, BETWEEN * self.rows))
            for at in range(0, len(chosen), self.rows):
                some = chosen[at : at + self.rows]
                trace(self._targets(some))
                expanded += some.tolist()
        return Edges(matrix, np.array(expanded, int), values, biases)

    # Which features next

    def _next(self, matrix: np.ndarray, expanded: list[int], count: int) -> np.ndarray:
        """Return the most influential features that are not expanded, sorted by layer."""
        n = len(self.logits.ids)
        left = np.setdiff1d(np.arange(len(self.features)), expanded)
        if len(left) > count:
            influence = self.influence(matrix[:n], matrix[n:], np.array(expanded, int))[left]
            left = left[np.argsort(-influence, kind="stable")[:count]]
        layer = self.features.layer.cpu().numpy()[left]
        return left[np.argsort(-layer, kind="stable")]

    def influence(self, logits: np.ndarray, rows: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return each source's influence through what is expanded so far, layers from above."""
        chance = np.array(self.logits.probabilities)
        found = chance @ _shares(logits) / max(chance.sum(), 1e-12)
        layer = self.features.layer.cpu().numpy()[which]
        for i in reversed(self.layers):
            some = layer == i
            if some.any():
                found = found + found[which[some]] @ _shares(rows[some])
        return found

    def _targets(self, which: np.ndarray) -> list[Targets]:
        """Return features, which are sorted by layer, as targets."""
        found: list[Targets] = []
        chosen = torch.as_tensor(which, device=self.features.layer.device)
        for i in self.features.layer[chosen].unique_consecutive().tolist():
            some = chosen[self.features.layer[chosen] == i]
            at = self.features.position[some]
            x = self.model.reads[i][at]
            rows, constants = self.transcoders[i].readers(x, self.features.index[some])
            found.append((i, at, rows.to(x), constants.to(x)))
        return found

    # Backward

    def _trace(self, targets: Sequence[Targets]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return of some targets, at most ``rows``: edges ``[target, source]``, values, biases."""
        graph = self._built()
        outputs, pulls = [], []
        value, bias = [], []
        row = 0
        for layer, at, directions, constants in targets:
            read, zero, out = self._places(graph, layer, at)
            pull = torch.zeros_like(out)
            which = torch.arange(row, row + len(at), device=out.device)
            pull[(which,) if layer is None else (which, at)] = directions
            row += len(at)
            outputs.append(out)
            pulls.append(pull)
            value.append((read * directions).sum(-1) + constants)
            bias.append((zero * directions).sum(-1) + constants)
        found = torch.autograd.grad(
            outputs, self._leaves, pulls, retain_graph=True, allow_unused=True
        )
        edges = self._contract(found, row)
        own, constant = (torch.cat(part).double().cpu().numpy() for part in (value, bias))
        return edges, own, constant

    def _places(self, graph: Reads, layer: int | None, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what targets read ``[target, d_model]``, that of biases alone, and its graph."""
        if layer is None:
            return self.model.final[None], self._zero.final, graph.final
        return self.model.reads[layer][at], self._zero.mlp[layer][0, at], graph.mlp[layer]

    def _contract(self, found: Sequence[Tensor | None], count: int) -> np.ndarray:
        """Multiply the gradient at each source with what the source wrote."""
        start, *mlp = found
        length = len(self.model.prompt)
        dtype = self.model.embeddings.dtype
        edges = torch.zeros(
            (count, self.width),
            dtype=dtype if dtype == torch.float64 else torch.float32,
            device=self.model.embeddings.device,
        )
        for layer, position, span in self._segments:
            pull = mlp[layer]
            if pull is not None:
                links = pull[:count, position] @ self.features.vectors[span].T
                edges.index_add_(1, self.features.writer[span], links.to(edges))
        at = len(self.features)
        for i, pull in enumerate(mlp):
            if pull is not None:
                error = (pull[:count] * self.features.errors[i]).sum(-1)
                edges[:, at + i * length : at + (i + 1) * length] = error.to(edges)
        if start is not None:
            edges[:, -length:] = (start[:count] * self.model.embeddings).sum(-1).to(edges)
        return edges.cpu().numpy()

    def _built(self) -> Reads:
        """Return the frozen model's run whose graph all backward passes go through."""
        while self._graph is None:
            try:
                self._graph = self._build()
            except Exception as error:
                if self.rows == 1 or not is_out_of_memory(error):
                    raise
                self.rows //= 2
        return self._graph

    def _build(self) -> Reads:
        model = self.model
        start = _rows(model.embeddings, self.rows)
        written = [_rows(self._without_skip(i), self.rows) for i in self.layers]
        self._leaves = [start, *written]
        return model.run(start, lambda i, x, _own: self._write(i, x, written[i]), grad=True)

    def _run_biases(self) -> Reads:
        """Run the frozen model with nothing but biases."""
        zero = torch.zeros_like(self.model.embeddings)[None]
        bias = self.features.biases
        return self.model.run(
            zero, lambda i, x, _own: self._write(i, x, bias[i].expand_as(zero)), whole=False
        )

    def _write(self, layer: int, x: Tensor, leaf: Tensor) -> Tensor:
        skip = self._skip(layer)
        return leaf if skip is None else leaf + x @ skip.T

    def _without_skip(self, layer: int) -> Tensor:
        skip, written = self._skip(layer), self.model.written[layer]
        return written if skip is None else written - self.model.reads[layer] @ skip.T

    def _skip(self, layer: int) -> Tensor | None:
        skip = self.transcoders[layer].skip if layer in self.transcoders else None
        return None if skip is None else skip.to(self.model.embeddings)

    def _room(self, total: int) -> np.ndarray:
        dtype = np.float64 if self.model.embeddings.dtype == torch.float64 else np.float32
        need = total * self.width * np.dtype(dtype).itemsize
        free, _ = device_memory(torch.device("cpu"))
        if free is not None and need > free / 2:
            fits = max(1, int(free / 2 / (self.width * np.dtype(dtype).itemsize)))
            raise OutOfMemory(
                f"{total:,} targets of {self.width:,} sources each need {need / 2**30:,.1f} GiB "
                f"and {free / 2**30:,.1f} GiB are free: max_features={fits:,} would fit"
            )
        return np.zeros((total, self.width), dtype)


def _rows(value: Tensor, rows: int) -> Tensor:
    return value.detach().expand(rows, *value.shape).clone().requires_grad_()


def _segments(features: Features) -> Iterator[tuple[int, int, slice]]:
    """Yield (layer, position, slice) of what is written in the same place."""
    if not len(features):
        return
    places = torch.stack([features.onto, features.position[features.writer]], 1)
    unique, counts = places.unique_consecutive(dim=0, return_counts=True)
    at = 0
    for (layer, position), count in zip(unique.tolist(), counts.tolist(), strict=True):
        yield layer, position, slice(at, at + count)
        at += count


def _shares(rows: np.ndarray) -> np.ndarray:
    size = np.abs(rows)
    return size / np.maximum(size.sum(1, keepdims=True), 1e-30)
