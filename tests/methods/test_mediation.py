"""Causal mediation: effects with a known truth, on every kind of mediator, with every intervention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.methods.mediation import (
    Feature,
    Featurizer,
    Mediator,
    Neurons,
    Path,
    Subspace,
    Together,
    measure,
    mediation,
    mediator_of,
)
from interp_widgets.methods.mediation.alignment import align
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests.families import inputs
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session

LONGER = [3, 14, 41, 22, 9, 26, 5, 35]  # IDS with token 2 replaced by two


class Scm(nn.Module):
    """m = d x; y = a x + b m + c x m."""

    def __init__(self, a, b, c, d):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([a, b, c], dtype=torch.float64))
        self.mediator = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.mediator.weight.fill_(d)

    def forward(self, x):
        a, b, c = self.weights
        m = self.mediator(x)
        return a * x + b * m + c * x * m


@pytest.fixture
def gpt2():
    return open_session("gpt2")


def pair(session, other=OTHER):
    return session.prompt(IDS, answer=ANSWER, foil=FOIL), session.prompt(other)


def difference(session, ids, hooks=()):
    """Logit difference at the last position, with plain PyTorch hooks."""
    handles = [call(session) for call in hooks]
    with torch.no_grad():
        logits = session.model._module(input_ids=torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return float(logits[ANSWER] - logits[FOIL])


def test_closed_forms_of_a_structural_model_and_a_naive_sum_off_by_the_interaction():
    rng = np.random.default_rng(0)
    for a, b, c, d in rng.normal(size=(20, 4)):
        session = Session(Scm(a, b, c, d))
        x = session.prompt(torch.zeros(1, dtype=torch.float64), answer=0)
        other = session.prompt(torch.ones(1, dtype=torch.float64))
        result = mediation(x, other, "mediator", metric="logit")
        found = {name: result.mean(name)[0] for name in result.quantities}
        expected = {
            "TE": a + b * d + c * d,
            "NDE": a,
            "NIE": b * d,
            "NIE_rev": -(b + c) * d,
            "interaction": c * d,
        }
        assert found == pytest.approx(expected, abs=1e-6)
        naive = found["NDE"] + found["NIE"]
        assert found["TE"] - naive == pytest.approx(c * d, abs=1e-6)
        for value in (0.0, 2.0):  # the controlled direct effect at m is a + c m
            held = mediation(x, other, "mediator", metric="logit", kind="constant", vector=value)
            assert held.mean("CDE")[0] == pytest.approx(a + c * value, abs=1e-6)
        session.close()


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen2", "gemma2"])
def test_the_identity_holds_for_every_head_and_every_submodule(family):
    session = open_session(family)
    clean, corrupted = pair(session)
    for grid in ("heads", "mlps", "attention"):
        result = mediation(clean, corrupted, grid)
        gap = result.per_pair("TE") - result.per_pair("NDE") + result.per_pair("NIE_rev")
        assert np.abs(gap).max() < 1e-4
        assert result.numpy("identity").max() < 1e-4
        assert np.abs(result.mean("interaction")).max() > 0
    assert result.grid().dims == ["layer"]
    assert mediation(clean, corrupted, "heads").grid("NDE").sizes == {"layer": 3, "head": 4}


def test_effects_are_those_of_activation_patching(session):
    clean, corrupted = pair(session)
    for grid, site in (("heads", "z"), ("resid_pre", "resid_pre")):
        positions = "each" if site == "resid_pre" else None
        result = mediation(clean, corrupted, grid, positions=positions)
        for name, direction in (("NIE", "noise"), ("NIE_rev", "denoise")):
            patched = iw.patching(clean, corrupted, site, direction=direction, normalise=False)
            np.testing.assert_allclose(result.grid(name).numpy("values"), patched.values, atol=1e-5)
    assert result.grid().labels("position")[2] == "2 15 /41"


def test_neurons_subspaces_features_and_maps_agree_with_hooks(gpt2):
    clean, corrupted = pair(gpt2)
    layer = gpt2.model._module.transformer.h[1]
    other = gpt2.capture(corrupted, ["mlp_post.1", "resid_post.1"])
    own = gpt2.capture(clean, ["mlp_post.1", "resid_post.1"])
    generator = torch.Generator().manual_seed(3)
    basis = torch.randn(2, 32, generator=generator)
    encoder, decoder = torch.randn(2, 32, generator=generator)
    base = difference(gpt2, IDS)

    def at_neurons(session):
        def change(_module, args):
            value = args[0].clone()
            value[0, :, [4, 9]] = other["mlp_post.1"][:, [4, 9]]
            return (value, *args[1:])

        return layer.mlp.c_proj.register_forward_pre_hook(change)

    def at_stream(new):
        def register(_session):
            def change(_module, _args, output):
                value = output[0] if isinstance(output, tuple) else output
                moved = value.clone()
                moved[0, -1] = new
                return (moved, *output[1:]) if isinstance(output, tuple) else moved

            return layer.register_forward_hook(change)

        return register

    h, new = own["resid_post.1"][-1], other["resid_post.1"][-1]
    rows = torch.linalg.qr(basis.T).Q.T
    turned = h + rows.T @ (rows @ (new - h))
    on, off = (torch.relu(x @ encoder + 0.1) for x in (new, h))
    fired = h + (on - off) * decoder
    bent = new.clone() ** 3
    bent = torch.cat([(new**3)[:5], (h**3)[5:]]).sign() * torch.cat(
        [(new**3)[:5], (h**3)[5:]]
    ).abs() ** (1 / 3)
    cube = Featurizer(
        site="resid_post",
        layer=1,
        position=-1,
        forward=lambda x: x**3,
        inverse=lambda x: x.sign() * x.abs() ** (1 / 3),
        dims=range(5),
    )
    place = {"site": "resid_post", "layer": 1, "position": -1}
    mediators = [
        Neurons(site="mlp_post", layer=1, units=[4, 9]),
        Subspace(**place, basis=basis),
        Feature(**place, encoder=encoder, decoder=decoder, bias=0.1),
        cube,
        "resid_post.1@-1",
    ]
    result = measure(gpt2, clean, corrupted, mediators)
    expected = [
        difference(gpt2, IDS, [call]) - base
        for call in (at_neurons, *map(at_stream, (turned, fired, bent, new)))
    ]
    np.testing.assert_allclose(result.mean("NIE"), expected, atol=2e-5)
    assert len({round(x, 4) for x in expected}) == 5
    frame = result.frame()
    assert frame["dims"].tolist() == [2, 2, 1, 5, 32]
    assert frame["aligned"].tolist() == [True, False, False, False, True]
    assert frame["linear"].tolist() == [True, True, False, False, True]
    assert frame["identity"].max() < 1e-4  # a feature's error term is kept


def test_a_transcoder_feature_is_read_at_one_place_and_written_at_another(gpt2):
    clean, corrupted = pair(gpt2)
    generator = torch.Generator().manual_seed(1)
    encoder, decoder = torch.randn(2, 32, generator=generator)
    encoder = -encoder  # on at most positions of both prompts
    feature = Feature(
        site="mlp_out",
        layer=1,
        reads="transformer.h.1.ln_2",
        encoder=encoder,
        decoder=decoder,
        threshold=0.2,
    )
    result = mediation(clean, corrupted, feature)
    inputs = [
        gpt2.capture(p, ["transformer.h.1.ln_2"])["transformer.h.1.ln_2"]
        for p in (clean, corrupted)
    ]
    on = [torch.where((x @ encoder) > 0.2, x @ encoder, 0.0) for x in inputs]
    layer = gpt2.model._module.transformer.h[1]

    def register(_session):
        return layer.mlp.register_forward_hook(
            lambda _m, _a, out: out + ((on[1] - on[0])[:, None] * decoder)[None]
        )

    change = difference(gpt2, IDS, [register]) - difference(gpt2, IDS)
    assert abs(change) > 1e-3
    assert result.mean("NIE")[0] == pytest.approx(change, abs=2e-5)
    assert result.numpy("identity")[0] < 1e-4


def test_an_edge_is_what_cutting_it_does_and_a_path_goes_hop_by_hop(session):
    clean, corrupted = pair(session)
    result = mediation(clean, corrupted, ["a0.h1->m1", "a0.h1->logits", "a0.h1->a2.h3<q>->logits"])
    circuit = iw.circuit(clean, corrupted, method="eap", faithfulness=False)
    full = circuit.metric_with_cut([])
    for i, edge in enumerate(("a0.h1->m1", "a0.h1->logits")):
        change = circuit.metric_with_cut([edge]) - full
        assert result.mean("NIE")[i] == pytest.approx(change, abs=2e-5)
    straight = iw.path_patching(
        clean, corrupted, "a2.h3<q>", senders=["a0.h1"], mlps="frozen", normalise=False
    )
    # path patching lets the receiver's change run on by all ways; here it goes on to the logits
    assert result.mean("NIE")[2] == pytest.approx(float(straight.values.reshape(-1)[0]), abs=2e-2)
    assert result.numpy("identity").max() < 1e-4
    half = mediation(clean, corrupted, "a0.h1->m1", strength=0.0)
    assert abs(half.mean("NIE")[0]) < 1e-5


def test_prompts_of_different_lengths_are_aligned():
    assert align(["The", "nurse", "said"], ["The", "fire", "fighter", "said"]) == (
        (0, 0),
        (1, 2),
        (2, 3),
    )
    assert align(list("abc"), list("xyz")) == ((0, 0), (1, 1), (2, 2))
    assert align(list("ab"), list("xaby")) == ((0, 1), (1, 2))
    session = open_session("gpt2")
    clean, corrupted = pair(session, LONGER)
    result = mediation(clean, corrupted, ["resid_pre.1@4", "resid_pre.1", "a1.h2", "resid_pre.1@2"])
    source = session.capture(corrupted, "resid_pre.1")["resid_pre.1"]
    assert [corrupted.ids[i] for i in (5, 3)] == [clean.ids[4], 22]

    def register(_session):
        def change(_module, args):
            value = args[0].clone()
            value[0, 4] = source[5]
            return (value, *args[1:])

        return session.model._module.transformer.h[1].register_forward_pre_hook(change)

    expected = difference(session, IDS, [register]) - difference(session, IDS)
    assert result.mean("NIE")[0] == pytest.approx(expected, abs=2e-5)
    assert result.mean("TE")[0] == pytest.approx(
        difference(session, LONGER) - difference(session, IDS), abs=2e-5
    )
    assert result.numpy("identity").max() < 1e-4
    long, short = session.prompt(LONGER, answer=ANSWER, foil=FOIL), session.prompt(IDS)
    with pytest.raises(ValueError, match=r"position 2 \('41'\) of .* has no counterpart"):
        mediation(long, short, "resid_pre.1@2")
    with pytest.raises(ValueError, match="as many tokens"):
        mediation(clean, corrupted, "a0.h1->m1")


def test_every_kind_of_intervention_puts_what_it_says(gpt2):
    clean, corrupted = pair(gpt2)
    third = gpt2.prompt([3, 14, 44, 9, 50, 5, 35], answer=ANSWER, foil=FOIL)
    both, others = [clean, third], [corrupted, gpt2.prompt([3, 14, 20, 9, 21, 5, 35])]
    values = torch.stack([gpt2.capture(p, "z.1")["z.1"][:, 2] for p in others])
    base = difference(gpt2, IDS)

    def with_head(new):
        def register(_session):
            def change(_module, args):
                value = args[0].clone()
                value[0, :, 16:24] = new if not callable(new) else new(value[0, :, 16:24])
                return (value, *args[1:])

            return gpt2.model._module.transformer.h[1].attn.c_proj.register_forward_pre_hook(change)

        return difference(gpt2, IDS, [register]) - base

    vector = torch.arange(8.0) / 8
    cases = {
        "zero": torch.zeros(8),
        "mean": values.mean((0, 1)),
        "resample": values[1],
        "constant": vector,
        "add": lambda own: own + vector,
    }
    for kind, new in cases.items():
        given = vector if kind in ("add", "constant") else None
        result = mediation(both, others, "a1.h2", kind=kind, vector=given)
        assert result.per_pair("CE")[0, 0] == pytest.approx(with_head(new), abs=2e-5), kind
        gap = result.per_pair("TE") - (
            result.per_pair("CE") + result.per_pair("CDE") - result.per_pair("CE_rev")
        )
        assert np.abs(gap).max() < 1e-6
        assert result.numpy("identity").max() < 1e-4
    alone = mediation(clean, mediators="heads", kind="zero")
    assert alone.quantities == ("CE",)
    assert alone.grid().sizes == {"layer": 3, "head": 4}
    noisy = [
        mediation(both, others, "a1.h2", kind="noise", seed=s).mean("CE")[0] for s in (0, 0, 1)
    ]
    assert noisy[0] == noisy[1] != noisy[2]
    path = mediation(both, others, "a1.h2->logits", kind="mean")
    assert np.isfinite(path.mean("CE")[0])


def test_a_part_of_the_way_and_sets_of_mediators(gpt2):
    clean, corrupted = pair(gpt2)
    whole = mediation(clean, corrupted, "resid_pre.1")
    assert whole.mean("NIE")[0] == pytest.approx(whole.mean("TE")[0], abs=1e-5)
    assert whole.faithfulness[0] == pytest.approx(1, abs=1e-5)
    assert whole.mean("NDE")[0] == pytest.approx(0, abs=1e-5)
    curve = [mediation(clean, corrupted, "resid_pre.1", strength=s).mean()[0] for s in (0, 0.5, 1)]
    assert curve[0] == pytest.approx(0, abs=1e-6)
    assert curve[2] == pytest.approx(whole.mean()[0])
    assert whole.effect_of(whole.at_strength(0, 0.5))[0] == pytest.approx(curve[1], abs=1e-6)
    heads = [f"a{i}.h{j}" for i in range(3) for j in range(4)]
    mlps = [f"m{i}" for i in range(3)]
    every = Together(members=[*heads, *mlps, "embed"], name="everything")
    result = mediation(clean, corrupted, [every, Together(members=["a0.h1", "m0"])])
    assert result.mean("NIE")[0] == pytest.approx(result.mean("TE")[0], abs=1e-5)
    assert result.mediators == ["everything", "a0.h1 + m0"]


def test_intervals_proportions_and_the_ratio_scale():
    session = open_session("gpt2")
    rng = np.random.default_rng(0)
    clean, corrupted = [], []
    for _ in range(12):
        ids = rng.integers(3, 61, 7).tolist()
        clean.append(session.prompt(ids, answer=ANSWER, foil=FOIL))
        corrupted.append(session.prompt([*ids[:2], int(rng.integers(3, 61)), *ids[3:]]))
    result = mediation(clean, corrupted, "heads")
    values = result.per_pair("NIE")
    draws = np.random.default_rng(1).integers(0, 12, (4000, 12))
    low, high = np.quantile(values[3][draws].mean(1), [0.025, 0.975])
    spread = high - low
    assert result.interval("NIE")[:, 3] == pytest.approx([low, high], abs=0.1 * spread)
    low, high = result.interval("TE")[:, 0]
    shown = low > 0 or high < 0
    assert bool(np.isfinite(result.proportion).all()) == shown
    always = [session.prompt(OTHER) for _ in clean]
    same = [session.prompt(IDS, answer=ANSWER, foil=FOIL) for _ in clean]
    sure = mediation(same, always, "heads")
    np.testing.assert_allclose(sure.proportion, sure.mean("NIE") / sure.mean("TE"), rtol=1e-6)
    ratio = mediation(clean, corrupted, "heads", scale="ratio")
    np.testing.assert_allclose(ratio.per_pair("NIE"), np.expm1(values), rtol=1e-6)
    product = (1 + ratio.per_pair("NDE")) * (1 + ratio.per_pair("NIE"))
    np.testing.assert_allclose(
        ratio.per_pair("interaction"), (1 + ratio.per_pair("TE")) / product - 1, atol=1e-6
    )
    chance = mediation(clean, corrupted, "a0.h1", scale="ratio", metric="probability")
    plain = mediation(clean, corrupted, "a0.h1", scale="ratio", metric="log_probability")
    np.testing.assert_allclose(chance.per_pair(), plain.per_pair(), rtol=1e-4, atol=1e-6)
    back = mediation(clean, corrupted, "heads", direction="denoising")
    np.testing.assert_allclose(back.mean(), -back.mean("NIE_rev"))
    assert len(result.pair_frame()) == 12 * 12
    table = result.frame()
    assert (table["NIE_low"] <= table["NIE"]).all()
    assert (table["NIE"] <= table["NIE_high"]).all()


def test_the_report_has_the_four_criteria(gpt2):
    clean, corrupted = pair(gpt2)
    held = (
        [gpt2.prompt([7, *IDS], answer=ANSWER, foil=FOIL)],
        [gpt2.prompt([7, *OTHER])],
    )
    controls = [gpt2.prompt(ids) for ids in ([9, 8, 7], [4, 5, 6, 11], [30, 31, 32])]
    result = mediation(
        clean,
        corrupted,
        ["resid_pre.1", "a1.h2", "resid_post.2@-1"],
        held_out=held,
        controls=controls,
    )
    report = result.report().set_index("mediator")
    assert report.loc["resid_pre.1", "faithfulness"] == pytest.approx(1, abs=1e-5)
    assert report.loc["resid_pre.1", "generality"] == pytest.approx(1, abs=1e-5)
    assert report.loc["a1.h2", "dims"] == 8
    assert report.loc["a1.h2", "share"] == pytest.approx(8 / (32 * 3 * 2))
    logits = [gpt2.capture(p, "logits")["logits"][-1].double().log_softmax(-1) for p in controls]
    expected = np.mean(
        [
            float((a.exp() * (a - b)).sum())
            for a, b in zip(logits, logits[1:] + logits[:1], strict=True)
        ]
    )
    assert report.loc["resid_post.2@-1", "KL"] == pytest.approx(expected, rel=1e-4)
    assert (report["KL"] > 0).all()
    np.testing.assert_allclose(report["effect_per_nat"], report["effect"].abs() / report["KL"])
    assert set(iw.mediators.goals()["goal"]) == {
        "explain a behaviour",
        "verify a hypothesis",
        "localise and edit",
    }


def test_a_result_is_saved_run_again_and_follows_interventions(gpt2, tmp_path):
    clean, corrupted = pair(gpt2)
    basis = torch.eye(32)[:2]
    wanted = [
        Subspace(site="resid_post", layer=1, basis=basis),
        "a0.h1",
        Mediator(site="mlp_out", layer=0),
    ]
    result = mediation([clean], [corrupted], wanted)
    again = iw.load(result.save(tmp_path / "m.safetensors") or tmp_path / "m.safetensors", gpt2)
    np.testing.assert_allclose(again.rerun().per_pair("NDE"), result.per_pair("NDE"), atol=1e-6)
    gpt2.ablate("z", layer=0, head=1)
    ablated = result.rerun()
    assert ablated.mean("NIE")[1] == pytest.approx(0, abs=1e-5)
    assert ablated.mean("TE")[0] != pytest.approx(result.mean("TE")[0], abs=1e-3)
    with pytest.raises(ValueError, match="have changed since"):
        result.at_strength(1, 0.5)
    gpt2.interventions.clear()
    with pytest.raises(RuntimeError, match="live"):
        iw.load(tmp_path / "m.safetensors").at_strength(0, 0.5)
    assert result.at({"layer": 0, "head": 1})["mediator"].tolist() == ["a0.h1"]
    assert "total effect" in result.text()


def test_heads_and_mlps_make_a_circuit(gpt2):
    clean, corrupted = pair(gpt2)
    result = mediation(clean, corrupted, ["a0.h1", "m1", "a2.h3", "resid_post.0"])
    circuit = result.to_circuit(2)
    order = [i for i in result.ranked() if i != 3][:2]
    names = {result.mediators[i] for i in order}
    graph = circuit.graph.to_networkx()
    assert set(graph.nodes) == {"input", "logits", *names}
    with pytest.raises(ValueError, match="components of a circuit"):
        mediation(clean, corrupted, "resid_post").to_circuit(2)


def test_grids_of_positions_and_named_places(gpt2):
    clean, corrupted = pair(gpt2)
    result = mediation(
        [clean, clean],
        [corrupted, corrupted],
        "resid_post",
        positions={"end": -1, "change": [2, 4]},
        layers=[2, 0],
    )
    assert result.grid().labels("layer") == ["2", "0"]
    assert result.grid().labels("position") == ["end", "change"]
    single = mediation(clean, corrupted, "resid_post.0@4")
    assert result.per_pair("NIE")[3, 1] == pytest.approx(single.mean("NIE")[0], abs=1e-6)
    assert mediation(clean, corrupted, "heads", positions=[-1]).shape == (3, 4, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a9.h6", {"site": "z", "layer": 9, "head": 6}),
        ("a9.h6<q>@-1", {"site": "q", "layer": 9, "head": 6, "position": -1}),
        ("m3", {"site": "mlp_out", "layer": 3}),
        ("resid_post.5@2", {"site": "resid_post", "layer": 5, "position": 2}),
        ("L3N17", {"site": "mlp_post", "layer": 3, "units": [17]}),
        ("transformer.h.0.mlp", {"site": "transformer.h.0.mlp"}),
    ],
)
def test_shorthands(text, expected):
    found = mediator_of(text)
    assert {key: found[key] for key in expected} == expected
    assert mediator_of(dict(found)).label == found.label
    assert isinstance(mediator_of("a0.h1->logits"), Path)


def test_mistakes_are_explained(gpt2):
    clean, corrupted = pair(gpt2)
    cases = [
        (("heads",), {"kind": "zero", "direction": "denoising"}, 'its direction is "noising"'),
        (("resid_post.0@9",), {}, "no position 9"),
        (("a0.h9",), {}, "no head 9"),
        (("resid_post",), {"positions": [2], "strength": 2.0}, "between 0 and 1"),
        (("a0.h1",), {"positions": [2]}, "go with a grid"),
        (("heads",), {"kind": "add"}, "needs vector"),
        (("heads",), {"kind": "add", "vector": torch.ones(5)}, "8 dimensions"),
        (("heads",), {"kind": "resample"}, "at least two pairs"),
        (("heads",), {"scale": "ratio", "metric": "logit"}, "a ratio needs probabilities"),
        (("neurons",), {}, "mediator_search"),
        (("nonsense.3",), {}, "nonsense.3"),
        (("a0.h1@end",), {}, "a number"),
        (([],), {}, "empty"),
        (("a2.h1->a0.h1",), {}, "no edge"),
    ]
    for given, options, message in cases:
        with pytest.raises((ValueError, SiteError, KeyError, CircuitError), match=message):
            mediation(clean, corrupted, *given, **options)
    with pytest.raises(ValueError, match="counterfactual prompt"):
        mediation(clean)
    with pytest.raises(ValueError, match="make no pairs"):
        mediation([clean, clean], [corrupted])
    with pytest.raises(ValueError, match="no answer"):
        mediation(corrupted, clean)
    with pytest.raises(ValueError, match="did you mean 'interchange'"):
        mediation(clean, corrupted, kind="intrchange")
    with pytest.raises(ValueError, match="linearly independent"):
        mediation(clean, corrupted, Subspace(site="resid_post", layer=0, basis=torch.ones(2, 32)))
    with pytest.raises(TypeError, match="plain data"):
        mediation(clean, corrupted, Featurizer(site="resid_post", layer=0, dims=[0]))


def test_the_table_of_methods_is_read_from_the_methods():
    table = iw.mediators.table().set_index("method")
    assert table.loc["mediator_search", "search"].startswith("exhaustive, attribution, das")
    assert table.loc["mediator_search", "counterfactuals"] == "yes"
    assert table.loc["mediation", "counterfactuals"] == "optional"
    assert table.loc["mediation", "aligned"] == "both"
    assert table.loc["concepts", ["aligned", "labels"]].tolist() == ["both", "examples"]
    assert table.loc["activations", "search"] == "reads only"
    assert set(table.index) == set(iw.catalogue()["name"])
    goals = iw.mediators.goals().set_index("goal")
    assert "mediation" in goals.loc["verify a hypothesis", "methods"]
    assert "circuit" in goals.loc["explain a behaviour", "methods"]
    assert "concepts" in goals.loc["localise and edit", "methods"]


def test_the_name_is_carried_at_its_place_and_then_at_the_end_in_the_demo_model():
    with iw.demo() as session:
        pairs = iw.tasks.generate("ioi", 40, session.tokenizer, corruption="s2")[:40]
        alike = [p for p in pairs if p.positions == pairs[0].positions]
        clean = [session.prompt(p.clean, answer=p.answer, foil=p.foil) for p in alike]
        corrupted = [session.prompt(p.corrupted) for p in alike]
        places = {"S2": [p.positions["S2"] for p in alike], "end": -1}
        result = mediation(clean, corrupted, "resid_post", positions=places)
        shares = result.proportion.reshape(result.shape)
        assert result.shape == (4, 2)
        assert shares[0, 0] > 0.9  # the changed name itself
        assert shares[3, 0] < 0.05
        assert shares[3, 1] == pytest.approx(1, abs=1e-3)  # all there is to read out
        assert shares[0, 1] < 0.05
        low, high = result.interval("TE")[:, 0]
        assert high < 0 or low > 0
        assert result.numpy("identity").max() < 1e-4


def test_heads_of_an_image_model_mediate_too():
    session = open_session("vit")
    images = [inputs("vit", seed=seed)["pixel_values"][0] for seed in (1, 2)]
    clean = session.prompt(images[0], answer=3, foil=5)
    result = mediation(clean, session.prompt(images[1]), "heads")
    assert result.shape == (3, 4)
    assert result.numpy("identity").max() < 1e-4
    with torch.no_grad():
        logits = [session.model._module(pixel_values=x[None]).logits[0] for x in images]
    total = float(logits[1][3] - logits[1][5] - logits[0][3] + logits[0][5])
    assert result.mean("TE")[0] == pytest.approx(total, abs=1e-5)
