"""What all views promise: answers, live re-runs, a clean end."""

import gc
import json
import time
import weakref

import numpy as np
import pytest
import torch

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError
from interp_widgets.views.base import View
from interp_widgets.views.requests import on_worker
from interp_widgets.views.wire import Array
from tests.views.fakes import FakeSession, ask, look, record, z_result

ABLATE = {"kind": "ablate", "site": "z", "layer": 1, "head": [0]}


class ProbeView(View):
    def __init__(self, result, *, layer: int = 0, mode="current", theme="auto"):
        super().__init__(result, theme=theme, state={"layer": layer, "mode": mode})

    def describe(self):
        return {"dims": self.current.dims}

    def first(self):
        return {"corner": Array(self.current.numpy("values")[0, :2, 0], "float16")}

    def on_sum(self, payload):
        return {"sum": float(self.pick(payload.get("mode")).numpy("values").sum())}

    def on_broken(self, payload):
        raise KeyError("row")

    @on_worker
    def on_slow(self, payload):
        return {"values": Array(np.ones((2, 3)), "uint8"), "n": payload["n"]}


@pytest.fixture
def session():
    return FakeSession()


@pytest.fixture
def view(session):
    opened = ProbeView(z_result(session), layer=2)
    yield opened
    opened.close()


def test_traits_are_small_json_and_arrays_of_the_first_paint(view):
    assert view.state == {"layer": 2, "mode": "current"}
    assert view.spec["live"]
    assert not view.spec["changed"]
    assert view.spec["revision"] == 0
    buffers = view.spec["buffers"]
    assert len(buffers[view.spec["first"]["corner"]["$buffer"]]) == 2 * 5 * 2
    json.dumps({k: v for k, v in view.spec.items() if k != "buffers"}, allow_nan=False)


def test_unknown_keywords_are_refused(session):
    with pytest.raises(TypeError, match="layers"):
        ProbeView(z_result(session), layers=2)


def test_every_request_is_answered(view):
    good, _ = ask(view, "sum", {"mode": "base"})
    assert good["ok"]
    assert good["id"] == "1"
    for name in ("broken", "nothing_like_it", "msg", "trait_change", "__class__", None):
        answer, buffers = ask(view, name)
        assert answer["kind"] == "response"
        assert not answer["ok"]
        assert answer["error"]["message"]
        assert buffers == []


def test_messages_that_are_no_requests_do_no_harm(view):
    sent = record(view)
    for message in ("text", {}, {"kind": "request"}, {"kind": "request", "id": 3}, None):
        view._handle_custom_msg(message, [])
    assert sent == []
    view._handle_custom_msg({"kind": "js-error", "message": "boom", "stack": "at x"}, [])
    assert view.error == {"message": "boom", "stack": "at x"}


def test_work_on_the_model_runs_on_the_worker_and_the_newest_request_wins(view, session):
    sent = record(view)
    for n in (1, 2):
        message = {"kind": "request", "id": f"id{n}", "name": "slow", "payload": {"n": n}}
        view._handle_custom_msg(message, [])
    assert [(m["id"], m["ok"]) for m, _ in sent] == [("id1", False)]
    session.step()
    answer, buffers = sent[-1]
    assert answer["id"] == "id2"
    assert answer["payload"]["n"] == 2
    assert len(buffers[0]) == 6


def test_two_copies_of_a_view_on_a_page_do_not_replace_the_requests_of_each_other(view, session):
    sent = record(view)
    for copy in ("one", "two"):
        message = {"kind": "request", "id": f"{copy}-0", "name": "slow", "payload": {"n": 1}}
        view._handle_custom_msg(message, [])
    session.step()
    session.step()
    assert [(m["id"], m["ok"]) for m, _ in sent] == [("one-0", True), ("two-0", True)]


def test_a_cancelled_request_is_not_answered(view, session):
    sent = record(view)
    view._handle_custom_msg({"kind": "request", "id": "a", "name": "slow", "payload": {"n": 1}}, [])
    job = session.queue[0]
    view._handle_custom_msg({"kind": "cancel", "id": "a"}, [])
    assert job.cancelled
    session.step()
    assert sent == []


def test_a_request_that_waits_too_long_is_answered_busy(view, session, monkeypatch):
    monkeypatch.setattr("interp_widgets.views.requests.BUSY_AFTER", 0.01)
    sent = record(view)
    view._handle_custom_msg({"kind": "request", "id": "a", "name": "slow", "payload": {"n": 1}}, [])
    timer = view._requests._open["a"].timer
    timer.join(5)
    assert sent[0][0]["error"]["message"] == "The session is busy."
    assert "Try again" in sent[0][0]["error"]["hint"]
    session.step()
    assert len(sent) == 1


def test_a_click_changes_the_model_and_every_view_follows(session):
    one, two = ProbeView(z_result(session)), ProbeView(z_result(session))
    look(two)
    answer, _ = ask(one, "intervene", ABLATE)
    assert answer["payload"]["interventions"][0]["head"] == [0]
    session.step()
    for view in (one, two):
        assert view.status["phase"] == "live"
        assert view.spec["changed"]
        assert view.spec["revision"] == 1
        assert not view.current.sel(layer=1, head=0).any()
        assert view.base.sel(layer=1, head=0).any()
    ask(two, "undo")
    session.step()
    assert not one.spec["changed"]
    assert one.spec["revision"] == 2
    ask(two, "redo")
    session.step()
    assert one.spec["changed"]
    one.close()
    two.close()


