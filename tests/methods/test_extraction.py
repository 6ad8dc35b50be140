"""A task's heads and MLPs are found, cut out of the model, and do the task by themselves."""

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.extraction.pruned import PrunedModel, weights_without_embeddings
from interp_widgets.methods.extraction.study import Reading, Study
from interp_widgets.methods.extraction.surgery import Constant, Surgeon, weights_saved
from interp_widgets.methods.extraction.sweep import sweep
from interp_widgets.results.base import NotLiveError
from interp_widgets.results.task_circuit import node_parts
from interp_widgets.session.session import Session
from tests.families import build
from tests.methods import extraction_toy as toy
from tests.methods.conftest import open_session
from tests.views.fakes import look

THRESHOLD = 0.1


@pytest.fixture(scope="module")
def session():
    with Session(toy.load(), name="toy") as opened:
        yield opened


@pytest.fixture(scope="module")
def prompts(session):
    return toy.prompts(session, 256, seed=1)


@pytest.fixture(scope="module")
def reference(session):
    return toy.prompts(session, 256, seed=2)


@pytest.fixture(scope="module")
def found(session, prompts, reference):
    return iw.extract_circuit(prompts, reference, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def quick(session, prompts, reference):
    return iw.extract_circuit(prompts[:64], reference[:64], threshold=THRESHOLD)


@pytest.fixture(autouse=True)
def _no_interventions(session):
    yield
    session.reset()


def ablated(model, places, ids, removed, means):
    """Return the last log-probabilities of a plain model with hooks; no code of the package runs.

    ``places`` names each layer's output projection and MLP, heads and the norm after the MLP.
    """
    handles = []
    for layer, (projection, mlp, heads) in enumerate(places):
        gone = [h for i, h in map(node_parts, removed) if i == layer and h is not None]

        def cut(_module, args, gone=gone, heads=heads, layer=layer):
            z = args[0].unflatten(-1, (heads, -1)).clone()
            mean = means.get(f"z.{layer}")
            z[:, :, gone] = 0 if mean is None else mean[:, gone].to(z)
            return (z.flatten(-2),)

        def write(_module, _args, output, layer=layer):
            mean = means.get(f"mlp_out.{layer}")
            return torch.zeros_like(output) if mean is None else mean.expand_as(output)

        if gone:
            handles.append(model.get_submodule(projection).register_forward_pre_hook(cut))
        if f"m{layer}" in removed:
            handles.append(model.get_submodule(mlp).register_forward_hook(write))
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[:, -1]
    for handle in handles:
        handle.remove()
    return logits.log_softmax(-1)


def plain_means(model, places, ids):
    """Return the mean of what projections read and MLPs write, by position, with plain hooks."""
    read = {}
    handles = []
    for layer, (projection, mlp, heads) in enumerate(places):

        def keep_z(_module, args, layer=layer, heads=heads):
            read[f"z.{layer}"] = args[0].unflatten(-1, (heads, -1)).double().mean(0)

        def keep_mlp(_module, _args, output, layer=layer):
            read[f"mlp_out.{layer}"] = output.double().mean(0)

        handles.append(model.get_submodule(projection).register_forward_pre_hook(keep_z))
        handles.append(model.get_submodule(mlp).register_forward_hook(keep_mlp))
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return {name: value.float() for name, value in read.items()}


TOY = [(f"transformer.h.{i}.attn.c_proj", f"transformer.h.{i}.mlp", 8) for i in range(3)]
FAMILIES = {
    "gpt2": "transformer.h.{}.attn.c_proj transformer.h.{}.mlp",
    "llama": "model.layers.{}.self_attn.o_proj model.layers.{}.mlp",
    "gpt_neox": "gpt_neox.layers.{}.attention.dense gpt_neox.layers.{}.mlp",
    "qwen3": "model.layers.{}.self_attn.o_proj model.layers.{}.mlp",
    "gemma2": "model.layers.{}.self_attn.o_proj model.layers.{}.post_feedforward_layernorm",
}
SETS = [
    ["a0.h0", "a0.h2", "a1.h0", "a1.h1", "a1.h2", "a1.h3", "m0", "a2.h3"],
    ["a0.h2", "a0.h3", "m1", "m2"],
]
"""With two query heads to a key head: layer 2 of the first keeps groups of 2 and 1."""


def ids_of(prompts):
    return torch.tensor([prompt.ids for prompt in prompts])


# The five targets


def test_a_few_heads_do_the_task_and_random_ones_do_not(found):
    assert found.accuracy >= 0.98
    assert len(found.heads) <= 5
    heads = [name for name in found.meta["nodes"] if ".h" in name]
    rng = np.random.default_rng(0)
    drawn = [rng.choice(heads, len(found.heads), replace=False) for _ in range(10)]
    random = [found.measure([*some, *found.mlps])["accuracy"] for some in drawn]
    assert found.accuracy - np.mean(random) >= 0.4
    assert found.accuracy > max(random)


def test_the_pruned_model_is_the_ablated_one_with_fewer_weights_and_no_hooks(
    session, found, prompts, reference
):
    before = session.capture(prompts[0], "logits", "none")["logits"].clone()
    small = found.prune()
    whole = toy.load()
    means = plain_means(whole, TOY, ids_of(reference))
    expected = ablated(whole, TOY, ids_of(prompts), found.removed, means)
    got = small.logits(prompts).log_softmax(-1)
    assert float((got - expected).abs().max()) < 1e-4
    assert small.disagreement < 1e-4

    d, d_head, d_mlp, positions, layers, heads = 64, 8, 128, toy.LENGTH, 3, 8
    mlp = 2 * d * d_mlp + d_mlp + d
    norm = 2 * d
    predicted = norm  # the last one
    for layer in range(layers):
        kept = sum(name.startswith(f"a{layer}.") for name in found.heads)
        if kept:
            width = kept * d_head
            predicted += norm + 3 * width * (d + 1) + width * d
            predicted += positions * d if kept < heads else d
        else:
            predicted += positions * d
        predicted += norm + mlp if f"m{layer}" in found.mlps else positions * d
    assert small.weights == predicted == found.meta["weights"][1]
    own = {id(p): p.numel() for p in small.module.parameters()}
    embeddings = (toy.VOCABULARY + 2 * toy.COPY + 1) * d
    assert sum(own.values()) + small.constants == predicted + embeddings

    for module in small.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__
        assert "__nnsight__" not in module.__dict__
    after = session.capture(session.prompt(prompts[0].ids), "logits", "none")["logits"]
    torch.testing.assert_close(after, before)


def test_what_is_kept_attends_to_the_token_after_the_earlier_copy(session, found, prompts):
    batch = session.prompts(prompts[:64])
    query, key = toy.LENGTH - 1, toy.COPY  # the 8th token of the first copy is what comes next
    scores = {}
    for layer in range(3):
        pattern = session.capture(batch, f"pattern.{layer}")[f"pattern.{layer}"]
        for head in range(8):
            scores[f"a{layer}.h{head}"] = float(pattern[:, head, query, key].mean())
    kept = [scores[name] for name in found.heads]
    assert max(kept) > 0.5
    gone = [value for name, value in scores.items() if name not in found.heads]
    assert np.mean(kept) > np.mean(gone) + 0.3


def test_it_is_faster_than_the_whole_model(found):
    small = found.prune(check=False)
    table = small.benchmark(batch=256, repeats=5, warmup=2)
    assert table["median_ms"]["pruned"] < table["median_ms"]["original"]
    assert table["reduction"]["pruned"] > 0.1
    assert (table["low_ms"] <= table["median_ms"]).all()
    assert table.attrs["tokens"] == toy.LENGTH
    sizes = small.frame()
    assert sizes["after"]["heads"] == len(found.heads)
    assert sizes["after"]["constants"] == small.constants
    assert sizes["reduction"]["parameters without embeddings"] > 0.5


def test_zero_needs_at_least_as_many_heads_as_the_mean(session, prompts, reference):
    thresholds = [0.01, 0.1, 0.3]
    sizes = iw.extraction_sweep(
        prompts[:128],
        reference[:128],
        thresholds=thresholds,
        ablations=["mean", "zero"],
        mlps=[False],
    )
    good = sizes.frame().query("accuracy >= 0.98")
    fewest = good.groupby("setting")["n_heads"].min()
    assert fewest["zero, heads only"] >= fewest["mean, heads only"]


# What a toy version would skip


@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_cut_as_hooks_would_ablate_it(family, ablation):
    live = open_session(family)
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(3, 61, (7,), generator=generator).tolist() for _ in range(12)]
    prompts = [live.prompt(ids) for ids in drawn]
    paths = FAMILIES[family].split()
    places = [(paths[0].format(i), paths[1].format(i), 4) for i in range(3)]
    whole = build(family)
    ids = ids_of(prompts)
    means = plain_means(whole, places, ids) if ablation == "mean" else {}
    study = Study.of(live, prompts, prompts, ablation)
    for removed in SETS:
        small = PrunedModel.of(study, tuple(removed))
        expected = ablated(whole, places, ids, removed, means)
        got = small.logits(prompts).log_softmax(-1)
        assert float((got - expected).abs().max()) < 1e-4
        surgeon = Surgeon(live, prompts[0], removed, study.means)
        total = weights_without_embeddings(live.anatomy.root)
        assert small.weights == total - weights_saved(surgeon) < total
        assert small.length == (7 if ablation == "mean" else None)


