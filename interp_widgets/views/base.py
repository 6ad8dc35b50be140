"""What every view does: traits, requests, live re-runs, its static twin, its end.

A view is a subclass with four things of its own (docs/adding-a-view.md)::

    @VIEWS.register("tokens")
    class TokensView(View, bundle="tokens"):  # static/tokens.js, built from js/src/views/tokens.ts
        def __init__(self, result, *, channel: int = 0, theme="auto"):
            super().__init__(result, theme=theme, state={"channel": channel})

        def describe(self): ...  # goes into the `spec` trait: JSON, no data
        def first(self): ...  # optional: arrays of the first paint, by `Array`
        def on_values(self, payload): ...  # answers the request "values"; may return `Array`s
        def export_requests(self): ...  # what an exported page must be able to answer

``self.current`` is the result of now, ``self.base`` the one without interventions;
``self.pick(payload["mode"])`` returns the right one. A handler that touches the model (a forward
pass, not a slice of captured data) is decorated with :func:`on_worker`.
Requests that every view answers are in ``views/common.py``.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from interp_widgets.results.base import Result
from interp_widgets.results.live import SELECTION
from interp_widgets.views.cells import shown
from interp_widgets.views.common import CommonRequests
from interp_widgets.views.following import BaseNeeded, Following, interventions_of
from interp_widgets.views.pacing import Paced
from interp_widgets.views.requests import Requests
from interp_widgets.views.selection import SelectionModel, selection_of
from interp_widgets.views.wire import pack

log = logging.getLogger(__name__)

MOST_DESCRIBED = 2_000_000
"""Larger results are described by their shape; finding their extremes would slow every click."""
EXPORT_FLAG = "INTERP_WIDGETS_EXPORT"
"""Set in a kernel whose notebook is to become a page: outputs then carry all a page needs."""
STATIC_FLAG = "INTERP_WIDGETS_STATIC"
EXPORT_MIME = "application/vnd.interp-widgets.view+json"
STATIC = Path(__file__).parent.parent / "static"
MODES = ("current", "base", "difference")
"""What a view shows after an intervention."""

_UNBUILT = (
    "export default {{render({{el}}) {{ el.textContent = "
    "'The bundle {name}.js is missing: run `npm run build` in js/ and restart the kernel.'; }}}};"
)


class View(Paced, CommonRequests, Following, anywidget.AnyWidget):
    """Base of all views.

    Parameters
    ----------
    result
        What is shown. With a session the view follows its interventions and selection.
    theme
        ``"auto"`` (default) follows the notebook; ``"light"`` or ``"dark"``.
    state
        What is shown first; the subclass's keyword arguments.

    Attributes
    ----------
    current, base
        The result of now, and what its recipe yields without the session's interventions (found
        when it is first asked for). None after :meth:`close`.
    error
        The last error of the view's own JavaScript, for bug reports.

    Raises
    ------
    TypeError
        For a keyword that the view does not have.
    """

    spec = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    selection = traitlets.Unicode().tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], default_value="auto").tag(sync=True)
    script = traitlets.Unicode().tag(sync=True)
    script_name = traitlets.Unicode().tag(sync=True)

    of_result = False
    """Whether a result made this view to show itself; then it goes with its cell's output."""
    _closed = True  # until the constructor is through: ipywidgets closes what failed to open
    bundle: ClassVar[str] = ""
    """Name of the bundle in ``interp_widgets/static``."""

    def __init_subclass__(cls, bundle: str = "", **options: Any) -> None:
        if bundle:
            cls.bundle = bundle
            loader, style = STATIC / "loader.js", STATIC / "style.css"
            built = (STATIC / f"{bundle}.js").is_file() and loader.is_file()
            # As text: anywidget keeps every instance alive that follows a file.
            cls._esm = _text(loader) if built else _UNBUILT.format(name=bundle)
            cls._css = _text(style)
        super().__init_subclass__(**options)

    def __init__(
        self, result: Result, *, theme: str = "auto", state: dict[str, Any] | None = None
    ) -> None:
        self._start_following(result)
        self.error: dict[str, Any] | None = None
        self.revision = 0
        self._title = result.title
        self._guard = threading.RLock()
        self._closed = False
        self._twin: tuple[Any, str | None] = (None, None)
        self._unsubscribe: Callable[[], None] | None = None
        self._detach: Callable[[], None] | None = None
        self._requests = Requests(self)
        self._selection: SelectionModel = selection_of(self._session)
        if self.changed and (state or {}).get("mode") in ("base", "difference"):
            self._find_base()
        super().__init__(
            spec=self._full_spec(),
            state=dict(state or {}),
            status={"phase": "live" if self.is_live else "static", "message": ""},
            selection=self._selection.ref,
            theme=theme,
            **_script(self.bundle),
        )
        self.on_msg(self._receive)
        if self._session is not None:
            self._unsubscribe = self._session.listen(self._on_event)
            if self._session.selection is not None:
                self._detach = self._session.selection.attach(self._shown_at)

    # What a subclass says about itself.

    def describe(self) -> dict[str, Any]:
        """Return the view's own part of ``spec``: plain JSON, small, no data."""
        return {}

    def first(self) -> dict[str, Any]:
        """Return what the first paint needs; small :class:`Array` values are allowed.

        They travel inside ``spec.first``; more than 1 MB belongs into a request.
        """
        return {}

    def export_requests(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Name what an exported page must answer; ``table`` and ``code`` come anyway."""
        return ()

    def export_spec(self) -> dict[str, Any]:
        """Return the ``spec`` of an exported page, which has no kernel."""
        return {**self.spec, "live": False}

    def figure_options(self) -> dict[str, Any]:
        """Return what the renderer must know to draw what is shown now.

        Read from ``self.state`` and ``self.selection_value``: the zoom, pins, groups, order, scale,
        the selected head. The keys are keyword arguments of the kind's renderer.
        """
        return {}

    def figure_result(self) -> Result:
        """Return the result that is drawn: the base in the mode ``"base"``, else the current."""
        result: Result = self.pick(self.mode)
        return result

    # What is shown.

    @property
    def selection_value(self) -> dict[str, Any]:
        """What is selected: in the views of the session, or here alone when it is unlinked."""
        if self.state.get("linked") is False:
            own = self.state.get("own") or {}
            return {name: own.get(name) for name in SELECTION}
        return dict(self._selection.value)

    @property
    def mode(self) -> str:
        """What is shown: ``"current"``, ``"base"`` or ``"difference"``."""
        return str(self.state.get("mode", "current")) if self.changed else "current"

    def _shown_at(self) -> tuple[Result, dict[str, Any]] | None:
        cleared = self._was_shown and not self.is_shown
        if self._closed or cleared:
            return None
        return self.figure_result(), self.selection_value

    def _publish(self) -> None:
        with self.hold_sync():
            self.spec = self._full_spec()
            self.status = {"phase": "live" if self.is_live else "static", "message": ""}

    def _full_spec(self) -> dict[str, Any]:
        result = self._current
        spec: dict[str, Any] = {
            "kind": result.kind,
            "title": result.title,
            "alt": _alt(result),
            "recipe": str(result.recipe) if result.recipe else "",
            "interventions": interventions_of(result),
            "revision": self.revision,
            "changed": self.changed,
            "live": self.is_live,
        }
        try:
            with self.answering():
                payload, buffers = pack({**self.describe(), "first": self.first()})
        except BaseNeeded:
            self._find_base()
            return self._full_spec()
        return {**spec, **payload, "buffers": buffers}

    # Requests.

    def _receive(self, _widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("kind") == "js-error":
            self.error = {k: content.get(k) for k in ("message", "stack")}
            log.error("%s: %s", self, content.get("message"))
            return
        if content.get("kind") in ("open", "close") and isinstance(content.get("copy"), str):
            (self._look if content["kind"] == "open" else self._look_away)(content["copy"])
            return
        self._requests.receive(content, buffers)

    def answer(self, name: str, payload: dict[str, Any]) -> Any:
        """Return what the request ``name`` is answered with, as a handler returns it.

        Raises
        ------
        LookupError
            When the view has no such request.
        """
        return self._requests.handler(name)(payload)

    def on_retry(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Run the recipe again, after an error."""
        self._rerun(force=True)
        return {}

    # Output.

    def figure(
        self, venue: str | None = None, width: str | float = "column", **options: Any
    ) -> Any:
        """Draw for a paper what the view shows now: its zoom, selection, groups and mode.

        Parameters
        ----------
        venue, width
            As in :meth:`Result.figure`.
        **options
            Options of the kind's renderer; they go before what the view shows.

        Examples
        --------
        >>> view = iw.attention(prompt).view(layer=9, head=6)
        >>> view.figure(venue="acl").save("head.pdf")
        """
        shown = {**self.figure_options(), **options}
        return self.figure_result().figure(venue=venue, width=width, **shown)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one page that needs neither kernel nor network; write it to ``path`` if given."""
        from interp_widgets.views.page import to_html

        return to_html([self], path)

    @staticmethod
    def document(views: Sequence[View], *, title: str, body: str, style: str = "") -> str:
        """Return one page with words around views, the i-th at ``data-iw-mount="i"``."""
        from interp_widgets.views.page import assemble, exported

        return assemble([exported(view) for view in views], title=title, body=body, style=style)

    def twin(self) -> Any:
        """Return the figure that stands where the view cannot; quick to draw."""
        return self.current.figure()

    def png(self) -> str | None:
        """Return the static twin as base64 PNG, or None where there is no renderer."""
        result = self.current
        if result is None:
            return None
        if self._twin[0] is not result:
            try:
                data = base64.b64encode(self.twin().png()).decode()
            except Exception:
                log.debug("no static twin for %s", self, exc_info=True)
                data = None
            self._twin = (result, data)
        return self._twin[1]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if not self._closed:
            shown(self)
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data or {})
        if without_front_end():
            data.pop("application/vnd.jupyter.widget-view+json", None)
        png = None if self._closed else self.png()
        if png:
            data["image/png"] = png
        if os.environ.get(EXPORT_FLAG) and not self._closed:
            from interp_widgets.views.page import exported

            data[EXPORT_MIME] = exported(self)
        data["text/plain"] = repr(self) if self._closed else _quiet(self.current.text) or repr(self)
        return data, metadata

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Stop following the session and let go of the data."""
        if self._closed:
            return
        self._closed = True
        for stop in (self._unsubscribe, self._detach):
            if stop is not None:
                stop()
        self._requests.cancel_all()
        with self.hold_sync():  # JupyterLab keeps what a closed widget holds, and held before that
            for name in {"script", "_css"} & set(self.traits()):
                self.set_trait(name, "")
        self.status = {"phase": "closed", "message": "This view was closed."}
        self._current = self._base = self._origin = None
        self._twin = (None, None)
        layout = self.layout
        super().close()
        self.unobserve_all()
        self.spec = {}  # nobody is told: IPython's Out keeps closed views, and this is most of one
        layout.close()
        if self._session is None:  # then the selection is this view's alone
            self._selection.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, '_title', '')!r})"


