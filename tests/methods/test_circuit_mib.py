"""Circuits leave and come back in the layout of the MIB benchmark."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from interp_widgets.methods import circuits
from interp_widgets.methods.circuit import circuit
from interp_widgets.session.session import Session
from tests import families


def ids(count, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 61, (count, length), generator=generator).tolist()


@pytest.fixture(scope="module")
def session():
    return Session(families.build("qwen2"))


@pytest.fixture
def pairs(session):
    clean = [session.prompt(x, answer=5, foil=9) for x in ids(3, 6, 0)]
    return clean, [session.prompt(x) for x in ids(3, 6, 2)]


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
@pytest.mark.parametrize("positions", [False, True])
def test_a_circuit_comes_back_as_it_went(session, pairs, level, positions):
    if level == "neuron" and positions:
        pytest.skip("neurons by position are not offered")
    found = circuit(*pairs, level=level, positions=positions, steps=2, faithfulness=False, size=0.3)
    again = circuits.from_mib(circuits.to_mib(found))
    assert again.level == level
    assert again.meta["size"] == found.meta["size"]
    assert again.graph == found.graph
    if level != "edge" or positions:
        rows = slice(None) if level == "edge" else slice(1, None)  # the input always stays
        np.testing.assert_allclose(
            again.numpy("unit_scores")[rows], found.numpy("unit_scores")[rows], rtol=1e-5
        )
    sizes = [0.1, 0.3]
    own, theirs = (circuits.evaluate(session, c, *pairs, sizes=sizes) for c in (found, again))
    np.testing.assert_allclose(theirs.metric, own.metric, atol=1e-5)


def test_a_file_has_what_the_benchmark_reads(session, pairs):
    found = circuit(*pairs, level="neuron", steps=1, faithfulness=False, size=25)
    data = json.loads(circuits.to_mib(found))
    assert data["cfg"]["d_model"] == session.anatomy.d_model
    assert {"n_layers", "n_heads", "parallel_attn_mlp"} <= set(data["cfg"])
    head = data["nodes"]["a1.h2"]
    assert len(head["neurons"]) == len(head["neurons_scores"]) == session.anatomy.d_model
    assert all(data["nodes"]["input"]["neurons"])
    assert "neurons_scores" not in data["nodes"]["input"]
    kept = sum(sum(v["neurons"]) for k, v in data["nodes"].items() if k not in ("input", "logits"))
    assert kept == 25
    assert set(data["edges"]["m0->a1.h0<q>"]) == {"score", "in_graph"}


def test_a_file_of_the_benchmark_without_our_keys_is_read(pairs):
    found = circuit(*pairs, level="node", steps=1, faithfulness=False, size=4)
    data = json.loads(circuits.to_mib(found))
    data["cfg"] = {key: data["cfg"][key] for key in ("n_layers", "n_heads", "parallel_attn_mlp")}
    data["nodes"]["input"]["score"] = float("nan")  # as the authors' library writes it
    again = circuits.from_mib(json.dumps(data))
    assert again.level == "node"
    np.testing.assert_allclose(
        again.numpy("unit_scores")[1:], found.numpy("unit_scores")[1:], rtol=1e-5
    )


def test_what_is_no_circuit_is_refused():
    with pytest.raises(ValueError, match="not JSON"):
        circuits.from_mib("<script>")
    with pytest.raises(ValueError, match="edges"):
        circuits.from_mib('{"cfg": {"n_layers": 1, "n_heads": 1}}')
    bad = {
        "cfg": {"n_layers": 1, "n_heads": 1},
        "nodes": {"m0": {"neurons_scores": [1, 2]}, "a0.h0": {"neurons_scores": [1, 2, 3]}},
        "edges": {},
    }
    with pytest.raises(ValueError, match="not a circuit of the benchmark"):
        circuits.from_mib(json.dumps(bad))
