"""How a view follows its session: the result of now, the base beside it, when to run again.

``current`` is the result as it was given, then what its recipe yields with the session's
interventions of now. ``base`` is what it yields without any of them; a view that was opened while
interventions were on finds it when somebody first asks for it.

A view that nobody looks at (never displayed, or its output was cleared) only remembers that it has
to run again; it does so when it is displayed or asked.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.live import LiveSession

log = logging.getLogger(__name__)

PATIENCE = 0.15
"""Seconds of a run before the view says that it is running; shorter ones only repaint."""


class BaseNeeded(RuntimeError):  # noqa: N818 - a turn of the request, not an error of the user
    """A request needs the base, which takes the worker."""


class Following:
    """Mixed into :class:`interp_widgets.views.base.View`, which has the traits."""

    status: dict[str, Any]
    revision: int
    _closed: bool
    _title: str
    _guard: threading.RLock

    def _start_following(self, result: Result) -> None:
        self._session: LiveSession | None = result.session
        self._adopt(result)
        self._ran: Any = None
        self._newest: Any = None
        self._stale = False
        self._copies: set[str] = set()
        self._was_shown = False
        self._speaks = False
        self._here = threading.local()

    def _adopt(self, result: Result) -> None:
        self._current: Any = result
        self._origin: Any = result  # its recipe runs again
        self._base: Any = None if self._session is not None and interventions_of(result) else result

    # What there is.

    @property
    def session(self) -> LiveSession | None:
        """The live session, or None."""
        return self._session

    @property
    def current(self) -> Any:
        """The result of now; None once the view is closed."""
        if self._stale and not self._inside and not self._closed:
            self._refresh()
        return self._current

    @property
    def base(self) -> Any:
        """The result without the session's interventions; None once the view is closed.

        Without a session it is the result as it was given.
        """
        if self._base is None and not self._closed:
            if self._inside:
                raise BaseNeeded("the base is not there yet")
            self._find_base()
        return self._base

    @property
    def known_base(self) -> Any:
        """The base, or None where nobody has asked for it yet."""
        return self._base

    @property
    def is_live(self) -> bool:
        """Whether the view follows the session's interventions."""
        return self._session is not None and getattr(self._origin, "recipe", None) is not None

    @property
    def changed(self) -> bool:
        """Whether interventions make what is shown now differ from the base."""
        now = interventions_of(self._current)
        if self._base is None:
            return bool(now)
        return self._current is not self._base and now != interventions_of(self._base)

    @property
    def is_shown(self) -> bool:
        """Whether a browser shows the view."""
        return bool(self._copies)

    def pick(self, mode: str) -> Any:
        """Return ``self.base`` for ``"base"``, else ``self.current``.

        Raises
        ------
        NotLiveError
            When the view is closed.
        """
        if self._closed:
            raise NotLiveError("this view is closed; display the result again")
        return self.base if mode == "base" else self.current

    def set_result(self, result: Result) -> None:
        """Show a new result in the place of the current one; the base stays."""
        with self._guard:
            if not self._closed:
                self._current, self._stale = result, False
                self.revision += 1
                self._publish()

    def _publish(self) -> None:
        """Tell the browser what there is now."""
        raise NotImplementedError

    @property
    def _inside(self) -> bool:
        """Whether this thread answers a request or describes the view, and must not wait."""
        return bool(getattr(self._here, "inside", False))

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Within the block, on this thread, nothing waits for the worker."""
        before, self._here.inside = self._inside, True
        try:
            yield
        finally:
            self._here.inside = before

    # Who looks.

    def _look(self, copy: str) -> None:
        """Take note of a copy of the view on a page."""
        self._copies.add(copy)
        self._was_shown = True
        if self._stale and not self._closed:
            self._rerun()

    def _look_away(self, copy: str) -> None:
        self._copies.discard(copy)

    # Running again.

    def _on_event(self, event: str) -> None:
        if self._closed:
            return
        if event == "interventions" and self.is_live:
            if self.is_shown:
                self._rerun()
            else:
                self._stale = True
        elif event == "closed":
            self._stale, self._newest = False, None
            self.status = {"phase": "static", "message": "The session is closed."}

    def _rerun(self, *, force: bool = False) -> None:
        """Run again on the worker, unless what is on now is what was run last."""
        session = self._live()
        key = session.interventions.key
        self._stale = False
        if key == self._ran and not force:
            return
        self._ran = key
        said = session.interventions.said if self._speaks else ""
        self._speaks = False
        waiting = self._newest = self._soon_running("running again")

        def done(job: Any) -> None:
            waiting.cancel()
            error = getattr(job, "error", None)
            if error is None:
                self._say_later(said)
            elif waiting is self._newest and not self._closed:
                self._ran = None
                self.status = {"phase": "error", "message": str(error)}

        session.submit(
            self._refresh, key=f"view-{id(self)}", label=f"{self._title}, again", done=done
        )

    def _refresh(self) -> None:
        """Run again on this thread; without interventions the base is what would come."""
        session = self._live()
        self._stale, key = False, session.interventions.key
        plain = self._base is not None and not session.interventions.active
        self.set_result(self._base if plain else self._origin.rerun(session))
        self._ran = key

    def run_with(self, **arguments: Any) -> None:
        """Run the recipe with other arguments, on this thread; the view follows that from now on.

        Raises
        ------
        NotLiveError
            When the view is closed, or its result has no session or no recipe.
        """
        session, origin = self._live(), self._origin
        if self._closed or origin is None:
            raise NotLiveError("this view is closed; display the result again")
        if origin.recipe is None:
            raise NotLiveError("this result was made from a tensor and has no recipe to run again")
        asked = copy.copy(origin)
        known = origin.recipe.arguments
        asked.recipe = replace(origin.recipe, arguments={**known, **arguments})
        before, waiting = self.status, self._soon_running("running again")
        key = session.interventions.key
        try:
            result = asked.rerun(session)
        except BaseException:
            waiting.cancel()
            self.status = before
            raise
        waiting.cancel()
        with self._guard:
            if not self._closed:
                self._adopt(result)
                self._ran, self._stale = key, False
                self.revision += 1
                self._publish()

    def _find_base(self) -> None:
        session, origin = self._live(), self._origin
        before, waiting = self.status, self._soon_running("running without interventions")
        try:
            base = origin.rerun(session, interventions="none")
        finally:
            waiting.cancel()
            self.status = before
        with self._guard:
            if self._origin is origin and self._base is None:
                self._base = self._origin = base
                self._publish()

    def _soon_running(self, message: str) -> threading.Timer:
        """Say that the view is running, unless the timer is cancelled before."""
        revision = self.revision

        def say() -> None:
            with self._guard:
                over = timer.finished.is_set() or self.revision != revision
                if not over and not self._closed:
                    self.status = {"phase": "running", "message": message}

        timer = threading.Timer(PATIENCE, say)
        timer.daemon = True
        timer.start()
        return timer

    def _say_later(self, said: str) -> None:
        """Say what was done and what it did to the session's metric, in the view it was done in."""
        session = self._session
        metric = getattr(session, "metric", None)
        if not said or session is None or self._closed:
            return

        def work() -> None:
            reading = metric.read() if metric is not None else None
            text = f"{said}, {reading.text()}" if reading is not None else said
            if not self._closed:
                self.status = {**self.status, "said": text}

        session.submit(work, key=f"said-{id(self)}", label="logit difference")

    def _live(self) -> LiveSession:
        if self._session is None:
            raise NotLiveError("this view has no session: load the result with a session first")
        return self._session


def interventions_of(result: Any) -> list[dict[str, Any]]:
    """Return the interventions that were on when a result was made, as JSON."""
    recipe = getattr(result, "recipe", None)
    return [i for i in recipe.interventions if i.get("on", True)] if recipe else []
