"""A cell that is run again, or deleted, lets go of the views it showed."""

from __future__ import annotations

from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest

from interp_widgets.results.array import ArrayResult
from interp_widgets.views import cells as module
from interp_widgets.views.cells import Cells


def result():
    return ArrayResult({"values": np.ones((2, 3))}, {"dims": ["layer", "position"]})


class Shell:
    """As much of IPython as cells need: events, and a parent message with the cell's name."""

    def __init__(self):
        self.kernel = object()
        self.user_ns = {}
        self.calls = {}
        self.events = SimpleNamespace(register=lambda name, call: self.calls.update({name: call}))

    def get_parent(self):
        return {"metadata": {"cellId": "first"}}

    def run(self, cell, *shown, deleted=()):
        meta = {"deletedCells": list(deleted)}
        self.calls["pre_run_cell"](SimpleNamespace(cell_id=cell, cell_meta=meta))
        for one in shown:
            one._repr_mimebundle_()
        self.calls["post_run_cell"](None)


@pytest.fixture
def shell(monkeypatch):
    import IPython

    made = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: made)
    monkeypatch.setattr(module, "_cells", None)
    return made


def test_running_a_cell_again_closes_what_it_showed_before(shell):
    old = result()
    old._repr_mimebundle_()  # the cell in which the first view was ever made
    shell.calls["post_run_cell"](None)
    new, other = result(), result()
    shell.run("second", other)
    shell.run("first", new)
    assert old._view.is_closed
    assert not new._view.is_closed
    assert not other._view.is_closed


def test_a_result_shown_again_keeps_its_view_or_makes_another(shell):
    kept = result()
    kept._repr_mimebundle_()
    shell.calls["post_run_cell"](None)
    view = kept._view
    shell.run("first", kept)
    assert kept._view is view
    assert not view.is_closed
    shell.run("first")
    assert view.is_closed
    shell.run("second", kept)
    assert kept._view is not view
    assert not kept._view.is_closed


def test_a_result_that_another_cell_shows_too_stays(shell):
    shared = result()
    shared._repr_mimebundle_()
    shell.calls["post_run_cell"](None)
    shell.run("second", shared)
    shell.run("first")
    assert not shared._view.is_closed
    shell.run("third", deleted=["second"])
    assert shared._view.is_closed


class Figures:
    """A class of the notebook's own, with a view in an attribute."""

    __module__ = "__main__"


@pytest.mark.parametrize("where", ["view", "list", "dict", "object", "box"])
def test_a_view_lives_as_long_as_a_variable_holds_it(shell, where):
    view = result().view()
    own = Figures()
    own.first = view
    made = {"view": view, "list": [1, (view,)], "dict": {"a": view}, "object": own}
    made["box"] = ipywidgets.VBox([view])
    shell.user_ns |= {"kept": made[where], "_1": view, "Out": {1: view}}
    view._repr_mimebundle_()
    shell.calls["post_run_cell"](None)
    shell.run("first")
    assert not view.is_closed
    shell.user_ns["kept"] = None
    shell.run("second", result())
    assert view.is_closed


def test_long_lists_of_numbers_do_not_keep_a_view(shell):
    view = result().view()
    shell.user_ns["numbers"] = [float(i) for i in range(2 * module.LOOKED_AT)]
    view._repr_mimebundle_()
    shell.calls["post_run_cell"](None)
    shell.run("first")
    assert view.is_closed


def test_in_a_huge_notebook_a_view_is_rather_kept(shell):
    view = result().view()
    wide = module.LOOKED_AT // module.LONG + 1
    shell.user_ns["table"] = [[object() for _ in range(module.LONG)] for _ in range(wide)]
    view._repr_mimebundle_()
    shell.calls["post_run_cell"](None)
    shell.run("first")
    assert not view.is_closed
    view.close()


def test_without_names_of_cells_nothing_is_closed():
    cells = Cells()
    made = SimpleNamespace(close=lambda: pytest.fail("closed"))
    cells.begin(None)
    cells.note(made)
    cells.end()
    cells.begin(None)
    cells.end()
    assert cells.count == 0
