"""Cross-layer transcoders: features that write into their own MLP's output and all later ones'."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import interp_widgets as iw
from interp_widgets.methods.attribution_graph.features import Features
from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel
from interp_widgets.methods.circuits import CircuitError
from interp_widgets.session.session import Session
from tests.families import LAYERS
from tests.methods.test_attribution_graph import (
    FEATURES,
    IDS,
    frozen_gpt2,
    opened,
    read_by_hooks,
    sums,
    traced,
)
from tests.methods.test_feature_intervention import A, B, links_to_outputs
from tests.models import tiny_gpt2


def random_cross_layer(session: Session) -> iw.Transcoders:
    """Features of layer i write into the MLP outputs of layers i to 2."""
    d = session.capture(session.prompt(IDS), "resid_post.0")["resid_post.0"].shape[-1]
    layers = {}
    for i in range(LAYERS):
        g = torch.Generator().manual_seed(i)
        shapes = (d, FEATURES), (FEATURES,), (FEATURES, LAYERS - i, d), (d,)
        w_enc, b_enc, w_dec, b_dec = (
            torch.randn(*s, generator=g).to(session.dtype) for s in shapes
        )
        layers[i] = iw.SparseTranscoder(w_enc / d**0.5, b_enc / 10, w_dec / 5, b_dec / 10)
    return iw.Transcoders(layers, name="random, cross-layer")


@pytest.mark.parametrize(("name", "limit"), [("gpt2", 1e-10), ("gemma2", 1e-4), ("qwen3", 1e-4)])
def test_what_feeds_a_target_adds_up_to_its_pre_activation(name, limit):
    session = opened(name)
    transcoders = random_cross_layer(session)
    graph = traced(session, transcoders)
    reads, _ = read_by_hooks(session)
    total = sums(graph)
    seen = 0
    for i, node in enumerate(graph.meta["nodes"]):
        if node["activation"] is None:
            continue
        layer, feature, position = map(int, node["node_id"].split("_"))
        one = transcoders[layer]
        expected = float(reads[layer][position] @ one.w_enc[:, feature] + one.b_enc[feature])
        assert total[i] == pytest.approx(expected, abs=limit)
        seen += 1
    assert seen > 100
    model = FrozenModel(session, session.prompt(IDS))
    features = Features.of(model, transcoders)
    for layer in range(LAYERS):  # an MLP's output by the definition: all layers up to this one
        made = transcoders[layer].b_dec.expand_as(model.written[layer]).clone()
        for source in range(layer + 1):
            one = transcoders[source]
            z = torch.relu(model.reads[source] @ one.w_enc + one.b_enc)
            made += z @ one.w_dec[:, layer - source]
        torch.testing.assert_close(features.errors[layer], model.written[layer] - made)


def test_links_are_finite_differences_of_the_frozen_model():
    """A feature doubled in a model written out by hand, in every layer that it writes into."""
    session = opened("gpt2")
    transcoders = random_cross_layer(session)
    graph = traced(session, transcoders)
    run, start, mlps = frozen_gpt2(session)
    with torch.no_grad():
        reads, final = run(start, mlps)
    head = session.model._module.lm_head.weight.detach()
    weights = {(s, t): w for s, t, w in zip(
        graph.numpy("source"), graph.numpy("target"), graph.numpy("weight"), strict=True)}  # fmt: skip
    nodes = graph.meta["nodes"]
    features = [i for i, node in enumerate(nodes) if node["activation"] is not None]
    worst, largest = 0.0, 0.0
    for source in np.random.default_rng(0).permutation(features)[:12]:
        layer, feature, p = map(int, nodes[source]["node_id"].split("_"))
        written = [m.clone() for m in mlps]
        for step, row in enumerate(transcoders[layer].w_dec[feature]):
            written[layer + step][p] += nodes[source]["activation"] * row
        with torch.no_grad():
            moved, end = run(start, written)
        for target, other in enumerate(nodes):
            if other["feature_type"] == "logit":
                change = (end - final) @ (head[other["feature"]] - head.mean(0))
            elif other["activation"] is not None:
                i, unit = int(other["layer"]), int(other["node_id"].split("_")[1])
                change = (moved[i] - reads[i])[other["ctx_idx"]] @ transcoders[i].w_enc[:, unit]
            else:
                continue
            worst = max(worst, abs(float(change) - weights.get((source, target), 0.0)))
            largest = max(largest, abs(float(change)))
    assert worst < 1e-10 * max(largest, 1)
    assert largest > 0.1


def planted() -> tuple[Session, dict[int, iw.SparseTranscoder]]:
    """A model whose layer 1 does what layer 0 could: nothing is written before its MLP reads."""
    model = tiny_gpt2(activation_function="relu").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
        first, second, third = model.transformer.h
        for part in (first.attn.c_proj, first.mlp.c_proj, second.attn.c_proj):
            part.weight.zero_()
            part.bias.zero_()
        second.mlp.c_proj.bias.normal_()
    mlp, last = second.mlp, third.mlp
    w_enc, b_enc = mlp.c_fc.weight.detach(), mlp.c_fc.bias.detach()
    width, count = w_enc.shape
    ahead = torch.zeros(count, 3, width)
    ahead[:, 1] = mlp.c_proj.weight.detach()
    silent = torch.zeros(width, 1), -torch.ones(1), torch.zeros(1, 2, width)
    parts = [p.detach() for p in (last.c_fc.weight, last.c_fc.bias, last.c_proj.weight, last.c_proj.bias)]  # fmt: skip
    layers = {
        0: iw.SparseTranscoder(w_enc, b_enc, ahead, torch.zeros(width)),
        1: iw.SparseTranscoder(*silent, mlp.c_proj.bias.detach()),
        2: iw.SparseTranscoder(*parts),
    }
    return Session(model, name="planted"), layers


def test_a_perfect_cross_layer_transcoder_scores_one():
    """Layer 0's features write what layer 1's MLP writes; exchanged decoders score less."""
    session, layers = planted()
    graph = traced(session, iw.Transcoders(layers))
    found = graph.meta["metadata"]
    assert found["replacement_score"] == pytest.approx(1, abs=1e-5)
    assert found["completeness_score"] == pytest.approx(1, abs=1e-5)
    links = graph.frame()
    fed = {
        (s.split("_")[0], t.split("_")[0])
        for s, t in zip(links["source"], links["target"], strict=True)
    }
    assert ("0", "2") in fed
    assert ("0", "1") not in fed, "layer 1 reads before anything is written"
    order = torch.randperm(len(layers[0].w_dec), generator=torch.Generator().manual_seed(0))
    one = layers[0]
    layers[0] = iw.SparseTranscoder(one.w_enc, one.b_enc, one.w_dec[order], one.b_dec)
    shuffled = traced(session, iw.Transcoders(layers)).meta["metadata"]
    assert shuffled["replacement_score"] < 0.9
    assert shuffled["completeness_score"] < 0.97


def test_features_say_what_they_write_in_all_layers_together():
    session = opened("gpt2")
    transcoders = random_cross_layer(session)
    graph = traced(session, transcoders)
    root = session.model._module
    node = next(n for n in graph.meta["nodes"] if n["node_id"].startswith("0_"))
    row = transcoders[0].w_dec[node["feature"] % 100].sum(0)
    end = session.capture(session.prompt(IDS), "resid_post.2")["resid_post.2"][-1]
    scale = end.var(unbiased=False).add(root.transformer.ln_f.eps).rsqrt()
    through = (row - row.mean()) * scale * root.transformer.ln_f.weight
    best = (root.lm_head.weight @ through).topk(10).indices.tolist()
    assert node["top_logits"] == [session.token_string(i) for i in best]


def test_a_changed_feature_writes_into_every_layer_up_to_the_last_that_is_held():
    session = opened("gpt2")
    transcoders = random_cross_layer(session)
    direct = links_to_outputs(traced(session, transcoders, targets=[A, B]))
    node = max((n for n in direct if n.startswith("0_")), key=lambda n: abs(direct[n]))
    prompt, options = session.prompt(IDS), {"norms": "frozen", "targets": [A, B]}
    for factor in (0.0, -1.0, 2.0):
        result = iw.feature_intervention(prompt, transcoders, {node: factor}, until=2, **options)
        before, after = (result.arrays["logits"][0] - result.arrays["logits"][1]).tolist()
        assert after - before == pytest.approx((factor - 1) * direct[node], abs=1e-4)
    _, feature, position = map(int, node.split("_"))
    features = Features.of(FrozenModel(session, prompt), transcoders)
    place = (features.layer == 0) & (features.index == feature) & (features.position == position)
    change = features.activation[place] * transcoders[0].w_dec[feature, 0]

    def take_out(_module, _args, output):
        output[0, position] -= change
        return output

    root = session.model._module
    handle = root.transformer.h[0].mlp.register_forward_hook(take_out)
    with torch.no_grad():
        expected = root(input_ids=torch.tensor([IDS])).logits[0, -1].float()
    handle.remove()
    free = iw.feature_intervention(
        prompt, transcoders, {node: 0.0}, attention="free", targets=[A, B]
    )
    torch.testing.assert_close(free.arrays["logits"][:, 1], expected[[A, B]], atol=1e-4, rtol=1e-4)


def test_the_files_of_circuit_tracer_are_read_and_what_does_not_fit_is_refused(tmp_path):
    session = opened("llama")
    transcoders = random_cross_layer(session)
    for i, one in transcoders.layers.items():
        encoder = {f"W_enc_{i}": one.w_enc.T, f"b_enc_{i}": one.b_enc, f"b_dec_{i}": one.b_dec}
        encoder[f"threshold_{i}"] = torch.zeros(1, FEATURES)
        save_file({k: v.contiguous() for k, v in encoder.items()},
                  tmp_path / f"W_enc_{i}.safetensors")  # fmt: skip
        save_file({f"W_dec_{i}": one.w_dec.contiguous()}, tmp_path / f"W_dec_{i}.safetensors")
    (tmp_path / "config.yaml").write_text("model_kind: cross_layer_transcoder\n")
    loaded = iw.Transcoders.load(tmp_path)
    assert [loaded[i].steps for i in range(3)] == [3, 2, 1]
    own, read = (traced(session, t) for t in (transcoders, str(tmp_path)))
    assert read.names == own.names
    np.testing.assert_allclose(read.numpy("weight"), own.numpy("weight"), atol=1e-6)
    assert read.recipe.arguments["transcoders"]
    late = iw.Transcoders({2: transcoders[0]})
    with pytest.raises(CircuitError, match="writes into 3 layers, and from this one on the model"):
        traced(session, late)
    (tmp_path / "W_dec_1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"there is no W_dec_1.safetensors"):
        iw.Transcoders.load(tmp_path)