def test_means_are_taken_at_each_position_over_other_prompts(session, prompts, reference, found):
    means = plain_means(toy.load(), TOY, ids_of(reference))
    for name, value in means.items():
        torch.testing.assert_close(found.arrays[f"mean.{name}"].cpu(), value, atol=1e-5, rtol=1e-4)
    assert (found.meta["n_prompts"], found.meta["n_reference"]) == (256, 256)

    halves = iw.extract_circuit(prompts[:40], threshold=THRESHOLD)
    assert (halves.meta["n_prompts"], halves.meta["n_reference"]) == (20, 20)
    own = plain_means(toy.load(), TOY, ids_of(prompts[1:40:2]))
    torch.testing.assert_close(halves.arrays["mean.z.0"].cpu(), own["z.0"], atol=1e-5, rtol=1e-4)

    def flat(value):
        return value.mean(0, keepdim=True).expand_as(value)

    everywhere = Study(session, prompts, {k: flat(v).clone() for k, v in means.items()})
    assert everywhere.measure(found.removed).divergence > 1.5 * found.kl


def test_thresholds_are_swept_with_kl_beside_accuracy(session, prompts):
    sizes = iw.extraction_sweep(
        prompts[:48], thresholds=[0.003, 0.1, 3.0], ablations=["mean", "zero"], mlps=[True, False]
    )
    frame = sizes.frame()
    assert len(frame) == 2 * 2 * 3
    one = iw.extract_circuit(prompts[:48], threshold=0.1, ablation="zero")
    row = frame.query("setting == 'zero, heads and MLPs' and threshold == 0.1").iloc[0]
    assert (row["kl"], row["accuracy"]) == pytest.approx((one.kl, one.accuracy))
    assert row["weights"] == one.meta["weights"][1]
    assert set(sizes.kept(0.1, "zero, heads and MLPs")) == set(one.kept)
    for _, rows in frame.groupby("setting"):
        assert (np.diff(rows["size_reduction"]) >= 0).all()
        assert rows["kl"].iloc[-1] > rows["kl"].iloc[0]
    grid = sizes.stays
    assert grid.dims == ["setting", "threshold", "layer", "head"]
    assert grid.sel(setting=2, threshold=1).sum() == len(one.heads)


