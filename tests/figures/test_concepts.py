"""Figures of concepts: several targets, inputs, examples, and what a view shows."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.concepts import ConceptResult
from interp_widgets.views.concepts import ConceptsView


@pytest.fixture
def result():
    """Three concepts at two layers on two targets, with 40 inputs."""
    rng = np.random.default_rng(0)
    effect = np.array([[3.0, -1.0], [0.5, 4.0], [0.1, 0.2]])
    both = np.stack([effect, -effect])
    tables = {"effect": both, "low": both - 0.5, "high": both + 0.5, "p_corrected": abs(both) / 9}
    tables["significant"] = abs(both) > 0.3
    tables["negligible"] = abs(both) < 0.3
    return ConceptResult(
        {
            **{name: table[0] for name, table in tables.items()},
            **{f"targets.{name}": table for name, table in tables.items()},
            "presence": rng.normal(size=(3, 2, 40)),
            "member": np.repeat([[1, -1, 0, 0]], 10, axis=1).repeat(3, axis=0),
        },
        {
            "title": "C",
            "concepts": ["woman", "man $x$", "<script>"],
            "layers": ["3", "4"],
            "targets": ["she", "he"],
            "target_quantities": ["on she", "on he"],
            "inputs": [f"input {i} went to the store because" for i in range(40)],
        },
    )


def bars(figure):
    return [p.get_width() for p in figure.mpl.axes[0].patches]


def test_each_target_has_its_bar_in_the_order_of_the_strongest(result):
    figure = result.figure("acl", layer=1)
    assert bars(figure) == [4.0, -4.0, -1.0, 1.0, 0.2, -0.2]
    names = [t.get_text() for t in figure.mpl.axes[0].get_yticklabels()]
    assert names[:3] == [r"man \$x\$: she", "he", "woman: she"]
    assert bars(result.figure("acl", layer=1, target="he", sort="p")) == [-0.2, 1.0, -4.0]
    assert bars(result.figure("acl", layer=0, target=0, filter="MAN")) == [3.0, 0.5]
    with pytest.raises(ValueError, match="zebra"):
        result.figure("acl", filter="zebra")


def test_many_inputs_are_cut_to_both_ends_and_the_caption_says_so(result):
    figure = result.figure("icml", show="inputs", layer=1, concept="woman")
    labels = [t.get_text() for t in figure.mpl.axes[0].get_yticklabels()]
    order = np.argsort(-result.numpy("presence")[0, 1])
    assert len(labels) == 30
    assert labels[0].startswith(f"input {order[0]} ")
    assert labels[-1].startswith(f"input {order[-1]} ")
    assert "15 highest and 15 lowest of 40" in figure.caption
    assert "rings examples without" in figure.caption


def test_a_view_draws_what_it_shows(result):
    view = ConceptsView(result, layer=0, show="examples", concept="woman", target="he")
    figure = view.figure("acl")
    dots = [c for c in figure.mpl.axes[0].collections if len(c.get_offsets())]
    assert [len(d.get_offsets()) for d in dots] == [10, 10, 20]
    shown = np.concatenate([d.get_offsets()[:, 0] for d in dots])
    np.testing.assert_allclose(np.sort(shown), np.sort(result.numpy("presence")[0, 0]))
    view.state = {**view.state, "show": "steer"}
    assert bars(view.figure("acl")) == [-3.0, -0.5, -0.1]
    assert view.figure("slides", "text", show="inputs").png()[:4] == b"\x89PNG"


def test_results_without_inputs_say_so(result):
    del result.arrays["presence"]
    with pytest.raises(ValueError, match="does not say how much"):
        result.figure(show="inputs")
