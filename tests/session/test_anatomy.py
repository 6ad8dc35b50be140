"""Opening a model: its parts are found by structure, and what is not there is named."""

from __future__ import annotations

import json

import nnsight
import pytest
import torch
from torch import nn

from interp_widgets.session import tap
from interp_widgets.session.anatomy import Anatomy
from interp_widgets.session.capture import capture
from interp_widgets.session.sites import STANDARD, Site, SiteError
from interp_widgets.session.tap import by_distance
from tests import families
from tests.families import D_HEAD, D_MLP, FAMILIES, HEADS, KV_HEADS, LAYERS, VOCABULARY

GROUPED = {
    "llama",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "olmo2",
    "mistral",
    "mixtral",
    "phi3",
    "gpt_oss",
}
NORMS = {
    "bert": "post",
    "roberta": "post",
    "gemma2": "pre and output",
    "gemma3": "pre and output",
    "olmo2": "output",
}
EVERYWHERE_SEEING = {"bert", "roberta", "modernbert", "t5_encoder", "clip_vision", "vit", "mamba"}
UNROTATED = {"gpt2", "bert", "roberta", "t5_encoder", "clip_text", "clip_vision", "vit", "mamba"}
LENSES = {
    "gpt2": ("transformer.wte", "transformer.ln_f", "lm_head"),
    "gpt_neox": ("gpt_neox.embed_in", "gpt_neox.final_layer_norm", "lm_head"),
    "gemma3": ("model.embed_tokens", "model.norm", "lm_head"),
    "bert": ("bert.embeddings.word_embeddings", None, "cls.predictions.decoder"),
    "modernbert": ("model.embeddings.tok_embeddings", "model.final_norm", "decoder"),
    "t5_encoder": ("encoder.embed_tokens", "encoder.final_layer_norm", None),
    "clip_vision": ("embeddings", "post_layernorm", None),
    "vit": ("vit.embeddings.patch_embeddings", "vit.layernorm", None),
    "mamba": ("backbone.embeddings", "backbone.norm_f", "lm_head"),
}