def test_repeats_are_runs_on_other_prompts(session, prompts):
    sizes = iw.extraction_sweep(prompts[:32], thresholds=[0.03, 1.0], repeats=3, seed=4)
    kl = sizes.numpy("kl")[0]
    assert kl.shape == (3, 2)
    assert len(set(kl[:, 1].tolist())) == 3
    again = iw.extraction_sweep(prompts[:32], thresholds=[0.03, 1.0], repeats=3, seed=4)
    np.testing.assert_allclose(again.numpy("kl"), sizes.numpy("kl"), rtol=1e-5)


def test_other_lengths_are_refused_unless_nothing_stands_in(session, found, prompts):
    small = found.prune()
    with pytest.raises(iw.circuits.CircuitError, match="prompts of 16 tokens, and got 9"):
        small.logits([session.prompt(prompts[0].ids[:9])])
    with pytest.raises(iw.circuits.CircuitError, match="prompts of that template"):
        small.module(input_ids=torch.tensor([prompts[0].ids[:9]]))

    bare = iw.extract_circuit(prompts, threshold=THRESHOLD, ablation="zero").prune()
    short = ids_of(prompts)[:8, :9]
    got = bare.logits([session.prompt(row) for row in short.tolist()]).log_softmax(-1)
    expected = ablated(toy.load(), TOY, short, bare.removed, {})
    assert float((got - expected).abs().max()) < 1e-4


