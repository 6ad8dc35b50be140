"""The map of methods on its way to the browser, and as a figure of what is shown."""

from __future__ import annotations

import pytest

import interp_widgets as iw
from interp_widgets.methods.tags import FACETS


@pytest.fixture(scope="module")
def methods():
    return iw.catalogue.map()


def test_a_reader_narrows_the_methods_and_draws_what_is_left(methods):
    view = methods.view(causal_nature="interventional", units=["head"], find="path")
    assert view.state["answers"] == {"causal_nature": ["interventional"], "units": ["head"]}
    assert len(view.spec["first"]["methods"]) == len(iw.catalogue())
    figure = view.figure("icml")
    drawn = {text.get_text() for ax in figure.mpl.axes for text in ax.texts}
    assert "Path patching" in drawn
    assert "Attention" not in drawn
    assert "of" in next(note for note in figure.notes if note.endswith("methods"))
    dots = figure.mpl.axes[0].collections[0].get_offsets()
    chosen = methods.chosen(view.state["answers"], "path")
    assert len(dots) == sum(len(some) for m in chosen for some in m["tags"].values())


def test_opened_methods_carry_the_cell_that_runs_them(methods):
    view = methods.view(opened="patching")
    method = next(m for m in view.spec["first"]["methods"] if m["name"] == "patching")
    assert method["template"] == iw.catalogue.template("patching")
    assert view.spec["facets"] == {facet: list(answers) for facet, answers in FACETS.items()}


def test_the_table_has_a_row_per_method_and_the_file_gives_it_back(methods, tmp_path):
    table = methods.view().on_table({})
    assert len(table["rows"]) == len(methods.methods)
    assert "causal_nature" in table["columns"]
    loaded = iw.load(methods.save(tmp_path / "map"))
    assert loaded.frame().equals(methods.frame())
    assert methods.alt_text().startswith(f"{len(methods.methods)} methods: ")


def test_nothing_found_is_said_and_wrong_words_are_refused(methods):
    assert methods.chosen({}, "no such words") == []
    figure = methods.figure(find="no such words")
    assert any("no method" in text.get_text() for text in figure.mpl.axes[0].texts)
    with pytest.raises(ValueError, match="scope is one of local, global, not 'here'"):
        methods.view(scope="here")
    with pytest.raises(ValueError, match=r"asked for paradigm, .* not 'colour'"):
        methods.view(colour="red")
    with pytest.raises(ValueError, match="no method 'patchin'"):
        methods.view(opened="patchin")
