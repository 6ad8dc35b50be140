"""The same capture on other machines: NDIF through nnsight's own simulation, and what a Ray engine would need."""

from __future__ import annotations

import nnsight
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.capture import capture, capture_with_grad
from interp_widgets.session.engines import Engine, EngineError, LocalEngine, NDIFEngine, engine
from tests import families


@pytest.fixture(scope="module")
def served():
    """A model as nnsight's servers know it: wrapped with its tokenizer."""
    words = Tokenizer(
        models.WordLevel({str(i): i for i in range(families.VOCABULARY)}, unk_token="0")
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", unk_token="0")
    model = nnsight.LanguageModel(families.build("llama"), tokenizer=tokenizer)
    return model, Anatomy.of(model)


def test_a_simulated_remote_capture_equals_a_local_one(served):
    model, anatomy = served
    inputs = families.inputs("llama")
    sites = ["embed", "resid_post", "q.1", "pattern.2", "z.0", "logits"]
    here = capture(model, anatomy, inputs, sites)
    there = capture(model, anatomy, inputs, sites, engine=engine("ndif-simulated"))
    assert list(here) == list(there)
    for site, value in here.items():
        torch.testing.assert_close(there[site], value)


def test_a_simulated_remote_gradient_equals_a_local_one(served):
    model, anatomy = served
    inputs = families.inputs("llama")
    here, there = (
        capture_with_grad(
            model, anatomy, inputs, ["z", "resid_mid"], lambda x: x[-1, 3] - x[-1, 9], engine=e
        )
        for e in (LocalEngine(), NDIFEngine(simulate=True))
    )
    for site, grad in here.grads.items():
        assert grad.abs().max() > 0
        torch.testing.assert_close(there.grads[site], grad)


def test_a_torch_module_cannot_run_on_ndif_and_is_told_what_to_do():
    model = nnsight.NNsight(families.build("gpt2"))
    anatomy = Anatomy.of(model)
    with pytest.raises(EngineError, match="Hugging Face id"):
        capture(model, anatomy, families.inputs("gpt2"), ["z"], engine=engine("ndif"))
    assert capture(model, anatomy, families.inputs("gpt2"), ["z"])


def test_ray_is_a_seam_that_says_what_it_needs():
    with pytest.raises(EngineError, match=r"trace\(model, batch\)"):
        engine("ray")
    with pytest.raises(EngineError, match="local, ndif, ndif-simulated, ray"):
        engine("cloud")
    with pytest.raises(EngineError, match="has a name"):
        engine(3)


class Counting:
    """An engine of a user's own: counts its traces and runs them here."""

    name = "counting"

    def __init__(self):
        self.traces = 0

    def trace(self, model, batch):
        self.traces += 1
        return LocalEngine().trace(model, batch)


def test_a_users_own_engine_runs_captures():
    model = nnsight.NNsight(families.build("gpt2"))
    mine = engine(Counting())
    assert isinstance(mine, Engine)
    got = capture(
        model, Anatomy.of(model), families.inputs("gpt2"), ["q", "k", "resid_post"], engine=mine
    )
    assert mine.traces == 1
    assert len(got) == 3 * families.LAYERS
