"""Attribution graphs: exact in the frozen model, of every family, in the public schema."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import interp_widgets as iw
from interp_widgets.methods.attribution_graph.features import Features
from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel
from interp_widgets.methods.circuits import CircuitError
from interp_widgets.results.attribution_graph import KINDS
from interp_widgets.results.base import load
from interp_widgets.session.errors import OutOfMemory
from interp_widgets.session.session import Session
from tests import families

IDS = [5, 9, 23, 7, 11, 4, 8]
FEATURES = 24
_opened: dict[str, Session] = {}


def opened(name: str) -> Session:
    if name not in _opened:
        model = families.build(name)
        _opened[name] = Session(model.double() if name == "gpt2" else model)
    _opened[name].interventions.clear()
    return _opened[name]


def random_transcoder(session: Session, seed: int = 0, **options) -> iw.SparseTranscoder:
    g = torch.Generator().manual_seed(seed)
    d = session.capture(session.prompt(IDS), "resid_post.0")["resid_post.0"].shape[-1]
    draw = [torch.randn(*shape, generator=g) for shape in
            ((d, FEATURES), (FEATURES,), (FEATURES, d), (d,))]  # fmt: skip
    w_enc, b_enc, w_dec, b_dec = (t.to(session.dtype) for t in draw)
    return iw.SparseTranscoder(w_enc / d**0.5, b_enc / 10, w_dec / 5, b_dec / 10, **options)


def random_transcoders(session: Session, **options) -> iw.Transcoders:
    layers = {i: random_transcoder(session, i, **options) for i in range(families.LAYERS)}
    return iw.Transcoders(layers, name="random")


def traced(session: Session, transcoders=None, **options):
    whole = {"node_threshold": 1.0, "edge_threshold": 1.0, **options}
    return iw.attribution_graph(
        session.prompt(IDS), transcoders or random_transcoders(session), **whole
    )


def sums(graph) -> np.ndarray:
    """What feeds every node, with its biases."""
    total = np.bincount(graph.numpy("target"), weights=graph.numpy("weight"),
                        minlength=len(graph.names))  # fmt: skip
    return total + np.array([n.get("bias", 0.0) for n in graph.meta["nodes"]])


def read_by_hooks(session: Session) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """What every MLP reads, and the logits, by plain PyTorch hooks."""
    root, found, handles = session.model._module, {}, []
    for i, block in enumerate(session.anatomy.blocks):
        module = root.get_submodule(block.mlp)
        keep = lambda _, args, kwargs, i=i: found.__setitem__(i, args[0][0])  # noqa: E731
        handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))
    with torch.no_grad():
        logits = root(input_ids=torch.tensor([IDS])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return found, logits


FAMILIES = [("gpt2", 1e-10), ("llama", 1e-4), ("gpt_neox", 1e-4), ("qwen3", 1e-4),
            ("gemma2", 1e-4), ("mixtral", 1e-4)]  # fmt: skip


@pytest.mark.parametrize(("name", "limit"), FAMILIES)
def test_what_feeds_a_target_adds_up_to_its_pre_activation(name, limit):
    """The check of the issue: to 1e-4 on every family, and to 1e-10 in double precision."""
    session = opened(name)
    transcoders = random_transcoders(session)
    graph = traced(session, transcoders)
    reads, logits = read_by_hooks(session)
    total = sums(graph)
    cap = getattr(session.model._module.config, "final_logit_softcapping", None)
    raw = logits if cap is None else torch.atanh(logits / cap) * cap
    seen = 0
    for i, node in enumerate(graph.meta["nodes"]):
        if node["feature_type"] == "logit":
            expected = float(raw[node["feature"]] - raw.mean())
        elif node["activation"] is not None:
            layer, feature, position = map(int, node["node_id"].split("_"))
            one = transcoders[layer]
            expected = float(reads[layer][position] @ one.w_enc[:, feature] + one.b_enc[feature])
            assert expected == pytest.approx(node["activation"], abs=1e-4)
        else:
            continue
        seen += 1
        assert total[i] == pytest.approx(expected, abs=limit)
        assert total[i] == pytest.approx(node["pre_activation"], abs=limit)
    assert seen > 100
    without_errors = graph.node_kinds[graph.numpy("source")] != KINDS.index("error")
    left = np.bincount(graph.numpy("target")[without_errors],
                       weights=graph.numpy("weight")[without_errors], minlength=len(total))  # fmt: skip
    assert np.abs(left - total).max() > 0.05  # errors and biases are needed for it


@pytest.mark.parametrize(("name", "limit"), FAMILIES)
def test_the_replacement_model_gives_the_logits_of_the_model(name, limit):
    session = opened(name)
    model = FrozenModel(session, session.prompt(IDS))
    features = Features.of(model, random_transcoders(session))
    made = features.errors + features.biases[:, None]
    made = made.clone().index_put_((features.layer, features.position), features.vectors, True)
    reads = model.run(model.embeddings[None], lambda i, x, own: made[i][None], whole=True)
    _, logits = read_by_hooks(session)
    torch.testing.assert_close(reads.logits[0], logits, atol=limit / 10, rtol=1e-5)
    without = features.biases[:, None] + torch.zeros_like(made)
    worse = model.run(model.embeddings[None], lambda i, x, own: without[i][None], whole=True)
    assert float((worse.logits[0] - logits).abs().max()) > 0.1


def frozen_gpt2(session: Session):
    """GPT-2 with fixed patterns and norm scales, written out; returns what MLPs and the end read."""
    root, prompt = session.model._module.transformer, session.prompt(IDS)
    acts = session.capture(prompt, ["q", "k", "resid_pre", "resid_mid", "resid_post", "mlp_out"])
    patterns = []
    for i in range(3):
        scores = acts[f"q.{i}"] @ acts[f"k.{i}"].mT / acts[f"q.{i}"].shape[-1] ** 0.5
        hidden = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
        patterns.append(scores.masked_fill(hidden, -torch.inf).softmax(-1))

    def norm(module, where):
        scale = (where.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
        return lambda x: (x - x.mean(-1, keepdim=True)) / scale * module.weight + module.bias

    def run(start, mlps):
        x, reads = start, []
        for i, block in enumerate(root.h):
            h = norm(block.ln_1, acts[f"resid_pre.{i}"])(x)
            d = h.shape[-1]
            v = h @ block.attn.c_attn.weight[:, 2 * d :] + block.attn.c_attn.bias[2 * d :]
            z = torch.einsum("hqk,khe->qhe", patterns[i], v.unflatten(-1, (4, -1)))
            x = x + z.flatten(1) @ block.attn.c_proj.weight + block.attn.c_proj.bias
            reads.append(norm(block.ln_2, acts[f"resid_mid.{i}"])(x))
            x = x + mlps[i]
        return reads, norm(root.ln_f, acts["resid_post.2"])(x)[-1]

    return run, acts["resid_pre.0"], [acts[f"mlp_out.{i}"] for i in range(3)]


def test_links_are_finite_differences_of_the_frozen_model():
    """Every source doubled in a model written out by hand: each target moves by the link."""
    session = opened("gpt2")
    transcoders = random_transcoders(session)
    graph = traced(session, transcoders)
    run, start, mlps = frozen_gpt2(session)
    with torch.no_grad():
        reads, final = run(start, mlps)
    model = FrozenModel(session, session.prompt(IDS))
    errors = Features.of(model, transcoders).errors
    head = session.model._module.lm_head.weight
    weights = {(s, t): w for s, t, w in zip(
        graph.numpy("source"), graph.numpy("target"), graph.numpy("weight"), strict=True)}  # fmt: skip
    nodes = graph.meta["nodes"]
    at = {name: i for i, name in enumerate(graph.names)}
    rng = np.random.default_rng(0)
    chosen = [*rng.permutation(np.flatnonzero(graph.node_kinds == 0))[:12],
              at["0_-1_3"], at["1_-1_6"], at["E_23_2"], at["E_8_6"]]  # fmt: skip
    worst, largest = 0.0, 0.0
    for source in chosen:
        node = nodes[source]
        p, begin, written = node["ctx_idx"], start.clone(), [m.clone() for m in mlps]
        if node["layer"] == "E":
            begin[p] *= 2
        else:
            i = int(node["layer"])
            feature = int(node["node_id"].split("_")[1])
            written[i][p] += errors[i][p] if feature == -1 else (
                node["activation"] * transcoders[i].w_dec[feature])  # fmt: skip
        with torch.no_grad():
            moved, end = run(begin, written)
        for target, other in enumerate(nodes):
            if other["feature_type"] == "logit":
                change = (end - final) @ (head.detach()[other["feature"]] - head.detach().mean(0))
            elif other["activation"] is not None:
                i, feature = int(other["layer"]), int(other["node_id"].split("_")[1])
                change = (moved[i] - reads[i])[other["ctx_idx"]] @ transcoders[i].w_enc[:, feature]
            else:
                continue
            gap = abs(float(change) - weights.get((source, target), 0.0))
            worst, largest = max(worst, gap), max(largest, abs(float(change)))
    assert worst < 1e-10 * max(largest, 1)
    assert largest > 0.1


def dense(graph) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of shares of every node's inputs and the weights of the outputs, in float64."""
    n = len(graph.names)
    matrix = np.zeros((n, n))
    matrix[graph.numpy("target"), graph.numpy("source")] = np.abs(graph.numpy("weight"))
    matrix /= np.maximum(matrix.sum(1, keepdims=True), 1e-300)
    return matrix, np.array([n["token_prob"] for n in graph.meta["nodes"]])


