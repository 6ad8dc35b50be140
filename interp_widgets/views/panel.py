"""The session panel: the model, its device and memory, what runs, what is done to the model."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, ClassVar, cast

from interp_widgets.results.live import OpenSession
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.base import View

log = logging.getLogger(__name__)

PAUSE = 0.2
"""Seconds between two updates: progress may come a thousand times a second."""

STRENGTH = {"scale": "factor", "steer": "strength", "clamp": "value"}
"""The number of an intervention that a slider may change."""


class Snapshot:
    """A session as something to show: what the base view asks of a result."""

    kind = "session"
    recipe = None
    arrays: ClassVar[dict[str, Any]] = {}

    def __init__(self, session: OpenSession) -> None:
        self.session = session
        self.last: dict[str, Any] = {}
        self.reading: Any = None

    @property
    def title(self) -> str:
        """The model's name."""
        return str(self.session.name)

    def facts(self) -> dict[str, Any]:
        """Return what the panel shows, as plain JSON; of a closed session what it was last."""
        session = self.session
        if session.closed:
            return {**self.last, "closed": True, "jobs": [], "can_undo": False, "can_redo": False}
        info = session.model_info
        self.last = {
            "closed": False,
            "model": {
                "name": info.get("name"),
                "class": info.get("class"),
                "revision": info.get("revision"),
                "parameters": info.get("parameters"),
                "layers": session.anatomy.n_layers,
            },
            "device": str(session.device),
            "dtype": str(session.dtype).removeprefix("torch."),
            "memory": session.memory(),
            "cache_entries": len(session.cache),
            "forward_passes": session.forward_passes,
            "jobs": [_job(job) for job in session.worker.jobs],
            "notes": _notes(session.anatomy.problems),
            "interventions": [_item(item) for item in session.interventions],
            "metric": self.reading.to_json() if self.reading is not None else None,
            "can_undo": session.interventions.can_undo,
            "can_redo": session.interventions.can_redo,
        }
        return self.last

    def frame(self) -> Any:
        """Return the interventions, one a row."""
        return self.session.interventions.frame()

    def text(self) -> str:
        """Return the session as a static listing."""
        facts = self.facts()
        model, memory = facts.get("model", {}), facts.get("memory", {})
        head = (
            f"Session on {model.get('name')} ({model.get('class')}, "
            f"{model.get('parameters') or 0:,} parameters), {facts.get('device')}, "
            f"{facts.get('dtype')}" + (", closed" if facts.get("closed") else "")
        )
        held = (
            f"cache {memory.get('cache', 0):,} of {memory.get('cache_capacity', 0):,} bytes, "
            f"{facts.get('forward_passes', 0)} forward passes"
        )
        lines = [head, held, *(f"note: {note}" for note in facts.get("notes", []))]
        items = facts.get("interventions", [])
        lines += [f"{i} {'●' if x['on'] else '○'} {x['text']}" for i, x in enumerate(items)]
        if self.reading is not None:
            lines.append(self.reading.text())
        return "\n".join(lines if items else [*lines, "no interventions"])

    alt_text = text


