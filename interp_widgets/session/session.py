"""The session: one model on its device, what was captured from it and what is being done to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch

from interp_widgets.session import engines, loading
from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.cache import Cache
from interp_widgets.session.errors import SessionBusyError, SessionClosedError
from interp_widgets.session.events import Listeners
from interp_widgets.session.forward import Activations, Forward, quiet_modes
from interp_widgets.session.intervention_list import Interventions
from interp_widgets.session.interventions import Intervention
from interp_widgets.session.metric import Metric
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.reading import Reader
from interp_widgets.session.selection import Selection
from interp_widgets.session.targets import check_target
from interp_widgets.session.tracing import SessionTracer, edited
from interp_widgets.session.verbs import Verbs
from interp_widgets.session.waiting import wait_in_cell
from interp_widgets.session.worker import Job, call, current_job, worker_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from interp_widgets.session.capture import Gradients
    from interp_widgets.session.sites import Site

EVENTS = ("interventions", "selection", "cache", "queue", "closed")


class Session(Verbs):
    """The shared object behind every view: model, prompts, interventions, selection, cache, worker.

    Parameters
    ----------
    model
        A Hugging Face id or folder, a loaded transformers model, any torch module, or an nnsight
        model.
        It is put into evaluation mode.
    device
        Where it runs. None takes CUDA, then MPS, then the CPU for a model that is loaded here, and
        leaves a loaded one where it is.
    dtype
        ``"float32"``, ``"bfloat16"`` …; None keeps the checkpoint's.
    engine
        Where traces run: ``"local"``, or an engine of ``session/engines.py``.
    cache_bytes
        Most bytes of activations to keep on the device. None takes a fifth of what is free, at
        most 2 GiB.
    tokenizer
        The tokenizer of a loaded model; a model without one takes token ids or images.
    name
        The name in recipes and captions.

    Raises
    ------
    ModelError
        When the model cannot be loaded, the device is not there or weights are NaN.

    Examples
    --------
    >>> session = iw.Session("openai-community/gpt2")
    >>> prompt = session.prompt("The Eiffel Tower is in", answer=" Paris")
    """

    def __init__(
        self,
        model: Any,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        engine: Any = "local",
        cache_bytes: int | None = None,
        tokenizer: Any = None,
        name: str | None = None,
    ) -> None:
        self._closed = False
        self._recent: Prompt | PromptBatch | None = None
        self._listeners = Listeners("session")
        self.engine = engines.engine(engine)
        remote = isinstance(self.engine, engines.NDIFEngine)
        envoy, module, self.tokenizer = loading.open_model(
            model, tokenizer, device, dtype, remote=remote
        )
        loading.check_weights(module)
        module.eval()
        if name is None and isinstance(model, str):
            name = model
        self.worker = worker_of(module, name or type(module).__name__)
        self.worker.users += 1
        self._signature = loading.Signature(module)
        first = next(module.parameters(), None)
        self.device = first.device if first is not None else torch.device("cpu")
        self.dtype = first.dtype if first is not None else torch.get_default_dtype()
        with self.worker.locked(), quiet_modes(self.device):
            self.model = loading.wrap(module, envoy, self.worker)
            self.anatomy = Anatomy.of(self.model)
            if isinstance(self.engine, engines.LocalEngine):
                self._check_anatomy()
        self._name = name
        self._reader = Reader(
            self,
            self.tokenizer,
            self._signature.vocabulary,
            self._signature.max_positions,
            self._signature.grid,
        )
        self.cache = Cache(
            loading.default_cache_bytes(self.device) if cache_bytes is None else cache_bytes
        )
        self.selection = Selection()
        self.selection.listen(lambda _changed: self._listeners.emit("selection"))
        self.interventions = Interventions(
            lambda item: check_target(item, self.anatomy, self._signature.max_positions),
            lambda: self._listeners.emit("interventions"),
        )
        self.metric = Metric(self)
        self._forward = Forward(self)

    # -- what it is ----------------------------------------------------------

    @functools.cached_property
    def model_info(self) -> dict[str, Any]:
        """Name, class, revision, dtype, parameters and fingerprint of the weights: for recipes."""
        return loading.describe(self._module, self._name)

    @property
    def name(self) -> str:
        """The model's name, as recipes and captions say it."""
        return str(self.model_info["name"])

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""
        return self._closed

    @property
    def forward_passes(self) -> int:
        """Forward passes that this session has run, traces of users included."""
        return self._forward.passes

    @property
    def recent(self) -> Prompt | PromptBatch | None:
        """The prompt or batch used last; None before the first."""
        return self._recent

    @property
    def pad_id(self) -> int:
        """Token id that fills a batch's rows; its positions are masked."""
        for attribute in ("pad_token_id", "eos_token_id"):
            token = getattr(self.tokenizer, attribute, None)
            if isinstance(token, int):
                return token
        return 0

    @property
    def _module(self) -> nn.Module:
        self._check_open()
        module: nn.Module = self.model._module  # noqa: SLF001 - nnsight's name for the wrapped module
        return module

    # -- prompts -------------------------------------------------------------

    def prompt(
        self, text_or_ids: Any, answer: str | int | None = None, foil: str | int | None = None
    ) -> Prompt:
        """Make a prompt.

        Parameters
        ----------
        text_or_ids
            Text, token ids, pixel values ``[channel, height, width]`` for an image model, a float
            tensor for another module, or the JSON of a prompt.
        answer, foil
            The right and the wrong continuation: a text that is one token (mind the space before
            it), or a token id.

        Raises
        ------
        PromptError
            When the prompt is empty, too long for the model, holds ids that are not in the
            vocabulary, or answer or foil are not one token.

        Examples
        --------
        >>> session.prompt("The Eiffel Tower is in", answer=" Paris", foil=" Rome")
        """
        self._check_open()
        made = self._reader.read(text_or_ids, answer, foil)
        if not (made.answer is None or made.foil is None or isinstance(text_or_ids, Mapping)):
            self.metric.prompt = made
        return made

    def prompts(self, sources: Iterable[Any] | Mapping[str, Any]) -> PromptBatch:
        """Make a batch of prompts (or of what :meth:`prompt` takes), padded on the right."""
        self._check_open()
        if isinstance(sources, Mapping):
            sources = sources["prompts"]
        made = [
            s if isinstance(s, Prompt) and s.session is self else self._reader.read(s)
            for s in sources
        ]
        return PromptBatch(tuple(made))

    def token_string(self, token: int) -> str:
        """Return a token id as a person reads it, with its leading space."""
        return self._reader.token_string(token)

    def portable_token(self, token: int) -> str | int:
        """Return a token id as text where the text gives it back, for recipes; else the id."""
        return self._reader.portable(token)

    def token_id(self, text: str | int) -> int:
        """Return the id of a text that is one token; raises PromptError when it is not."""
        return self._reader.token_id(text, "token")

    def inputs_for(
        self, *, ids: Tensor | None = None, values: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return ``(args, kwargs)`` that the model is called with, for ids or float values."""
        if values is not None:
            values = values.to(self.dtype)
        return self._signature.call(values, ids, mask)

    # -- running the model ---------------------------------------------------

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
        stages = self._forward.stages(prompt, self.interventions.active)
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

    def code(self, prompt: Prompt | PromptBatch | Any = None) -> str:
        """Return plain nnsight code that reproduces the state and leaves ``logits``.

        Parameters
        ----------
        prompt
            What to run on, written out as ids; None takes the prompt used last.

        Notes
        -----
        It needs ``model`` (``session.model``) in scope and nothing of this package.
        """
        from interp_widgets.session.export_code import write

        self._check_open()
        return write(self, self._recent if prompt is None else self._own(prompt))

    # -- jobs and events -----------------------------------------------------

    def submit(
        self,
        work: Callable[..., Any],
        key: object = None,
        label: str = "",
        done: Callable[[Job], None] | None = None,
    ) -> Job:
        """Run ``work`` on the model's worker thread and return at once.

        Parameters
        ----------
        work
            A function of no argument, or of one: the job, whose ``progress(done, total)`` reports
            and raises :class:`Cancelled` when somebody asked it to stop.
        key
            The newest job of a key replaces queued older ones and cancels a running one.
        label
            What it is, for the session panel.
        done
            Called with the finished job on the worker thread, also when it failed, was cancelled
            or replaced; ``job.result()`` returns or raises.
        """
        self._check_open()
        changed = functools.partial(self._listeners.emit, "queue")
        return self.worker.submit(Job(work, key, label, done, changed))

    def run(self, work: Callable[..., Any], label: str = "") -> Any:
        """Run ``work`` on the worker and wait: a progress bar after a second, Ctrl-C cancels.

        Raises
        ------
        SessionBusyError
            Inside a trace of the same thread, which the worker would wait for for ever.
        """
        if self.worker.tracing_here:
            raise SessionBusyError(
                "this needs the model while a `with session.trace(...)` block of the same thread "
                "holds it; move the call before or after the block"
            )
        self._check_open()
        if self.worker.is_current or self.worker.held_here:
            job = current_job() or Job(work)
            return call(work, job)
        return wait_in_cell(self.submit(work, label=label), label)

    def progress(self, done: int, total: int) -> None:
        """Report progress of the job that calls this, and stop where it was cancelled."""
        job = current_job()
        if job is not None:
            job.progress(done, total)

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call ``callback(event)`` on every change; returns the function that stops it.

        Events: ``interventions``, ``selection``, ``cache``, ``queue``, ``closed``. It is called on
        the thread that made the change.
        """
        return self._listeners.add(callback)

    def emit(self, event: str) -> None:
        """Tell every listener of an event."""
        self._listeners.emit(event)

    # -- memory and end ------------------------------------------------------

    def memory(self) -> dict[str, Any]:
        """Return bytes on the device: model, cache, free, total (None where not known)."""
        weights = sum(p.numel() * p.element_size() for p in self._module.parameters())
        free, total = loading.device_memory(self.device)
        return {
            "device": str(self.device),
            "model": weights,
            "cache": self.cache.bytes,
            "cache_capacity": self.cache.capacity,
            "free": free,
            "total": total,
        }

    def close(self) -> None:
        """Release model and cache; views that are still open say so. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        self.cache.capacity = 0  # work that is still running puts nothing back
        self.cache.clear()
        self._recent = None
        self.worker.users -= 1
        if self.worker.users <= 0:
            self.worker.stop()
        self._listeners.emit("closed")
        self._listeners.clear()
        del self.model, self.anatomy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in {"model", "anatomy"} and self.__dict__.get("_closed"):
            self._check_open()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        if self._closed:
            return "Session(closed)"
        what = f"{self.anatomy.n_layers} layers, " if self.anatomy.n_layers else ""
        count = len(self.interventions)
        done = f", {count} intervention{'s' if count > 1 else ''}" if count else ""
        return f"Session({self.name}, {what}{self.device}, {str(self.dtype)[6:]}{done})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        from interp_widgets.results.registry import VIEWS

        if not self._closed and "session" in VIEWS:
            return VIEWS.get("session")(self)._repr_mimebundle_(include=include, exclude=exclude)
        return {"text/plain": repr(self)}

    # -- inside --------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session was closed; open a new one with iw.Session(...)")

    def _check_anatomy(self) -> None:
        """Compare every site with one small trace; a session opens whatever comes of it."""
        if not self.anatomy.tried:
            return
        try:
            self.anatomy.check()
        except Exception as error:
            self.anatomy.problems = {"all sites": f"they could not be checked ({error})"}

    def _own(self, prompt: Any) -> Any:
        """Return a prompt of this session and remember it."""
        self._check_open()
        if isinstance(prompt, PromptBatch):
            own: Prompt | PromptBatch = prompt if prompt.session is self else self.prompts(prompt)
        else:
            mine = isinstance(prompt, Prompt) and prompt.session is self
            own = prompt if mine else self.prompt(prompt)
        self._recent = own
        return own

    def _items(self, interventions: Any) -> tuple[Intervention, ...]:
        self._check_open()
        if isinstance(interventions, str):
            if interventions == "current":
                return self.interventions.active
            if interventions == "none":
                return ()
            raise ValueError(f'interventions is "current", "none" or a list, not {interventions!r}')
        return self.interventions.checked(interventions)
