"""A loop that moves the selection 3,500 times ends where it ends, in the browser too."""

import time

from interp_widgets.views import pacing


class Widget:
    """What ipywidgets does: sends the current value of the named traits."""

    comm = object()
    keys = ("state", "value")

    def __init__(self):
        self.state, self.sent = 0, []

    def send_state(self, key=None):
        self.sent.append({name: getattr(self, name, None) for name in sorted(key)})


class View(pacing.Paced, Widget):
    pass


def test_ordinary_changes_go_at_once(monkeypatch):
    monkeypatch.setattr(pacing, "_BUCKET", pacing.Bucket(burst=3, rate=1))
    view = View()
    for view.state in (1, 2, 3):
        view.send_state("state")
    assert [m["state"] for m in view.sent] == [1, 2, 3]


def test_a_flood_is_coalesced_and_its_last_state_arrives(monkeypatch):
    monkeypatch.setattr(pacing, "_BUCKET", pacing.Bucket(burst=20, rate=200))
    view = View()
    for i in range(3500):
        view.state = i
        view.send_state("state")
    view.value = "end"
    view.send_state({"value"})
    end = time.monotonic() + 5
    while view.sent[-1].get("state") != 3499 and time.monotonic() < end:
        time.sleep(0.01)
    assert view.sent[-1] == {"state": 3499, "value": "end"}
    assert len(view.sent) < 60


def test_views_share_what_the_server_takes(monkeypatch):
    monkeypatch.setattr(pacing, "_BUCKET", pacing.Bucket(burst=10, rate=100))
    views = [View() for _ in range(30)]
    start = time.monotonic()
    for view in views:
        view.state = 7
        view.send_state()
    while not all(v.sent for v in views) and time.monotonic() < start + 5:
        time.sleep(0.01)
    assert all(v.sent[-1]["state"] == 7 for v in views)
    assert time.monotonic() - start > 0.15  # twenty had to wait for a hundred a second


def test_a_closed_view_sends_nothing_late(monkeypatch):
    monkeypatch.setattr(pacing, "_BUCKET", pacing.Bucket(burst=1, rate=100))
    closed, other = View(), View()
    closed.send_state("state")
    closed.state = 1
    for view in (closed, other):
        view.send_state("state")
    closed.comm = None
    time.sleep(6 * pacing.PAUSE)
    assert [m["state"] for m in closed.sent] == [0]
    assert len(other.sent) == 1
