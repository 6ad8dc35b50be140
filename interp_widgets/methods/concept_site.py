"""Activations of many prompts at one site and position: read, differentiated, changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.rows import MOST_ROWS, TOKENS
from interp_widgets.session.capture import frozen
from interp_widgets.session.location import Location
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import DIMS, WITHOUT_LAYER, Site, SiteError

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Position = int | Literal["mean"]
Target = Callable[[Tensor, PromptBatch], Tensor]
Progress = Callable[[int, int], None]


class ConceptSite:
    """One kind of activation, at one position of every prompt, at several layers.

    Parameters
    ----------
    session
        The live session; its interventions apply.
    site
        A standard name such as ``"resid_post"``, or the path of a module, whose output is meant.
    layers
        Layers of a standard name; None means all.
    position
        Position in every prompt (−1 is the last token), or ``"mean"`` over a prompt's positions.

    Raises
    ------
    SiteError
        When the model has no such site.
    """

    def __init__(
        self, session: Session, site: str, layers: Sequence[int] | None, position: Position
    ) -> None:
        self.session = session
        self.position = position
        self.sites = self._expand(site, layers)
        self.places = [session.anatomy.locate(s) for s in self.sites]

    def _expand(self, site: str, layers: Sequence[int] | None) -> list[Site]:
        if site == "pattern":
            raise SiteError("a pattern has no vector per position; use 'z' or 'attn_out'")
        if site in DIMS and site not in WITHOUT_LAYER and layers is not None:
            return [Site(site, int(layer)) for layer in layers]
        if layers is not None:
            raise SiteError(f"{site!r} has no layers; leave layers out")
        found: list[Site] = self.session.anatomy.expand(site)
        return found

    @property
    def labels(self) -> list[str]:
        """Names of the layers."""
        return [str(s.name if s.layer is None else s.layer) for s in self.sites]

    def activations(
        self, prompts: Sequence[Prompt], progress: Progress | None = None
    ) -> np.ndarray:
        """Return ``[layer, prompt, d]`` in float64."""
        parts = []
        for batch in self._batches(prompts, progress):
            found = self._run(batch)
            with torch.no_grad():
                parts.append(torch.stack([self._pick(v, batch).double().cpu() for v in found]))
        return np.asarray(torch.cat(parts, dim=1).numpy())

    def gradients(
        self, prompts: Sequence[Prompt], target: Target, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return d target / d activation ``[layer, prompt, d]`` and the target ``[prompt]``.

        A target of several columns ``[prompt, target]`` gives ``[target, layer, prompt, d]``. With
        position ``"mean"`` it is the gradient of a shift of all positions together.
        """
        parts, values = [], []
        for batch in self._batches(prompts, progress):
            with torch.enable_grad(), frozen(self.session.anatomy.root):
                ends: list[Tensor] = []
                found = self._run(batch, ends=ends, leaf=True)
                score = target(ends[0], batch)
                whole = [
                    self._gradient(column, found, batch, last=i == score[0].numel() - 1)
                    for i, column in enumerate(score.reshape(len(batch), -1).unbind(1))
                ]
            parts.append(torch.stack(whole) if score.ndim > 1 else whole[0])
            values.append(score.detach().double().cpu())
        return np.asarray(torch.cat(parts, -2).numpy()), np.asarray(torch.cat(values).numpy())

    def _gradient(
        self, score: Tensor, found: list[Tensor], batch: PromptBatch, *, last: bool
    ) -> Tensor:
        grads = torch.autograd.grad(
            score.sum(), found, retain_graph=not last, allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            return torch.stack([self._pick(g, batch, total=True).double().cpu() for g in grads])

    def projections(
        self, prompts: Sequence[Prompt], vectors: np.ndarray, progress: Progress | None = None
    ) -> list[np.ndarray] | None:
        """Return the projections ``[concept, layer, position]`` of every position of each prompt.

        Parameters
        ----------
        vectors
            ``[concept, layer, d]``.

        Returns
        -------
        list of numpy.ndarray or None
            None where the site has no positions.
        """
        axes = torch.from_numpy(np.asarray(vectors, np.float32))
        out: list[np.ndarray] = []
        for batch in self._batches(prompts, progress):
            found = self._run(batch)
            if any(value.shape[1] != max(batch.lengths) for value in found):
                return None
            with torch.no_grad():
                each = [
                    torch.einsum("bpd,cd->bcp", value.float(), axes[:, i].to(value.device)).cpu()
                    for i, value in enumerate(found)
                ]
            stacked = torch.stack(each, dim=2).numpy()
            out += [row[..., :size] for row, size in zip(stacked, batch.lengths, strict=True)]
        return out

    def values(self, prompts: Sequence[Prompt], target: Target) -> np.ndarray:
        """Return the target ``[prompt]`` with nothing changed."""
        values = []
        for batch in self._batches(prompts):
            with torch.no_grad():
                ends: list[Tensor] = []
                self._run(batch, ends=ends)
                values.append(target(ends[0], batch).double().cpu())
        return np.asarray(torch.cat(values).numpy())

    def without(
        self, prompts: Sequence[Prompt], target: Target, layer: int, changes: np.ndarray
    ) -> np.ndarray:
        """Return the target ``[prompt]`` with ``changes [prompt, d]`` taken away at one layer.

        ``layer`` counts the layers of this site.
        """
        values, at = [], 0
        for batch in self._batches(prompts):
            some = torch.from_numpy(changes[at : at + len(batch)])
            at += len(batch)
            with torch.no_grad():
                ends: list[Tensor] = []
                self._run(batch, ends=ends, change=(layer, some))
                values.append(target(ends[0], batch).double().cpu())
        return np.asarray(torch.cat(values).numpy())

    # Inside

    def _batches(
        self, prompts: Sequence[Prompt], progress: Progress | None = None
    ) -> Iterator[PromptBatch]:
        at = 0
        while at < len(prompts):
            longest = max(len(p) for p in prompts[at : at + MOST_ROWS])
            rows = max(1, min(MOST_ROWS, TOKENS // max(1, longest)))
            yield PromptBatch(tuple(prompts[at : at + rows]))
            at += rows
            if progress is not None:
                progress(min(at, len(prompts)), len(prompts))

    def _run(
        self,
        batch: PromptBatch,
        *,
        ends: list[Tensor] | None = None,
        leaf: bool = False,
        change: tuple[int, Tensor] | None = None,
    ) -> list[Tensor]:
        """Trace once; return the sites' tensors ``[batch, position, d]`` in order of layer.

        ``ends`` receives the logits; ``leaf`` starts a graph for gradients at the first site.
        """
        model, anatomy = self.session.model, self.session.anatomy
        order = sorted(range(len(self.places)), key=lambda i: anatomy.order(self.places[i]))
        found: dict[int, Tensor] = {}
        end = None if ends is None else self._logits()

        def visit(i: int) -> None:
            place = self.places[i]
            raw = place.read(model)
            value = arrange(raw, place)
            if leaf and i == order[0]:
                value = value.detach().clone().requires_grad_()
                place.write(model, restore(value, raw, place))
            elif leaf:
                value = value * 1  # what gradients are asked for must not be written over later
                place.write(model, restore(value, raw, place))
            elif change is not None and i == change[0]:
                value = self._take_away(value, batch, change[1])
                place.write(model, restore(value, raw, place))
            found[i] = value

        with self.session.trace(batch):
            for i in order:
                visit(i)
            if end is not None and ends is not None:
                ends.append(end.read(model))
        return [found[i] for i in range(len(self.places))]

    def _logits(self) -> Location:
        """Return where the model's predictions are; for other modules, the model's output."""
        try:
            return self.session.anatomy.locate("logits")
        except SiteError:
            return Location("", "output")

    def _where(self, batch: PromptBatch, length: int) -> list[int]:
        assert self.position != "mean"
        if length == 1 and max(batch.lengths) != 1:
            return [0] * len(batch)
        found = []
        for prompt, size in zip(batch, batch.lengths, strict=True):
            if not -size <= self.position < size:
                raise IndexError(
                    f"there is no position {self.position} in {prompt!r}, which has {size} tokens"
                )
            found.append(self.position % size)
        return found

    def _pick(self, value: Tensor, batch: PromptBatch, *, total: bool = False) -> Tensor:
        if self.position == "mean":
            real = self._real(value, batch)
            summed = (value * real).sum(1)
            return summed if total else summed / real.sum(1)
        return value[torch.arange(len(batch)), self._where(batch, value.shape[1])]

    def _take_away(self, value: Tensor, batch: PromptBatch, change: Tensor) -> Tensor:
        change = change.to(value.device, value.dtype)
        if self.position == "mean":
            return value - self._real(value, batch) * change[:, None]
        out = value.clone()
        out[torch.arange(len(batch)), self._where(batch, value.shape[1])] -= change
        return out

    @staticmethod
    def _real(value: Tensor, batch: PromptBatch) -> Tensor:
        """Return 1 where a position is a token, 0 where it is padding: ``[batch, position, 1]``."""
        if value.shape[1] != max(batch.lengths):
            return value.new_ones(value.shape[:2])[..., None]
        return batch.mask.to(value.device, value.dtype)[..., None]


def arrange(raw: Any, place: Location) -> Tensor:
    """View an activation as ``[batch, position, d]``; heads side by side.

    Raises
    ------
    SiteError
        When it has no vector per position.
    """
    tensor: Tensor = raw[0] if isinstance(raw, tuple) else raw
    if place.layout.startswith("batch head position"):
        return tensor.transpose(1, 2).flatten(2)
    if tensor.ndim == 2:
        return tensor[:, None]
    if tensor.ndim == 3:
        return tensor
    raise SiteError(
        f"{place.path or 'the model'} returns {tensor.ndim} dimensions {tuple(tensor.shape)}, not "
        "a vector per input or position; take a module after pooling"
    )


def restore(value: Tensor, raw: Any, place: Location) -> Any:
    """Undo :func:`arrange`."""
    tensor: Tensor = raw[0] if isinstance(raw, tuple) else raw
    if place.layout.startswith("batch head position"):
        value = value.unflatten(2, (tensor.shape[1], tensor.shape[3])).transpose(1, 2)
    elif tensor.ndim == 2:
        value = value[:, 0]
    return (value, *raw[1:]) if isinstance(raw, tuple) else value


def target_of(session: Session, target: Any) -> tuple[Target, str]:
    """Return the function from logits to a number per prompt, and its name with unit.

    Parameters
    ----------
    target
        ``"logit_difference"``: of each prompt's own answer and foil; one token or class: its logit;
        two: the first's logit minus the second's.

    Raises
    ------
    ValueError
        When it is none of these, or a prompt has no answer or foil.
    """
    if target == "logit_difference":

        def own(logits: Tensor, batch: PromptBatch) -> Tensor:
            missing = next((p for p in batch if p.answer is None or p.foil is None), None)
            if missing is not None:
                raise ValueError(f"{missing!r} needs an answer and a foil for the logit difference")
            rows = torch.arange(len(batch))
            last = at_end(logits, batch)
            return last[rows, list(batch.answers)] - last[rows, list(batch.foils)]

        return own, "logit difference of answer and foil (logits)"
    tokens = [target] if isinstance(target, str | int) else list(target)
    if len(tokens) not in (1, 2):
        raise ValueError(f"target is one token or class, or two of them, not {len(tokens)}")
    ids = [session.token_id(t) if isinstance(t, str) else int(t) for t in tokens]
    names = [repr(t) if isinstance(t, str) else f"class {t}" for t in tokens]
    if session.tokenizer is not None:
        words = [session.token_string(i) for i in ids]
        names = [repr(word.strip() or word) for word in words]

    def chosen(logits: Tensor, batch: PromptBatch) -> Tensor:
        last = at_end(logits, batch)
        wrong = next((i for i in ids if not 0 <= i < last.shape[-1]), None)
        if wrong is not None:
            raise ValueError(f"there is no output {wrong}: the model has {last.shape[-1]}")
        return last[:, ids[0]] - last[:, ids[1]] if len(ids) == 2 else last[:, ids[0]]

    if len(ids) == 1:
        return chosen, f"logit of {names[0]} (logits)"
    return chosen, f"logit difference of {names[0]} and {names[1]} (logits)"


def targets_of(session: Session, targets: Sequence[Any]) -> tuple[Target, list[str]]:
    """Return the function from logits to ``[prompt, target]``, and the names of the targets."""
    pairs = [target_of(session, target) for target in targets]

    def all_of(logits: Tensor, batch: PromptBatch) -> Tensor:
        return torch.stack([call(logits, batch) for call, _ in pairs], dim=1)

    return all_of, [name for _, name in pairs]


def at_end(logits: Tensor, batch: PromptBatch) -> Tensor:
    """Return the predictions ``[batch, output]`` at each prompt's last token."""
    if logits.ndim == 2:
        return logits.float()
    last = torch.tensor(batch.lengths, device=logits.device) - 1
    return logits[torch.arange(len(batch), device=logits.device), last].float()
