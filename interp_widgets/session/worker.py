"""One lock and one long-lived worker thread per model.

nnsight runs a trace in greenlets, which belong to their thread, and two traces of one model at a
time break both. So whatever touches a model holds its lock, and whatever does not come from a cell
runs on its worker (docs/architecture.md, "Threads").
"""

from __future__ import annotations

import atexit
import contextlib
import inspect
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from interp_widgets.session.errors import Cancelled, SessionBusyError

log = logging.getLogger(__name__)

_current = threading.local()


def current_job() -> Job | None:
    """Return the job that the calling thread is running, or None."""
    return getattr(_current, "job", None)


class Job:
    """One piece of work on the worker.

    Attributes
    ----------
    label
        What the work is, for progress bars and the session panel.
    state
        ``"queued"``, ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    progress_done, progress_total
        How far it is; the total is 0 until the work reports one.
    """

    def __init__(
        self,
        work: Callable[..., Any],
        key: object = None,
        label: str = "",
        done: Callable[[Job], None] | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.key = key
        self.label = label
        self.state = "queued"
        self.progress_done = 0
        self.progress_total = 0
        self._work: Callable[..., Any] | None = work
        self._done = done
        self._changed = changed
        self._cancel = threading.Event()
        self._finished = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def finished(self) -> bool:
        """Whether the job is over, in whichever way."""
        return self._finished.is_set()

    @property
    def cancelling(self) -> bool:
        """Whether somebody asked the job to stop."""
        return self._cancel.is_set()

    @property
    def error(self) -> BaseException | None:
        """What went wrong, once the job is over; None when it went well."""
        return self._error

    def cancel(self) -> None:
        """Ask the job to stop: at once when it is queued, at its next step when it runs."""
        self._cancel.set()

    def check(self) -> None:
        """Raise :class:`Cancelled` when somebody asked the job to stop; work calls it often."""
        if self._cancel.is_set():
            raise Cancelled(f"{self.label or 'the work'} was cancelled")

    def progress(self, done: int, total: int) -> None:
        """Report progress, and stop here when the job was cancelled."""
        self.check()
        self.progress_done, self.progress_total = int(done), int(total)
        self._notify()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over; returns False when ``timeout`` seconds passed first."""
        return self._finished.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result.

        Raises
        ------
        TimeoutError
            When ``timeout`` seconds pass; the job goes on.
        Cancelled
            When the job was cancelled or replaced by a newer one of its key.
        Exception
            Whatever the work raised.
        """
        if not self._finished.wait(timeout):
            raise TimeoutError(f"{self.label or 'the work'} is {self.state} after {timeout} s")
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        """Run the work on the calling thread and keep what comes of it."""
        outer = current_job()
        _current.job = self
        work, self._work = self._work, None
        try:
            self.check()
            assert work is not None
            self.state = "running"
            self._notify()
            self._result = call(work, self)
            self.state = "done"
        except Cancelled as error:
            self._error, self.state = error, "cancelled"
        except BaseException as error:
            self._error, self.state = error, "failed"
        finally:
            _current.job = outer

    def _finish(self) -> None:
        self._finished.set()
        if self._done is not None:
            try:
                self._done(self)
            except Exception:
                log.exception("the callback of %s failed", self.label or "a job")
        self._done = None
        self._notify()
        self._changed = None

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed()

    def __repr__(self) -> str:
        return f"Job({self.label or 'unnamed'!s}, {self.state})"


class Worker:
    """The lock and the worker thread of one model; sessions on the same model share them."""

    def __init__(self, name: str = "model") -> None:
        self.name = name
        self.envoy: weakref.ref[Any] | None = None  # the nnsight model, for the next session on it
        self.users = 0
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0
        self._tracing = 0
        self._condition = threading.Condition()
        self._queue: deque[Job] = deque()
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self._stop = False

    # -- the lock ----------------------------------------------------------

    def acquire(self, timeout: float = -1) -> bool:
        """Take the model's lock; re-entrant. Returns False when ``timeout`` seconds pass first."""
        taken = self._lock.acquire(timeout=timeout)
        if taken:
            self._owner = threading.get_ident()
            self._depth += 1
        return taken

    def release(self) -> None:
        """Give the lock back."""
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._lock.release()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the model's lock.

        Raises
        ------
        SessionBusyError
            From inside a trace of the same thread: the model is in the middle of a forward pass.
        """
        if self.tracing_here:
            raise SessionBusyError(
                "this runs inside a `with session.trace(...)` block of the same thread, while the "
                "model is in the middle of its forward pass; move it before or after the block"
            )
        self.acquire()
        try:
            yield
        finally:
            self.release()

    @property
    def held_here(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self._owner == threading.get_ident()

    @property
    def tracing_here(self) -> bool:
        """Whether the calling thread is inside a trace of this model."""
        return self.held_here and self._tracing > 0

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Mark the forward pass of a trace, on the thread that holds the lock."""
        self._tracing += 1
        try:
            yield
        finally:
            self._tracing -= 1

    # -- the queue ---------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this worker's thread."""
        return threading.current_thread() is self._thread

    @property
    def jobs(self) -> list[Job]:
        """The running job, if any, and those that wait, in order."""
        with self._condition:
            running = [self._running] if self._running is not None else []
            return running + list(self._queue)

    def submit(self, job: Job) -> Job:
        """Queue a job; the newest of a key replaces queued ones and cancels a running one."""
        replaced: list[Job] = []
        with self._condition:
            if self._stop:
                self._stop = False
                self._thread = None
            if job.key is not None:
                replaced = [old for old in self._queue if old.key == job.key]
                self._queue = deque(old for old in self._queue if old.key != job.key)
                if self._running is not None and self._running.key == job.key:
                    self._running.cancel()
            self._queue.append(job)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=_loop, args=(self,), name=f"interp-widgets {self.name}", daemon=True
                )
                self._thread.start()
                _workers.add(self)
            self._condition.notify_all()
        for old in replaced:
            self._discard(old, f"{old.label or 'the work'} was replaced by a newer request")
        job._notify()  # noqa: SLF001 - worker and job are one concept
        return job

    def stop(self, wait: float = 0.0) -> None:
        """End the thread after the job that runs now, which is asked to stop."""
        with self._condition:
            self._stop = True
            queued, self._queue = list(self._queue), deque()
            if self._running is not None:
                self._running.cancel()
            thread = self._thread
            self._condition.notify_all()
        for job in queued:
            self._discard(job, "the session was closed")
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join(wait)

    @staticmethod
    def _discard(job: Job, why: str) -> None:
        job.cancel()
        job.state = "cancelled"
        job._error = Cancelled(why)  # noqa: SLF001
        job._work = None  # noqa: SLF001
        job._finish()  # noqa: SLF001