def test_influence_and_scores_are_those_of_the_inverse_matrix():
    graph = traced(opened("llama"))
    matrix, start = dense(graph)
    n = len(matrix)
    start = start / start.sum()
    influence = start @ (np.linalg.inv(np.eye(n) - matrix) - np.eye(n))
    kinds = graph.node_kinds
    inner = kinds != KINDS.index("logit")
    order = np.argsort(-influence[inner], kind="stable")
    reached = np.cumsum(influence[inner][order]) / influence[inner].sum()
    np.testing.assert_allclose(graph.numpy("influence")[inner][order], reached, atol=1e-5)
    token, error = (influence[kinds == KINDS.index(k)].sum() for k in ("embedding", "error"))
    meta = graph.meta["metadata"]
    assert meta["replacement_score"] == pytest.approx(token / (token + error), abs=1e-6)
    own = 1 - matrix[:, kinds == KINDS.index("error")].sum(1)
    heard = influence + start
    assert meta["completeness_score"] == pytest.approx(own @ heard / heard.sum(), abs=1e-6)
    assert "replacement 0." in graph.text()


@pytest.mark.parametrize(("nodes", "edges"), [(0.8, 0.98), (0.5, 0.7)])
def test_pruning_keeps_the_fewest_nodes_and_then_links_that_carry_the_shares(nodes, edges):
    """Against the definition, written out with dense matrices."""
    session = opened("llama")
    whole = traced(session)
    small = traced(session, node_threshold=nodes, edge_threshold=edges)
    matrix, start = dense(whole)
    n, kinds = len(matrix), whole.node_kinds
    inverse = np.linalg.inv(np.eye(n) - matrix) - np.eye(n)
    influence = start @ inverse

    def fewest(values, share):
        order = np.argsort(-values, kind="stable")
        count = int((np.cumsum(values[order]) / values.sum() < share).sum()) + 1
        return np.isin(np.arange(len(values)), order[:count])

    kept = fewest(influence, nodes) | (kinds >= 2)
    raw = np.zeros((n, n))
    raw[whole.numpy("target"), whole.numpy("source")] = np.abs(whole.numpy("weight"))
    raw[~kept], raw[:, ~kept] = 0, 0
    raw /= np.maximum(raw.sum(1, keepdims=True), 1e-300)
    heard = start @ (np.linalg.inv(np.eye(n) - raw) - np.eye(n)) + start
    links = fewest((raw * heard[:, None]).ravel(), edges).reshape(n, n)
    while True:
        links &= kept[:, None] & kept[None]
        alive = (kinds >= 2) | (links.any(0) & (links.any(1) | (kinds == 1)))
        if (kept <= alive).all():
            break
        kept &= alive
    names = np.array(whole.names)
    assert set(small.names) == set(names[kept])
    expected = {(names[s], names[t]) for t, s in np.argwhere(links)}
    own = np.array(small.names)
    found = set(zip(own[small.numpy("source")], own[small.numpy("target")], strict=True))
    assert found == expected
    assert len(small.names) < 0.8 * len(whole.names)
    assert small.kept(1.0, 1.0)[0].all()


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "qwen3", "gemma2"])
def test_perfect_transcoders_leave_no_error(name):
    """The model's own neurons as transcoders: both scores are 1, and below 0.9 for random ones."""
    session = opened(name)
    perfect = traced(session, "neurons").meta["metadata"]
    assert perfect["replacement_score"] == pytest.approx(1, abs=1e-6)
    assert perfect["completeness_score"] == pytest.approx(1, abs=1e-6)
    random = traced(session).meta["metadata"]
    assert random["replacement_score"] < 0.9
    assert random["completeness_score"] < 0.95


