"""nnsight's own trace, with a model's lock held while the block runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from nnsight.intervention.tracer import InterleavingTracer
from nnsight.tracing.tracer import skip_context, skippable

from interp_widgets.session.errors import SessionBusyError

if TYPE_CHECKING:
    from types import TracebackType

    from interp_widgets.session.editing import Stage
    from interp_widgets.session.worker import Worker


class SessionTracer(InterleavingTracer):
    """nnsight's tracer, which takes the model's lock on entry and gives it back on exit.

    nnsight reads the caller's source when the block is entered, so this is a tracer and not a
    context manager around one.
    """

    worker: Worker
    passed: Callable[[], None]

    def __init__(
        self,
        worker: Worker,
        passed: Callable[[], None],
        envoy: Any,
        fn: Any,
        *args: Any,
        backend: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(envoy, fn, *args, backend=backend, **kwargs)
        self.worker = worker
        self.passed = passed

    def __reduce__(self) -> Any:
        """Travel as nnsight's plain tracer: lock and session stay at home."""
        state = super().__getstate__()
        state.pop("worker", None)
        state.pop("passed", None)
        return object.__new__, (InterleavingTracer,), state

    def __enter__(self) -> Self:
        """Take the lock and capture the block; the frame depth is what nnsight expects."""
        if self.worker.tracing_here:
            raise SessionBusyError(
                "this trace is opened inside another trace of the same model and thread, which is "
                "in the middle of its forward pass; close that block first"
            )
        self.worker.acquire()
        try:
            self.capture()
            if skippable(self.node):
                skip_context(self)
        except BaseException:
            self.worker.release()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> bool:
        """Run the block and give the lock back, whatever happened."""
        try:
            self.passed()
            with self.worker.tracing():
                return bool(super().__exit__(exc_type, exc_value, exc_traceback))
        finally:
            self.worker.release()


def edited(model: Any, stages: Sequence[Stage]) -> Any:
    """Return nnsight's copy of a model on which every trace applies ``stages``.

    The weights, modules and the user's own edits are shared; the original is left as it is.
    """
    for stage in stages:
        with model.edit() as (_tracer, changed):
            stage.apply(changed)
        model = changed
    return model
