"""The module tree as a result."""

from __future__ import annotations

import pytest

from interp_widgets.results.modules import ModulesResult


def node(path, cls, parameters, children=(), **more):
    name = path.rpartition(".")[2] or "model"
    return {
        "name": name,
        "path": path,
        "class": cls,
        "parameters": parameters,
        "children": list(children),
        **more,
    }


@pytest.fixture
def modules() -> ModulesResult:
    mlp = node("h.0.mlp", "MLP", 30, shape=[7, 5], sites=["mlp_out"])
    attention = node("h.0.attn", "Attention", 20, shape=[7, 5], sites=["attn_out"])
    block = node("h.0", "Block", 50, [attention, mlp])
    return ModulesResult(
        {}, {"tree": node("", "Tiny", 1250, [block, node("lm_head", "Linear", 1200)])}
    )


def test_the_tree_is_walked_from_the_root_in_order(modules):
    walked = [(depth, n["path"]) for depth, n in modules.walk()]
    assert walked == [(0, ""), (1, "h.0"), (2, "h.0.attn"), (2, "h.0.mlp"), (1, "lm_head")]


def test_the_frame_has_one_row_per_module(modules):
    frame = modules.frame()
    assert list(frame["class"]) == ["Tiny", "Block", "Attention", "MLP", "Linear"]
    assert frame.set_index("path").loc["h.0.mlp", "sites"] == ["mlp_out"]


def test_text_and_alternative_text(modules):
    assert "Attention" in modules.text()
    assert modules.alt_text() == "Tiny with 5 modules and 1,250 parameters"
