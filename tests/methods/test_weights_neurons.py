"""Neurons read through the output head, on planted neurons and on every family."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from transformers import LlamaConfig, LlamaForCausalLM

import interp_widgets as iw
from interp_widgets.methods.weights import Space, WeightsError
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests import families

LAYERS, WIDTH, NEURONS, TOKENS, PLANTED = 4, 128, 256, 500, 8


@pytest.fixture(scope="module")
def planted():
    """A random Llama with 8 neurons in each layer that read and write along one token."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=WIDTH,
        intermediate_size=NEURONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=False,
    )
    model, truth = LlamaForCausalLM(config).eval(), {}
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.randn(TOKENS, WIDTH) / WIDTH**0.5)
        head = model.lm_head.weight - model.lm_head.weight.mean(0)
        for layer, block in enumerate(model.model.layers):
            up, down = block.mlp.up_proj.weight, block.mlp.down_proj.weight
            units = torch.randperm(NEURONS)[:PLANTED].tolist()
            for unit, token in zip(units, torch.randperm(TOKENS).tolist(), strict=False):
                along = head[token] / head[token].norm()
                up[unit] = 0.3 * up[unit] + 2.1 * up[unit].norm() * along
                down[:, unit] = 3 * down[:, unit].norm() * along
                truth[layer, unit] = token
            up.mul_(0.2 / up.norm(dim=1, keepdim=True))  # a large norm gives nobody away
    return Session(model, name="planted"), truth


def test_planted_neurons_are_read_and_stand_out(planted):
    session, truth = planted
    table = iw.weights.decode(session, matrix="up", k=5)
    hits = [table.top_ids[table.row(*place), 0] == token for place, token in truth.items()]
    assert sum(hits) / len(hits) >= 0.95
    places = [
        (int(a), int(b)) for a, b in zip(table.arrays["layer"], table.arrays["unit"], strict=True)
    ]
    mine = [place in truth for place in places]
    assert roc_auc_score(mine, table.best()) >= 0.99
    ups = [b.mlp.up_proj.weight for b in session.anatomy.root.model.layers]
    norms = torch.cat(ups).norm(dim=1).tolist()
    assert roc_auc_score(mine, norms) < 0.7  # the baseline: the largest weights
    assert {(r.layer, r.unit) for r in table.specialised(32).itertuples()} == set(truth)
    both = iw.weights.decode(session, k=1)
    row = both.row(*next(iter(truth)))
    assert both.numpy("ids")[row, 2, 0, 0] == next(iter(truth.values()))  # what it writes


def test_a_clamp_moves_the_token_and_a_random_neuron_does_not(planted):
    session, truth = planted
    prompts = [session.prompt(torch.randint(3, TOKENS, (7,)).tolist()) for _ in range(6)]
    result = iw.weights.clamp_test(prompts, list(truth)[::2], value=10.0)
    up, down, zero, control = result.values[:, 1:].median(0).values.tolist()
    assert max(up, down) >= 20  # the sign of the gate says which way the clamp pushes
    assert 0.2 < control < 5
    assert 0.2 < zero < 5
    after = iw.weights.clamp_test(prompts, list(truth)[::2], value=10.0, site="mlp_post")
    up, down, zero, control = after.values[:, 1:].median(0).values.tolist()
    assert up >= 20
    assert down < 0.1
    assert 0.2 < control < 5


def test_the_curve_is_what_hooks_on_the_model_give(planted):
    session, truth = planted
    (layer, unit), token = next(iter(truth.items()))
    prompt = session.prompt([5, 9, 200, 31, 44])
    result = iw.weights.clamp_curve(prompt, layer, unit, values=[-3, 4], scale="absolute")
    model = session.anatomy.root
    mlp = model.model.layers[layer].mlp
    seen = {}

    def hold(value):
        def hook(_module, _inputs, output):
            output[..., unit] = value

        return hook

    mlp.gate_proj.register_forward_hook(lambda m, i, o: seen.update(gate=o[0, -1, unit].item()))
    for column, value in enumerate([-3, 4]):
        handle = mlp.up_proj.register_forward_hook(hold(value))
        with torch.no_grad():
            p = model(torch.tensor([prompt.ids])).logits[0, -1].softmax(-1)[token]
        handle.remove()
        assert abs(float(result.values[0, column]) - float(p)) < 1e-6
    gate = torch.nn.functional.silu(torch.tensor(seen["gate"]))
    assert abs(result.meta["gate"] - float(gate)) < 1e-6


