"""Splitting a model's logits by their sources: contextual decomposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interp_widgets.methods.cdt.network import network_of
from interp_widgets.methods.cdt.propagate import Runner
from interp_widgets.methods.cdt.rules import Parts
from interp_widgets.methods.cdt.sources import Rule, Source, Target, check, check_positions
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

ROWS = 64
"""Sources in one pass; the authors' number."""

LIMIT = {torch.float64: 1e-4, torch.float32: 1e-3}
"""How far the parts may be from the logits, as a share of the largest; some norms compute in
float32 whatever the model's precision is."""
COARSE = 0.1
"""The same for half precisions."""


@dataclass
class Decomposition:
    """The logits split into what is due to each source, and the rest.

    Attributes
    ----------
    relevant, rest
        ``[source, position, vocabulary]`` (``[source, class]`` for a classifier): β and γ of the
        paper. With one ``position`` asked for, only that is there.
    total
        The model's own logits.
    targets
        The two parts at the heads and MLPs asked for, by (layer, head, slot):
        ``[source, position, d_head]`` (``d_model`` for an MLP).
    """

    sources: list[Source]
    relevant: Tensor
    rest: Tensor
    total: Tensor
    targets: dict[Target, Parts] = field(default_factory=dict)

    def check(self) -> float:
        """Return the largest |relevant + rest − logits|: 0 up to rounding, or a rule is wrong."""
        return float((self.relevant + self.rest - self.total).abs().max())

    def score(self, metric: Callable[[Tensor], Tensor]) -> Tensor:
        """Return each source's share of a metric ``[source]``: of its own part, by of the whole.

        ``metric`` takes ``[row, position, vocabulary]`` to ``[row]`` and has to be linear in the
        logits, as a logit or a logit difference is; :class:`Target` makes one.

        Examples
        --------
        >>> parts.score(lambda logits: logits[:, -1, answer] - logits[:, -1, foil])
        """
        return metric(self.relevant) / metric(self.total[None])


def decompose(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    *,
    attention: Rule = "relative",
    targets: Sequence[Target] = (),
    reference: dict[Site, Tensor] | None = None,
    position: int | None = None,
) -> Decomposition:
    """Split the logits by source (CD-T, arXiv 2407.00886).

    It runs on the session's worker, shows progress, and can be cancelled. That the parts add up to
    the model's own logits is checked every time.

    Parameters
    ----------
    session
        The live session; interventions are not applied.
    prompt
        The input.
    sources
        Heads, MLPs, words, or edges from these; each gets a row of its own.
    attention
        ``"relative"``: the relevant part attends by its own queries and keys, as in the code of the
        ICLR paper; ``"frozen"``: both parts use the pattern of the whole, as in the first version;
        ``"difference"`` (ours): a head is like an activation, what the rest gives by its own
        queries, keys and values is the rest, so that what only moves a pattern is relevant too.
        A head that an edge ends at goes by the last whatever the others do.
        Where the way from projections to queries is not known, only ``"frozen"`` works.
    targets
        Heads to read on the way: (layer, head, ``"q"``, ``"k"``, ``"v"`` or ``"z"``), or MLPs:
        (layer, None, ``"mlp"``). Queries and keys are read as they meet, rotated.
    reference
        Means of ``z`` ``[position, head, d_head]``, ``mlp_out`` ``[position, d_model]`` and, for
        words, ``resid_pre`` by site: a component's deviation from its mean is then the source.
        Default: all it writes. :func:`means` takes them from prompts.
    position
        The only position whose logits are wanted: those of thousands of sources at every position
        need gigabytes. Default: all.

    Raises
    ------
    CircuitError
        When the model is of a form that is not known, a source or target does not exist, or the
        parts do not add up.

    Examples
    --------
    >>> parts = iw.cdt.decompose(session, prompt, [iw.cdt.Source(3, head=2)])
    >>> parts.relevant[0, -1, prompt.answer], parts.check()
    """

    def work() -> Decomposition:
        return split(
            session,
            prompt,
            sources,
            attention=attention,
            targets=targets,
            reference=reference,
            position=position,
            progress=session.progress,
        )

    found: Decomposition = session.run(work, label="Contextual decomposition")
    return found


def split(
    session: Session,
    prompt: Prompt,
    sources: Sequence[Source],
    *,
    attention: Rule = "relative",
    targets: Sequence[Target] = (),
    reference: dict[Site, Tensor] | None = None,
    position: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Decomposition:
    """Do what :func:`decompose` does, where the model is held already.

    ``progress`` is called with (done, total) sources.
    """
    check(session, prompt, sources, targets)
    if position is not None:
        check_positions(prompt, position)
    with torch.no_grad():
        network = network_of(session, prompt)
        names = (
            "resid_pre",
            "q",
            "k",
            "v",
            "z",
            *(("mlp_out",) if session.anatomy.has_mlp else ()),
        )
        sites = [Site(name, i) for i in range(session.anatomy.n_layers) for name in names]
        logits, last = Site("logits"), Site("resid_post", session.anatomy.n_layers - 1)
        acts = session.capture(prompt, [*sites, last, logits], interventions="none")
        total = acts[logits]
        at = (
            None
            if position is None or total.ndim == 1
            else slice(position % len(total), position % len(total) + 1)
        )
        total = total if at is None else total[at]
        runner = Runner(session, network, acts, attention, tuple(targets), reference or {}, at)
        ends: dict[int, Parts] = {}
        seen: dict[Target, dict[int, Parts]] = {t: {} for t in targets}
        for some in _chunks(sources):
            end, read = runner.run([sources[i] for i in some])
            for row, i in enumerate(some):
                ends[i] = Parts(end.relevant[row], end.rest[row])
                for target, parts in read.items():
                    seen[target][i] = Parts(parts.relevant[row], parts.rest[row])
            if progress is not None:
                progress(len(ends), len(sources))

    def stacked(by_source: dict[int, Parts]) -> Parts:
        rows = [by_source[i] for i in range(len(sources))]
        return Parts(torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows]))

    end = stacked(ends)
    found = {target: stacked(rows) for target, rows in seen.items()}
    split_up = Decomposition(list(sources), end.relevant, end.rest, total, found)
    _verify(split_up)
    return split_up


def _verify(parts: Decomposition) -> None:
    """Raise CircuitError where a rule was wrong for this model: the parts miss its logits."""
    largest = float(parts.total.abs().max())
    missing = parts.check() / max(largest, 1e-12)
    if not missing <= LIMIT.get(parts.total.dtype, COARSE):
        raise CircuitError(
            f"the parts differ from the model's logits by {missing:.1e} of the largest: this model "
            "computes something that contextual decomposition does not know, or is not finite here"
        )


def _chunks(sources: Sequence[Source]) -> Iterator[list[int]]:
    """Yield sources of one start together: what comes before them is not run again."""
    group: list[int] = []
    for i in sorted(range(len(sources)), key=lambda i: sources[i].start):
        if group and (sources[i].start != sources[group[0]].start or len(group) == ROWS):
            yield group
            group = []
        group.append(i)
    if group:
        yield group
