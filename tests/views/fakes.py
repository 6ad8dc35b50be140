"""A session without a model: it runs jobs when the test says so."""

from __future__ import annotations

import numpy as np

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.recipe import Recipe
from interp_widgets.session.intervention_list import Interventions
from interp_widgets.session.selection import Selection


class FakeJob:
    def __init__(self, work, key, done):
        self.work, self.key, self.done = work, key, done
        self.error = None
        self.cancelled = False

    def cancel(self):
        self.cancelled = True

    def run(self):
        try:
            self.work()
        except Exception as error:
            self.error = error
        if self.done:
            self.done(self)


class FakeSession:
    """Follows the LiveSession protocol; ``step()`` runs what is queued."""

    def __init__(self):
        self.listeners = []
        self.selection = Selection()
        self.interventions = Interventions(changed=lambda: self.emit("interventions"))
        self.queue = []

    def emit(self, event):
        for listener in list(self.listeners):
            listener(event)

    def listen(self, callback):
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def submit(self, work, *, key=None, label="", done=None):
        job = FakeJob(work, key, done)
        for old in [j for j in self.queue if key is not None and j.key == key]:
            self.queue.remove(old)
            old.error = RuntimeError("replaced by a newer request")
            old.done(old)
        self.queue.append(job)
        return job

    def step(self):
        while self.queue:
            self.queue.pop(0).run()

    def run(self, work, label=""):
        return work()

    def code(self, prompt=None, decoder=None):
        return f"# code for {prompt}"


TOKENS = [" When", " Mary", "<script>", "</script>"]


def z_result(session=None, values=None, tokens=TOKENS):
    """Head outputs ``[layer 3, position 4, head 2, d_head 5]`` that follow the interventions."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 4, 2, 5)).astype("f4") if values is None else values
    meta = {
        "dims": ["layer", "position", "head", "d_head"],
        "labels": {"position": list(tokens)},
        "quantity": "head output",
        "site": "z",
        "title": "z",
    }
    recipe = Recipe("activations", {"prompt": {"$prompt": {"text": "When Mary"}}, "site": "z"})
    result = ArrayResult({"values": values}, meta, recipe if session else None, session)

    def rerun(with_session, interventions="current"):
        active = with_session.interventions.to_json() if interventions == "current" else []
        changed = values.copy()
        for item in active:
            changed[item["layer"], :, item["head"]] = 0
        again = ArrayResult({"values": changed}, meta, session=with_session)
        again.recipe = Recipe("activations", {"site": "z"}, interventions=active)
        return again

    result.rerun = rerun
    return result


def record(view):
    """Replace the view's ``send`` by a list of (message, buffers)."""
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers or []))
    return sent


def look(view, copy="a", *, away=False):
    """Let a browser show a copy of the view, or clear the output it stands in."""
    message = {"kind": "close" if away else "open", "copy": copy}
    view._handle_custom_msg(message, [])


def ask(view, name, payload=None, ident="1"):
    """Send a request as the browser would and return the answer that came, if one did."""
    sent = record(view)
    message = {"kind": "request", "id": ident, "name": name, "payload": payload or {}}
    view._handle_custom_msg(message, [])
    return sent[-1] if sent else None
