"""The two passes of path patching: what a sender alone changes in what receivers read, and on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import ModelEngine, Step
from interp_widgets.methods.prompt_pairs import PairGroup
from interp_widgets.methods.short_runs import ShortRun
from interp_widgets.results.graph import Node
from interp_widgets.session.location import Location
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

Reads = dict[str, Tensor]
"""What each receiver read, by its name: ``[row, position, …]``."""


@dataclass(frozen=True)
class Ends:
    """Activations of the clean and the corrupted prompts of a group, by site."""

    clean: Mapping[Site, Tensor]
    corrupted: Mapping[Site, Tensor]


class PathEngine(ModelEngine):
    """Runs a model with heads frozen, and with what some readers read replaced."""

    def ends(self, group: PairGroup) -> Ends:
        """Read what freezing and sending need of both sides."""
        layers = range(self.graph.layers)
        names = ["z", "resid_pre", *(["mlp_out"] if self.graph.mlps else [])]
        sites = [Site(name, i) for name in names for i in layers] + [Site("logits")]
        sides = (PromptBatch(group.clean), PromptBatch(group.corrupted))
        return Ends(*(self.session.capture(side, sites) for side in sides))

    def send(
        self,
        group: PairGroup,
        ends: Ends,
        rows: Sequence[tuple[int, Node]],
        receivers: Sequence[Node],
        *,
        freeze_mlps: bool,
    ) -> tuple[Tensor, Reads]:
        """Run row i with its sender as in the corrupted run and every other head as in the clean.

        Parameters
        ----------
        group, ends
            The pairs and their activations.
        rows
            Of each row the number of its pair and its sender.
        receivers
            Whose reading is recorded; the logits need no record.
        freeze_mlps
            Whether MLPs write what they write in the clean run too; else they are recomputed.

        Returns
        -------
        (Tensor, dict)
            The logits ``[row, vocabulary]``, and what each receiver read.
        """
        pairs = [pair for pair, _ in rows]
        begin = min(node.layer or 0 for _, node in rows)
        steps, after = self._skipped(group, ends, pairs, begin)
        for i in range(begin, self.graph.layers):
            layer = self.wiring.layers[i]
            z = self._written(ends, rows, Site("z", i), "head").flatten(-2)
            steps.append(self._overwrite(Location(layer.attention.output, "input"), z))
            sent = [r for r, (_, node) in enumerate(rows) if (node.kind, node.layer) == ("mlp", i)]
            if layer.mlp_out is not None and (freeze_mlps or sent):
                value = self._written(ends, rows, Site("mlp_out", i), "mlp")
                kept = list(range(len(rows))) if freeze_mlps else sent
                steps.append(self._overwrite(layer.mlp_out, value, kept))
        reads: Reads = {}
        receivers = [node for node in receivers if (node.layer or 0) >= begin]
        steps += self._at_readers(receivers, reads, begin, replace=False)
        return self._finish(group, pairs, steps, after, receivers), reads

    def receive(
        self,
        group: PairGroup,
        ends: Ends,
        pairs: Sequence[int],
        receivers: Sequence[Node],
        reads: Reads,
    ) -> Tensor:
        """Run clean prompts with what receivers read replaced; return logits ``[row, …]``."""
        begin = min(node.layer or 0 for node in receivers)
        steps, after = self._skipped(group, ends, pairs, begin)
        steps += self._at_readers(receivers, reads, begin, replace=True)
        return self._finish(group, pairs, steps, after, receivers)

    # Inside

    def _written(
        self, ends: Ends, rows: Sequence[tuple[int, Node]], site: Site, kind: str
    ) -> Tensor:
        """Return what is written at a site: the clean value, the corrupted of senders there."""
        pairs = [pair for pair, _ in rows]
        value = ends.clean[site][pairs].clone()
        for row, (pair, node) in enumerate(rows):
            if (node.kind, node.layer) == (kind, site.layer):
                part = (slice(None), node.head) if kind == "head" else (slice(None),)
                value[(row, *part)] = ends.corrupted[site][(pair, *part)]
        return value

    def _skipped(
        self, group: PairGroup, ends: Ends, pairs: Sequence[int], layer: int
    ) -> tuple[list[Step], float]:
        """Return the step that leaves out what runs as in the clean run, and when it is over."""
        short = ShortRun.of(self.session, group.clean[0])
        start = self._order_of_block(layer)
        if not short.blocks or layer == 0:
            return [], start
        stream = ends.clean[Site("resid_pre", layer)][list(pairs)]
        return [(-1.0, lambda: short.skip(self.session, layer, stream))], start

    def _order_of_block(self, layer: int) -> float:
        return self.session.anatomy.order(self.wiring.layers[layer].start)

    def _overwrite(self, place: Location, value: Tensor, rows: list[int] | None = None) -> Step:
        def write() -> None:
            if rows is None or len(rows) == len(value):
                self._put(place, value)
                return
            whole = self._at(place).clone()
            whole[rows] = value[rows]
            self._put(place, whole)

        return self._step(place, write)

    def _at_readers(
        self, receivers: Sequence[Node], reads: Reads, begin: int, *, replace: bool
    ) -> list[Step]:
        """Return steps that note in ``reads`` what receivers read, or put it there."""
        steps = []
        heads = [node for node in receivers if node.kind == "head"]
        for i in range(begin, self.graph.layers) if heads else ():
            attention = self.wiring.layers[i].attention
            for j in range(len(attention.projections)):
                slots = attention.slots(j)
                here = [node for node in heads if node.layer == i and node.slot in slots]
                if here or attention.group > 1:
                    steps.append(self._at_projection(i, j, here, reads, replace=replace))
        for node in receivers:
            reading = self.wiring.layers[node.layer or 0].mlp
            if node.kind == "mlp" and reading is not None:
                steps.append(self._at_reading(reading.place, node, reads, replace=replace))
        return steps

    def _at_projection(
        self, i: int, j: int, nodes: Sequence[Node], reads: Reads, *, replace: bool
    ) -> Step:
        """Note or put q, k and v of some heads; each query head has its own key and value."""
        attention = self.wiring.layers[i].attention
        place = Location(attention.projections[j], "output")

        def work() -> None:
            parts = attention.split(j, attention.widen(j, self._at(place)))
            parts = {slot: part.clone() for slot, part in parts.items()}
            for node in nodes:
                if replace:
                    parts[str(node.slot)][:, :, node.head] = reads[node.name]
                else:
                    reads[node.name] = parts[str(node.slot)][:, :, node.head].clone()
            if replace or attention.group > 1:
                self._put(place, attention.join(parts))

        return self._step(place, work)

    def _at_reading(self, place: Location, node: Node, reads: Reads, *, replace: bool) -> Step:
        def work() -> None:
            if replace:
                self._put(place, reads[node.name])
            else:
                reads[node.name] = self._at(place).clone()

        return self._step(place, work)

    def _finish(
        self,
        group: PairGroup,
        pairs: Sequence[int],
        steps: list[Step],
        after: float,
        receivers: Sequence[Node],
    ) -> Tensor:
        short = ShortRun.of(self.session, group.clean[0])
        after = max([after, *(order for order, _ in steps)])
        steps.append((self.session.anatomy.end, lambda: short.end(self.session, after)))
        batch = PromptBatch(tuple(group.clean[pair] for pair in pairs))
        wide = any(node.kind == "head" for node in receivers)
        with torch.no_grad():
            return self._run(batch, steps, wide=wide)
