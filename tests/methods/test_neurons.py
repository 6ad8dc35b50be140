"""Every MLP neuron on every token, named by layer and unit."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from tests.methods.conftest import IDS


def test_neurons_are_the_input_of_the_down_projection(session):
    prompt = session.prompt(IDS)
    result = iw.neurons(prompt)
    caught = []
    blocks = session.model._module
    blocks = blocks.transformer.h if hasattr(blocks, "transformer") else blocks.model.layers
    mlp = blocks[1].mlp
    down = mlp.c_proj if hasattr(mlp, "c_proj") else mlp.down_proj
    hook = down.register_forward_pre_hook(lambda _module, args: caught.append(args[0][0]))
    with torch.no_grad():
        session.model._module(input_ids=torch.tensor([IDS]))
    hook.remove()
    units = caught[0].shape[-1]
    assert result.values.shape == (3 * units, 7)
    torch.testing.assert_close(result.values[units : 2 * units], caught[0].T)
    assert result.channels[units + 4] == "L1N4"
    name, value = result.top(by="token", token=3, n=1)[0]
    assert value == pytest.approx(float(result.values[:, 3].max()))
    assert name == result.channels[int(result.values[:, 3].argmax())]


def test_some_layers_only_and_layers_that_are_not_there(session):
    prompt = session.prompt(IDS)
    some = iw.neurons(prompt, layers=[2])
    assert some.channels[0] == "L2N0"
    assert some.rerun().channels == some.channels
    with pytest.raises(ValueError, match="0 to 2"):
        iw.neurons(prompt, layers=[3])
