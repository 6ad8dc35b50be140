"""The map of methods is made from the code, complete and current."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import interp_widgets as iw
from interp_widgets.methods.tags import FACETS, Tags
from interp_widgets.results.registry import METHODS

DOCS = Path(__file__).parents[2] / "docs"
OWN = "interp_widgets.methods"


def own_methods():
    entries = [METHODS.get(name) for name in METHODS]
    return [entry for entry in entries if entry.__module__.startswith(OWN)]


def test_every_method_of_the_package_has_its_tags():
    untagged = [entry.name for entry in own_methods() if entry.tags is None]
    assert not untagged, f"add tags= to the decorator of {', '.join(untagged)} (methods/tags.py)"
    assert len(own_methods()) >= 30


def test_a_reader_finds_the_methods_that_change_something_inside_a_head():
    table = iw.catalogue.table(by="units", causal_nature="interventional")
    heads = set(table.loc["head"].index)
    assert {"patching", "path_patching", "circuit"} <= heads
    assert not heads & {"attention", "direct_logit_attribution", "logit_lens"}
    natures = iw.catalogue.table().index.get_level_values(0).unique()
    assert list(natures) == ["observational", "interventional"]  # the order of the review
    assert "logit_lens" in iw.catalogue.table(by="family").loc["lens"].index


def test_the_map_has_one_answer_to_each_question_for_each_method():
    result = iw.catalogue.map()
    assert {m["name"] for m in result.methods} >= {entry.name for entry in own_methods()}
    for method in result.methods:
        for facet, some in method["tags"].items():
            assert set(some) <= set(FACETS[facet])
            assert len(some) >= 1 if facet == "units" else len(some) == 1, (method["name"], facet)
    patching = next(m for m in result.methods if m["title"] == "Activation patching")
    assert patching["tags"]["causal_nature"] == ["interventional"]


def test_a_template_is_code_with_its_source():
    cell = iw.catalogue.template("patching")
    assert cell.startswith("# Activation patching: ")
    assert "arXiv:2211" in cell or "arXiv:2309.16042" in cell
    compile(cell, "cell", "exec")
    for entry in own_methods():
        compile(iw.catalogue.template(entry.name), entry.name, "exec")
    with pytest.raises(LookupError, match="no method 'patchin'"):
        iw.catalogue.template("patchin")


def test_the_page_about_methods_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("build_methods", DOCS / "build_methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "run python docs/build_methods.py"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mechanistic, interventionel, local, verification, head", "did you mean 'interventional'"),
        ("mechanistic, interventional, local, verification", "units missing"),
        ("mechanistic, attributional, observational, local, verification, head", "paradigm mech"),
        ("", "is not a tag"),
    ],
)
def test_wrong_tags_are_told_to_the_author(text, why):
    with pytest.raises(ValueError, match=why):
        Tags.of(text)


def test_wrong_questions_are_answered_with_the_right_ones():
    with pytest.raises(ValueError, match="sort the methods by one of paradigm, stage"):
        iw.catalogue.table(by="colour")
    with pytest.raises(ValueError, match="scope is one of local, global, not 'here'"):
        iw.catalogue.table(scope="here")