@VIEWS.register("session")
class PanelView(View, bundle="panel"):
    """What the session holds and does; interventions as a list that can be edited.

    Parameters
    ----------
    session
        The session.
    theme
        ``"auto"``, ``"light"`` or ``"dark"``.

    Examples
    --------
    >>> session                     # at the end of a cell
    """

    def __init__(self, session: OpenSession, *, theme: str = "auto") -> None:
        self._pushed = 0.0
        self._timer: threading.Timer | None = None
        self._timing = threading.Lock()
        self._measured: Any = None
        super().__init__(Snapshot(session), theme=theme)  # type: ignore[arg-type]
        self._measure()

    @property
    def is_live(self) -> bool:
        """Whether there is an open session behind the panel."""
        session: Any = self._session
        return session is not None and not session.closed

    def describe(self) -> dict[str, Any]:
        """Return what the panel shows."""
        facts: dict[str, Any] = self.current.facts()
        return facts

    def export_spec(self) -> dict[str, Any]:
        """Return the spec of a page without a kernel: no work is waiting there."""
        return {**super().export_spec(), "jobs": []}

    def png(self) -> str | None:
        """Return None: the panel's static twin is its listing."""
        return None

    # Following the session.

    def _on_event(self, event: str) -> None:
        if self._closed or event == "selection":
            return
        if event == "closed":
            self._push()
            self.status = {"phase": "static", "message": "The session is closed."}
            return
        if event == "interventions" and self._speaks:
            self._speaks = False
            self._say_later(self._live().interventions.said)
        if event in ("interventions", "cache"):
            self._measure()
        with self._timing:
            if self._timer is not None:
                return
            wait = self._pushed + PAUSE - time.monotonic()
            if wait > 0:
                self._timer = threading.Timer(wait, self._push)
                self._timer.daemon = True
                self._timer.start()
                return
        self._push()

    def _measure(self) -> None:
        """Ask for the metric where the prompt or what is done to the model is new."""
        session = self._live()
        wanted = (session.metric.prompt, session.interventions.key)
        if wanted != self._measured and not session.closed:
            self._measured = wanted
            session.metric.ask(self._take)

    def _take(self, reading: Any) -> None:
        if not self._closed:
            self.current.reading = reading
            self._on_event("metric")

    def _selected(self) -> None:
        """Return None: the panel has no numbers at what is selected."""

    def _push(self) -> None:
        with self._timing:
            self._timer = None
            self._pushed = time.monotonic()
        if self._closed:
            return
        try:
            self.revision += 1
            self.spec = self._full_spec()
        except Exception:
            log.debug("the panel could not be updated", exc_info=True)

    # Requests.

    def on_switch(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Switch an intervention on or off."""
        self._edit().switch(self._find(payload), bool(payload["on"]))
        return {}

    def on_rename(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Give an intervention a name for people; an empty one takes it away."""
        self._edit().change(self._find(payload), label=str(payload["label"]))
        return {}

    def on_move(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Move an intervention to another place."""
        self._edit().move(self._find(payload), int(payload["to"]))
        return {}

    def on_remove(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Remove an intervention."""
        self._edit().remove(self._find(payload))
        return {}

    def on_duplicate(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Put a copy of an intervention behind it."""
        items = list(self._live().interventions)
        at = items.index(self._find(payload))
        items.insert(at + 1, items[at].to_json())
        self._edit().load(items)
        return {}

    def on_strength(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Change factor, strength or value of an intervention."""
        item = self._find(payload)
        name = STRENGTH.get(item.kind)
        if name is None:
            raise ValueError(f"{item.describe()} has no strength")
        self._edit().change(item, **{name: float(payload["value"])})
        return {}

    def on_reset(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Remove all interventions; can be undone."""
        self._edit().clear()
        return {}

    def on_load(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Replace all interventions by the given ones; can be undone."""
        items = payload.get("interventions")
        if not isinstance(items, list):
            raise ValueError("interventions are a JSON list, as the panel saves them")
        self._edit().load(items)
        return {"count": len(items)}

    def on_save(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Return all interventions as JSON."""
        return {"interventions": self._live().interventions.to_json()}

    def on_code(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Return Python that makes the same list, and where there is a prompt plain nnsight."""
        session = self._live()
        lines = [f"session.interventions.load({session.interventions.to_json()!r})"]
        if session.metric.prompt is not None:
            lines += ["", "# the same without this package", session.code(session.metric.prompt)]
        return {"code": "\n".join(lines)}

    def on_clear_cache(self, _payload: dict[str, Any]) -> dict[str, Any]:
        """Forget all cached activations."""
        released = self._live().cache.clear()
        self._on_event("cache")
        return {"released": released}

    def on_cancel(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask a job to stop."""
        wanted = payload.get("job")
        for job in self._live().worker.jobs:
            if id(job) == wanted:
                job.cancel()
                return {"cancelled": True}
        return {"cancelled": False}

    def _edit(self) -> Any:
        """Return the interventions; what is changed now is spoken here."""
        self._speaks = True
        return self._live().interventions

    def _live(self) -> OpenSession:
        return cast("OpenSession", super()._live())

    def _find(self, payload: dict[str, Any]) -> Any:
        for item in self._live().interventions:
            if item.id == payload.get("id"):
                return item
        raise LookupError("this intervention is no longer in the list")

    def close(self) -> None:
        """Stop following the session."""
        timer = self._timer
        if timer is not None:
            timer.cancel()
        super().close()


def _notes(problems: dict[str, str]) -> list[str]:
    """Return one sentence per reason, however many sites it holds for."""
    sites: dict[str, list[str]] = {}
    for site, why in problems.items():
        sites.setdefault(why, []).append(site)
    return [
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {why}"
        for why, names in sites.items()
    ]


def _job(job: Any) -> dict[str, Any]:
    return {
        "id": id(job),
        "label": job.label or "work",
        "state": job.state,
        "done": job.progress_done,
        "total": job.progress_total,
        "cancelling": job.cancelling,
    }


def _item(item: Any) -> dict[str, Any]:
    name = STRENGTH.get(item.kind)
    return {
        "id": item.id,
        "kind": item.kind,
        "where": item.where(),
        "how": item.how(),
        "text": item.describe(),
        "label": item.label,
        "on": item.on,
        "strength": getattr(item, name) if name else None,
    }
