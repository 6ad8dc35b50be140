"""The selection is one plain object that every view follows."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.tokens import TokensResult
from interp_widgets.session.selection import Selection


def test_a_reader_selects_a_head_and_every_listener_hears_once():
    selection, heard = Selection(), []
    stop = selection.listen(heard.append)
    selection.set(layer=9, head=6)
    selection.head = 6  # nothing new
    selection.token = 3
    assert heard == [{"layer": 9, "head": 6}, {"token": 3}]
    assert (selection.layer, selection.head, selection.token, selection.node) == (9, 6, 3, None)
    stop()
    selection.clear()
    assert len(heard) == 2
    assert repr(selection) == "Selection(nothing)"


def test_it_reads_as_json():
    selection = Selection()
    selection.set(node="a9.h6", prompt="abc", feature=12)
    assert selection.to_json()["feature"] == 12
    assert repr(selection) == "Selection(feature=12, node='a9.h6', prompt='abc')"


def test_its_frame_has_the_selected_numbers_of_every_view():
    selection = Selection()
    z = ArrayResult(
        {"values": np.arange(24, dtype="f4").reshape(2, 3, 4)},
        {"dims": ["layer", "position", "head"], "quantity": "norm", "title": "z"},
    )
    words = TokensResult(
        {"values": np.array([[0.5, -1, 2]], dtype="f4")},
        {"tokens": ["a", "b", "<c>"], "quantity": "attribution", "title": "blame"},
    )
    stops = [selection.attach(lambda r=r: (r, selection.to_json())) for r in (z, words)]
    assert selection.frame().empty
    selection.set(token=2, layer=1)
    frame = selection.frame()
    assert list(frame.columns[:2]) == ["view", "kind"]
    assert frame.query("view == 'z'")["value"].tolist() == [20, 21, 22, 23]
    assert set(frame.query("view == 'z'")["quantity"]) == {"norm"}
    blame = frame.query("view == 'blame'")
    assert blame["value"].tolist() == [2]
    assert blame["token"].tolist() == ["<c>"]
    selection.set(head=7)
    assert "z" not in set(selection.frame()["view"])
    stops[1]()
    assert selection.frame().empty


@pytest.mark.parametrize("values", [{"layer": "9"}, {"head": 1.5}, {"token": True}, {"node": 3}])
def test_wrong_kinds_are_refused_and_nothing_changes(values):
    selection = Selection()
    with pytest.raises(TypeError, match="selection"):
        selection.set(unit=4, **values)
    assert selection.unit is None


def test_unknown_fields_are_named():
    with pytest.raises(AttributeError, match="neuron"):
        Selection().set(neuron=3)
    with pytest.raises(AttributeError, match="token, layer, head"):
        _ = Selection().neuron


def test_a_failing_listener_does_not_stop_the_others(caplog):
    selection, heard = Selection(), []
    selection.listen(lambda _: 1 / 0)
    selection.listen(heard.append)
    selection.set(layer=1)
    assert heard == [{"layer": 1}]
    assert "listener" in caplog.text


def test_many_threads_leave_one_of_their_values():
    selection = Selection()
    threads = [
        threading.Thread(target=lambda n=n: [selection.set(layer=n, head=n) for _ in range(200)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert selection.layer == selection.head
