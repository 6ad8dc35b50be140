"""Many versions of prompts in a batch: a row each, in chunks that fit the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nnsight
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.short_runs import NOTHING, ShortRun
from interp_widgets.session.capture import frozen
from interp_widgets.session.forward import is_out_of_memory
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

MOST_ROWS = 64
TOKENS = 4096  # tokens of all rows of a forward pass together

Score = Callable[[Tensor], Tensor]


def in_chunks(
    run: Run,
    total: int,
    length: int,
    work: Callable[[range], Tensor],
    steps: tuple[int, int] = (0, 1),
) -> Tensor:
    """Call ``work`` on consecutive ranges of rows and join what it returns, ``[total, …]``.

    Parameters
    ----------
    run
        Whose progress is reported, and which can be cancelled between chunks.
    total
        Number of rows.
    length
        Tokens per row.
    work
        Runs one chunk; when it runs out of memory it is called again with half as many rows.
    steps
        ``(i, n)``: this is part i of n equal parts of the whole work, for the progress bar.
    """
    part, parts = steps
    rows = max(1, min(MOST_ROWS, TOKENS // length))
    done: list[Tensor] = []
    start = 0
    while start < total:
        run.progress(part * total + start, parts * total)
        chunk = range(start, min(start + rows, total))
        try:
            done.append(work(chunk))
        except Exception as error:
            if rows == 1 or not is_out_of_memory(error):
                raise
            rows = max(1, rows // 2)
            run.session.cache.clear()
            continue
        start = chunk.stop
    return torch.cat(done)


def scores_of_inputs(
    session: Session, prompt: Prompt, site: Site, inputs: Tensor, score: Score, *, gradient: bool
) -> tuple[Tensor, Tensor]:
    """Run the model with an early activation replaced, row by row.

    Parameters
    ----------
    session
        Its interventions apply.
    prompt
        What every row starts from.
    site
        What is replaced: ``embed``, or the first ``resid_pre``.
    inputs
        One activation per row, ``[row, position, d_model]``.
    score
        Takes logits ``[row, …]`` and returns ``[row]``.
    gradient
        Whether to return d score / d input too.

    Returns
    -------
    (Tensor, Tensor)
        Scores ``[row]`` and gradients like ``inputs`` (empty without ``gradient``).
    """
    model, anatomy = session.model, session.anatomy
    place, end = anatomy.locate(site), anatomy.locate("logits")
    start = inputs.detach().clone().requires_grad_(gradient)
    rows = prompt.repeat(len(inputs))
    with torch.set_grad_enabled(gradient), frozen(anatomy.root), session.trace(rows):
        place.read(model)
        place.write(model, start)
        scores = score(end.read(model))
        grads = torch.autograd.grad(scores.sum(), start)[0] if gradient else torch.empty(0)
        kept = nnsight.save((scores.detach(), grads.detach()))
    return kept  # noqa: RET504 - nnsight hands out what a trace assigns and saves


def replace_cells(
    session: Session,
    prompts: Sequence[Prompt],
    rows: Sequence[tuple[int, Cell]],
    source: Mapping[Site, Tensor],
    score: Score,
    short: ShortRun = NOTHING,
    stream: Tensor | None = None,
) -> Tensor:
    """Run row i with one cell of ``source`` put in place, and return the scores ``[row]``.

    Parameters
    ----------
    session
        Its interventions apply.
    prompts
        What rows start from, of one length.
    rows
        Of each row the number of its prompt and the cell; all cells are in one layer where
        ``stream`` is given.
    source
        What is put in place, ``[prompt, …]`` as ``session.capture`` gives it for a batch.
    score
        Takes logits ``[row, position, vocabulary]`` and returns ``[row]``.
    short
        What may be left out; then the logits are those of the last position only.
    stream
        The residual stream before the cells' layer ``[prompt, position, d_model]``, for ``short``.
    """
    model, anatomy = session.model, session.anatomy
    end = anatomy.locate("logits")
    by_site: dict[Site, list[tuple[int, int, Cell]]] = {}
    for row, (prompt, cell) in enumerate(rows):
        by_site.setdefault(cell.site, []).append((row, prompt, cell))
    order = sorted(by_site, key=lambda site: anatomy.order(anatomy.locate(site)))
    batch = PromptBatch(tuple(prompts[i] for i, _ in rows))
    start = None if stream is None else stream[[i for i, _ in rows]]
    with torch.no_grad(), session.trace(batch):
        if start is not None:
            short.skip(session, rows[0][1].site.layer or 0, start)
        for site in order:
            place = anatomy.locate(site)
            value = place.to_heads(place.read(model)).clone()
            for row, prompt, cell in by_site[site]:
                value[(row, *cell.index)] = source[site][(prompt, *cell.index)].to(value)
            place.write(model, place.from_heads(value))
        short.end(session, anatomy.order(place))
        scores = nnsight.save(score(end.read(model)))
    return scores  # noqa: RET504 - nnsight hands out what a trace assigns and saves


@dataclass(frozen=True)
class Cell:
    """One part of an activation: the site with its layer, a position, a head, a unit of an MLP.

    None is all. For ``pattern`` the position is the query's.
    """

    site: Site
    position: int | None = None
    head: int | None = None
    unit: int | None = None

    @property
    def index(self) -> tuple[int | slice, ...]:
        """Index into the site's tensor of one prompt."""
        at = {
            "position": self.position,
            "query": self.position,
            "head": self.head,
            "kv_head": self.head,
            "d_mlp": self.unit,
        }
        return tuple(
            slice(None) if at.get(dim) is None else at[dim]  # type: ignore[misc]
            for dim in self.site.dims
        )
