"""Heads of a tagger, replaced one by one and in sets, and the paths between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import interp_widgets as iw
from interp_widgets.methods import particle
from interp_widgets.methods.particle.grow import Grower
from interp_widgets.methods.particle.heads import Heads
from interp_widgets.methods.particle.metrics import Judge
from interp_widgets.methods.particle.paths import PathRuns
from interp_widgets.methods.particle.train import load
from interp_widgets.session.session import Session
from tests.methods.particle_models import jets, random_model, tagger


def hooked(model, changes):
    """Replace inputs of output projections (by layer) and run: plain PyTorch hooks."""
    attentions = [block.attn for block in (*model.blocks, *model.cls_blocks)]
    return [
        attentions[layer].out_proj.register_forward_pre_hook(
            lambda _, args, change=change: (change(args[0].clone()),)
        )
        for layer, change in changes.items()
    ]


def run_hooked(model, some, changes):
    handles = hooked(model, changes)
    try:
        with torch.no_grad():
            logits = model(some)
    finally:
        for handle in handles:
            handle.remove()
    return logits[:, 1] - logits[:, 0]


def test_the_published_size_and_a_checkpoint_in_the_authors_names():
    model = particle.ParticleTransformer()
    assert sum(p.numel() for p in model.parameters()) == 2_141_134
    theirs = {
        "mod." + name.replace("c_attn.weight", "c_attn"): value
        for name, value in random_model().state_dict().items()
    }
    other = random_model(layers=2)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_checkpoint(theirs)
    some = jets()[0][:3]
    with torch.no_grad():
        assert torch.equal(other(some), random_model()(some))


def test_padding_and_the_order_of_particles_do_not_matter():
    model, some = load(), particle.toy_jets(4, particles=(6, 9), seed=2)[0]
    with torch.no_grad():
        scores = model(some)
        wider = model(torch.nn.functional.pad(some, (0, 0, 0, 4)))
        mixed = model(some[:, torch.randperm(9, generator=torch.Generator().manual_seed(0))])
    assert torch.allclose(wider, scores, atol=1e-4)
    assert torch.allclose(mixed, scores, atol=1e-4)


def test_a_session_reads_and_changes_it_as_any_other_model():
    session = tagger()
    prompt = session.prompt(jets()[0][:1])
    assert session.anatomy.problems == {}
    assert session.anatomy.n_layers == 3
    pattern = session.capture(prompt, "blocks.1.attn.pattern")["blocks.1.attn.pattern"]
    attention = iw.attention(prompt)
    assert (attention.pattern(layer=1, head=2) - pattern[2]).abs().max() < 1e-5
    model = session.anatomy.root
    with torch.no_grad():
        own = model(prompt.values)[0]
    session.ablate("z", layer=1, head=3)
    try:
        found = session.capture(prompt, "logits")["logits"]
        loss = particle.spectrum(session, *jets(60)).meta["note"]
    finally:
        session.reset()

    def off(z):
        z[..., 24:] = 0
        return z

    expected = run_hooked(model, prompt.values, {1: off})
    assert float(found[1] - found[0]) == pytest.approx(float(expected[0]), abs=1e-4)
    assert abs(float(found[1] - found[0]) - float(own[1] - own[0])) > 1e-3
    assert particle.spectrum(session, *jets(60)).meta["note"] != loss


@pytest.mark.parametrize("ablation", ["zero", "mean", "interchange"])
def test_replaced_heads_are_what_hooks_would_make_of_them(ablation):
    model = random_model()
    session = Session(model)
    some = particle.toy_jets(6, particles=(5, 8), seed=4)[0]
    other = particle.corrupt(some, seed=1)
    heads = Heads(session, some)
    assert heads.layer_names == ["0", "1", "2 class", "3 class"]
    assert (heads.pair, heads.embed) == ("pair_embed", "embed")
    read: dict[int, torch.Tensor] = {}

    def keep(layer):
        def change(z):
            read[layer] = z.clone()
            return z

        return change

    source = other if ablation == "interchange" else some
    run_hooked(model, source, {i: keep(i) for i in range(4)})
    there = (source[..., 3] > 0).float()[..., None]
    changes = {}
    for layer, head in ((0, 1), (1, 2), (2, 0)):
        z, span = read[layer], slice(head * 8, head * 8 + 8)
        mean = ((z * there).sum(1) / there.sum(1)).mean(0) if layer < 2 else z.mean((0, 1))
        value = {"zero": torch.zeros_like(z), "mean": mean.expand_as(z), "interchange": z}[ablation]

        def put(z, value=value, span=span):
            z[..., span] = value[..., span]
            return z

        changes[layer] = put
    off = torch.zeros(5, 3, dtype=torch.bool)
    off[1, 1] = off[2, 2] = off[3, 0] = True
    found = heads.scores(some, heads.known(some, ablation, other), off)
    assert (found - run_hooked(model, some, changes)).abs().max() < 1e-5


def test_cut_none_and_cut_all_are_the_two_ends():
    some, heads = jets()[0][:40], Heads(tagger(), jets()[0][:40])
    other = particle.corrupt(some)
    known = heads.known(some, "interchange", other)
    off = torch.zeros(5, 4, dtype=torch.bool)
    assert torch.allclose(heads.scores(some, known, off), heads.scores(some), atol=1e-5)
    off[:] = True
    assert torch.allclose(heads.scores(some, known, off), heads.scores(other), atol=1e-4)
    off[1:] = False  # the bias of pairs alone, as a node of its own
    moved = heads.scores(some, known, off)
    with torch.no_grad():
        model = heads.session.anatomy.root
        bias = model.pair_embed(other)
        handle = model.pair_embed.register_forward_hook(lambda *_: bias)
        expected = model(some)
        handle.remove()
    assert torch.allclose(moved, expected[:, 1] - expected[:, 0], atol=1e-4)


def test_metrics_and_their_resamples_are_exact():
    g = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, generator=g) < 0.4).long()
    scores = (labels + torch.randn(200, generator=g)).round(decimals=1)  # with ties
    judge = Judge(labels, draws=5, seed=3)
    found = judge.auc(scores)
    assert found[0] == pytest.approx(roc_auc_score(labels, scores))
    for weights, value in zip(judge._weights[1:], found[1:], strict=True):
        assert value == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    exact = torch.arange(200.0)
    half = (torch.arange(200) % 2).long()
    # of 100 signal jets the best 50 are above 101; 49 background jets are, too
    assert Judge(half, draws=0).rejection(exact, 0.5)[0] == pytest.approx(100 / 49)


def test_no_single_head_is_the_circuit():
    """Each class head can be spared; without all four nothing is left: a scan is no circuit."""
    some, labels = jets(300)
    result = particle.scan(tagger(), some, labels, ablation="mean", resamples=60)
    loss, low, high = result.numpy("values")[:3]
    assert result.labels("layer") == ["pair", "0", "1", "2", "3 class"]
    assert result.meta["base"]["AUC"][0] > 0.94
    assert (low <= loss + 1e-6).all()
    assert (loss <= high + 1e-6).all()
    assert abs(loss[4]).max() < 0.02
    assert loss[1:].max() < 0.2
    assert loss[0].max() > 0.05  # without a head's bias of pairs the tagger suffers
    heads = Heads(tagger(), some)
    off = torch.zeros(5, 4, dtype=torch.bool)
    off[4] = True
    nothing = heads.scores(some, heads.known(some, "mean"), off)
    assert Judge(labels, 0).auc(nothing)[0] == pytest.approx(0.5)
    assert result.view()._targets()[0]["fields"] == {"layer": "layer", "head": "head"}


def test_paths_are_path_patching_by_hooks():
    model = random_model(scale_resids=False)
    session = Session(model)
    clean = particle.toy_jets(3, seed=6)[0]
    other = particle.corrupt(clean)
    heads = Heads(session, clean)
    runs = PathRuns(heads, clean, other)
    found = runs.measure(
        [(0, 1), (2, 2), (3, 0)], heads.nodes, apart=True, progress=lambda *_: None
    )
    with torch.no_grad():
        z = {}
        for name, some in (("clean", clean), ("other", other)):

            def note(i, name=name):
                def change(value):
                    z[name, i] = value.clone()
                    return value

                return change

            run_hooked(model, some, {i: note(i) for i in range(4)})
    attentions = [block.attn for block in (*model.blocks, *model.cls_blocks)]

    def sent(layer, head):
        """The run with one sender corrupted and every other head as it was clean."""

        def put(i):
            def change(value):
                value = z["clean", i].clone()
                if i == layer:
                    span = slice(head * 8, head * 8 + 8)
                    value[..., span] = z["other", i][..., span]
                return value

            return change

        values = {}
        hooks = [
            getattr(attentions[2], slot).register_forward_hook(
                lambda _m, _a, out, slot=slot: values.update({slot: out.clone()})
            )
            for slot in "qkv"
        ]
        score = run_hooked(model, clean, {i: put(i) for i in range(4)})
        for hook in hooks:
            hook.remove()
        return score, values

    own = run_hooked(model, clean, {})
    for row, sender in enumerate([(0, 1), (2, 2), (3, 0)]):
        score, values = sent(*sender)
        assert torch.allclose(found.direct[row], score - own, atol=1e-5)
        if sender != (0, 1):
            continue
        for s, slot in enumerate("qkv"):
            for head in range(3):

                def receive(_m, _a, out, slot=slot, head=head, values=values):
                    out = out.clone()
                    out[:, head] = values[slot][:, head]
                    return out

                hook = getattr(attentions[2], slot).register_forward_hook(receive)
                changed = run_hooked(model, clean, {})
                hook.remove()
                assert torch.allclose(found.effect[row, 2, head, s], changed - own, atol=1e-5)
    assert found.direct[0].abs().max() < 1e-6  # a particle block writes nothing to the class token
    assert found.direct[2].abs().max() > 1e-6
    assert torch.allclose(found.effect[1, :2], torch.zeros(()), atol=0)


@pytest.fixture(scope="module")
def found():
    some, labels = jets()
    return particle.circuit(tagger(), some, labels, particle.corrupt(some), resamples=60, pairs=48)


def test_few_heads_are_a_circuit_and_random_ones_are_not(found):
    """4 of 16 heads keep 95 % of the AUC above chance, 0.15 above random sets of as many."""
    meta = found.meta
    assert len(meta["kept"]) <= 4
    assert meta["share"] >= 0.95
    whole, kept = meta["auc"]["whole"], meta["auc"]["kept"]
    assert (kept[0] - 0.5) / (whole[0] - 0.5) == pytest.approx(meta["share"])
    assert kept[0] - np.mean(meta["random"]) >= 0.15
    assert len(meta["random"]) == 20
    assert meta["auc"]["none"][0] == pytest.approx(0.5)
    assert all(low > 0 for _, low, _ in meta["minimality"].values())  # none can be spared
    added = [step for step in meta["steps"] if step["what"] == "added"]
    assert [step["auc"] for step in added] == sorted(step["auc"] for step in added)


def test_the_circuit_has_roles_from_source_to_readout(found):
    roles = found.meta["roles"]
    assert set(roles) == set(found.meta["kept"])
    assert set(roles.values()) == {"source", "relay", "readout"}
    for name, role in roles.items():
        layer = int(name[1 : name.index(".")])
        assert (role == "readout") == (layer == 3)
        if role == "source":
            assert layer == 0
            assert found.meta["pair"][name] > 0.1  # sources look through the bias of pairs
    edges = found.graph.edges()
    for name, role in roles.items():
        assert any(edge.startswith(f"{name}->") for edge in edges)
        assert role == "source" or any(f"->{name}<" in edge for edge in edges)
    groups = {group["name"]: group["members"] for group in found.arrangement["groups"]}
    assert list(groups) == ["source", "relay", "readout"]
    figure = found.figure()
    assert "readout" in {
        text.get_text() for text in figure.mpl.findobj() if hasattr(text, "get_text")
    }


def test_relays_attend_to_hard_pairs(found):
    some = jets()[0][:200]
    result = particle.attended(tagger(), some)
    values = result.sel(quantity=0)
    for name, role in found.meta["roles"].items():
        if role == "relay":
            layer, head = (int(x) for x in name[1:].split(".h"))
            assert abs(float(values[layer, head])) > 0.2
    model = tagger().anatomy.root
    with torch.no_grad():
        kept = {}
        handle = model.blocks[1].attn.pattern.register_forward_hook(
            lambda _m, _a, out: kept.update(p=out)
        )
        model(some[:1])
        handle.remove()
    from interp_widgets.methods.particle.kinematics import pairs

    inside = ~torch.eye(16, dtype=torch.bool)
    expected = np.corrcoef(kept["p"][0, 2][inside], pairs(some[:1])["ln kT"][0][inside])[0, 1]
    one = particle.attended(tagger(), some[:1]).sel(quantity=0)
    assert float(one[1, 2]) == pytest.approx(expected, abs=1e-4)


def test_paths_of_all_heads_are_an_array_with_hidden_cells():
    some, labels = jets()
    top = some[labels == 1][:24]
    result = particle.paths(tagger(), top, particle.corrupt(top), resamples=40)
    effect, low, high = result.numpy("values")
    names = result.labels("sender"), result.labels("receiver")
    assert names[0][:3] == ["input", "pair", "a0.h0"]
    assert names[1][-1] == "score"
    assert np.isnan(effect[names[0].index("a2.h0"), names[1].index("a1.h0")])
    seen = np.isfinite(effect)
    assert (low[seen] <= effect[seen] + 1e-5).all()
    assert (effect[seen] <= high[seen] + 1e-5).all()
    direct = effect[:, -1]
    assert abs(direct[2:14]).max() < 1e-5 < direct[14:].max()  # class heads alone write the score
    with pytest.raises(ValueError, match="no scale"):
        particle.paths(tagger(), top, top)


def test_what_does_not_fit_is_refused():
    some, labels = jets(30)
    session = tagger()
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    other = Session(torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    with pytest.raises(ValueError, match="explicit_attention"):
        Heads(other, some)
    with pytest.raises(ValueError, match="60 jets and 59 labels"):
        particle.scan(session, some, labels[1:])
    with pytest.raises(ValueError, match="both must be there"):
        particle.scan(session, some, torch.ones(60))
    with pytest.raises(ValueError, match="corrupted jets"):
        particle.scan(session, some, labels, ablation="interchange")
    cut, heads = some.clone(), Heads(session, some)
    cut[:, 12:] = 0
    with pytest.raises(ValueError, match="padding"):
        heads.known(some, "interchange", cut)
    with pytest.raises(ValueError, match="between 0 and 1"):
        particle.circuit(session, some, labels, some, target=2.0)
    assert Grower(Heads(session, some), some, labels, "mean").auc([(0, 1)])[0] == 0.5
