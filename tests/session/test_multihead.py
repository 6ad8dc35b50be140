"""``nn.MultiheadAttention`` written out: the same numbers, and every part of a head to read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.session.multihead import HeadAttention


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 10, "vdim": 14}, {"bias": False}])
def test_it_equals_torchs_own_attention(batch_first, sizes):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(24, 4, batch_first=batch_first, **sizes).eval()
    ours = iw.explicit_attention(copy.deepcopy(theirs))
    assert isinstance(ours, HeadAttention)
    query, key = torch.randn(3, 5, 24), torch.randn(3, 7, sizes.get("kdim", 24))
    value = key if "vdim" not in sizes else torch.randn(3, 7, sizes["vdim"])
    given = [x if batch_first else x.transpose(0, 1) for x in (query, key, value)]
    padding = torch.zeros(3, 7).masked_fill(torch.arange(7) > torch.tensor([[6], [4], [2]]), -1e9)
    for masks in (
        {},
        {"attn_mask": torch.randn(12, 5, 7), "key_padding_mask": padding},
        {"attn_mask": torch.ones(5, 7, dtype=torch.bool).triu(3), "average_attn_weights": False},
    ):
        expected, weights = theirs(*given, **masks)
        found, pattern = ours(*given, **masks)
        assert (found - expected).abs().max() < 1e-5
        assert (pattern - weights).abs().max() < 1e-5
    single = [x[:, 0] if not batch_first else x[0] for x in given]
    assert (ours(*single)[0] - theirs(*single)[0]).abs().max() < 1e-5
    assert ours(*given, need_weights=False)[1] is None


def test_a_checkpoint_of_the_one_loads_into_the_other():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True).eval()
    ours = HeadAttention(24, 4, batch_first=True).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 24)
    assert (ours(x, x, x)[0] - theirs(x, x, x)[0]).abs().max() < 1e-5


def test_heads_of_torchs_own_encoder_can_be_read_and_ablated():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x = torch.randn(1, 5, 16)
    with torch.no_grad():
        expected = model(x)
    session = iw.Session(iw.explicit_attention(model))
    prompt = session.prompt(x)
    found = session.capture(prompt, ["logits", "layers.1.self_attn.pattern"])
    assert (found["logits"] - expected[0]).abs().max() < 1e-5
    pattern = found["layers.1.self_attn.pattern"]
    attention = iw.attention(prompt)
    assert (attention.pattern(layer=1, head=1) - pattern[1]).abs().max() < 1e-5

    session.ablate("z", layer=1, head=1)
    changed = session.capture(prompt, "logits")["logits"]
    with torch.no_grad():
        model.layers[1].self_attn.out_proj.weight[:, 8:] = 0
        alone = model(x)[0]
    assert (changed - alone).abs().max() < 1e-5
    assert (changed - expected[0]).abs().max() > 1e-3


def test_extra_keys_are_refused():
    with pytest.raises(ValueError, match="add_bias_kv"):
        iw.explicit_attention(nn.Sequential(nn.MultiheadAttention(8, 2, add_bias_kv=True)))