def test_ten_clicks_in_a_row_are_one_run(view, session):
    for _ in range(9):
        ask(view, "intervene", ABLATE)
    assert len([job for job in session.queue if job.key == f"view-{id(view)}"]) == 1
    session.step()
    assert view.revision == 1


def test_a_run_that_takes_a_while_is_seen_and_a_quick_one_only_repaints(view, session, monkeypatch):
    ask(view, "intervene", ABLATE)
    assert view.status["phase"] == "live"
    session.step()
    monkeypatch.setattr("interp_widgets.views.following.PATIENCE", 0.01)
    ask(view, "undo")
    for _ in range(200):
        if view.status["phase"] == "running":
            break
        time.sleep(0.01)
    assert view.status["message"] == "running again"
    session.step()
    assert view.status["phase"] == "live"


def test_what_changes_nothing_runs_nothing(view, session):
    ask(view, "intervene", ABLATE)
    session.step()
    session.interventions.change(0, label="the name mover")
    session.emit("interventions")
    assert not session.queue


def test_without_interventions_the_base_is_shown_again_and_nothing_is_run(session):
    result = z_result(session)
    view, runs, rerun = ProbeView(result), [], result.rerun
    result.rerun = lambda *a, **k: runs.append(k) or rerun(*a, **k)
    ask(view, "intervene", ABLATE)
    session.step()
    ask(view, "undo")
    session.step()
    assert view.current is result
    assert not view.changed
    assert len(runs) == 1
    view.close()


def test_a_view_that_nobody_looks_at_runs_only_when_somebody_does(session):
    view = ProbeView(z_result(session))
    session.interventions.add(ABLATE)
    assert not session.queue
    look(view)
    session.step()
    assert view.revision == 1
    look(view, away=True)
    session.interventions.clear()
    session.interventions.add({**ABLATE, "layer": 2})
    assert not session.queue
    assert not view.current.sel(layer=2, head=0).any()
    assert view.revision == 2
    session.interventions.clear()
    ask(view, "sum")
    session.step()
    assert view.revision == 3
    view.close()


def test_what_was_run_for_python_in_a_hidden_view_is_not_taken_for_what_it_should_show(session):
    view = ProbeView(z_result(session))
    look(view)
    session.interventions.add(ABLATE)
    session.step()
    look(view, away=True)
    session.interventions.clear()
    plain = view.current.numpy("values")
    session.interventions.add(ABLATE)
    look(view)
    session.step()
    assert (view.current.numpy("values") != plain).any()
    view.close()


def opened_under_interventions(session, **state):
    """A view of a result that was made while a head was ablated, and the runs it asked for."""
    session.interventions.add(ABLATE)
    result, runs = z_result(session).rerun(session), []
    again = z_result(session).rerun
    result.rerun = lambda *a, **k: runs.append(k) or again(*a, **k)
    return ProbeView(result, **state), runs


def test_the_base_is_the_model_by_itself_however_the_view_was_opened(session):
    view, runs = opened_under_interventions(session)
    assert view.spec["changed"]
    assert runs == []
    assert view.known_base is None
    assert not view.pick("current").sel(layer=1, head=0).any()
    assert view.base.sel(layer=1, head=0).any()
    assert runs == [{"interventions": "none"}]
    assert view.spec["changed"]
    session.interventions.clear()
    assert view.current is view.base
    assert not view.spec["changed"]
    view.close()


def test_a_view_opened_as_a_difference_finds_its_base_first(session):
    view, runs = opened_under_interventions(session, mode="difference")
    assert view.mode == "difference"
    assert runs == [{"interventions": "none"}]
    assert view.status["phase"] == "live"
    view.close()


def test_a_request_for_a_base_that_is_not_there_waits_for_the_worker(session):
    view, runs = opened_under_interventions(session)
    sent = record(view)
    message = {"kind": "request", "id": "a-1", "name": "sum", "payload": {"mode": "base"}}
    view._handle_custom_msg(message, [])
    assert sent == []
    session.step()
    assert sent[0][0]["payload"]["sum"] == pytest.approx(z_result().numpy("values").sum(), abs=1e-3)
    assert runs == [{"interventions": "none"}]
    view.close()


def test_the_view_that_was_clicked_says_what_it_did_to_the_metric(session):
    class Reading:
        def text(self):
            return "logit difference 3.55 to 2.99"

    session.metric = type("Metric", (), {"read": lambda self: Reading()})()
    one, two = ProbeView(z_result(session)), ProbeView(z_result(session))
    look(two)
    ask(one, "intervene", ABLATE)
    session.step()
    assert one.status["said"] == "head 1.0 ablated, logit difference 3.55 to 2.99"
    assert "said" not in two.status
    one.close()
    two.close()