@pytest.fixture(scope="module")
def opened():
    made = {}

    def get(name):
        if name not in made:
            made[name] = Anatomy.of(nnsight.NNsight(families.build(name)))
        return made[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_understood_and_checks_out(name, opened):
    anatomy, family = opened(name), FAMILIES[name]
    absent = set(family.without) | ({"bias"} if name != "t5_encoder" else set()) | {"cross_z"}
    assert set(anatomy.sites) == set(STANDARD) - absent
    assert anatomy.n_layers == LAYERS
    assert anatomy.norm_style == NORMS.get(name, "pre")
    assert anatomy.parallel == (name == "gpt_neox")
    assert anatomy.rotary == (name not in UNROTATED)
    assert anatomy.causal == (name not in EVERYWHERE_SEEING)
    if name != "mamba":
        heads = (anatomy.n_heads, anatomy.n_kv_heads, anatomy.d_head)
        assert heads == (HEADS, KV_HEADS if name in GROUPED else HEADS, D_HEAD)
        assert anatomy.d_mlp == (D_MLP if "mlp_post" in anatomy.sites else None)
        assert anatomy.has_mlp
    config = anatomy.root.config
    assert anatomy.d_model == config.hidden_size
    text = "logits" in anatomy.sites and not family.image
    assert anatomy.vocabulary == (VOCABULARY if text else None)
    report = anatomy.check()
    assert report.problems == {}
    assert set(report.works) == set(anatomy.sites) - {"pattern"}


@pytest.mark.parametrize("name", LENSES)
def test_embedding_final_norm_and_unembedding_are_found(name, opened):
    anatomy = opened(name)
    assert (anatomy.embed, anatomy.final_norm, anatomy.unembed) == LENSES[name]


def test_each_layer_says_how_it_attends(opened):
    assert [opened("gemma2").attention(i).window for i in range(3)] == [4, None, 4]
    assert [opened("gemma3").attention(i).window for i in range(3)] == [3, None, 3]
    assert [opened("qwen2").attention(i).window for i in range(3)] == [None, 4, 4]
    assert [opened("modernbert").attention(i).window for i in range(3)] == [None, 4, 4]
    assert [opened("modernbert").attention(i).causal for i in range(3)] == [False] * 3
    assert opened("gemma2").attention(0).softcap == 0.5
    assert opened("gemma2").attention(0).scaling == pytest.approx(12**-0.5)
    assert opened("t5_encoder").attention(1).scaling == 1
    assert opened("t5_encoder").attention(1).bias
    sinks = opened("gpt_oss").root.model.layers[1].self_attn.sinks
    assert opened("gpt_oss").attention(1).sinks == pytest.approx(sinks.tolist())


def test_a_location_prints_as_nnsight_code(opened):
    gpt2, bert = opened("gpt2"), opened("bert")
    assert gpt2.locate("z", 1).expression() == "model.transformer.h[1].attn.c_proj.input"
    assert gpt2.locate("logits").expression() == "model.output.logits"
    assert (
        gpt2.locate("k", 2).expression("m")
        == "m.transformer.h[2].attn.source.attention_interface_1.inputs[0][2]"
    )
    assert (
        bert.locate("attn_out.0").expression()
        == "model.bert.encoder.layer[0].attention.E_output.dense.output"
    )
    assert (
        opened("t5_encoder").locate("resid_post.0").expression()
        == "model.encoder.block[0].output[0]"
    )
    with pytest.raises(ValueError, match="computed from q and k"):
        gpt2.locate("pattern", 0).expression()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_facts_about_a_model_are_plain_data(name, opened):
    anatomy = opened(name)
    json.dumps(anatomy.summary(), allow_nan=False)


def test_a_missing_site_gives_one_error_with_reason_and_what_is_there(opened):
    cases = [
        ("gpt2", "resid_post.9", "no layer 9: this model has 0 to 2"),
        ("gpt2", "resid_post.-1", "neither a standard name"),
        ("gpt2", "hook_resid", "neither a standard name.*Its sites are: embed, resid_pre"),
        ("gpt2", "resid_post", r"needs a layer: 'resid_post.0' to 'resid_post.2'"),
        ("gpt_neox", "resid_mid.0", "side by side.*Its sites are"),
        (
            "mamba",
            "pattern.1",
            "attention function.*Its sites are: embed, resid_pre, resid_post, logits",
        ),
        ("mixtral", "mlp_post.0", "mixture of experts"),
        ("roberta", "logits", "no output head"),
        ("llama", "bias.0", "no learned position bias"),
    ]
    for name, site, words in cases:
        with pytest.raises(SiteError, match=words):
            opened(name).locate(site)


def test_a_name_without_layer_expands_to_the_layers_that_have_it(opened):
    anatomy = opened("llama")
    expanded = [str(s) for s in anatomy.expand(["z", "logits", "z.1"])]
    assert expanded == ["z.0", "z.1", "z.2", "logits"]
    assert opened("mamba").layers_of("z") == ()


def test_two_towers_are_told_apart_by_stack():
    clip = families._clip("sdpa").eval()
    text, vision = (Anatomy.of(clip, stack=s) for s in ("text_model", "vision_model"))
    assert text.attention(0).causal
    assert not vision.attention(0).causal
    assert text.embed == "text_model.embeddings.token_embedding"
    assert vision.embed == "vision_model.embeddings"
    assert text.check().problems == vision.check().problems == {}
    with pytest.raises(
        ValueError, match=r"fits 0 .*text_model.encoder.layers, vision_model.encoder.layers"
    ):
        Anatomy.of(clip, stack="audio")


def test_an_encoder_decoder_opens_on_either_side():
    from transformers import T5Config, T5ForConditionalGeneration

    settings = {
        "vocab_size": 61,
        "d_model": 40,
        "d_kv": 8,
        "d_ff": 56,
        "num_layers": 2,
        "num_heads": 4,
    }
    model = T5ForConditionalGeneration(
        T5Config(**settings, num_decoder_layers=3, decoder_start_token_id=0)
    )
    encoder, decoder = (Anatomy.of(model, stack=s) for s in ("encoder", "decoder"))
    assert (encoder.n_layers, decoder.n_layers) == (2, 3)
    assert (encoder.causal, decoder.causal) == (False, True)
    assert decoder.locate("mlp_out", 2).path == "decoder.block.2.layer.2.DenseReluDense.wo"
    assert encoder.check().problems == {}
    assert "cross-attention" in decoder.check().problems["resid_post.0"]


def test_a_model_without_weights_is_understood_too():
    with torch.device("meta"):
        model = FAMILIES["llama"].build("sdpa").eval()
    assert Anatomy.of(model).sites == tuple(s for s in STANDARD if s not in ("bias", "cross_z"))


def test_opening_leaves_the_model_as_it_was():
    model = families.build("gpt2").train()
    model.transformer.h[1].eval()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    Anatomy.of(model).check()
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


class Toy(nn.Module):
    """A transformer of nobody's library."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(17, 12)
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 17)

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids)))


def test_somebodys_own_transformer_has_its_residual_stream():
    anatomy = Anatomy.of(nnsight.NNsight(Toy().eval()), example=torch.arange(7)[None])
    assert (anatomy.kind, anatomy.embed) == ("blocks", "embed")
    missing = {"q", "k", "v", "z", "bias", "cross_z", "pattern"}
    assert set(anatomy.sites) == set(STANDARD) - missing
    assert anatomy.post_norm
    assert anatomy.check(torch.arange(7)[None]).problems == {}
    assert anatomy.locate("encoder.layers.1.linear1").path == "encoder.layers.1.linear1"
    with pytest.raises(SiteError, match="attention function"):
        anatomy.locate("q.0")


def test_a_plain_module_waits_for_its_first_input():
    anatomy = Anatomy.of(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))
    assert (anatomy.kind, anatomy.n_layers, anatomy.sites) == ("modules", 0, ())
    with pytest.raises(ValueError, match="pass an example"):
        anatomy.check()
    report = anatomy.check(torch.randn(4, 6))
    assert report.works == {"logits": (3,)}
    with pytest.raises(SiteError, match="no list of repeated blocks"):
        anatomy.locate("resid_post.0")


@pytest.mark.parametrize("lasting", [False, True])
def test_attention_that_could_not_be_read_is_tried_again_and_says_why(monkeypatch, lasting):
    """One failure, such as a moment without memory, does not take the patterns away for ever."""
    plain, tried = tap.read_calls, []

    def failing(*arguments):
        tried.append(1)
        if lasting or len(tried) == 1:
            raise RuntimeError("no memory at the moment")
        return plain(*arguments)

    monkeypatch.setattr(tap, "read_calls", failing)
    anatomy = Anatomy.of(families.build("gpt2"))
    assert anatomy.tried
    assert anatomy.n_layers == 3
    assert "resid_post" in anatomy.sites
    with pytest.raises(SiteError, match=r"could not be read \(RuntimeError: no memory at the"):
        anatomy.locate("pattern.1")
    inputs = families.inputs("gpt2")
    problems = anatomy.check(inputs).problems
    if lasting:
        assert "no memory" in problems["q, k, v, pattern"]
        for _ in range(3):
            capture(anatomy.traceable(), anatomy, inputs, ["resid_post.1"])
        assert len(tried) == 3, "every further pass would pay for a reading that fails"
        with pytest.raises(SiteError, match="no memory at the moment"):
            anatomy.locate("q", 0)
        assert anatomy.locate("z", 1).path == "transformer.h.1.attn.c_proj"
    else:
        assert problems == {}
        assert anatomy.attention(1).heads == HEADS
        pattern = capture(anatomy.traceable(), anatomy, inputs, ["pattern.1"])[Site("pattern", 1)]
        torch.testing.assert_close(pattern.sum(-1), torch.ones(HEADS, 9))


def test_the_tree_counts_parameters_and_places_sites(opened):
    anatomy = opened("gpt2")
    tree = anatomy.tree()
    assert tree["parameters"] == sum(p.numel() for p in anatomy.root.parameters())
    block = tree["children"][0]["children"][3]["children"][1]
    assert (block["path"], block["class"], block["shape"]) == (
        "transformer.h.1",
        "GPT2Block",
        [1, 6, 32],
    )
    assert block["sites"] == ["resid_pre.1", "resid_post.1"]
    result = anatomy.result()
    assert len(result.frame()) == len(list(anatomy.root.modules()))
    assert result.meta["summary"]["n_heads"] == HEADS


def test_nan_weights_are_noticed_by_the_check():
    model = families.build("gpt2")
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[0, 0] = float("nan")
    problems = Anatomy.of(model).check().problems
    assert "mlp_post.1" in problems
    assert "resid_post.0" not in problems


def test_a_position_bias_by_distance_is_compressed_and_anything_else_refused():
    table = torch.randn(3, 2 * 6 - 1)
    i, j = torch.arange(6)[:, None], torch.arange(6)[None]
    torch.testing.assert_close(by_distance(table[:, 5 + j - i]), table)
    with pytest.raises(ValueError, match="more than the distance"):
        by_distance(torch.randn(3, 6, 6))


def tiny(architecture, config, **settings):
    import transformers

    shared = {"vocab_size": 61, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 56,
    }
    made = getattr(transformers, config)(**{**shared, **sizes, **settings})
    torch.manual_seed(0)
    return getattr(transformers, architecture)(made).eval()


def test_a_model_that_scales_what_it_adds_is_noticed():
    model = tiny(
        "GraniteForCausalLM", "GraniteConfig", num_key_value_heads=2, residual_multiplier=0.25
    )
    assert "scales" in Anatomy.of(model).check().problems["resid_post.1"]
    model = tiny("GraniteForCausalLM", "GraniteConfig", num_key_value_heads=2)
    assert Anatomy.of(model).check().problems == {}


def test_an_attention_of_its_own_making_keeps_every_site_but_the_pattern():
    """GPT-J does not go through transformers' attention function in this version."""
    model = tiny("GPTJForCausalLM", "GPTJConfig", n_embd=32, n_layer=3, n_head=4, rotary_dim=4)
    anatomy = Anatomy.of(model)
    assert anatomy.kind == "blocks"
    assert set(anatomy.sites) == set(STANDARD) - {
        "q",
        "k",
        "v",
        "bias",
        "cross_z",
        "pattern",
        "resid_mid",
    }
    assert (anatomy.locate("z", 1).heads, anatomy.locate("z", 1).d_head) == (4, 8)
    assert anatomy.check().problems == {}
    with pytest.raises(SiteError, match="attention function"):
        anatomy.locate("pattern.0")


def test_blocks_that_run_more_than_once_are_not_taken_for_layers():
    anatomy = Anatomy.of(tiny("AlbertForMaskedLM", "AlbertConfig", embedding_size=20))
    with pytest.raises(SiteError, match="same block runs 3 times"):
        anatomy.locate("resid_post.0")


def test_blocks_of_two_kinds_have_the_sites_they_have():
    """Jamba alternates attention with Mamba."""
    experts = {
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 4,
    }
    layout = {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 9,
        "expert_layer_offset": 1,
    }
    anatomy = Anatomy.of(
        tiny("JambaForCausalLM", "JambaConfig", num_key_value_heads=2, **experts, **layout)
    )
    assert anatomy.layers_of("pattern") == (1,)
    assert [str(s) for s in anatomy.expand("z")] == ["z.1"]
    with pytest.raises(SiteError, match=r"no site 'z.0'"):
        anatomy.locate("z.0")


def test_a_model_whose_trial_fails_still_opens_and_says_why():
    model = families.build("gpt2")

    def refuse(*_, **__):
        raise RuntimeError("needs a picture too")

    model.forward = refuse
    anatomy = Anatomy.of(model)
    assert anatomy.sites == ()
    with pytest.raises(SiteError, match=r"needs a picture too.*example="):
        anatomy.locate("resid_post.0")