def test_zero_leaves_no_constant_of_an_mlp(session, prompts):
    removed = ("m0", "m2", *(f"a1.h{i}" for i in range(8)))
    study = Study.of(session, prompts[:16], None, "zero")
    small = PrunedModel.of(study, removed)
    constants = {
        path: module
        for path, module in small.module.named_modules()
        if isinstance(module, Constant)
    }
    assert sorted(constants) == [
        "transformer.h.0.mlp",
        "transformer.h.1.attn",
        "transformer.h.2.mlp",
    ]
    assert not constants["transformer.h.0.mlp"].value.any()
    bias = toy.load().transformer.h[1].attn.c_proj.bias
    torch.testing.assert_close(constants["transformer.h.1.attn"].value[0], bias.detach())


def test_growth_below_the_threshold_prunes_also_where_it_is_negative():
    kl = {frozenset(): 0.0, frozenset({"m1"}): 0.2, frozenset({"a1.h0"}): 0.05}
    kl |= {frozenset({"a1.h0", "m1"}): 0.04, frozenset({"a1.h0", "m1", "a0.h0"}): 0.14}

    class Fake:
        def measure(self, removed):
            return Reading(np.array([kl[frozenset(removed)]]), np.array([True]))

    found = sweep(Fake(), ["a1.h0", "m1", "a0.h0"], 0.1)
    assert found.kept.tolist() == [False, False, True]
    assert found.delta == pytest.approx([0.05, -0.01, 0.1])
    assert found.kl == pytest.approx([0.05, 0.04, 0.04])


def test_the_order_inside_a_layer_is_part_of_the_result(session, prompts):
    nodes = iw.extract_circuit(prompts[:16], threshold=0.1).meta["nodes"]
    assert nodes[:9] == [*(f"a2.h{i}" for i in range(8)), "m2"]
    shuffled = iw.extract_circuit(prompts[:16], threshold=0.1, order="shuffled", seed=3)
    assert shuffled.meta["nodes"] != nodes
    assert sorted(shuffled.meta["nodes"]) == sorted(nodes)


# On the live model


def test_the_pruned_model_opens_as_a_session(session, found, prompts):
    small = found.prune()
    with small.session() as opened:
        assert not opened.anatomy.problems
        assert opened.name == "toy, pruned"
        prompt = opened.prompt(prompts[0].ids, answer=prompts[0].answer)
        logits = opened.capture(prompt, "logits")["logits"][-1]
        torch.testing.assert_close(logits, small.logits([prompts[0]])[0])
        lens = iw.logit_lens(prompt)
        assert int(lens.numpy("ids")[-1, -1, 0]) == prompts[0].answer
        pattern = opened.capture(prompt, "pattern.0")["pattern.0"]
        assert len(pattern) == len(found.heads)
        with pytest.raises(Exception, match="prompts of 16 tokens"):
            opened.capture(opened.prompt(prompts[0].ids[:5]), "logits")


def test_heads_that_a_pruned_layer_lacks_are_masked_cells_of_patching(session, prompts):
    removed = ("a0.h1", "a0.h4", "a0.h5", *(f"a1.h{i}" for i in range(2, 8)), "m2")
    small = PrunedModel.of(Study.of(session, prompts[:16], None, "zero"), removed)
    with small.session() as opened:
        own = [opened.prompt(p.ids, answer=p.answer) for p in prompts[:3]]
        options = {"site": "z", "ablation": "zero", "metric": "log_probability"}
        result = iw.patching(own, **options)
        estimate = iw.patching(own, **options, method="attribution", per_position=True)
        assert result.numpy("mask").sum(1).tolist() == [3, 6, 0]
        assert np.isnan(result.numpy("values")).tolist() == result.numpy("mask").tolist()
        assert estimate.sizes == {"layer": 3, "head": 8, "position": 16}
        assert np.isnan(estimate.numpy("values")).sum() == 9 * 16
        rows = result.view().answer("table", {})["rows"]
        assert [len([x for x in row if x == "nan"]) for row in rows] == [3, 6, 0]
        result.figure("icml")
    ids, answers = ids_of(prompts[:3]), [p.answer for p in prompts[:3]]
    before = ablated(toy.load(), TOY, ids, removed, {})
    left = [f"a0.h{i}" for i in (0, 2, 3, 6, 7)], ["a1.h0", "a1.h1"], [f"a2.h{i}" for i in range(8)]
    for layer, heads in enumerate(left):
        for place, head in enumerate(heads):
            after = ablated(toy.load(), TOY, ids, (*removed, head), {})
            change = (after - before)[range(3), answers].mean()
            torch.testing.assert_close(result.values[layer, place], change, atol=1e-4, rtol=1e-3)


