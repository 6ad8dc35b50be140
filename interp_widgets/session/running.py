"""What a session runs: traces, captures, gradients, variants, and the same as code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from interp_widgets.session import engines
from interp_widgets.session.forward import Activations, Forward
from interp_widgets.session.interventions import Intervention
from interp_widgets.session.jobs import Jobs
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.tracing import SessionTracer, edited

if TYPE_CHECKING:
    from torch import Tensor

    from interp_widgets.session.anatomy import Anatomy
    from interp_widgets.session.cache import Cache
    from interp_widgets.session.capture import Gradients
    from interp_widgets.session.intervention_list import Interventions
    from interp_widgets.session.session import Session
    from interp_widgets.session.sites import Site


class Running(Jobs):
    """The methods of a session that run its model."""

    model: Any
    anatomy: Anatomy
    engine: Any
    cache: Cache
    interventions: Interventions
    _forward: Forward
    _recent: Prompt | PromptBatch | None
    _decoder: Tensor | None
    _own: Callable[[Any], Any]
    prompts: Callable[[Any], PromptBatch]

    def trace(self, prompt: Prompt | PromptBatch | Any, **kwargs: Any) -> SessionTracer:
        """Open nnsight's own trace, with the session's interventions applied and its lock held.

        Parameters
        ----------
        prompt
            A prompt or batch of this session, or what :meth:`prompt` takes.
        **kwargs
            Further arguments of ``model.trace``.

        Raises
        ------
        SessionBusyError
            When it is opened inside another trace of the same model and thread.

        Examples
        --------
        >>> with session.trace(prompt):
        ...     hidden = session.model.transformer.h[5].output.save()
        """
        prompt = self._own(prompt)
        self._decoder = kwargs.get("decoder_input_ids")
        lengths = self.anatomy.stack_lengths(prompt.lengths, self._decoder)
        active = [(item, None) for item in self.interventions.active]
        stages = self._forward.stages_by_row(active, lengths)
        model = edited(self.model, stages)
        if not isinstance(self.engine, engines.LocalEngine | engines.NDIFEngine):
            return self.engine.trace(model, prompt.batch())
        if isinstance(self.engine, engines.NDIFEngine):
            kwargs.setdefault("remote", self.engine.remote)
        args, inputs = prompt.inputs()
        tracer = functools.partial(SessionTracer, self.worker, self._forward.count)
        return model.trace(*args, tracer_cls=tracer, **inputs, **kwargs)

    def capture(
        self,
        prompt: Prompt | PromptBatch,
        sites: str | Site | Iterable[str | Site],
        interventions: str | Sequence[Intervention | Mapping[str, Any]] = "current",
    ) -> Activations:
        """Return activations: from the cache where they are there, else from one forward pass.

        Parameters
        ----------
        prompt
            A prompt (no batch dimension in what comes back) or a batch (``batch`` first).
        sites
            ``"resid_post"`` (every layer), ``"z.9"``, ``Site("q", 3)``, the path of a module, or a
            list of those.
        interventions
            ``"current"`` (default: what is on in the session), ``"none"``, or a list.

        Returns
        -------
        Activations
            Tensors on the device by site; ``captured["resid_post.3"]`` works too. Read only: they
            are the cache's own.

        Raises
        ------
        SiteError
            When the model has no such site.
        OutOfMemory
            When the device does not hold it even with an empty cache.

        Examples
        --------
        >>> session.capture(prompt, ["resid_post", "logits"])["resid_post.3"].shape
        torch.Size([14, 768])
        """
        return self._forward.capture(self._own(prompt), sites, self._items(interventions))

    def run_with(
        self,
        prompt: Prompt | PromptBatch,
        interventions: Sequence[Intervention | Mapping[str, Any]],
        sites: str | Site | Iterable[str | Site] = ("logits",),
    ) -> Activations:
        """Run the model once with temporary interventions; nothing is cached.

        The session's own interventions are not applied; put them in the list to have them too.
        """
        return self._forward.run(self._own(prompt), sites, self._items(interventions))

    def gradients(
        self,
        prompt: Prompt | PromptBatch,
        metric: Callable[[Tensor], Tensor],
        sites: str | Site | Iterable[str | Site],
    ) -> Gradients:
        """Return ``values``, ``grads`` (d metric / d activation) by site, and the ``metric``.

        One forward and one backward pass, with the session's interventions; nothing is cached.
        ``metric`` takes the logits as :meth:`capture` gives them and returns one number.

        Examples
        --------
        >>> session.gradients(prompt, lambda logits: logits[-1, 5], "z").grads["z.9"].shape
        torch.Size([14, 12, 64])
        """
        return self._forward.gradients(self._own(prompt), metric, sites, self.interventions.active)

    def run_variants(
        self,
        prompt: Prompt,
        variants: Sequence[Sequence[Intervention | Mapping[str, Any]]],
        read: Callable[[Activations], Tensor] | None = None,
        sites: str | Site | Iterable[str | Site] = ("logits",),
        batch: int | None = None,
    ) -> Any:
        """Run many variants of one prompt, several at a time: variant i changes row i of a batch.

        Parameters
        ----------
        prompt
            The prompt that every variant starts from.
        variants
            One list of interventions per variant; an empty list is the clean run.
        read
            Called with the activations of each batch, ``[row, …]``; returns a tensor with one entry
            per row. None returns the last position's logits.
        sites
            What ``read`` gets.
        batch
            Rows per forward pass; None takes as many as fit in memory, at most 64.

        Returns
        -------
        Tensor
            What ``read`` returned, joined: ``[variant, …]``, on the CPU.

        Examples
        --------
        >>> heads = [iw.Patch(site="z", layer=9, head=h, source=clean) for h in range(12)]
        >>> session.run_variants(corrupted, [[h] for h in heads], lambda a: a["logits"][:, -1, 5])
        """
        lists = [self._items(v) for v in variants]
        return self._forward.variants(self._own(prompt), lists, read, sites, batch)

    def cached(
        self, prompt: Prompt | PromptBatch, site: str | Site, interventions: Any = "current"
    ) -> bool:
        """Whether :meth:`capture` would answer without running the model."""
        items = self._items(interventions)
        return all(
            self._forward.key(prompt, items, s) in self.cache for s in self.anatomy.expand(site)
        )

    def code(self, prompt: Prompt | PromptBatch | Any = None, decoder: Prompt | Any = None) -> str:
        """Return plain nnsight code that reproduces the state and leaves ``logits``.

        Parameters
        ----------
        prompt
            What to run on, written out as ids; None takes the prompt used last.
        decoder
            Of an encoder–decoder (T5, BART), what its decoder reads; None takes what it read when
            the prompt was traced last.

        Notes
        -----
        It needs ``model`` (``session.model``) in scope and nothing of this package.
        """
        from interp_widgets.session.export_code import write

        self._check_open()
        last, read = self._recent, self._decoder
        asked = last if prompt is None else self._own(prompt)
        if decoder is not None:
            read = self.prompts([decoder]).ids
        elif asked != last:
            read = None
        self._decoder = read
        return write(cast("Session", self), asked, read)

    def _items(self, interventions: Any) -> tuple[Intervention, ...]:
        self._check_open()
        if isinstance(interventions, str):
            if interventions == "current":
                return self.interventions.active
            if interventions == "none":
                return ()
            raise ValueError(f'interventions is "current", "none" or a list, not {interventions!r}')
        return self.interventions.checked(interventions)