def test_a_figure_of_the_view_is_drawn_from_what_it_shows_and_comes_as_a_file(view):
    choices = ask(view, "figure_choices")[0]["payload"]
    assert {"pdf", "svg", "png", "latex"} <= set(choices["formats"])
    assert "icml" in choices["venues"]
    view.figure_options = lambda: {"at": {"layer": 2, "head": 1}}
    answer, buffers = ask(view, "figure", {"format": "latex", "venue": "acl", "width": "column"})
    payload = answer["payload"]
    assert payload["name"] == "z.pdf"
    assert bytes(buffers[payload["data"]["$buffer"]]).startswith(b"%PDF")
    assert r"\includegraphics" in payload["text"]
    assert "/" not in payload["text"].split("includegraphics")[1].split("}")[0]
    refused, _ = ask(view, "figure", {"format": "exe"})
    assert "pdf, svg, png" in refused["error"]["message"]


def test_a_failing_run_is_shown_and_can_be_tried_again(session):
    result = z_result(session)
    fine = result.rerun
    view = ProbeView(result)

    def fails(_session):
        raise MemoryError("out of memory: 3 GB would fit")

    result.rerun = fails
    ask(view, "intervene", ABLATE)
    session.step()
    assert view.status == {"phase": "error", "message": "out of memory: 3 GB would fit"}
    assert view.base is not None
    result.rerun = fine
    ask(view, "retry")
    session.step()
    assert view.status["phase"] == "live"
    assert view.spec["changed"]
    view.close()


def test_bad_interventions_are_refused_and_nothing_changes(view, session):
    answer, _ = ask(view, "intervene", {"kind": "explode", "site": "z"})
    assert not answer["ok"]
    assert "explode" in answer["error"]["message"]
    assert len(session.interventions) == 0
    assert not session.queue


def test_without_a_session_a_view_is_static_and_says_so():
    view = ProbeView(z_result())
    assert view.status["phase"] == "static"
    assert not view.spec["live"]
    answer, _ = ask(view, "intervene", ABLATE)
    assert "no session" in answer["error"]["message"]
    view.close()


def test_the_selection_is_shared_both_ways(view, session):
    other = ProbeView(z_result(session))
    assert view.selection == other.selection == view._selection.ref
    session.selection.set(layer=2, head=1)
    assert view._selection.value["layer"] == 2
    view._selection.value = {**view._selection.value, "token": 3}
    assert (session.selection.layer, session.selection.token) == (2, 3)
    view._selection.value = {**view._selection.value, "layer": "two"}
    assert session.selection.layer == 2
    ask(view, "select", {"head": 0})
    assert other._selection.value["head"] == 0
    other.close()


def test_the_table_twin_is_cut_but_counted(view):
    answer, _ = ask(view, "table", {"limit": 3})
    table = answer["payload"]
    assert table["total"] == 3 * 4 * 2 * 5
    assert len(table["rows"]) == 3
    assert table["columns"][:3] == ["layer", "position", "position_label"]


def test_code_names_the_recipe_and_the_prompt(view):
    answer, _ = ask(view, "code")
    assert "activations(site='z')" in answer["payload"]["code"]
    assert "code for {'text': 'When Mary'}" in answer["payload"]["code"]


def test_the_output_carries_picture_and_text_beside_the_widget(view):
    data, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(data)
    assert data["image/png"].startswith("iVBOR")
    assert "head output" in data["text/plain"]
    assert "object at" not in repr(view)


def test_where_nothing_draws_widgets_the_output_is_the_picture(view, monkeypatch):
    monkeypatch.setenv("INTERP_WIDGETS_STATIC", "1")
    data, _ = view._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}


def test_a_closed_view_holds_no_data_and_hears_nothing(session):
    values = torch.randn(3, 4, 2, 5)
    kept = weakref.ref(values)
    result = ArrayResult(
        {"values": values},
        {"dims": ["layer", "position", "head", "d_head"], "title": "z"},
        session=session,
    )
    view = ProbeView(result)
    session.emit("interventions")
    view.close()
    view.close()
    assert view.is_closed
    assert session.listeners == []
    del result, values
    gc.collect()
    assert kept() is None
    answer = ask(view, "sum")
    assert answer is None or not answer[0]["ok"]
    with pytest.raises(NotLiveError, match="closed"):
        view.pick("current")
    assert repr(view) == "ProbeView('z')"


def test_a_closed_view_that_nobody_holds_is_gone_and_one_in_out_is_small(session):
    """A lesson re-runs its cells all day; IPython's Out keeps what each of them displayed."""
    out = [z_result(session).view() for _ in range(3)]
    gone = [weakref.ref(view) for view in out]
    assert out[0].spec["buffers"]
    for view in out:
        view.close()
    assert out[0].spec == {}
    del out, view
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_a_run_that_ends_after_closing_changes_nothing(view, session):
    ask(view, "intervene", ABLATE)
    view.close()
    session.step()
    assert view.current is None
    assert view.revision == 0


def test_when_the_session_closes_the_view_stays_readable(view, session):
    session.emit("closed")
    assert view.status == {"phase": "static", "message": "The session is closed."}
    assert ask(view, "sum")[0]["ok"]
