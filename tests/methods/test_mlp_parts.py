"""The parts of MLPs on every family, against the weights by their own names."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests import families

NAMES = {
    "gpt2": ("mlp.c_fc", None, "mlp.c_proj"),
    "gpt_neox": ("mlp.dense_h_to_4h", None, "mlp.dense_4h_to_h"),
    "llama": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
    "gemma2": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
    "qwen3": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
    "phi3": ("mlp.gate_up_proj", "mlp.gate_up_proj", "mlp.down_proj"),
    "bert": ("intermediate.dense", None, "output.dense"),
    "modernbert": ("mlp.Wi", "mlp.Wi", "mlp.Wo"),
}


@pytest.mark.parametrize("family", NAMES)
def test_up_gate_and_down_are_found_by_what_they_compute(family):
    session = Session(families.build(family))
    prompt = session.prompt([5, 9, 23, 7])
    found = MlpParts.of(session, prompt)
    assert len(found) == session.anatomy.n_layers
    for parts, block in zip(found, session.anatomy.blocks, strict=True):
        paths = (parts.up, parts.gate, parts.down)
        wanted = tuple(n and f"{block.path}.{n}" for n in NAMES[family])
        assert paths == wanted
        for name in ("up", "down", *(("gate",) if parts.gate else ())):
            assert parts.rows(name).shape == (session.anatomy.d_mlp, session.anatomy.d_model)
    acts = session.capture(prompt, ["mlp_post.1", "mlp_out.1"])
    out = acts["mlp_post.1"] @ found[1].rows("down")
    bias = found[1].bias("down")
    if family != "gemma2":  # a norm follows
        torch.testing.assert_close(out if bias is None else out + bias, acts["mlp_out.1"])


def test_a_shared_matrix_is_told_apart_in_numbers():
    session = Session(families.build("phi3"))
    parts = MlpParts.of(session, session.prompt([5, 9, 23]))[0]
    both = session.anatomy.root.get_submodule(parts.up).weight
    torch.testing.assert_close(parts.rows("gate"), both[: len(both) // 2])
    torch.testing.assert_close(parts.rows("up"), both[len(both) // 2 :])


def test_what_has_no_gate_or_no_single_mlp_says_so():
    session = Session(families.build("gpt2"))
    parts = MlpParts.of(session, session.prompt([5, 9]))[0]
    with pytest.raises(SiteError, match="no gate"):
        parts.rows("gate")
    experts = Session(families.build("mixtral"))
    with pytest.raises(SiteError, match="no neurons to read"):
        MlpParts.of(experts, experts.prompt([5, 9]))
