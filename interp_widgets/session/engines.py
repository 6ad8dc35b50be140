"""Where a trace runs: here, on NDIF through nnsight, or on machines that a user plugs in."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable


class EngineError(RuntimeError):
    """An engine cannot run here; the message says what it needs."""


@runtime_checkable
class Engine(Protocol):
    """What runs a trace: the seam for other machines.

    An engine has a `name` and opens nnsight's tracing context for an input. Everything that is read
    inside the context has to be saved with `.save()`; what the engine returns may lie on another
    device. A Ray engine, for example, is an object whose `trace` gives the context of an actor's
    copy of the model.

    Examples
    --------
    >>> with LocalEngine().trace(model, {"input_ids": ids}) as tracer:
    ...     h = model.transformer.h[0].output.save()
    """

    name: str

    def trace(self, model: Any, batch: Any) -> Any:
        """Open nnsight's tracing context on `batch`: keyword arguments, or one input."""


class LocalEngine:
    """Runs on the device where the model is."""

    name = "local"

    def trace(self, model: Any, batch: Any) -> Any:
        """Open the context; see `Engine`."""
        args, kwargs = arguments(batch)
        return model.trace(*args, **kwargs)


class NDIFEngine:
    """Runs on the National Deep Inference Fabric through nnsight (arXiv:2407.14561).

    Parameters
    ----------
    simulate
        True serialises each trace as for a server and runs it here with this machine's own modules
        hidden (nnsight's `remote="local"`): a test of remote use without a network.

    Raises
    ------
    EngineError
        When a trace is opened on a model that is not known to a server: a plain torch module.
    """

    def __init__(self, *, simulate: bool = False) -> None:
        self.name = "ndif-simulated" if simulate else "ndif"
        self.remote: Literal[True, "local"] = "local" if simulate else True

    def trace(self, model: Any, batch: Any) -> Any:
        """Open the context; see `Engine`."""
        from nnsight.modeling.mixins.remotable import Remotable

        if not isinstance(model, Remotable):
            raise EngineError(
                "NDIF runs models that its servers hold, named by a Hugging Face id; this session "
                "has a torch module. Open the session with an id, "
                "Session('openai-community/gpt2', engine='ndif'), or use engine='local'."
            )
        args, kwargs = arguments(batch)
        return model.trace(*args, **kwargs, remote=self.remote)


def arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split a batch into positional and keyword arguments of the model."""
    return ((), dict(batch)) if isinstance(batch, Mapping) else ((batch,), {})


def engine(name: str | Engine) -> Engine:
    """Return the engine of a name: `"local"`, `"ndif"`, `"ndif-simulated"`, or an engine itself.

    Raises
    ------
    EngineError
        For `"ray"` (a seam: pass your own engine) and for unknown names.
    """
    if not isinstance(name, str):
        if not isinstance(name, Engine):
            raise EngineError(
                f"An engine has a name and trace(model, batch); {type(name).__name__} has not."
            )
        return name
    if name == "local":
        return LocalEngine()
    if name in ("ndif", "ndif-simulated"):
        return NDIFEngine(simulate=name == "ndif-simulated")
    if name == "ray":
        installed = importlib.util.find_spec("ray") is not None
        start = (
            "Ray is installed, but" if installed else "Ray is not installed (pip install ray), and"
        )
        raise EngineError(
            f"{start} interp_widgets brings no Ray engine of its own: pass an object with name and "
            "trace(model, batch) that opens the trace on your actor: Session(model, engine=mine)."
        )
    raise EngineError(
        f"There is no engine {name!r}; the engines are local, ndif, ndif-simulated, ray."
    )