def test_functions_and_weights_and_skips_give_the_same_graph():
    session = opened("llama")
    weights = {i: random_transcoder(session, i) for i in range(3)}

    def pair(t):
        return (lambda x: torch.relu(x @ t.w_enc + t.b_enc), lambda z: z @ t.w_dec + t.b_dec)

    own = traced(session, iw.Transcoders(weights))
    given = traced(session, iw.Transcoders({i: pair(t) for i, t in weights.items()}))
    assert given.names == own.names
    np.testing.assert_allclose(given.numpy("weight"), own.numpy("weight"), atol=1e-5)
    # A skip connection is a linear path of its own: what it passes on is no longer error.
    g = torch.Generator().manual_seed(9)
    skip = torch.randn(families.D_MODEL, families.D_MODEL, generator=g) / 20
    with_skip = traced(session, iw.Transcoders(
        {i: random_transcoder(session, i, skip=skip) for i in range(3)}))  # fmt: skip
    values = np.array([n.get("pre_activation", 0.0) for n in with_skip.meta["nodes"]])
    targets = with_skip.node_kinds % 3 == 0
    np.testing.assert_allclose(sums(with_skip)[targets], values[targets], atol=1e-4)
    assert np.abs(with_skip.numpy("weight")[:50] - own.numpy("weight")[:50]).max() > 1e-3


