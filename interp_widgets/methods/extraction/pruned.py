"""The model that is left: standing alone, counted, timed and compared with what it came from."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.extraction.surgery import Surgeon, bare_copy

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.methods.extraction.study import Study
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

AGREES = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.3}
"""Largest difference of log-probabilities from the model with nodes ablated, by precision."""
CHECKED = 32


def weights_without_embeddings(module: nn.Module) -> int:
    """Count what a model holds: parameters and constants, without (un)embeddings."""
    left_out = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.Embedding)
        for parameter in part.parameters()
    }
    getter = getattr(module, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    if head is not None:
        left_out |= {id(parameter) for parameter in head.parameters()}
    known = {id(p): p.numel() for p in module.parameters() if id(p) not in left_out}
    return sum(known.values()) + constants_of(module)


def constants_of(module: nn.Module) -> int:
    """Count the numbers that stand in for parts that were cut out."""
    from interp_widgets.methods.extraction.surgery import Constant, PositionalLinear

    values = [m.value for m in module.modules() if isinstance(m, Constant)]
    values += [m.bias for m in module.modules() if isinstance(m, PositionalLinear)]
    return sum(value.numel() for value in values)


@dataclass
class PrunedModel:
    """A part of a model as a model of its own: fewer and smaller matrices, no hooks.

    Attributes
    ----------
    module
        A torch module of the original's class. Prompts have to be of the template's length where it
        holds constants.
    length
        That length; None where any length will do (nothing stands in for what is gone).
    original
        The session of the whole model.
    removed
        Heads and MLPs that are gone.
    disagreement
        Largest difference of log-probabilities from the whole model with the same parts ablated.

    Examples
    --------
    >>> small = found.prune()
    >>> small.frame(), small.benchmark()
    >>> session = small.session()          # every view on what is left
    """

    module: nn.Module
    length: int | None
    original: Session
    removed: tuple[str, ...]
    prompts: list[Prompt] = field(repr=False)
    disagreement: float = float("nan")

    @classmethod
    def of(cls, study: Study, removed: tuple[str, ...], *, check: bool = True) -> PrunedModel:
        """Cut ``removed`` out of a copy of the study's model, and compare it with the ablated one.

        Raises
        ------
        CircuitError
            When the model keeps its parts in a way that cannot be cut, or the two disagree.
        """
        session = study.session
        if session.interventions.active:
            raise CircuitError(
                "interventions are on in this session, and a model of its own would not have them: "
                "session.reset() first"
            )
        surgeon = Surgeon(session, study.prompts[0], removed, study.means)
        with session.worker.locked(), torch.no_grad():
            smaller = surgeon.operate()
        length = study.length if constants_per_position(smaller) else None
        if length is not None:
            smaller.prompt_length = length  # type: ignore[assignment]
        made = cls(smaller, length, session, tuple(removed), study.prompts)
        if check:
            made._check(study)
        return made

    def logits(self, prompts: list[Prompt] | None = None) -> Tensor:
        """Return the last position's logits ``[prompt, vocabulary]``; default the template's own.

        Raises
        ------
        CircuitError
            For prompts of another length than its constants.
        """
        return _forward(self.module, self._ids(self.prompts if prompts is None else prompts))

    def session(self, **options: Any) -> Session:
        """Open a session on it, with the original's tokenizer; close it as any other."""
        from interp_widgets.session.session import Session

        options.setdefault("tokenizer", self.original.tokenizer)
        options.setdefault("name", f"{self.original.name}, pruned")
        return Session(self.module, **options)

    @property
    def weights(self) -> int:
        """Parameters and constants, without embeddings and unembedding."""
        return weights_without_embeddings(self.module)

    @property
    def constants(self) -> int:
        """Numbers that stand in for what is gone; :attr:`weights` has them too."""
        return constants_of(self.module)

    @property
    def size_reduction(self) -> float:
        """Share of the original's parameters (without embeddings) that is gone, 0 to 1."""
        return 1 - self.weights / weights_without_embeddings(self._whole)

    @property
    def _whole(self) -> nn.Module:
        root: nn.Module = self.original.anatomy.root
        return root

    def frame(self) -> pd.DataFrame:
        """Return sizes before and after: parameters without embeddings, constants, heads, MLPs."""
        import pandas as pd

        anatomy = self.original.anatomy
        heads = sum(anatomy.locate("z", i).heads or 0 for i in anatomy.layers_of("z"))
        mlps = len(anatomy.layers_of("mlp_out"))
        gone = sum(".h" in name for name in self.removed)
        rows = {
            "parameters without embeddings": (
                weights_without_embeddings(self._whole),
                self.weights - self.constants,
            ),
            "constants": (0, self.constants),
            "heads": (heads, heads - gone),
            "MLPs": (mlps, mlps - (len(self.removed) - gone)),
        }
        table = pd.DataFrame(rows, index=pd.Index(["before", "after"])).T
        before = table["before"].where(table["before"] > 0)
        return table.assign(reduction=1 - table["after"] / before)

    def benchmark(self, batch: int = 256, repeats: int = 10, warmup: int = 3) -> pd.DataFrame:
        """Measure the forward time of the original and of this model on the same batch.

        Both run as plain modules without hooks, in turns, so that a change of the machine's load
        meets both; the device is synchronised before each clock is read.

        Parameters
        ----------
        batch
            Prompts; those of the template, repeated.
        repeats
            Runs that are timed.
        warmup
            Runs before those.

        Returns
        -------
        DataFrame
            Rows ``original`` and ``pruned``: median, lowest and highest milliseconds, ``reduction``
            of the median.
        """
        import pandas as pd

        if batch < 1 or repeats < 1 or warmup < 0:
            raise ValueError("batch and repeats have to be at least 1, warmup at least 0")
        ids = self._ids([self.prompts[i % len(self.prompts)] for i in range(batch)])
        with self.original.worker.locked():
            models = {"original": bare_copy(self._whole), "pruned": self.module}
        times: dict[str, list[float]] = {name: [] for name in models}
        for step in range(warmup + repeats):
            self.original.progress(step, warmup + repeats)
            for name, model in models.items():
                spent = _timed(model, ids)
                if step >= warmup:
                    times[name].append(1000 * spent)
        table = pd.DataFrame(
            {
                "median_ms": {name: statistics.median(t) for name, t in times.items()},
                "low_ms": {name: min(t) for name, t in times.items()},
                "high_ms": {name: max(t) for name, t in times.items()},
            }
        )
        table["reduction"] = 1 - table["median_ms"] / table["median_ms"]["original"]
        table.attrs = {"batch": batch, "repeats": repeats, "warmup": warmup, "tokens": ids.shape[1]}
        return table

    def __repr__(self) -> str:
        where = f", prompts of {self.length} tokens" if self.length is not None else ""
        return (
            f"PrunedModel({type(self.module).__name__}, {self.weights:,} weights without "
            f"embeddings, {self.size_reduction:.1%} smaller{where})"
        )

    # Inside

    def _ids(self, prompts: list[Prompt]) -> Tensor:
        rows = [list(prompt.ids) for prompt in prompts]
        return torch.tensor(rows, device=self.original.device)

    def _check(self, study: Study) -> None:
        """Compare with the ablated model on the study's prompts."""
        some = study.prompts[:CHECKED]
        ablated = study.logits(self.removed)[: len(some)].log_softmax(-1)
        ours = self.logits(some).float().log_softmax(-1)
        self.disagreement = float((ours - ablated).abs().max())
        if not self.disagreement <= AGREES.get(self.original.dtype, 0.3):
            raise CircuitError(
                f"the model that was cut out of {self.original.name} gives other "
                f"log-probabilities (by up to {self.disagreement:.2g}) than the whole model with "
                "the same parts ablated, so its parts are kept in a way that is not known here"
            )


def constants_per_position(module: nn.Module) -> bool:
    """Whether a model holds constants that differ by position."""
    from interp_widgets.methods.extraction.surgery import Constant, PositionalLinear

    return any(
        isinstance(m, PositionalLinear) or (isinstance(m, Constant) and len(m.value) > 1)
        for m in module.modules()
    )


def _forward(module: nn.Module, ids: Tensor) -> Tensor:
    with torch.no_grad():
        output = module(input_ids=ids, use_cache=False)
    logits: Tensor = output.logits[:, -1]
    return logits


def _timed(module: nn.Module, ids: Tensor) -> float:
    synchronise = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(
        ids.device.type, lambda: None
    )
    synchronise()
    start = time.perf_counter()
    _forward(module, ids)
    synchronise()
    return time.perf_counter() - start
