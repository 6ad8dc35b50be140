"""The model's own readout: from the residual stream to logits, checked against the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site, SiteError

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}
"""How far, as a share of the largest entry, a recomputation may be from the model's own values."""
COARSE = 3e-2
"""The same for half precisions, where a matrix product is summed in another order."""

_known: weakref.WeakKeyDictionary[object, Readout] = weakref.WeakKeyDictionary()


class Readout:
    """Final norm, unembedding and what the model does to its logits after them.

    Parameters
    ----------
    steps
        Modules in the order the model applies them to the last residual.
    softcap
        Logits x become ``softcap * tanh(x / softcap)`` (Gemma 2, arXiv:2408.00118), or None.
    scale
        Factor of the logits (Cohere, Granite).

    Examples
    --------
    >>> readout = Readout.of(session, prompt)
    >>> logits = readout(residual)      # [..., d_model] to [..., vocabulary]
    """

    def __init__(
        self, steps: tuple[nn.Module, ...], softcap: float | None = None, scale: float = 1.0
    ) -> None:
        self.steps = steps
        self.softcap = softcap
        self.scale = scale

    def __call__(self, residual: Tensor) -> Tensor:
        """Return logits ``[..., vocabulary]`` in float32 for residuals ``[..., d_model]``."""
        for step in self.steps:
            residual = step(_beside(step, residual))
        return self._end(residual)

    def tokens(self, residual: Tensor, ids: Sequence[int]) -> Tensor:
        """Return the logits of some tokens only, ``[..., token]``."""
        *before, head = self.steps
        if not isinstance(head, nn.Linear):
            return self(residual)[..., list(ids)]
        for step in before:
            residual = step(_beside(step, residual))
        at = torch.as_tensor(list(ids), device=head.weight.device)
        bias = None if head.bias is None else head.bias[at]
        return self._end(nn.functional.linear(_beside(head, residual), head.weight[at], bias))

    def _end(self, logits: Tensor) -> Tensor:
        logits = logits.float() * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    @classmethod
    def of(cls, session: Session, prompt: Prompt) -> Readout:
        """Return the session's readout, found once and checked on ``prompt``.

        Raises
        ------
        SiteError
            When the model has no logits, or no known readout gives the model's own.
        """
        known = _known.get(session.anatomy)
        if known is None:
            known = _known[session.anatomy] = cls._find(session, prompt)
        return known

    @classmethod
    def _find(cls, session: Session, prompt: Prompt) -> Readout:
        anatomy = session.anatomy
        name = type(anatomy.root).__name__
        last = Site("resid_post", anatomy.n_layers - 1)
        anatomy.locate("logits")
        anatomy.locate(last)
        values = session.capture(prompt, [last, Site("logits")], interventions="none")
        residual, logits = values[last], values[Site("logits")].float()
        if residual.shape[:-1] != logits.shape[:-1]:
            raise SiteError(
                f"{name} has one prediction for the whole input, not one per position, "
                "so no layer's residual can be read as predictions"
            )
        tolerance = TOLERANCE.get(residual.dtype, COARSE)
        gaps = []
        for candidate in cls._candidates(session):
            gap = _gap(candidate, residual, logits)
            gaps.append(gap)
            if gap <= tolerance:
                return candidate
        best = f"; the closest is off by {min(gaps):.1%} of the largest logit" if gaps else ""
        raise SiteError(
            f"the way from the last residual to the logits of {name} is not known: "
            f"neither norm and unembedding nor its head module give the model's own logits{best}"
        )

    @classmethod
    def _candidates(cls, session: Session) -> Iterator[Readout]:
        anatomy = session.anatomy
        config = getattr(anatomy.root, "config", None)
        config = getattr(config, "text_config", config)
        softcap = getattr(config, "final_logit_softcapping", None)
        scale = float(getattr(config, "logit_scale", None) or 1.0)
        scale /= float(getattr(config, "logits_scaling", None) or 1.0)
        if anatomy.unembed is None:
            return
        norm = [anatomy.root.get_submodule(anatomy.final_norm)] if anatomy.final_norm else []
        path = anatomy.unembed
        while path:  # the unembedding, then the modules around it: a head with layers of its own
            head = anatomy.root.get_submodule(path)
            for steps in ((*norm, head), (head,)):
                yield cls(steps, softcap, scale)
            path = path.rpartition(".")[0]


def _beside(step: nn.Module, residual: Tensor) -> Tensor:
    parameter = next(step.parameters(), None)
    return residual if parameter is None else residual.to(parameter.device, parameter.dtype)


def _gap(readout: Callable[[Tensor], Tensor], residual: Tensor, logits: Tensor) -> float:
    """Return the largest difference as a share of the largest logit; infinite when it fails."""
    rows = slice(0, 64)
    try:
        ours = readout(residual[..., rows, :])
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return float("inf")
    theirs = logits[..., rows, :].to(ours.device)
    if not isinstance(ours, Tensor) or ours.shape != theirs.shape:
        return float("inf")
    both = torch.isfinite(ours) & torch.isfinite(theirs)
    largest = theirs[both].abs().max() if both.any() else torch.tensor(1.0)
    difference = (ours - theirs)[both].abs().max() if both.any() else torch.tensor(0.0)
    return float(difference / largest.clamp_min(1e-12))
