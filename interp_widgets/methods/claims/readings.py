"""What a model does on inputs: right or wrong, by how much, how sure; with parts of it changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import nnsight
import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs, digest
from interp_widgets.session.forward import is_out_of_memory
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.claims.mechanism import Mechanism
    from interp_widgets.session.session import Session

MetricName = Literal["accuracy", "logit_difference", "probability", "log_probability"]
METRICS: dict[MetricName, str] = {
    "accuracy": "accuracy",
    "logit_difference": "logit difference (logits)",
    "probability": "probability of the answer",
    "log_probability": "log probability of the answer (nats)",
}
TOKENS = 4096
"""Tokens of all rows of a forward pass together."""
MOST_ROWS = 256
STEP = 0.1
"""Part of an ablation whose effect, carried on in a line, is what the whole one is expected to
do."""

Change = tuple[Site, Callable[[Tensor], Tensor]]
"""A site and what becomes of its value ``[batch, …]``."""


@dataclass(frozen=True)
class Readings:
    """What was read of one run over inputs.

    Parameters
    ----------
    margin
        Logit of the answer minus that of the foil, or of the best other token ``[input]``.
    decided
        The same for what the unchanged model decides, whether right or wrong ``[input]``.
    confidence
        Probability of that decision: among answer and foil, or among all tokens ``[input]``.
    probability
        Probability of the answer among all tokens ``[input]``.
    choice
        Token that the run decides for ``[input]``.
    """

    margin: np.ndarray
    decided: np.ndarray
    confidence: np.ndarray
    probability: np.ndarray
    choice: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether the answer wins ``[input]``."""
        return np.asarray(self.margin > 0)

    def metric(self, name: MetricName) -> np.ndarray:
        """Return a metric of each input."""
        if name == "accuracy":
            return self.correct.astype(float)
        if name == "logit_difference":
            return self.margin
        return self.probability if name == "probability" else np.log(self.probability)


