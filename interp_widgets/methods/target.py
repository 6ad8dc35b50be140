"""What a method explains: one number read off the logits of a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Metric = Literal["logit_difference", "logit", "log_probability", "probability"]

UNITS = {
    "logit_difference": "logits",
    "logit": "logits",
    "log_probability": "nats",
    "probability": "probability",
}


@dataclass(frozen=True)
class Target:
    """A metric of an answer, read at one position; call it with logits.

    Parameters
    ----------
    metric
        ``logit_difference`` (answer − foil), ``logit``, ``log_probability`` or ``probability``.
    answer, foil
        Token ids (classes of a classifier); the foil only for a logit difference.
    position
        Where it is read; −1 is the last position.
    label
        What it is, for readers.

    Examples
    --------
    >>> target = Target.of(session, prompt)
    >>> target(logits)       # [row, position, vocabulary] to [row]
    """

    metric: Metric
    answer: int
    foil: int | None = None
    position: int = -1
    label: str = ""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the metric of each row, in float32 at least."""
        logits = logits[:, self.position] if logits.ndim == 3 else logits
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        own = logits[:, self.answer]
        if self.metric == "logit_difference":
            assert self.foil is not None
            return own - logits[:, self.foil]
        if self.metric == "logit":
            return own
        log_probability = own - torch.logsumexp(logits, dim=-1)
        return log_probability if self.metric == "log_probability" else log_probability.exp()

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return UNITS[self.metric]

    @classmethod
    def of(
        cls,
        session: Session,
        prompt: Prompt,
        token: str | int | None = None,
        metric: Metric | None = None,
        position: int = -1,
        foil: str | int | None = None,
    ) -> Target:
        """Choose what to explain.

        Parameters
        ----------
        session, prompt
            The prompt's answer and foil are the first choice.
        token
            A token instead of the prompt's answer; the prompt's foil does not count then.
        metric
            None: the logit difference with answer and foil, else the logit. Without an answer it is
            the model's own top token that is explained.
        position
            Where to read it.
        foil
            A token instead of the prompt's foil: why the answer rather than this.

        Raises
        ------
        ValueError
            When the position is not in the prompt, a logit difference lacks answer or foil, or
            answer and foil are the same token.
        """
        if not -len(prompt) <= position < len(prompt):
            raise ValueError(f"there is no position {position} in a prompt of {len(prompt)} tokens")
        answer, against = prompt.answer, prompt.foil
        if token is not None:
            answer, against = session.token_id(token), None
        if foil is not None:
            against = session.token_id(foil)
            if answer is None:
                answer = _top(session, prompt, position)
        if metric is None:
            metric = "logit" if answer is None or against is None else "logit_difference"
        if metric == "logit_difference" and (answer is None or against is None):
            raise ValueError(
                "a logit difference needs an answer and a foil: "
                'session.prompt(text, answer=" Mary", foil=" John"); or choose metric="logit"'
            )
        if answer is None:
            answer = _top(session, prompt, position)
        if metric != "logit_difference":
            against = None
        if against == answer:
            raise ValueError("answer and foil are the same token: their difference is always zero")
        label = f"{metric.replace('_', ' ')} of {_name(session, prompt, answer)}"
        if against is not None:
            label += f" over {_name(session, prompt, against)}"
        return cls(metric, answer, against, position, label)


def _top(session: Session, prompt: Prompt, position: int) -> int:
    """Return the model's own top token."""
    logits = session.capture(prompt, Site("logits"))[Site("logits")]
    return int((logits[position] if logits.ndim > 1 else logits).argmax())


def _name(session: Session, prompt: Prompt, answer: int) -> str:
    return repr(session.token_string(answer)) if prompt.ids else f"class {answer}"
