"""Running the model for captures: one forward pass for many sites, cached, retried once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from interp_widgets.session import loading
from interp_widgets.session.capture import Gradients, capture, capture_with_grad
from interp_widgets.session.editing import Stage, plan
from interp_widgets.session.errors import OutOfMemory, PromptError
from interp_widgets.session.sites import DIMS, Site
from interp_widgets.session.targets import width_of
from interp_widgets.session.tracing import edited
from interp_widgets.session.worker import current_job

if TYPE_CHECKING:
    from torch import Tensor

    from interp_widgets.session.interventions import Intervention
    from interp_widgets.session.prompts import Prompt, PromptBatch
    from interp_widgets.session.session import Session

BUNDLE = ("embed", "resid_post", "q", "k", "logits")
MOST_ROWS = 64


class Activations(dict[Site, "Tensor"]):
    """Tensors by site; a site can be written as text, ``activations["resid_post.3"]``."""

    def __missing__(self, key: Any) -> Tensor:
        site = Site.parse(key)
        if isinstance(key, Site) or site not in self:
            there = ", ".join(map(str, self))
            raise KeyError(f"{site} was not captured; there is {there}")
        return self[site]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str | tuple):
            key = Site.parse(key)
        return super().__contains__(key)

    def stack(self, name: str) -> Tensor:
        """Return all captured layers of a site, ``[layer, …]``, in order of layer."""
        layers = sorted(s for s in self if s.name == name)
        if not layers:
            raise KeyError(f"no layer of {name} was captured")
        return torch.stack([self[s] for s in layers])


class Forward:
    """The forward passes of a session.

    Parameters
    ----------
    session
        The session whose model runs.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.passes = 0
        self._bytes: dict[str, float] = {}  # measured bytes per position and layer, by site name

    def count(self) -> None:
        """Count one forward pass."""
        self.passes += 1

    @staticmethod
    def key(prompt: Prompt | PromptBatch, items: Sequence[Intervention], site: Site) -> Any:
        """Return the cache key of an activation."""
        return (prompt.key, tuple(i.key for i in items), site)

    def capture(
        self,
        prompt: Prompt | PromptBatch,
        sites: str | Site | Iterable[str | Site],
        items: Sequence[Intervention],
    ) -> Activations:
        """Return activations, from the cache as far as they are there."""
        session = self.session
        wanted = session.anatomy.expand(sites)
        found = self._cached(prompt, items, wanted)
        if len(found) == len(wanted):
            return found
        with session.worker.locked():
            found = self._cached(prompt, items, wanted)
            missing = [s for s in wanted if s not in found]
            if missing:
                known = set(missing)
                extra = [
                    s
                    for s in self._bundle(prompt, missing)
                    if s not in known and self.key(prompt, items, s) not in session.cache
                ]
                fresh = self.run(prompt, [*missing, *extra], items)
                for site, tensor in fresh.items():
                    session.cache.put(self.key(prompt, items, site), tensor)
                found.update({s: fresh[s] for s in missing})
        session.emit("cache")
        return Activations({s: found[s] for s in wanted})

    def run(
        self,
        prompt: Prompt | PromptBatch,
        sites: str | Site | Iterable[str | Site],
        items: Sequence[Intervention],
    ) -> Activations:
        """Run the model once and return activations; the cache is left alone."""
        wanted = self.session.anatomy.expand(sites)
        stages = self.stages(prompt, items)
        fresh = self._guarded(prompt, wanted, stages)
        if prompt.is_batch:
            return fresh
        return Activations({site: tensor[0] for site, tensor in fresh.items()})

    def gradients(
        self,
        prompt: Prompt | PromptBatch,
        metric: Callable[[Tensor], Tensor],
        sites: str | Site | Iterable[str | Site],
        items: Sequence[Intervention],
    ) -> Gradients:
        """Run the model forward and backward once; the cache is left alone."""
        session = self.session
        stages = self.stages(prompt, items)
        with self.operation():
            self.count()
            found = capture_with_grad(
                edited(session.model, stages),
                session.anatomy,
                prompt.batch(),
                sites,
                metric,
                engine=session.engine,
                squeeze=not prompt.is_batch,
            )
        return Gradients(Activations(found.values), Activations(found.grads), found.metric)

    def variants(
        self,
        prompt: Prompt,
        lists: Sequence[Sequence[Intervention]],
        read: Callable[[Activations], Tensor] | None,
        sites: str | Site | Iterable[str | Site],
        batch: int | None,
    ) -> Tensor:
        """Run variant i on row i of a batch, in chunks that fit."""
        session = self.session
        if not lists:
            raise ValueError("run_variants needs at least one variant; [[]] is the clean run")
        wanted = session.anatomy.expand(sites)
        rows = batch or self._rows_that_fit(prompt, wanted)
        parts: list[Tensor] = []
        start = 0
        while start < len(lists):
            session.progress(start, len(lists))
            chunk = lists[start : start + rows]
            copies = prompt.repeat(len(chunk))
            by_row = [(item, (row,)) for row, items in enumerate(chunk) for item in items]
            stages = self.stages_by_row(by_row, copies.lengths)
            try:
                fresh = self._guarded(copies, wanted, stages)
            except OutOfMemory:
                if rows == 1:
                    raise
                rows = max(1, rows // 2)
                continue
            with quiet_modes(session.device):
                part = fresh[Site("logits")][:, -1] if read is None else read(fresh)
            if part.shape[:1] != (len(chunk),):
                raise ValueError(
                    f"read returned shape {tuple(part.shape)} for {len(chunk)} rows; it has to "
                    "return one entry per row"
                )
            parts.append(part.detach().cpu())
            start += len(chunk)
        session.progress(len(lists), len(lists))
        return torch.cat(parts)

    def stages(self, prompt: Prompt | PromptBatch, items: Sequence[Intervention]) -> list[Stage]:
        """Return what interventions do to a prompt or to every row of a batch."""
        return self.stages_by_row([(item, None) for item in items], prompt.lengths)

    def stages_by_row(
        self, items: Iterable[tuple[Intervention, tuple[int, ...] | None]], lengths: tuple[int, ...]
    ) -> list[Stage]:
        """Return what interventions do to the rows of a batch with these lengths."""
        return plan(self.session.anatomy, items, lengths, self._fetch)

    @contextlib.contextmanager
    def operation(self) -> Iterator[None]:
        """Hold the model, with the torch modes that captures need, on whatever thread this is."""
        job = current_job()
        if job is not None:
            job.check()
        worker = self.session.worker
        with worker.locked(), quiet_modes(self.session.device), worker.tracing():
            try:
                yield
            except ValueError as error:
                if "input_ids" not in str(error) or not self.session.anatomy.reads_two:
                    raise
                raise PromptError(
                    "this encoder–decoder needs to be told what its decoder reads: use "
                    "session.trace(prompt, decoder_input_ids=…) or iw.attention(prompt, decoder=…)"
                ) from error

    # -- inside --------------------------------------------------------------

    def _fetch(self, source: Mapping[str, Any], site: Site) -> Tensor:
        """Return a clean activation of a prompt given as JSON."""
        return self.capture(self.session.prompt(source), [site], ())[site]

    def _cached(
        self, prompt: Prompt | PromptBatch, items: Sequence[Intervention], sites: Iterable[Site]
    ) -> Activations:
        found = Activations()
        for site in sites:
            tensor = self.session.cache.get(self.key(prompt, items, site))
            if tensor is not None:
                found[site] = tensor
        return found

    def _bundle(self, prompt: Prompt | PromptBatch, missing: Sequence[Site]) -> list[Site]:
        """Return what views usually ask for next, when it fits in a quarter of the cache."""
        anatomy = self.session.anatomy
        if not anatomy.blocks or any(s.name not in DIMS for s in missing):
            return []
        there = set(anatomy.sites)
        bundle = anatomy.expand([n for n in BUNDLE if n in there])
        if "resid_pre" in there:
            bundle.append(Site("resid_pre", 0))  # first row of the logit lens
        positions = len(prompt.lengths) * max(prompt.lengths)
        need = sum(self._per_position(s) for s in bundle) * positions
        return bundle if need <= self.session.cache.capacity / 4 else []

    def _per_position(self, site: Site) -> float:
        measured = self._bytes.get(site.name)
        if measured is not None:
            return measured
        return float(width_of(self.session.anatomy, site) * self.session.dtype.itemsize)

    def _rows_that_fit(self, prompt: Prompt, sites: Sequence[Site]) -> int:
        anatomy, dtype = self.session.anatomy, self.session.dtype
        per_row = sum(self._per_position(s) for s in sites) * len(prompt)
        ends = [Site("logits")] if "logits" in anatomy.sites else []
        per_row += sum(self._per_position(s) for s in ends) * len(prompt)
        per_row += 16 * len(prompt) * max(1, anatomy.n_layers // 4) * 64 * dtype.itemsize
        free, _total = loading.device_memory(self.session.device)
        budget = min((free or 2**30) / 4, 2**30 if self.session.device.type == "cuda" else 2**28)
        return int(max(1, min(MOST_ROWS, budget // max(1.0, per_row))))

    def _guarded(
        self, prompt: Prompt | PromptBatch, sites: Sequence[Site], stages: Sequence[Any]
    ) -> Activations:
        """Run once; when memory is short, empty the cache and run once more."""
        try:
            return self._once(prompt, sites, stages)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        released = self.session.cache.clear()
        gc.collect()
        loading.empty_device_cache(self.session.device)
        try:
            return self._once(prompt, sites, stages)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            message = self._what_would_fit(prompt, sites, released)
        raise OutOfMemory(message)

    def _once(
        self, prompt: Prompt | PromptBatch, sites: Sequence[Site], stages: Sequence[Any]
    ) -> Activations:
        session = self.session
        with self.operation():
            fresh = Activations(
                capture(
                    edited(session.model, stages),
                    session.anatomy,
                    prompt.batch(),
                    sites,
                    engine=session.engine,
                    squeeze=False,
                )
            )
            self.count()
            for stage in stages:
                if stage.site.name == "pattern" and stage.site in fresh:
                    dims = ("batch", "head", "position", "unit")
                    fresh[stage.site] = stage.change(fresh[stage.site], dims)
        total = len(prompt.lengths) * max(prompt.lengths)
        for site, tensor in fresh.items():
            self._bytes[site.name] = tensor.numel() * tensor.element_size() / total
        return fresh

    def _what_would_fit(
        self, prompt: Prompt | PromptBatch, sites: Sequence[Site], released: int
    ) -> str:
        need = sum(self._per_position(s) for s in sites) * sum(prompt.lengths)
        free, _total = loading.device_memory(self.session.device)
        text = (
            f"{len(sites)} activations of {sum(prompt.lengths):,} tokens need about "
            f"{need / 2**20:,.0f} MiB"
        )
        if free is not None:
            text += f" and {self.session.device} has {free / 2**20:,.0f} MiB free"
        text += f" (the cache was emptied: {released / 2**20:,.0f} MiB)."
        if len(sites) > 1:
            text += f" Ask for fewer at a time, such as {sites[-1]!s} alone"
            text += "; or use" if max(prompt.lengths) > 1 else "."
        else:
            text += " Use"
        if max(prompt.lengths) > 1:
            share = 0.5 if free is None or need <= 0 else min(0.5, 0.8 * free / need)
            tokens = max(1, int(max(prompt.lengths) * share))
            rows = f" and fewer than {len(prompt.lengths)} rows" if prompt.is_batch else ""
            text += f" a prompt of at most {tokens:,} tokens{rows}."
        return text


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )


@contextlib.contextmanager
def quiet_modes(device: torch.device) -> Iterator[None]:
    """Set this thread's torch modes for a capture: no gradient, inference mode or autocast."""
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
