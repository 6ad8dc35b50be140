"""The session panel on a tiny GPT-2: 3 layers, 2 heads."""

from __future__ import annotations

import threading
import time

import pytest

from interp_widgets.results.registry import VIEWS
from interp_widgets.views.panel import PAUSE, PanelView
from tests.models import tiny_session


@pytest.fixture
def session():
    with tiny_session(cache_bytes=100_000) as opened:
        yield opened


@pytest.fixture
def panel(session):
    view = PanelView(session)
    yield view
    view.close()


def settle(panel: PanelView, ready) -> None:
    """Wait for the throttled update that shows something."""
    for _ in range(100):
        if ready(panel.spec):
            return
        time.sleep(PAUSE / 10)
    raise AssertionError("the panel did not follow")


def test_the_panel_is_the_view_of_a_session(session):
    assert VIEWS.get("session") is PanelView
    bundle = session._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Session on tiny (GPT2LMHeadModel" in data["text/plain"]


def test_it_says_what_the_session_holds(session, panel):
    weights = sum(p.numel() * p.element_size() for p in session.model._module.parameters())
    spec = panel.spec
    assert spec["model"]["layers"] == 3
    assert spec["memory"]["model"] == weights
    assert spec["dtype"] == "float32"
    assert spec["live"] is True
    session.capture(session.prompt([1, 2, 3]), ["z", "resid_post"])
    settle(panel, lambda spec: spec["forward_passes"] == 1 or panel._push())
    assert panel.spec["memory"]["cache"] == session.cache.bytes > 0


def test_sites_that_are_not_as_they_should_be_are_said_once_per_reason(session, panel):
    assert session.anatomy.problems == {}
    assert panel.spec["notes"] == []
    session.anatomy.problems = {f"resid_post.{i}": "it is scaled" for i in range(5)}
    panel._push()
    assert panel.spec["notes"] == [
        "resid_post.0, resid_post.1, resid_post.2 and 2 more: it is scaled"
    ]
    assert "note: resid_post.0" in panel.current.text()


def test_edits_in_the_panel_edit_the_session(session, panel):
    first = session.ablate("z", layer=1, head=1)
    second = session.scale("mlp_out", 0.5, layer=2)
    panel.on_switch({"id": first.id, "on": False})
    panel.on_strength({"id": second.id, "value": -2})
    panel.on_move({"id": second.id, "to": 0})
    assert session.interventions.describe() == ["scale mlp_out 2 (× -2)", "ablate z 1.1 (zero)"]
    assert [i.on for i in session.interventions] == [True, False]
    panel.on_duplicate({"id": second.id})
    assert session.interventions.describe().count("scale mlp_out 2 (× -2)") == 2
    assert len({i.id for i in session.interventions}) == 3
    panel.on_remove({"id": second.id})
    panel.on_reset({})
    assert len(session.interventions) == 0
    panel.on_undo({})
    assert len(session.interventions) == 2


def test_a_name_given_in_the_panel_is_kept_and_runs_nothing_anew(session, panel):
    item = session.ablate("z", layer=1, head=1)
    key = session.interventions.key
    panel.on_rename({"id": item.id, "label": "<b>mover</b>"})
    assert session.interventions.key == key
    settle(panel, lambda spec: spec["interventions"][0]["label"] == "<b>mover</b>")
    panel.on_undo({})
    assert session.interventions[0].label == ""


def test_the_logit_difference_moves_with_the_interventions(session, panel):
    assert panel.spec["metric"] is None
    prompt = session.prompt([5, 6, 7, 8], answer=3, foil=4)
    item = session.scale("mlp_out", 3.0, layer=1)
    settle(panel, lambda spec: spec["metric"] is not None)

    def difference(items):
        logits = session.run_with(prompt, items)["logits"][-1]
        return float(logits[3] - logits[4])

    metric = panel.spec["metric"]
    assert metric["base"] == pytest.approx(difference([]))
    assert metric["now"] == pytest.approx(difference([item]))
    panel.on_strength({"id": item.id, "value": -2})
    expected = difference(list(session.interventions))
    settle(panel, lambda spec: spec["metric"]["now"] == pytest.approx(expected))
    assert "logit difference" in panel.current.text()


def test_the_panels_code_makes_the_same_list(session, panel):
    session.ablate("z", layer=0, head=1)
    session.scale("mlp_out", 0.5, layer=2, label="half")
    session.prompt([5, 6, 7], answer=3, foil=4)
    code = panel.on_code({})["code"]
    wanted = session.interventions.to_json()
    session.reset()
    exec(code.splitlines()[0], {"session": session})
    assert session.interventions.to_json() == wanted
    assert "model.trace" in code


def test_interventions_saved_are_loaded_again(session, panel):
    session.ablate("z", layer=0, head=1)
    session.steer("resid_post", [1.0] * 16, 2.0, layer=1)
    saved = panel.on_save({})["interventions"]
    panel.on_reset({})
    panel.on_load({"interventions": saved})
    assert session.interventions.to_json() == saved


def test_nonsense_is_refused_and_changes_nothing(session, panel):
    item = session.ablate("z", layer=0, head=1)
    with pytest.raises(LookupError, match="no longer"):
        panel.on_remove({"id": -1})
    with pytest.raises(ValueError, match="no strength"):
        panel.on_strength({"id": item.id, "value": 2})
    with pytest.raises(ValueError, match="JSON list"):
        panel.on_load({"interventions": "rm"})
    with pytest.raises(Exception, match="no layer 9"):
        panel.on_load({"interventions": [{"kind": "ablate", "site": "z", "layer": 9}]})
    assert list(session.interventions) == [item]


def test_it_follows_the_session_without_flooding_the_browser(session, panel):
    pushed = []
    panel.observe(lambda change: pushed.append(change["new"]["revision"]), names="spec")
    for i in range(40):
        session.scale("mlp_out", 1 + i, layer=0)
    settle(panel, lambda spec: len(spec["interventions"]) == 40)
    assert len(pushed) < 10


def test_what_runs_is_shown_and_can_be_cancelled(session, panel):
    started, stop = threading.Event(), threading.Event()

    def work(job):
        for step in range(1000):
            job.progress(step, 1000)
            started.set()
            stop.wait(0.01)

    job = session.submit(work, label="circuit, EAP-IG")
    waiting = session.submit(lambda: None, label="lens, again")
    assert started.wait(5)
    settle(panel, lambda spec: len(spec["jobs"]) == 2)
    running, queued = panel.spec["jobs"]
    assert (running["label"], running["state"], running["total"]) == (
        "circuit, EAP-IG",
        "running",
        1000,
    )
    assert queued["state"] == "queued"
    assert panel.on_cancel({"job": running["id"]}) == {"cancelled": True}
    assert job.wait(5)
    assert waiting.wait(5)
    assert job.state == "cancelled"
    settle(panel, lambda spec: spec["jobs"] == [])
    assert panel.on_cancel({"job": running["id"]}) == {"cancelled": False}


def test_a_page_without_a_kernel_waits_for_nothing(session, panel):
    gate = threading.Event()
    job = session.submit(gate.wait, label="long work")
    try:
        panel._push()
        assert [j["label"] for j in panel.spec["jobs"]] == ["long work"]
        spec = panel.export_spec()
        assert (spec["jobs"], spec["live"]) == ([], False)
    finally:
        gate.set()
        job.result()


def test_the_cache_can_be_cleared(session, panel):
    session.capture(session.prompt([1, 2, 3]), ["z"])
    held = session.cache.bytes
    assert panel.on_clear_cache({}) == {"released": held}
    settle(panel, lambda spec: spec["memory"]["cache"] == 0)


def test_a_closed_session_leaves_a_static_listing(session, panel):
    session.ablate("z", layer=1, head=1)
    settle(panel, lambda spec: len(spec["interventions"]) == 1)
    session.close()
    assert panel.spec["closed"] is True
    assert panel.spec["live"] is False
    assert panel.spec["model"]["name"] == "tiny"
    assert panel.status["phase"] == "static"
    assert "closed" in panel.current.text()
