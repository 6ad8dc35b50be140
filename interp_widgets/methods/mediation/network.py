"""Runs of a model with mediators overwritten: many mediators and pairs side by side in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.mediation.alignment import AlignedGroup
from interp_widgets.methods.mediation.features import Feature
from interp_widgets.methods.mediation.mediators import Mediator
from interp_widgets.methods.rows import in_chunks
from interp_widgets.methods.short_runs import NOTHING, ShortRun
from interp_widgets.session.capture import frozen
from interp_widgets.session.location import Location
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site, SiteError

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Step = tuple[float, Callable[[], None]]
Index = list[list[int]]


@dataclass(frozen=True)
class Change:
    """What is put in a mediator's place, for each pair of a group ``[pair, position, m]``.

    Parameters
    ----------
    values
        The new values, or with ``add`` what is added to its own.
    """

    values: Tensor
    add: bool = False

    def apply(
        self, part: Mediator, h: Tensor, seen: Tensor, pairs: Sequence[int], strength: float
    ) -> Tensor:
        """Return activations ``[row, position, d]`` with the mediator changed.

        ``seen`` is the activation at the site where the mediator is read.
        """
        new = self.values[list(pairs)].to(h.device)
        if isinstance(part, Feature) and seen is not h:
            own = part.encode(seen)
            return part.shift(h, strength * (new if self.add else new.to(own) - own))
        if self.add:
            return part.decode(h, part.encode(h) + strength * new.to(h))
        return part.move(h, new, strength)


Changes = Callable[[Mediator, int], Change]
"""From a part and the number of a group to what is put in its place."""


class Network:
    """A session's model, and the pairs that it is run on; the session's interventions apply."""

    def __init__(self, run: Run, groups: Sequence[AlignedGroup]) -> None:
        self.run, self.session, self.groups = run, run.session, list(groups)
        self._held: dict[tuple[int, Site], Tensor] = {}

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(len(group.at) for group in self.groups)

    def ends(self) -> Tensor:
        """Return the metric of clean and of counterfactual prompts ``[2, pair]``; NaN without."""
        found = torch.full((2, self.pairs), torch.nan, dtype=torch.float64)
        for group in self.groups:
            for side in (0, 1):
                if group.side(side):
                    scores = group.score(self.logits(group.side(side), []))
                    found[side, list(group.at)] = scores.double().cpu()
        return found

    def patched(
        self,
        side: int,
        mediators: Sequence[Mediator],
        changes: Changes,
        *,
        strength: float = 1.0,
        first: bool = False,
        steps: tuple[int, int] = (0, 1),
    ) -> Tensor:
        """Run every pair with every mediator changed; return the metric ``[mediator, pair]``.

        Parameters
        ----------
        side
            Whether the clean (0) or the counterfactual prompts (1) are run.
        mediators
            One is changed in each run.
        changes
            What is put in place.
        strength
            Share of the way from the own value to the new one.
        first
            Only the first pair of each group; the others are NaN.
        steps
            Part of the whole work, for the progress bar.
        """
        found = torch.full((len(mediators), self.pairs), torch.nan, dtype=torch.float64)
        order = sorted(range(len(mediators)), key=lambda i: begin_of(mediators[i]))
        part, parts = steps
        for g, group in enumerate(self.groups):
            pairs = range(1) if first else range(len(group.at))
            rows = [(m, pair) for m in order for pair in pairs]

            def work(
                chunk: range,
                g: int = g,
                rows: list[tuple[int, int]] = rows,
            ) -> Tensor:
                some = rows[chunk.start : chunk.stop]
                return self._chunk(g, side, mediators, some, changes, strength).double().cpu()

            longest = max(len(p) for p in group.side(side))
            at = (part * len(self.groups) + g, parts * len(self.groups))
            scores = in_chunks(self.run, len(rows), longest, work, at)
            of_mediator, of_pair = zip(*rows, strict=True)
            found[list(of_mediator), [group.at[i] for i in of_pair]] = scores
        return found

    def _chunk(
        self,
        g: int,
        side: int,
        mediators: Sequence[Mediator],
        rows: Sequence[tuple[int, int]],
        changes: Changes,
        strength: float,
    ) -> Tensor:
        group = self.groups[g]
        pairs = [pair for _, pair in rows]
        prompts = [group.side(side)[pair] for pair in pairs]
        writes: list[Write] = []
        for start, stop, m in _segments([m for m, _ in rows]):
            own = pairs[start:stop]
            for part in mediators[m].parts:
                index = group.positions(side, part.position)
                writes.append(
                    Write(
                        part,
                        start,
                        stop,
                        [index[pair] for pair in own],
                        lambda h, seen, part=part, own=own: changes(part, g).apply(  # type: ignore[misc]
                            part, h, seen, own, strength
                        ),
                    )
                )
        begin = min(begin_of(mediators[m]) for m, _ in rows)
        logits = self.logits(prompts, writes, self.start(g, side, begin, pairs))
        return group.score(logits, pairs)

    def capture(self, prompts: tuple[Prompt, ...], sites: Iterable[Site]) -> dict[Site, Tensor]:
        """Read sites of a group's side ``[prompt, position, …, d]``; heads after positions.

        They are held while the network is, so that nothing is run twice.
        """
        wanted = list(dict.fromkeys(sites))
        missing = [site for site in wanted if (id(prompts), site) not in self._held]
        if missing:
            found = self.session.capture(PromptBatch(prompts), missing)
            self._held |= {(id(prompts), s): axes_of(found[s], s) for s in missing}
        return {site: self._held[id(prompts), site] for site in wanted}

    def start(
        self, g: int, side: int, begin: int, pairs: Sequence[int]
    ) -> tuple[int, Tensor] | None:
        """Return the block that runs may start with and what it reads; None: the whole model."""
        prompts = self.groups[g].side(side)
        if begin == 0 or not ShortRun.of(self.session, prompts[0]).blocks:
            return None
        site = Site("resid_pre", begin)
        return begin, self.capture(prompts, [site])[site][list(pairs)]

    def logits(
        self,
        prompts: Sequence[Prompt],
        writes: Sequence[Write],
        start: tuple[int, Tensor] | None = None,
        *,
        grad: bool = False,
    ) -> Tensor:
        """Run prompts with activations written; return logits ``[row, position, vocabulary]``.

        ``start`` is the first block that is run and what it reads. Where the model allows, the end
        is run for the last position only.
        """
        session = self.session
        short = ShortRun.of(session, prompts[0]) if writes else NOTHING
        ordered, places = self._steps(writes)
        after = max((session.anatomy.order(place) for place in places), default=0.0)
        ends: list[Tensor] = []
        end = self.end
        batch = PromptBatch(tuple(prompts))
        mode = torch.enable_grad() if grad else torch.no_grad()
        kept = frozen(session.anatomy.root) if grad else nullcontext()
        with session.worker.locked(), mode, kept, session.trace(batch):
            if start is not None:
                short.skip(session, *start)
            for step in ordered:
                step()
            short.end(session, after)
            ends.append(tensor_of(end.read(session.model)))
        return ends[0]

    def _steps(self, writes: Sequence[Write]) -> tuple[list[Callable[[], None]], list[Location]]:
        """Return what is done in a trace, in the model's order, and where."""
        anatomy = self.session.anatomy
        by_site: dict[Site, list[Write]] = {}
        reads: dict[Site, None] = {}
        for write in writes:
            by_site.setdefault(write.part.where, []).append(write)
            if write.part.reads_at != write.part.where:
                reads[write.part.reads_at] = None
        seen: dict[Site, Tensor] = {}
        steps: list[Step] = []
        places = []
        for site in reads:
            place = anatomy.locate(site)
            steps.append((anatomy.order(place), self._reading(site, place, seen)))
            places.append(place)
        for site, own in by_site.items():
            place = anatomy.locate(site)
            steps.append((anatomy.order(place), self._writing(site, place, own, seen)))
            places.append(place)
        ordered = sorted(range(len(steps)), key=lambda i: steps[i][0])
        return [steps[i][1] for i in ordered], places

    def _reading(self, site: Site, place: Location, seen: dict[Site, Tensor]) -> Callable[[], None]:
        def read() -> None:
            value = place.to_heads(tensor_of(place.read(self.session.model)))
            seen[site] = axes_of(value, site)

        return read

    def _writing(
        self, site: Site, place: Location, writes: Sequence[Write], seen: dict[Site, Tensor]
    ) -> Callable[[], None]:
        model = self.session.model

        def write() -> None:
            raw = place.read(model)
            whole = tensor_of(raw).clone()
            view = axes_of(place.to_heads(whole), site)
            for one in writes:
                rows = slice(one.start, one.stop)
                h = take(view[rows], one.part, one.index)
                other = one.part.reads_at
                read = h if other == site else take(seen[other][rows], one.part, one.index)
                put(view[rows], one.part, one.index, one.new(h, read))
            place.write(model, restored(raw, whole))

        return write

    @property
    def end(self) -> Location:
        """Return where the predictions are; of a plain module, its output."""
        try:
            return self.session.anatomy.locate("logits")
        except SiteError:
            return Location("", "output")


