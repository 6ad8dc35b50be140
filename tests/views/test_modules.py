"""The module tree on its way to the browser."""

from __future__ import annotations

from interp_widgets.results.modules import ModulesResult
from interp_widgets.views.modules import ModulesView

LEAF = {"name": "wte", "path": "wte", "class": "Embedding", "parameters": 40, "shape": (1, 5, 8)}
TREE = {
    "name": "",
    "path": "",
    "class": "<Net>",
    "parameters": 40,
    "shape": None,
    "sites": [],
    "children": [{**LEAF, "sites": ("embed",), "children": []}],
}


def test_the_tree_travels_as_plain_json():
    view = ModulesView(ModulesResult({}, {"tree": TREE, "summary": {"layers": 2}}), filter="embed")
    root = view.spec["first"]["tree"]
    assert root["name"] == "<Net>"
    assert root["children"] == [
        {**LEAF, "shape": [1, 5, 8], "sites": ["embed"], "children": []},
    ]
    assert view.spec["count"] == 2
    assert view.spec["summary"] == {"layers": 2}
    assert view.state["filter"] == "embed"


def test_the_table_has_a_row_per_module():
    table = ModulesView(ModulesResult({}, {"tree": TREE})).on_table({})
    assert [row[table["columns"].index("class")] for row in table["rows"]] == ["<Net>", "Embedding"]