def test_the_circuit_can_be_kept_in_the_session_and_a_click_puts_a_head_back(
    session, quick, prompts
):
    quick.keep()
    assert len(session.interventions) == len(quick.removed)
    batch = session.prompts(prompts[:64])
    kept = session.capture(batch, "logits")["logits"][:, -1].log_softmax(-1)
    session.reset()
    expected = quick.prune().logits(prompts[:64]).log_softmax(-1)
    assert float((kept - expected).abs().max()) < 1e-4

    quick.keep()
    layer, head = node_parts(quick.removed[0])
    session.toggle({"kind": "ablate", "site": "z", "layer": layer, "head": [head]})
    assert len(session.interventions) == len(quick.removed) - 1


def test_a_click_toggles_a_node_and_kl_and_accuracy_follow(session, quick):
    view = quick.toggles().view(outline=quick.outline)
    toggles = view.current
    assert toggles.meta["kl"] == pytest.approx(quick.kl, rel=1e-4)
    assert f"KL {quick.kl:.3g} nats" in view.spec["note"]
    layer, head = node_parts(quick.heads[0])
    without = quick.toggle(quick.heads[0])
    assert toggles.values[layer, head] == pytest.approx(without["kl"] - quick.kl, rel=1e-3)
    (target,) = [t for t in view.spec["targets"] if t["label"] == "head"]
    assert target["fixed"] == {"site": "z"}
    out = next(name for name in quick.removed if ".h" in name)
    put_back = quick.toggle(out)

    look(view)
    view.on_intervene({"kind": "ablate", "site": "z", "layer": layer, "head": [head]})
    session.run(lambda: None)  # the worker takes it after the view's own run
    after = view.current
    assert after.meta["kl"] == pytest.approx(without["kl"], rel=1e-3)
    assert after.meta["accuracy"] == pytest.approx(without["accuracy"])
    assert f"accuracy {without['accuracy']:.3f}" in view.spec["note"]
    session.undo()
    view.close()

    session.ablate("z", layer=node_parts(out)[0], head=node_parts(out)[1])
    back = toggles.rerun()
    assert out in back.meta["kept"]
    assert back.meta["kl"] == pytest.approx(put_back["kl"], rel=1e-3)


def test_heads_are_compared_with_those_found_by_hand():
    from interp_widgets.methods.circuits.known import known

    with iw.demo() as demo:
        drawn = iw.tasks.generate("greater_than", 160, demo.tokenizer, split="train")
        pairs = [p for p in drawn if len(demo.prompt(p.clean)) == 14][:64]
        prompts = [demo.prompt(p.clean) for p in pairs]
        answers = [list(p.answer) for p in pairs]
        aucs = {}
        for ablation in ("mean", "zero"):
            found = iw.extract_circuit(
                prompts, threshold=0.03, ablation=ablation, mlps=False, answers=answers
            )
            assert found.accuracy > 0.95
            beside = found.compare(known("demo-greater-than"))
            wanted = set(beside.hit) | set(beside.miss)
            assert wanted == {n for n in known("demo-greater-than").nodes if ".h" in n}
            assert beside.tpr == len(beside.hit) / len(wanted)
            assert beside.fpr == len(beside.extra) / (16 - len(wanted))
            values = dict(zip(found.meta["nodes"], found.numpy("delta_kl"), strict=True))
            inside = [values[n] for n in values if n in wanted]
            outside = [values[n] for n in values if n not in wanted]
            ranked = np.mean([(a > b) + 0.5 * (a == b) for a in inside for b in outside])
            assert beside.roc.auc == pytest.approx(ranked)
            aucs[ablation] = beside.roc.auc
        assert aucs["mean"] > 0.8
        assert aucs["mean"] > aucs["zero"]
        small = found.prune()
        assert small.disagreement < 1e-4
        with pytest.raises(ValueError, match="names no heads"):
            found.compare([])


def test_what_counts_as_right(session, prompts):
    token = prompts[0].answer
    ours = [session.prompt(p.ids, answer=p.answer, foil=(p.answer % 39) + 1) for p in prompts[:8]]
    over = iw.extract_circuit(ours, threshold=10.0, success="over_foil")
    top = iw.extract_circuit(ours, threshold=10.0)
    assert over.meta["baseline_accuracy"] == top.meta["baseline_accuracy"] == 1
    assert over.accuracy >= top.accuracy
    wrong = iw.extract_circuit(ours, threshold=0.1, answers=[[(token + 1) % 40]] * 8)
    assert wrong.meta["baseline_accuracy"] < 1
    plain = [session.prompt(p.ids) for p in prompts[:8]]
    assert iw.extract_circuit(plain, threshold=0.1).meta["baseline_accuracy"] == 1