@dataclass(frozen=True)
class Write:
    """One part written in some rows of a batch.

    Parameters
    ----------
    part
        A mediator that is at one site.
    start, stop
        The rows.
    index
        Positions of each of these rows.
    new
        From the activations there ``[row, position, d]``, and those where the mediator is read, to
        the new activations.
    """

    part: Mediator
    start: int
    stop: int
    index: Index
    new: Callable[[Tensor, Tensor], Tensor]


def take(view: Tensor, part: Mediator, index: Index) -> Tensor:
    """Read ``[row, position, d]`` at a mediator's positions and head."""
    rows, at = _where(view, index)
    found = view[rows, at]
    if found.ndim == 3:
        return found
    return found.flatten(2) if part.head is None else found[:, :, part.head]


def put(view: Tensor, part: Mediator, index: Index, value: Tensor) -> None:
    """Write ``[row, position, d]`` there, in place."""
    rows, at = _where(view, index)
    value = value.to(view)
    if view.ndim == 3:
        view[rows, at] = value
    elif part.head is None:
        view[rows, at] = value.unflatten(2, view.shape[2:])
    else:
        view[rows, at, part.head] = value


def _where(view: Tensor, index: Index) -> tuple[Tensor, Tensor]:
    """Return row and position indices; of what has no positions, the one entry there is."""
    at = torch.tensor(index, device=view.device)
    if view.shape[1] == 1:
        at = torch.zeros_like(at[:, :1])
    return torch.arange(len(index), device=view.device)[:, None], at