def test_a_clamp_stays_until_it_is_taken_back(planted):
    session, truth = planted
    layer, unit = next(iter(truth))
    prompt = session.prompt([5, 9, 31])
    item = iw.weights.clamp(session, layer, unit, 5.0)
    held = session.capture(prompt, [item.site])[item.site]
    assert (held.reshape(3, -1)[:, unit] == 5).all()
    session.undo()
    with pytest.raises(ValueError, match="no neuron 256"):
        iw.weights.clamp(session, 0, 256, 1.0)
    with pytest.raises(ValueError, match="no layer 7"):
        iw.weights.clamp(session, 7, 0, 1.0)


NAMES = {
    "gpt2": ("mlp.c_fc", None, "mlp.c_proj"),
    "gpt_neox": ("mlp.dense_h_to_4h", None, "mlp.dense_4h_to_h"),
    "llama": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
    "qwen2": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
    "gemma2": ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"),
}


@pytest.mark.parametrize("family", NAMES)
def test_every_family_is_read_as_its_own_final_norm_and_head_would(family):
    session = Session(families.build(family))
    table = iw.weights.decode(session, layers=[1], k=4)
    model = session.anatomy.root
    block = model.get_submodule(session.anatomy.blocks[1].path)
    norm = model.get_submodule(session.anatomy.final_norm)
    head = model.get_output_embeddings().weight
    cap = getattr(model.config, "final_logit_softcapping", None)
    columns = {"up": 0, "gate": 1, "down": 2}
    for name, path in zip(columns, NAMES[family], strict=True):
        if path is None:
            assert name not in table.columns
            continue
        weight = block.get_submodule(path).weight.detach()
        if (name == "down") == (weight.shape[0] != families.D_MLP):
            weight = weight.T if name == "down" else weight
        rows = weight if weight.shape[0] == families.D_MLP else weight.T
        unit = rows / rows.pow(2).mean(1, keepdim=True).sqrt()
        with torch.no_grad():
            logits = (norm(unit) - norm(torch.zeros_like(unit))) @ head.T
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        p, ids = logits.softmax(-1).topk(4)
        c = table.column(name)
        assert (table.numpy("ids")[:, c, 0] == ids.numpy()).mean() > 0.99
        torch.testing.assert_close(
            torch.as_tensor(table.numpy("probability")[:, c, 0]), p, atol=1e-5, rtol=1e-4
        )


def test_norms_that_are_offered():
    session = Session(families.build("llama"))
    kinds = {
        n: iw.weights.decode(session, matrix="up", norm=n, k=3) for n in ("rms", "raw", "cosine")
    }
    assert not kinds["cosine"].has_probability
    assert kinds["rms"].has_probability
    rows = session.anatomy.root.model.layers[0].mlp.up_proj.weight
    cosine = torch.nn.functional.cosine_similarity(
        rows[:, None], session.anatomy.root.lm_head.weight[None], dim=2
    )
    found = torch.as_tensor(kinds["cosine"].numpy("logits")[: len(rows), 0, 0, 0])
    torch.testing.assert_close(found, cosine.amax(1).detach(), atol=1e-5, rtol=0)


def test_what_cannot_be_read_says_why():
    experts = Session(families.build("mixtral"))
    with pytest.raises(SiteError, match="mixture of experts"):
        iw.weights.decode(experts)
    plain = Session(families.build("gpt2"))
    with pytest.raises(WeightsError, match="no gate"):
        iw.weights.decode(plain, matrix="gate")
    with pytest.raises(ValueError, match="give at least one of 0 to 2"):
        iw.weights.decode(plain, layers=[3])
    with pytest.raises(ValueError, match="k=62"):
        iw.weights.decode(plain, k=62)
    headless = Session(families.build("roberta"))
    with pytest.raises(WeightsError, match="no output head"):
        iw.weights.decode(headless)
    module = plain.anatomy.root.transformer.h[0].mlp.c_fc
    kept = module.weight
    module.weight = torch.nn.Parameter(torch.zeros(32, 56, dtype=torch.int8), requires_grad=False)
    with pytest.raises(WeightsError, match=r"c_fc.weight is quantised \(int8\)"):
        Space.of(plain)
    module.weight = kept


def test_a_model_agrees_with_itself_and_not_with_another_seed():
    one, two = (Session(families.build("llama", seed=i)) for i in (0, 1))
    mine, again, other = (iw.weights.decode(s, matrix="up", k=2) for s in (one, one, two))
    assert (mine.compare(again).values == 1).all()
    assert mine.compare(other).values.mean() < 0.1  # chance is 1 in 61 tokens
    with pytest.raises(ValueError, match="other rows"):
        mine.compare(iw.weights.decode(one, layers=[0], matrix="up", k=2))
