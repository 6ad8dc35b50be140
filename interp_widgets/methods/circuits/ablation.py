"""What cut edges carry: the ways of taking a component's contribution away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.readout import Readout
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

AblationName = Literal["interchange", "zero", "mean", "mean_positional", "resample", "optimal"]
ABLATIONS: dict[AblationName, str] = {
    "interchange": "interchange with the corrupted prompt",
    "zero": "zero",
    "mean": "mean over the corrupted prompts and positions",
    "mean_positional": "mean over the corrupted prompts at each position",
    "resample": "another corrupted prompt drawn at random",
    "optimal": "constants that disturb the clean run least",
}


@dataclass
class Ablation:
    """One way of ablation, fitted to pairs of prompts.

    ``interchange``: what the component writes on the corrupted prompt of the pair. ``zero``:
    nothing. ``mean`` and ``mean_positional``: its mean over the corrupted prompts, over all
    positions or at each. ``resample``: what it writes on the corrupted prompt of another pair of
    equal length. ``optimal``: a constant per component that disturbs the clean run least (Li and
    Janson 2024, arXiv 2409.09951), learned by gradient descent over random sets of ablated
    components, from the mean.

    Which one is chosen changes what a circuit looks like (Miller et al. 2024, arXiv 2407.08734).

    Examples
    --------
    >>> ablation = Ablation.fit("mean", engine, pairs)
    >>> values, logits = ablation.values(0)
    """

    name: AblationName
    engine: ModelEngine
    pairs: Pairs
    seed: int = 0
    _constants: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        name: AblationName,
        engine: ModelEngine,
        pairs: Pairs,
        *,
        seed: int = 0,
        steps: int = 100,
        progress: Callable[[int, int], None] | None = None,
    ) -> Ablation:
        """Take means, or learn constants, over the pairs.

        Parameters
        ----------
        steps
            Steps of Adam for ``"optimal"``.

        Raises
        ------
        CircuitError
            When there is no other pair to resample from.
        """
        if name not in ABLATIONS:
            raise CircuitError(f"ablation is one of {', '.join(ABLATIONS)}, not {name!r}")
        found = cls(name, engine, pairs, seed)
        if name in ("mean", "optimal"):
            mean = found._mean()
            found._constants = dict.fromkeys(found._lengths, mean)
        elif name == "mean_positional":
            found._constants = found._positional_means()
        elif name == "resample" and any(n < 2 for n in found._lengths.values()):
            raise CircuitError(
                "resampling needs at least two pairs of each prompt length: give more pairs, or "
                'ablation="interchange"'
            )
        if name == "optimal":
            found._learn(steps, progress)
        return found

    @property
    def title(self) -> str:
        """The way of ablation in words."""
        return ABLATIONS[self.name]

    def values(self, index: int, clean: PromptBatch | None = None) -> tuple[Tensor, Tensor]:
        """Return what cut edges carry in batch ``index``, and the logits when all are cut.

        Returns
        -------
        tuple
            ``[n_forward, batch, position, d]`` and ``[batch, vocabulary]``. The logits are
            independent of cutting: the corrupted run's own, or the model's readout of the values.
        """
        ours, theirs = self.pairs.batches[index]
        clean = clean or ours
        if self.name == "interchange":
            return self.engine.writers(theirs)
        if self.name == "resample":
            values = self._resampled(index)
        elif self.name == "zero":
            written, _ = self.engine.writers(clean)
            values = torch.zeros_like(written)
        else:
            length = len(clean[0])
            shape = (-1, len(clean), length, -1)
            values = self._constants[length].expand(*shape)
        return values, self._read_out(clean, values)

    def _read_out(self, clean: PromptBatch, values: Tensor) -> Tensor:
        """Read the values' sum out, with what no component writes (biases) as in the clean run."""
        session = self.engine.session
        written, _ = self.engine.writers(clean)
        last = Site("resid_post", session.anatomy.n_layers - 1)
        end = session.capture(clean, [last])[last][:, -1]
        rest = end - written[:, :, -1].sum(0)
        with torch.no_grad():
            return Readout.of(session, clean[0])(rest + values[:, :, -1].sum(0))

    @property
    def _lengths(self) -> dict[int, int]:
        """Pairs of each prompt length."""
        found: dict[int, int] = {}
        for clean, _ in self.pairs:
            found[len(clean[0])] = found.get(len(clean[0]), 0) + len(clean)
        return found

    def _mean(self) -> Tensor:
        total, count = None, 0
        for _, corrupted in self.pairs:
            written, _ = self.engine.writers(corrupted)
            part = written.sum((1, 2), keepdim=True)
            total = part if total is None else total + part
            count += written.shape[1] * written.shape[2]
        assert total is not None
        return total / count

    def _positional_means(self) -> dict[int, Tensor]:
        totals: dict[int, Tensor] = {}
        for _, corrupted in self.pairs:
            written, _ = self.engine.writers(corrupted)
            part = written.sum(1, keepdim=True)
            length = part.shape[2]
            totals[length] = totals[length] + part if length in totals else part
        return {length: total / self._lengths[length] for length, total in totals.items()}

    def _resampled(self, index: int) -> Tensor:
        """Give every row of a batch another pair's corrupted prompt of the same length."""
        length = len(self.pairs.batches[index][0][0])
        same = [p for _, batch in self.pairs for p in batch if len(p) == length]
        before = sum(
            len(clean) for clean, _ in self.pairs.batches[:index] if len(clean[0]) == length
        )
        draw = torch.Generator().manual_seed(self.seed * 7919 + length)
        order = torch.randperm(len(same), generator=draw)
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)
        rows = range(before, before + len(self.pairs.batches[index][1]))
        return self.engine.writers(PromptBatch(tuple(same[int(partner[i])] for i in rows)))[0]

    def _learn(self, steps: int, progress: Callable[[int, int], None] | None) -> None:
        """Fit one constant per component to the KL divergence from the clean run."""
        graph = self.engine.graph
        mean = next(iter(self._constants.values()))
        draw = torch.Generator().manual_seed(self.seed)
        scale = mean.norm(dim=-1, keepdim=True).mean().clamp_min(1e-6) / mean.shape[-1] ** 0.5
        shift = torch.zeros_like(mean, requires_grad=True)
        optimiser = torch.optim.Adam([shift], lr=0.05)
        real = torch.from_numpy(graph.real_edge_mask).to(mean.device)
        targets = [self.engine.writers(clean)[1].log_softmax(-1) for clean, _ in self.pairs]
        for step in range(steps):
            at = step % len(self.pairs.batches)
            clean = self.pairs.batches[at][0]
            share = torch.rand(len(clean), 1, generator=draw)
            out = torch.rand(len(clean), graph.n_forward, generator=draw) < share
            masks = out.to(mean.device)[:, :, None] & real
            with torch.enable_grad():
                values = (mean + scale * shift).expand(-1, len(clean), len(clean[0]), -1)
                logits = self.engine.cut(clean, values, masks, grad=True).log_softmax(-1)
                loss = torch.nn.functional.kl_div(
                    logits, targets[at], reduction="batchmean", log_target=True
                )
                (shift.grad,) = torch.autograd.grad(loss, shift)
            optimiser.step()
            if progress is not None:
                progress(step + 1, steps)
        learned = (mean + scale * shift).detach()
        self._constants = dict.fromkeys(self._constants, learned)