def test_a_layer_without_transcoder_is_all_error_and_topk_and_thresholds_make_fewer_features():
    session = opened("gpt2")
    some = traced(session, iw.Transcoders({1: random_transcoder(session, k=3, threshold=0.05)}))
    at = [(n["layer"], n["ctx_idx"]) for n in some.meta["nodes"] if n["activation"] is not None]
    assert {layer for layer, _ in at} == {"1"}
    assert max(at.count(place) for place in at) <= 3
    assert min(n["activation"] for n in some.meta["nodes"] if n["activation"] is not None) > 0.05
    errors = {n["layer"] for n in some.meta["nodes"] if "error" in n["feature_type"]}
    assert errors == {"0", "1", "2"}


def test_a_limit_expands_the_most_influential_features_first():
    """30 of 230 features: at least 90 % of what the best 30 carry, and more than 30 at random."""
    session = opened("llama")
    whole, few = traced(session), traced(session, max_features=30, batch_size=4)
    matrix, start = dense(whole)
    n = len(matrix)
    flow = start @ (np.linalg.inv(np.eye(n) - matrix) - np.eye(n))
    influence = {
        name: value
        for name, kind, value in zip(whole.names, whole.node_kinds, flow, strict=True)
        if kind == 0
    }
    chosen = [name for name, kind in zip(few.names, few.node_kinds, strict=True) if kind == 0]
    assert len(chosen) <= 30
    best = sum(sorted(influence.values())[-30:])
    own = sum(influence.get(name, 0.0) for name in chosen)
    rng = np.random.default_rng(0)
    random = [sum(rng.permutation(list(influence.values()))[:30]) for _ in range(20)]
    assert own > 0.9 * best
    assert own > 1.5 * max(random)
    assert "30 of" in few.meta["note"]
    assert "% of the influence" in few.meta["note"]
    links = {(whole.names[s], whole.names[t]): w for s, t, w in zip(
        whole.numpy("source"), whole.numpy("target"), whole.numpy("weight"), strict=True)}  # fmt: skip
    for s, t, w in zip(few.numpy("source"), few.numpy("target"), few.numpy("weight"), strict=True):
        assert links[few.names[s], few.names[t]] == pytest.approx(w, abs=1e-5)


def test_outputs_are_the_likeliest_tokens_or_those_asked_for():
    session = opened("gpt2")
    prompt = session.prompt(IDS)
    chance = session.capture(prompt, "logits")["logits"][-1].softmax(-1)
    best = chance.topk(10).indices.tolist()
    graph = iw.attribution_graph(prompt, random_transcoders(session))
    logits = [n for n in graph.meta["nodes"] if n["feature_type"] == "logit"]
    assert [n["feature"] for n in logits] == best
    few = iw.attribution_graph(prompt, random_transcoders(session), probability=float(chance.max()))
    assert sum(n["feature_type"] == "logit" for n in few.meta["nodes"]) == 1
    asked = iw.attribution_graph(prompt, random_transcoders(session), targets=[17, 8])
    assert [n["token_prob"] for n in asked.meta["nodes"][-2:]] == pytest.approx(
        chance[[17, 8]].tolist()
    )


