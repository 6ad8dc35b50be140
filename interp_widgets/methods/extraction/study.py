"""Running a model with heads and MLPs at their mean or zero: the divergence that this makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import nnsight
import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.short_runs import ShortRun
from interp_widgets.results.task_circuit import node_parts
from interp_widgets.session.forward import is_out_of_memory
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

AblationName = Literal["mean", "zero"]
Success = Literal["top", "over_foil"]
Prompts = Prompt | PromptBatch | Sequence[Prompt]
Means = dict[str, Tensor]

MOST_ROWS, TOKENS = 256, 8192
"""Prompts, and tokens of all of them, in a forward pass."""


@dataclass(frozen=True)
class Reading:
    """What is left of the behaviour.

    Attributes
    ----------
    kl
        KL divergence of each prompt's next-token distribution from the whole model's, in nats
        ``[prompt]``.
    hits
        Whether each prompt is answered rightly ``[prompt]``.
    """

    kl: np.ndarray
    hits: np.ndarray

    @property
    def divergence(self) -> float:
        """Mean KL divergence in nats."""
        return float(self.kl.mean())

    @property
    def accuracy(self) -> float:
        """Share of prompts answered rightly."""
        return float(self.hits.mean())


def nodes_of(session: Session, *, mlps: bool) -> list[list[str]]:
    """Return the names of the heads of each layer, and of its MLP where MLPs are asked for."""
    anatomy = session.anatomy
    if not anatomy.layers_of("z"):
        raise CircuitError(f"{type(anatomy.root).__name__} has no heads that can be taken away")
    found = []
    for layer in range(anatomy.n_layers):
        heads = anatomy.locate("z", layer).heads or 0 if layer in anatomy.layers_of("z") else 0
        names = [f"a{layer}.h{head}" for head in range(heads)]
        has_mlp = mlps and layer in anatomy.layers_of("mlp_out")
        found.append([*names, *([f"m{layer}"] if has_mlp else [])])
    return found


def prompt_list(prompts: Prompts) -> list[Prompt]:
    """Return prompts as a list."""
    return [prompts] if isinstance(prompts, Prompt) else list(prompts)


def mean_activations(session: Session, prompts: Sequence[Prompt]) -> Means:
    """Return ``z`` and ``mlp_out`` of every layer, mean over prompts at each position.

    Returns
    -------
    dict
        ``"z.3"`` ``[position, head, d_head]`` and ``"mlp_out.3"`` ``[position, d_model]``, float32.
    """
    anatomy = session.anatomy
    sites = [Site(name, i) for name in ("z", "mlp_out") for i in anatomy.layers_of(name)]
    sums: dict[str, Tensor] = {}
    rows = max(1, min(64, TOKENS // (4 * len(prompts[0]))))
    for start in range(0, len(prompts), rows):
        session.progress(start, len(prompts))
        batch = PromptBatch(tuple(prompts[start : start + rows]))
        found = session.run_with(batch, session.interventions.active, sites)
        for site in sites:
            part = found[site].double().sum(0)
            sums[str(site)] = sums.get(str(site), torch.zeros_like(part)) + part
    return {name: (value / len(prompts)).float() for name, value in sums.items()}


@dataclass
class Study:
    """Prompts of one template on a session's model, and what its parts write on average.

    Parameters
    ----------
    session
        Its interventions apply.
    prompts
        What is measured: prompts of one length.
    means
        What a part that is taken away leaves behind; empty for nothing.
    success
        ``"top"``: the top token is the answer (without answers: the whole model's own top token);
        ``"over_foil"``: the answer has a larger logit than the foil.
    answers
        Tokens that count as right, for each prompt; None takes each prompt's answer.
    """

    session: Session
    prompts: list[Prompt]
    means: Means
    success: Success = "top"
    answers: Sequence[Sequence[int]] | None = None
    runs: int = 0
    _batches: list[PromptBatch] = field(default_factory=list)
    _known: dict[frozenset[str], Reading] = field(default_factory=dict)
    _stream: tuple[int, list[Tensor]] | None = None

    def __post_init__(self) -> None:
        rows = max(1, min(MOST_ROWS, TOKENS // self.length))
        self._cut(rows)
        self.baseline = torch.cat(self._runs(()))
        if not bool(torch.isfinite(self.baseline).all()):
            raise CircuitError("the model's logits are not finite on these prompts")
        self._log = self.baseline.float().log_softmax(-1)
        self._right = self._wanted()
        self._known[frozenset()] = self._read(self.baseline)

    @classmethod
    def of(
        cls,
        session: Session,
        prompts: Prompts,
        reference: Prompts | None,
        ablation: AblationName,
        success: Success = "top",
        answers: Sequence[Sequence[str | int]] | None = None,
    ) -> Study:
        """Check the prompts and take the means.

        Without ``reference`` every second prompt is taken for the means and the others are
        measured.

        Raises
        ------
        CircuitError
            When prompts differ in length, or there is no answer (or foil) to count by.
        """
        ours = prompt_list(prompts)
        ids = None
        if answers is not None:
            if len(answers) != len(ours):
                raise CircuitError(f"{len(answers)} sets of answers for {len(ours)} prompts")
            ids = [[session.token_id(token) for token in some] for some in answers]
        theirs: list[Prompt] = []
        if reference is not None:
            theirs = prompt_list(reference)
        elif ablation == "mean":
            if len(ours) < 2:
                raise CircuitError(
                    "one prompt has no mean of its own: give more prompts, reference=[…] of the "
                    'same template, or ablation="zero"'
                )
            ours, theirs = ours[::2], ours[1::2]
            ids = ids[::2] if ids is not None else None
        lengths = sorted({len(prompt) for prompt in [*ours, *theirs]})
        if not ours or len(lengths) > 1:
            raise CircuitError(
                f"the prompts have {', '.join(map(str, lengths)) or 'no'} tokens. Means are taken "
                "position by position, so all have to be of one template and one length"
            )
        _check_answers(ours, success, ids)
        means = mean_activations(session, theirs) if ablation == "mean" else {}
        return cls(session, ours, means, success, ids)

    @property
    def length(self) -> int:
        """Tokens of every prompt."""
        return len(self.prompts[0])

    def measure(self, removed: Iterable[str]) -> Reading:
        """Return what is left with these nodes at their mean, or zero; known ones are not run."""
        key = frozenset(removed)
        if key not in self._known:
            self._known[key] = self._read(torch.cat(self._runs(tuple(sorted(key)))))
        return self._known[key]

    def logits(self, removed: Iterable[str]) -> Tensor:
        """Return the last position's logits without these nodes ``[prompt, vocabulary]``."""
        return torch.cat(self._runs(tuple(sorted(set(removed)))))

    # Inside

    def _cut(self, rows: int) -> None:
        rows = max(1, rows)
        self._stream = None
        self._batches = [
            PromptBatch(tuple(self.prompts[i : i + rows]))
            for i in range(0, len(self.prompts), rows)
        ]

    def _runs(self, removed: tuple[str, ...]) -> list[Tensor]:
        while True:
            try:
                return [self._logits(i, removed) for i in range(len(self._batches))]
            except Exception as error:
                if len(self._batches[0]) == 1 or not is_out_of_memory(error):
                    raise
                self.session.cache.clear()
                self._cut(len(self._batches[0]) // 2)

    def _logits(self, index: int, removed: tuple[str, ...]) -> Tensor:
        """Run one batch, from the first layer that changes, and return the last logits."""
        session, anatomy = self.session, self.session.anatomy
        batch, steps = self._batches[index], self._steps(removed)
        begin = min((node_parts(name)[0] for name in removed), default=0)
        short = ShortRun.of(session, self.prompts[0])
        stream = self._streams(begin)[index] if short.blocks and begin else None
        end = anatomy.locate("logits")
        after = max((order for order, _ in steps), default=0.0)
        self.runs += 1
        with torch.no_grad(), session.trace(batch):
            if stream is not None:
                short.skip(session, begin, stream)
            for _, step in steps:
                step()
            short.end(session, after)
            logits = nnsight.save(end.read(session.model)[:, -1].float())
        return logits  # noqa: RET504 - nnsight hands out what a trace assigns and saves

    def _streams(self, layer: int) -> list[Tensor]:
        """Return the residual stream before a layer of the whole model, batch by batch."""
        if self._stream is None or self._stream[0] != layer:
            site = Site("resid_pre", layer)
            active = self.session.interventions.active
            found = [self.session.run_with(b, active, [site])[site] for b in self._batches]
            self._stream = (layer, found)
        return self._stream[1]

    def _steps(self, removed: tuple[str, ...]) -> list[tuple[float, Callable[[], None]]]:
        """Return what to do in a trace, in the order in which places are reached."""
        anatomy = self.session.anatomy
        heads: dict[int, list[int]] = {}
        steps = []
        for name in removed:
            layer, head = node_parts(name)
            if head is None:
                place = anatomy.locate("mlp_out", layer)
                steps.append((anatomy.order(place), self._constant(place, layer)))
            else:
                heads.setdefault(layer, []).append(head)
        for layer, some in heads.items():
            place = anatomy.locate("z", layer)
            steps.append((anatomy.order(place), self._headless(place, layer, some)))
        return sorted(steps, key=lambda step: step[0])

    def _constant(self, place: Any, layer: int) -> Callable[[], None]:
        mean = self.means.get(f"mlp_out.{layer}")

        def write() -> None:
            old = place.read(self.session.model)
            new = torch.zeros_like(old) if mean is None else mean.to(old).expand_as(old)
            place.write(self.session.model, new)

        return write

    def _headless(self, place: Any, layer: int, heads: list[int]) -> Callable[[], None]:
        mean = self.means.get(f"z.{layer}")

        def write() -> None:
            z = place.to_heads(place.read(self.session.model)).clone()
            z[:, :, heads] = 0 if mean is None else mean[:, heads].to(z)
            place.write(self.session.model, place.from_heads(z))

        return write

    def _wanted(self) -> Tensor:
        """Return which tokens are right for each prompt, bool ``[prompt, vocabulary]``."""
        right = torch.zeros_like(self.baseline, dtype=torch.bool)
        if self.answers is None and any(p.answer is None for p in self.prompts):
            return right.scatter_(1, self.baseline.argmax(-1, keepdim=True), True)
        sets = self.answers or [[int(p.answer or 0)] for p in self.prompts]
        for row, some in enumerate(sets):
            right[row, list(some)] = True
        return right

    def _read(self, logits: Tensor) -> Reading:
        log = logits.float().log_softmax(-1)
        kl = torch.nn.functional.kl_div(log, self._log, reduction="none", log_target=True).sum(-1)
        if self.success == "over_foil":
            rows = torch.arange(len(logits), device=logits.device)
            foils = torch.tensor([p.foil for p in self.prompts], device=logits.device)
            best = logits.masked_fill(~self._right, -torch.inf).amax(-1)
            hits = best > logits[rows, foils]
        else:
            hits = self._right.gather(1, logits.argmax(-1, keepdim=True))[:, 0]
        return Reading(kl.double().cpu().numpy(), hits.cpu().numpy())


def _check_answers(
    prompts: Sequence[Prompt], success: Success, answers: Sequence[Sequence[int]] | None
) -> None:
    if success != "over_foil":
        return
    for prompt in prompts:
        if (prompt.answer is None and answers is None) or prompt.foil is None:
            raise CircuitError(
                f'success="over_foil" needs answer and foil, and {prompt!r} has not both: '
                'session.prompt(..., answer=" Mary", foil=" John")'
            )