def without_front_end() -> bool:
    """Whether nbclient runs the notebook: nbconvert, papermill, a documentation build.

    Nothing will ever draw a widget there, and a page made of its saved state would be blank without
    a network, so outputs carry the picture alone. Such a run allows no input, is no server's and is
    not Voilà's; ``INTERP_WIDGETS_STATIC`` set to ``0`` or ``1`` decides otherwise.
    """
    wish = os.environ.get(STATIC_FLAG)
    if wish in ("0", "1"):
        return wish == "1"
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    kernel = getattr(shell, "kernel", None)
    served = any(name in os.environ for name in ("JPY_SESSION_NAME", "VOILA_KERNEL_ID"))
    return getattr(kernel, "_allow_stdin", None) is False and not served


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Return a view's keyword, refusing a word that it does not know."""
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@functools.cache
def _script(bundle: str) -> dict[str, str]:
    """Return a bundle and a name that no other text has: a page evaluates each name once."""
    text = _text(STATIC / f"{bundle}.js")
    return {"script": text, "script_name": hashlib.sha256(text.encode()).hexdigest()}


def _alt(result: Any) -> str:
    """Describe the result, without reading large arrays again on every re-run."""
    shapes = [tuple(array.shape) for array in result.arrays.values()]
    if sum(math.prod(shape) for shape in shapes) <= MOST_DESCRIBED:
        return _quiet(result.alt_text)
    return f"{result.title}, {' × '.join(map(str, shapes[0]))}"


def _quiet(call: Callable[[], str]) -> str:
    try:
        return str(call())
    except Exception:
        log.debug("no text", exc_info=True)
        return ""