def test_the_export_has_the_fields_of_the_public_schema(tmp_path):
    session = opened("gpt2")
    labels = {"1.3": "<script>alert(1)</script>"}
    layers = {i: random_transcoder(session, i) for i in range(3)}
    graph = iw.attribution_graph(
        session.prompt(IDS), iw.Transcoders(layers, name="mine", labels=labels)
    )
    (tmp_path / "g.json").write_text(graph.arrange(groups={"two": graph.names[:2]}).to_json())
    data = json.loads((tmp_path / "g.json").read_text())
    types = {"slug": str, "scan": str, "transcoder_list": list, "prompt_tokens": list,
             "prompt": str, "node_threshold": float}  # fmt: skip
    assert all(isinstance(data["metadata"][k], t) for k, t in types.items())
    query = {
        "pinnedIds": list,
        "supernodes": list,
        "linkType": str,
        "clickedId": str,
        "sg_pos": str,
    }
    assert all(isinstance(data["qParams"][k], t) for k, t in query.items())
    fields = {"node_id": str, "feature": int, "layer": str, "ctx_idx": int, "feature_type": str,
              "token_prob": float, "is_target_logit": bool, "run_idx": int, "reverse_ctx_idx": int,
              "jsNodeId": str, "clerp": str}  # fmt: skip
    for node in data["nodes"]:
        assert all(isinstance(node[k], t) for k, t in fields.items()), node
        assert node["influence"] is None or 0 < node["influence"] <= 1.0001
    assert {n["feature_type"] for n in data["nodes"]} == {
        "cross layer transcoder", "mlp reconstruction error", "embedding", "logit",
    }  # fmt: skip
    outputs = {n["clerp"] for n in data["nodes"] if n["feature_type"] == "logit"}
    word = session.token_string(data["nodes"][-1]["feature"])
    assert any(text.startswith(f'Output "{word}" (p=0.') for text in outputs)
    assert outputs <= set(graph.frame()["to"])
    names = [n["node_id"] for n in data["nodes"]]
    assert len(set(names)) == len(names)
    again = iw.open_graph(tmp_path / "g.json")
    assert again.names == graph.names
    assert again.supernodes == {"two": graph.names[:2]}
    np.testing.assert_allclose(again.numpy("influence"), graph.numpy("influence"), atol=1e-6)
    assert again.view().spec["total"] == len(graph.arrays["weight"])
    named = [n for n in data["nodes"] if n["node_id"].startswith("1_3_")]
    assert all(n["clerp"] == labels["1.3"] for n in named)
    assert "<script>alert" not in graph.to_html()
    card = graph.view().answer("card", {"node": graph.names[0]})
    assert len(card["top"]) == 10


def test_a_graph_is_made_again_with_interventions_and_from_its_recipe(tmp_path):
    session = opened("gpt2")
    layers = {i: random_transcoder(session, i) for i in range(3)}
    save_file({f"{i}.{n}": v.float().contiguous() for i, t in layers.items() for n, v in
               (("W_enc", t.w_enc), ("W_dec", t.w_dec), ("b_enc", t.b_enc), ("b_dec", t.b_dec))},
              tmp_path / "t.safetensors")  # fmt: skip
    prompt = session.prompt(IDS)
    graph = iw.attribution_graph(prompt, str(tmp_path / "t.safetensors"), targets=[17])
    saved = load(graph.save(tmp_path / "graph"), session)
    assert saved.rerun().to_json() == graph.to_json()
    session.ablate("z", layer=1, head=2)
    other = graph.rerun()
    assert other.to_json() != graph.to_json()
    assert other.recipe.interventions
    session.interventions.clear()
    live = iw.Transcoders({0: layers[0]}, name="in memory")
    graph = iw.attribution_graph(prompt, live, targets=[17])
    text = graph.recipe.to_json()
    assert "in memory" in text
    assert len(text) < 5_000  # weights are named, not stored
    assert graph.rerun().to_json() == graph.to_json()
    del live, layers
    with pytest.raises(ValueError, match="process that has ended"):
        graph.rerun()


def saelens(folder, tensors, **config):
    folder.mkdir()
    save_file(tensors, folder / "sae_weights.safetensors")
    settings = {"architecture": "transcoder", "metadata": {"hook_name": "blocks.1.ln2.hook"}}
    (folder / "cfg.json").write_text(json.dumps({**settings, **config}))


