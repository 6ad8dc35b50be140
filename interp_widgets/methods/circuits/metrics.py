"""What a circuit is measured by: a number per pair of prompts, from the last position's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from interp_widgets.methods.circuits.wiring import CircuitError

if TYPE_CHECKING:
    from interp_widgets.session.prompts import PromptBatch

MetricName = Literal["logit_difference", "kl"]
NAMES: dict[MetricName, str] = {
    "logit_difference": "logit difference (logits)",
    "kl": "KL divergence from the clean run (nats)",
}


@dataclass(frozen=True)
class Metric:
    """A metric of pairs of prompts.

    ``logit_difference``: logit of the answer minus logit of the foil. ``kl``: KL divergence from
    the clean run's distribution to the run's own. Either at the last position.

    Examples
    --------
    >>> metric = Metric("logit_difference")
    >>> metric.value(logits, batch, clean_logits)      # [batch]
    """

    name: MetricName = "logit_difference"

    @property
    def title(self) -> str:
        """Name and unit."""
        return NAMES[self.name]

    @property
    def sign(self) -> int:
        """1 when a larger value is more of the behaviour, −1 when it is less."""
        return -1 if self.name == "kl" else 1

    def check(self, batch: PromptBatch) -> None:
        """Raise CircuitError when the prompts do not have what the metric needs."""
        if self.name == "kl":
            return
        for prompt in batch:
            if prompt.answer is None or prompt.foil is None:
                raise CircuitError(
                    f"the logit difference needs an answer and a foil, and {prompt!r} has not "
                    'both: give session.prompt(..., answer=" Mary", foil=" John"), or metric="kl"'
                )

    def value(self, logits: Tensor, batch: PromptBatch, clean: Tensor) -> Tensor:
        """Return the metric ``[batch]``.

        Parameters
        ----------
        logits
            ``[batch, vocabulary]`` of the run to measure.
        batch
            The clean prompts.
        clean
            ``[batch, vocabulary]`` of the clean run.
        """
        if self.name == "kl":
            ours = torch.log_softmax(logits.float(), -1)
            theirs = torch.log_softmax(clean.float(), -1)
            return torch.nn.functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(
                -1
            )
        rows = torch.arange(len(batch), device=logits.device)
        answers = torch.tensor(batch.answers, device=logits.device)
        foils = torch.tensor(batch.foils, device=logits.device)
        return logits[rows, answers].float() - logits[rows, foils].float()