@dataclass
class Runner:
    """Runs a model on inputs, changed or not, and notes each run in an audit log.

    Parameters
    ----------
    session
        Whose model runs.
    seen
        Inputs that means and resampled values are taken from.
    progress
        Called before every forward pass; may raise to stop.
    """

    session: Session
    seen: Inputs
    progress: Callable[[], None] = lambda: None
    log: list[dict[str, Any]] = field(default_factory=list)
    _means: dict[Site, Tensor] = field(default_factory=dict)

    def plain(self, inputs: Inputs) -> Readings:
        """Read the unchanged model."""
        return self._read(inputs, None, 1.0, None, "unchanged", 0)

    def changed(
        self,
        inputs: Inputs,
        mechanism: Mechanism,
        choice: np.ndarray | None = None,
        *,
        how: str = "ablate",
        strength: float = 1.0,
        seed: int = 0,
    ) -> Readings:
        """Read the model with a mechanism changed.

        Parameters
        ----------
        inputs
            What to run on.
        mechanism
            What is changed.
        choice
            Decisions of the unchanged model, for ``decided``.
        how
            ``"ablate"``, ``"resample"`` (its state on another input), ``"keep"`` (all but it is
            ablated) or ``"flip"``.
        strength
            Share of the change, 0 to 1.
        """
        return self._read(inputs, mechanism, strength, choice, how, seed)

    def mean(self, site: Site) -> Tensor:
        """Return the mean of a site over the seen inputs and their positions ``[…]``."""
        if site not in self._means:
            total, count = None, 0
            for batch in self.batches(self.seen.take(range(min(len(self.seen), 128)))):
                value = self.session.capture(
                    PromptBatch(batch.prompts), [site], interventions="none"
                )
                part = value[site].float()
                dim = site.dims.index("position") + 1
                part = part.movedim(dim, 1).flatten(0, 1)
                total = part.sum(0) if total is None else total + part.sum(0)
                count += len(part)
            assert total is not None
            self._means[site] = total / count
        return self._means[site]

    def partner(self, inputs: Inputs, seed: int) -> list[int]:
        """Draw for each input another seen one of its length; -1 where there is none."""
        rng = np.random.default_rng([seed, 7919])
        by_length: dict[int, list[int]] = {}
        for i, prompt in enumerate(self.seen):
            by_length.setdefault(len(prompt), []).append(i)
        found = []
        for prompt in inputs:
            same = by_length.get(len(prompt), [])
            found.append(int(rng.choice(same)) if same else -1)
        return found

    def edited(self, batch: PromptBatch, changes: Sequence[Change]) -> Tensor:
        """Return logits ``[batch, vocabulary]`` of the last position with sites changed."""
        session, anatomy = self.session, self.session.anatomy
        end = anatomy.locate("logits")
        ordered = sorted(changes, key=lambda change: anatomy.order(anatomy.locate(change[0])))
        with torch.no_grad(), session.worker.locked(), session.trace(batch):
            for site, change in ordered:
                place = anatomy.locate(site)
                value = place.to_heads(place.read(session.model)).clone()
                place.write(session.model, place.from_heads(change(value)))
            logits = nnsight.save(_last(end.read(session.model)))
        return logits  # noqa: RET504 - nnsight hands out what a trace assigns and saves

    def divergence(self, inputs: Inputs, mechanism: Mechanism, seed: int = 0) -> np.ndarray:
        """Return the KL divergence of the changed from the unchanged next token ``[input]``."""
        found = []
        for one in self.batches(inputs):
            self.progress()
            before, after = (
                x.float().log_softmax(-1)
                for x in (
                    self.edited(PromptBatch(one.prompts), ()),
                    mechanism.logits(self, one, "ablate", 1.0, seed),
                )
            )
            kl = (before.exp() * (before - after)).sum(-1)
            found.append(kl.double().cpu().numpy())
        return np.concatenate(found)

    def _read(
        self,
        inputs: Inputs,
        mechanism: Mechanism | None,
        strength: float,
        choice: np.ndarray | None,
        how: str,
        seed: int,
    ) -> Readings:
        logits: list[Tensor | None] = [None] * len(inputs)
        groups: dict[int, list[int]] = {}
        for i, prompt in enumerate(inputs):
            groups.setdefault(len(prompt), []).append(i)
        for length, rows in sorted(groups.items()):
            size = max(1, min(MOST_ROWS, TOKENS // length))
            start = 0
            while start < len(rows):
                some = rows[start : start + size]
                self.progress()
                part = inputs.take(some)
                try:
                    own = self._logits(part, mechanism, how, strength, seed + start)
                except Exception as error:
                    if size == 1 or not is_out_of_memory(error):
                        raise
                    size = max(1, size // 2)
                    self.session.cache.clear()
                    continue
                for i, row in zip(some, own.float().cpu(), strict=True):
                    logits[i] = row
                start += len(some)
        done = {"what": how, "inputs": inputs.digest[:12], "n": len(inputs), "seed": seed}
        if mechanism is not None:
            done |= {"mechanism": digest(mechanism.to_json())[:12], "strength": strength}
        self.log.append(done)
        return read(torch.stack([x for x in logits if x is not None]), inputs, choice)

    def _logits(
        self, inputs: Inputs, mechanism: Mechanism | None, how: str, strength: float, seed: int
    ) -> Tensor:
        if mechanism is not None:
            return mechanism.logits(self, inputs, how, strength, seed)
        return self.edited(PromptBatch(inputs.prompts), ())

    def batches(self, inputs: Inputs, most: int = MOST_ROWS) -> list[Inputs]:
        """Divide inputs into batches of one length; they come in another order."""
        groups: dict[int, list[int]] = {}
        for i, prompt in enumerate(inputs):
            groups.setdefault(len(prompt), []).append(i)
        found = []
        for length, rows in sorted(groups.items()):
            size = max(1, min(most, TOKENS // length))
            found += [inputs.take(rows[at : at + size]) for at in range(0, len(rows), size)]
        return found


def read(logits: Tensor, inputs: Inputs, choice: np.ndarray | None = None) -> Readings:
    """Read logits ``[input, vocabulary]``.

    Raises
    ------
    ClaimError
        When logits are not finite.
    """
    if not bool(torch.isfinite(logits).all()):
        raise ClaimError("the model's logits are not finite on these inputs")
    values = logits.double()
    rows = torch.arange(len(values))
    answers = torch.tensor([p.answer or 0 for p in inputs])
    answer = values[rows, answers]
    foils = torch.tensor([-1 if p.foil is None else p.foil for p in inputs])
    paired = foils >= 0
    others = values.clone()
    others[rows, answers] = -torch.inf
    against = torch.where(paired, values[rows, foils.clamp(min=0)], others.max(-1).values)
    margin = answer - against
    top = torch.where(paired, torch.where(margin > 0, answers, foils), values.argmax(-1))
    first = top if choice is None else torch.from_numpy(np.asarray(choice))
    rest = values.clone()
    rest[rows, first] = -torch.inf
    other = torch.where(first == answers, foils, answers)
    against_first = torch.where(paired, values[rows, other.clamp(min=0)], rest.max(-1).values)
    decided = values[rows, first] - against_first
    log_all = values.log_softmax(-1)
    sure = torch.where(paired, torch.sigmoid(margin.abs()), log_all.max(-1).values.exp())
    return Readings(
        margin=margin.numpy(),
        decided=decided.numpy(),
        confidence=sure.numpy(),
        probability=log_all[rows, answers].exp().clamp(min=1e-300).numpy(),
        choice=top.numpy(),
    )


def _last(logits: Tensor) -> Tensor:
    return logits[:, -1] if logits.ndim == 3 else logits