def _loop(worker: Worker) -> None:
    """Run jobs, one at a time and each with the lock held, until the worker is stopped."""
    condition = worker._condition  # noqa: SLF001
    me = threading.current_thread()
    while True:
        with condition:
            while not worker._queue and not worker._stop and worker._thread is me:  # noqa: SLF001
                condition.wait()
            if worker._thread is not me or (worker._stop and not worker._queue):  # noqa: SLF001
                return
            job = worker._queue.popleft()  # noqa: SLF001
            worker._running = job  # noqa: SLF001
        worker.acquire()
        try:
            job._run()  # noqa: SLF001
        finally:
            worker.release()
            with condition:
                worker._running = None  # noqa: SLF001
        job._finish()  # noqa: SLF001
        del job  # a finished job must not keep its result alive until the next one


def call(work: Callable[..., Any], job: Job) -> Any:
    """Call ``work`` with the job when it takes one argument, else with none."""
    return work(job) if _wants_job(work) else work()


def _wants_job(work: Callable[..., Any]) -> bool:
    """Whether ``work`` has a required positional parameter, which gets the job."""
    try:
        parameters = inspect.signature(work).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is p.empty for p in parameters)


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_by_model: weakref.WeakKeyDictionary[Any, Worker] = weakref.WeakKeyDictionary()
_by_model_lock = threading.Lock()


def worker_of(module: Any, name: str = "model") -> Worker:
    """Return the worker of a torch module, the same one for every session on it."""
    with _by_model_lock:
        worker = _by_model.get(module)
        if worker is None:
            worker = _by_model[module] = Worker(name)
            weakref.finalize(module, worker.stop)
        return worker


@atexit.register
def _stop_all() -> None:
    """Stop every worker before the interpreter goes: a thread inside torch must not outlive it."""
    for worker in list(_workers):
        worker.stop(wait=2.0)