# Results


def test_it_is_saved_and_made_live_again(session, quick, tmp_path):
    loaded = iw.load(quick.save(tmp_path / "circuit"))
    assert loaded.heads == quick.heads
    assert loaded.text() == quick.text()
    with pytest.raises(NotLiveError, match="rerun"):
        loaded.prune()
    again = loaded.rerun(session)
    assert again.heads == quick.heads
    assert again.prune().weights == quick.meta["weights"][1]


def test_figures_and_views_show_it(quick, tmp_path):
    figure = quick.figure("aaai")
    assert f"{quick.accuracy:.3f}" in figure.caption
    assert "KL" in figure.caption
    frames = [p for ax in figure.mpl.axes for p in ax.patches if p.get_fill() is False]
    assert len(frames) == 2 * len(quick.kept)
    assert figure.save(tmp_path / "grid.pdf").stat().st_size > 1000
    assert quick.view().state["outline"] == [list(cell) for cell in quick.outline]
    assert quick.view("mlps").spec["dims"] == ["layer"]
    graph = quick.graph
    writers = {edge.partition("->")[0] for edge in graph.graph.edges()}
    assert writers == {*quick.heads, *quick.mlps, "input"}
    assert quick.view("graph").spec
    with pytest.raises(ValueError, match="part is one of"):
        quick.view("tails")

    sizes = quick.sweep([0.01, 1.0])
    assert sizes.settings == ["mean, heads and MLPs"]
    drawn = sizes.figure("aaai", width="text", threshold=0.01)
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in drawn.mpl.axes]
    assert labels[0] == ("threshold (nats)", "size reduction (%)")
    assert [y for _, y in labels[1:]] == ["accuracy (%)", "KL (nats)"]
    assert sizes.view().spec
    assert sizes.view("heads").state["at"] == {"setting": 0, "threshold": 0}
    assert "accuracy" in sizes.text()
    rates = sizes.rates(quick.heads)
    assert 0 <= rates.attrs["auc"] <= 1
    roc = sizes.figure("aaai", parts=["kl", "roc"], reference=quick.heads)
    assert f"heads and MLPs {rates.attrs['auc']:.2f}" in roc.caption
    with pytest.raises(ValueError, match="names no heads"):
        sizes.figure(parts=["roc"])
    with pytest.raises(ValueError, match="parts are some of"):
        sizes.figure(parts=["accuracy", "speed"])
    with pytest.raises(ValueError, match="above 0"):
        sizes.figure(threshold=0)


# Bad input


def test_bad_input_is_explained(session, found, prompts):
    error = iw.circuits.CircuitError
    shorter = session.prompt(prompts[0].ids[:5], answer=3)
    with pytest.raises(error, match="5, 16 tokens"):
        iw.extract_circuit([prompts[0], shorter, prompts[1]])
    with pytest.raises(error, match="one prompt has no mean"):
        iw.extract_circuit(prompts[0])
    with pytest.raises(error, match="needs answer and foil"):
        iw.extract_circuit(prompts[:4], success="over_foil")
    with pytest.raises(error, match="1 sets of answers for 4"):
        iw.extract_circuit(prompts[:4], answers=[[3]])
    with pytest.raises(ValueError, match="NaN"):
        iw.extract_circuit(prompts[:4], threshold=float("nan"))
    with pytest.raises(ValueError, match="above 0"):
        iw.extraction_sweep(prompts[:4], thresholds=[0.0, 1.0])
    with pytest.raises(ValueError, match="no node that was tried"):
        found.measure(["9.9"])
    with pytest.raises(ValueError, match="neither a head"):
        found.compare(["the induction head"])
    with pytest.raises(ValueError, match="no head or MLP"):
        iw.circuit_toggles(prompts[:4], kept=["7.0"])
    session.ablate("z", layer=0, head=1)
    with pytest.raises(error, match="interventions are on"):
        found.prune()


@pytest.mark.parametrize(
    ("family", "why"),
    [("bert", "post-norm"), ("mamba", "no heads"), ("olmo2", "all heads together")],
)
def test_models_that_cannot_be_cut_say_why(family, why):
    live = open_session(family)
    prompts = [live.prompt([3, 4 + i, 5, 6]) for i in range(4)]
    with pytest.raises(iw.circuits.CircuitError, match=why):
        iw.extract_circuit(prompts, threshold=1.0)
