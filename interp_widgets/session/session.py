"""The session: one model on its device, what was captured from it and what is being done to it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from interp_widgets.session import engines, loading
from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.cache import Cache
from interp_widgets.session.events import Listeners
from interp_widgets.session.forward import Forward, quiet_modes
from interp_widgets.session.intervention_list import Interventions
from interp_widgets.session.metric import Metric
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.reading import Reader
from interp_widgets.session.running import Running
from interp_widgets.session.selection import Selection
from interp_widgets.session.targets import check_target
from interp_widgets.session.verbs import Verbs
from interp_widgets.session.worker import worker_of

if TYPE_CHECKING:
    from torch import Tensor, nn


EVENTS = ("interventions", "selection", "cache", "queue", "closed")


class Session(Verbs, Running):
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
        self._decoder: Tensor | None = None
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
        if made.values is not None and not self.anatomy.tried:
            self._explore(made)
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
        self._recent = self._decoder = None
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

    def _explore(self, first: Prompt) -> None:
        """Find the parts of a module whose input was not known, on its first one."""
        try:
            with self.worker.locked(), quiet_modes(self.device):
                self.anatomy.prepare(first.batch())
                self.anatomy.check(first.batch())
        except Exception as error:  # what is wrong with the input is said when the model runs
            self.anatomy.trouble = f"{type(error).__name__}: {error}"

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
        self._recent, self._decoder = own, None
        return own