def axes_of(tensor: Tensor, site: Site) -> Tensor:
    """View a site's tensor with positions second."""
    if site.dims[:1] in (("head",), ("kv_head",)):
        return tensor.transpose(1, 2)
    if not site.dims and tensor.ndim == 2:
        return tensor[:, None]
    if tensor.ndim not in (3, 4) or (not site.dims and tensor.ndim == 4):
        raise SiteError(
            f"{site} has {tensor.ndim} dimensions {tuple(tensor.shape)}, not a vector per input or "
            "position; take a module after pooling"
        )
    return tensor


def tensor_of(raw: Any) -> Tensor:
    """Return the tensor of what a place holds, which may be a tuple."""
    found: Tensor = raw[0] if isinstance(raw, tuple) else raw
    return found


def restored(raw: Any, whole: Tensor) -> Any:
    """Undo :func:`tensor_of` with another tensor."""
    return (whole, *raw[1:]) if isinstance(raw, tuple) else whole


def begin_of(mediator: Mediator) -> int:
    """Return the first block that a mediator is in."""
    return min(min(part.where.layer or 0, part.reads_at.layer or 0) for part in mediator.parts)


def _segments(numbers: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (start, stop, number) of runs of equal numbers."""
    found = []
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[start]:
            found.append((start, i, numbers[start]))
            start = i
    return found


def embedding_scale(session: Session, prompts: Sequence[Prompt]) -> float:
    """Return the standard deviation of token embeddings as the model scales them."""
    from interp_widgets.methods.causal_trace import embedding_deviation

    embedded = session.capture(prompts[0], "embed")[Site("embed")]
    return embedding_deviation(session, prompts[0], embedded)