def test_files_of_every_layout_are_read_and_others_are_refused(tmp_path):
    session = opened("gpt2")
    one = random_transcoder(session)
    tensors = {"W_enc": one.w_enc, "W_dec": one.w_dec, "b_enc": one.b_enc, "b_dec": one.b_dec}
    tensors = {name: t.float().contiguous() for name, t in tensors.items()}
    turned = {**tensors, "W_enc": tensors["W_enc"].T.contiguous(), "threshold": one.b_enc.float()}
    (tmp_path / "folder").mkdir()
    save_file(turned, tmp_path / "folder" / "layer_2.safetensors")
    found = iw.Transcoders.load(tmp_path / "folder")
    torch.testing.assert_close(found[2].w_enc, tensors["W_enc"])
    assert found[2].threshold is not None
    (tmp_path / "lens").mkdir()
    saelens(tmp_path / "lens" / "l1", tensors, k=4)
    assert iw.Transcoders.load(tmp_path / "lens")[1].k == 4
    saelens(tmp_path / "lens" / "other", tensors, normalize_activations="layer_norm")
    with pytest.raises(ValueError, match="normalize_activations='layer_norm'"):
        iw.Transcoders.load(tmp_path / "lens")
    (tmp_path / "wide").mkdir()
    save_file({**tensors, "W_dec": torch.zeros(4, 2, 3, 2)}, tmp_path / "wide" / "W_0.safetensors")
    with pytest.raises(ValueError, match=r"has the shape \[4, 2, 3, 2\]"):
        iw.Transcoders.load(tmp_path / "wide")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04N.")
    with pytest.raises(ValueError, match="not a safetensors file"):
        iw.Transcoders.load(tmp_path / "pickle.pt")
    with pytest.raises(ValueError, match="no file or folder"):
        iw.Transcoders.load(tmp_path / "nowhere")
    save_file({"0.W_dec": torch.zeros(2, 3)}, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match="no W_enc"):
        iw.Transcoders.load(tmp_path / "half.safetensors")


def test_what_does_not_fit_is_refused_with_the_reason():
    session = opened("llama")
    prompt = session.prompt(IDS)
    fitting = random_transcoder(session)
    narrow = iw.SparseTranscoder(torch.ones(3, 5), torch.ones(5), torch.ones(5, 3), torch.ones(3))
    cases = [
        (iw.Transcoders({0: narrow}), {}, "cannot encode vectors of width 40"),
        (iw.Transcoders({7: fitting}), {}, "transcoder for layer 7"),
        (iw.Transcoders({0: (lambda x: x * torch.nan, lambda z: z)}), {}, "not finite"),
        (iw.Transcoders({0: (torch.relu, torch.tanh)}), {}, "not the sum"),
        (random_transcoders(session), {"probability": 0.0}, "share between 0 and 1"),
        (random_transcoders(session), {"max_features": 0}, "at least 1"),
        (random_transcoders(session), {"targets": [5, 5]}, "each once"),
    ]
    for transcoders, options, message in cases:
        with pytest.raises(ValueError, match=message):
            iw.attribution_graph(prompt, transcoders, **options)
    with pytest.raises(ValueError, match=r"W_enc is \[d_model, n_features\]"):
        iw.SparseTranscoder(torch.ones(3, 5), torch.ones(5), torch.ones(3, 5), torch.ones(3))
    with pytest.raises(ValueError, match="no layer"):
        iw.Transcoders({})
    for family in ("mamba", "clip_text"):
        other = Session(families.build(family))
        with pytest.raises(CircuitError):
            iw.attribution_graph(other.prompt(IDS), iw.Transcoders({0: fitting}))


def test_memory_is_asked_for_first_and_half_precision_adds_up_coarsely(monkeypatch):
    session = Session(families.build("llama").bfloat16())
    graph = traced(session)
    assert graph.meta["metadata"]["info"]["largest_gap"] < 0.03
    targets = graph.node_kinds % 3 == 0
    values = np.array([n.get("pre_activation", 0.0) for n in graph.meta["nodes"]])
    np.testing.assert_allclose(sums(graph)[targets], values[targets], atol=0.05)
    tracing = "interp_widgets.methods.attribution_graph.tracing.device_memory"
    monkeypatch.setattr(tracing, lambda _: (100_000, None))
    with pytest.raises(OutOfMemory, match=r"max_features=\d+ would fit"):
        traced(session)
