"""Concepts with a known effect: planted images, arrays, prompts of a language model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from interp_widgets.methods import cav, tcav
from interp_widgets.methods.concepts import concepts
from interp_widgets.results.base import load
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests import families

SIZE, STAMPS = 16, 6


def images(count, seed, **fixed):
    """Noise with 3×3 stamps, each there half of the time; the class is two or more of stamps 0–2."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(0).choice([-1.5, 1.5], size=(STAMPS, 3, 3))
    pixels = rng.normal(0, 0.3, size=(count, SIZE, SIZE))
    present = rng.random((count, STAMPS)) < 0.5
    cells = np.stack([rng.permutation((SIZE // 4) ** 2)[:STAMPS] for _ in range(count)])
    shift = rng.integers(0, 2, size=(count, STAMPS, 2))
    for stamp, value in fixed.items():
        present[:, int(stamp[1:])] = value
    for i, stamp in np.argwhere(present):
        row, column = np.divmod(cells[i, stamp], SIZE // 4) * np.array([4]) + shift[i, stamp]
        pixels[i, row : row + 3, column : column + 3] = patterns[stamp]
    label = (present[:, :3].sum(1) >= 2).astype(np.int64)
    return torch.tensor(pixels, dtype=torch.float32)[:, None], torch.tensor(label), present


class Stamps(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 20, 3),
            nn.ReLU(),
            nn.Conv2d(20, 32, 3),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture(scope="module")
def stamps():
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # convolutions this small are slower on several, and far slower on busy ones
    torch.manual_seed(0)
    model = Stamps()
    x, y, _ = images(3000, 1)
    steps = 8 * (len(x) // 64)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        order = torch.randperm(len(x), generator=generator)
        for at in range(0, len(x) - 63, 64):
            rows = order[at : at + 64]
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
    x, y, _ = images(500, 2)
    with torch.no_grad():
        assert float((model(x).argmax(1) == y).float().mean()) > 0.95
    yield Session(model)
    torch.set_num_threads(threads)


def test_planted_stamps_get_their_true_effect(stamps):
    """The check of concepts-common: effects tell what p-values do not."""
    count = 200
    positive, negative, true = {}, {}, []
    model = stamps.anatomy.root
    for stamp in range(STAMPS):
        with_it, without = (
            images(count, 7 + stamp, **{f"s{stamp}": value})[0] for value in (True, False)
        )
        with torch.no_grad():
            margin = [float((model(x)[:, 1] - model(x)[:, 0]).mean()) for x in (with_it, without)]
        true.append(margin[0] - margin[1])
        positive[f"stamp {stamp}"] = [stamps.prompt(x[None]) for x in with_it]
        negative[f"stamp {stamp}"] = [stamps.prompt(x[None]) for x in without]
    found = concepts(positive, negative, site="body", target=(1, 0), runs=60, probe="planted")
    cells = [n for n, a in found.arrays.items() if a.shape == (STAMPS, 1)]
    table = {name: found.numpy(name)[:, 0] for name in cells}
    effect = table["effect"]
    np.testing.assert_allclose(effect[:3], true[:3], rtol=0.15)
    assert (np.abs(effect[3:]) < 1).all()
    assert (np.abs(np.array(true[3:])) < 1).all()
    assert np.abs(effect[:3]).min() > np.abs(effect[3:]).max()
    assert ((table["low"] < effect) & (effect < table["high"])).all()
    assert (table["score"][:3] > 0.95).all()
    assert (np.abs(table["score_null"] - 0.5) < 0.2).all()
    assert (table["accuracy"][:3] > 0.9).all()
    assert (table["linear_effect"][:3] > 1).all()

    assert table["significant"][:3].all()
    assert [found.flag(i, 0) for i in range(3)] == ["relevant"] * 3
    for i in range(3, STAMPS):
        weak = "significant but negligible" if table["significant"][i] else "not significant"
        assert found.flag(i, 0) == weak
    assert found.meta["probe"]["name"] == "planted"
    assert found.layers == ["body"]


class Sum(nn.Module):
    """Two logits; their difference is 5 × the first input + 0.4 × the second + 0 × the third."""

    def __init__(self):
        super().__init__()
        self.site = nn.Identity()
        self.head = nn.Linear(3, 2, bias=False)
        self.head.weight.data = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.4, 0.0]])

    def forward(self, x):
        return self.head(self.site(x))


def test_a_tiny_effect_is_significant_but_negligible():
    """What the sign count alone gets wrong: it says 1.00 for a concept of almost no effect."""
    session = Session(Sum())
    x = np.tile(np.indices((2, 2, 2)).reshape(3, 8).T, (300, 1)).astype(np.float32)
    made = [session.prompt(torch.from_numpy(row)[None]) for row in x]
    sides = [
        {
            f"input {i}": [p for p, row in zip(made, x, strict=True) if row[i] == side]
            for i in range(3)
        }
        for side in (1, 0)
    ]
    found = concepts(*sides, site="site", target=(1, 0))
    weights = np.array([5, 0.4, 0])
    for i in range(3):
        gap = x[x[:, i] == 1].mean(0) - x[x[:, i] == 0].mean(0)
        assert found.arrays["effect"][i, 0] == pytest.approx(weights @ gap, abs=0.01)
        assert found.arrays["linear_effect"][i, 0] == pytest.approx(weights @ gap, abs=1e-4)
    assert found.arrays["score"][1, 0] > 0.9
    assert found.flag(0, 0) == "relevant"
    assert found.flag(1, 0) == "significant but negligible"
    assert found.meta["negligible_below"] == pytest.approx(0.2 * (x @ weights).std(), rel=1e-3)


@pytest.fixture(scope="module")
def llama():
    return Session(families.build("llama"))


def prompts(session, count, seed, last=None, lengths=(4, 7)):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        ids = rng.integers(3, 61, size=rng.integers(*lengths)).tolist()
        made.append(session.prompt([*ids, last] if last else ids, answer=5, foil=9))
    return made


def test_effects_are_what_removing_the_pattern_does_to_the_model(llama):
    """Recomputed with plain hooks, prompt by prompt, for every layer."""
    positive, negative = prompts(llama, 6, 0, last=11), prompts(llama, 5, 1)
    found = concepts({"ends in 11": positive}, negative, target="logit_difference", runs=5)
    model = llama.anatomy.root
    assert found.layers == ["0", "1", "2"]

    def run(prompt, layer, change=None):
        seen = {}

        def hook(_module, _args, output):
            hidden = output[0] if isinstance(output, tuple) else output
            seen["at"] = hidden[0, -1].detach().clone()
            if change is not None:
                hidden = hidden.clone()
                hidden[0, -1] -= torch.from_numpy(change).float()
                return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
            return None

        handle = model.model.layers[layer].register_forward_hook(hook)
        with torch.no_grad():
            logits = model(torch.tensor([prompt.ids])).logits[0, -1]
        handle.remove()
        return float(logits[5] - logits[9]), seen["at"].double().numpy()

    for layer in range(3):
        own = [run(p, layer) for p in positive]
        other = np.stack([run(p, layer)[1] for p in negative])
        acts = np.stack([a for _, a in own])
        pattern = acts.mean(0) - other.mean(0)
        vector = found.vector("ends in 11", layer)
        np.testing.assert_allclose(vector, pattern / np.linalg.norm(pattern), atol=1e-4)
        part = np.random.default_rng(0).permutation(np.arange(6) % 5)
        lost = [
            value - run(p, layer, acts[part != part[i]].mean(0) - other.mean(0))[0]
            for i, (p, (value, _)) in enumerate(zip(positive, own, strict=True))
        ]
        assert found.arrays["effect"][0, layer] == pytest.approx(np.mean(lost), rel=1e-3, abs=1e-4)


def test_presence_is_where_an_input_and_its_tokens_stand_between_the_two_means(llama):
    """Recomputed from plain captures; a concept's own examples by vectors fitted without them."""
    positive, negative = prompts(llama, 6, 0, last=11), prompts(llama, 5, 1)
    new = prompts(llama, 3, 2, lengths=(2, 9))
    found = concepts({"ends in 11": positive}, negative, inputs=new, layers=[0, 2])
    pool = [*positive, *negative, *new]
    assert found.inputs == ["".join(p.tokens) for p in pool]
    assert found.arrays["member"].tolist() == [[1] * 6 + [-1] * 5 + [0] * 3]

    def run(prompt, layer):
        return llama.capture(prompt, f"resid_post.{layer}", "none")[f"resid_post.{layer}"].double()

    for i, layer in enumerate((0, 2)):
        acts = {p: run(p, layer).numpy() for p in pool}
        own, other = (np.stack([acts[p][-1] for p in side]) for side in (positive, negative))
        vector = own.mean(0) - other.mean(0)
        middle, half = (own.mean(0) + other.mean(0)) / 2, vector / 2
        place = lambda x, m=middle, v=vector, h=half: (x - m) @ v / (h @ v)  # noqa: E731
        presence = found.numpy("presence")[0, i]
        np.testing.assert_allclose(presence[11:], [place(acts[p][-1]) for p in new], atol=1e-4)
        for n, prompt in enumerate(pool):
            tokens, where = found.input_tokens(n)
            assert tokens == list(prompt.tokens)
            expected = [place(x) for x in acts[prompt]]
            got = found.numpy("token_presence")[0, i, where]
            np.testing.assert_allclose(got, expected, atol=1e-3)
        held = cav.held_out_projections(own, other, scaled=True)
        np.testing.assert_allclose(presence[:11], np.concatenate(held), atol=1e-4)
        norms = [np.linalg.norm(acts[p][-1]) for p in pool]
        assert found.arrays["norm"][i] == pytest.approx(np.mean(norms), rel=1e-5)
    frame = found.input_frame(0)
    assert list(frame["role"]) == ["with"] * 6 + ["without"] * 5 + [""] * 3


def test_several_targets_give_what_each_gives_alone(llama):
    positive, negative = prompts(llama, 6, 0, last=11), prompts(llama, 5, 1)
    given = {"ends in 11": positive, "not": negative}
    aims = {"five": 5, "difference": (5, 9), "own": "logit_difference"}
    together = concepts(given, targets=aims, layers=[1, 2], runs=4)
    assert together.targets == list(aims)
    for name, aim in aims.items():
        alone = concepts(given, target=aim, layers=[1, 2], runs=4)
        part = together.of_target(name)
        for array in ("effect", "low", "high", "score", "score_null", "linear_effect", "p"):
            np.testing.assert_allclose(part.numpy(array), alone.numpy(array), rtol=1e-4, atol=1e-5)
        assert part.quantity == alone.quantity
        assert (part.numpy("p_corrected") >= alone.numpy("p_corrected") - 1e-6).all()
    frame = together.frame()
    assert len(frame) == 3 * 2 * 2
    assert together.numpy("effect").tolist() == together.of_target(0).numpy("effect").tolist()
    with pytest.raises(KeyError, match="five, difference, own"):
        together.of_target("six")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": 5, "targets": [5]}, "not both"),
        ({"targets": []}, "empty"),
        ({"targets": "logit_difference"}, "targets must be"),
    ],
)
def test_targets_that_cannot_be_say_why(llama, options, reason):
    some = prompts(llama, 5, 0)
    with pytest.raises((ValueError, TypeError), match=reason):
        concepts({"a": some}, prompts(llama, 5, 1), **options)


def test_what_is_selected_picks_layer_and_concept(llama):
    given = {"a": prompts(llama, 5, 0, last=11), "b": prompts(llama, 5, 1)}
    found = concepts(given)
    at = found.at({"layer": 2, "node": "b", "head": 1})
    assert at[["concept", "layer"]].values.tolist() == [["b", "2"]]
    assert len(found.at({"layer": 1})) == 2
    assert len(found.at({"node": "nobody"})) == 0
    assert len(found.at({"token": 3})) == 0


@pytest.mark.parametrize("site", ["resid_mid", "z", "q", "mlp_post", "embed"])
def test_gradients_at_any_site_predict_small_changes(llama, site):
    from interp_widgets.methods.concept_site import ConceptSite, target_of

    where = ConceptSite(llama, site, None if site == "embed" else [0, 2], -2)
    some = prompts(llama, 3, 4)
    target, _ = target_of(llama, [7, 8])
    gradients, values = where.gradients(some, target)
    acts = where.activations(some)
    assert gradients.shape == acts.shape
    np.testing.assert_allclose(values, where.values(some, target), rtol=1e-4, atol=1e-4)
    rng = np.random.default_rng(0)
    for layer in range(len(where.places)):
        change = rng.normal(size=acts[layer].shape) * 1e-2 * np.abs(acts[layer]).mean()
        moved = [where.without(some, target, layer, sign * change) for sign in (-1, 1)]
        expected = (gradients[layer] * change).sum(-1)
        np.testing.assert_allclose(
            (moved[0] - moved[1]) / 2, expected, atol=0.03 * np.abs(expected).max()
        )


def test_the_mean_over_positions_leaves_padding_out(llama):
    from interp_widgets.methods.concept_site import ConceptSite

    some = prompts(llama, 4, 5, lengths=(3, 9))
    assert len({len(p) for p in some}) > 1
    where = ConceptSite(llama, "resid_post", [1], "mean")
    together = where.activations(some)[0]
    for prompt, row in zip(some, together, strict=True):
        alone = llama.capture(prompt, "resid_post.1")["resid_post.1"].mean(0)
        np.testing.assert_allclose(row, alone.numpy(), atol=1e-4)


def test_labels_make_each_name_a_concept(llama):
    some = (
        prompts(llama, 6, 0, last=11)
        + prompts(llama, 6, 1, last=12)
        + prompts(llama, 6, 2, last=13)
    )
    labels = ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    found = concepts(some, labels=labels, site="embed", filter="logistic")
    assert found.concepts == ["a", "b", "c"]
    assert found.meta["probe"]["n_positive"] == {"a": 6, "b": 6, "c": 6}
    assert found.layers == ["embed"]
    assert (found.arrays["accuracy"] == 1).all()  # the last token's own embedding
    assert found.score_name == "held-out accuracy"
    same = concepts({"a": some[:6], "rest": some[6:]}, site="embed", filter="logistic")
    np.testing.assert_allclose(found.vector("a", 0), same.vector("a", 0), atol=1e-5)


def planted_arrays(seed=0, n=60, d=20, gap=1.5):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=d)
    axis /= np.linalg.norm(axis)
    scale = np.linspace(0.5, 3, d)
    negative = rng.normal(size=(n, d)) * scale
    positive = rng.normal(size=(n, d)) * scale + gap * axis
    nothing = rng.normal(size=(n, d)) * scale
    return positive, nothing, negative, axis


def test_arrays_of_any_origin_are_told_apart_without_a_model(tmp_path):
    positive, nothing, negative, axis = planted_arrays(gap=6)
    found = concepts({"real": positive, "nothing": nothing}, torch.tensor(negative))
    assert found.flag(0, 0) == "relevant"
    assert found.flag(1, 0) == "not significant"
    assert found.vector("real", 0) @ axis > 0.9
    assert found.arrays["low"][0, 0] > 1
    assert found.session is None
    again = load(found.save(tmp_path / "c"))
    assert again.frame().equals(found.frame())
    layered = concepts(
        {"x": np.stack([positive, nothing], 1)}, np.stack([negative] * 2, 1), layers=[3, 9]
    )
    assert layered.layers == ["3", "9"]
    assert layered.arrays["accuracy"][0, 0] > layered.arrays["accuracy"][0, 1]


@pytest.mark.parametrize("filter", cav.FILTERS)
def test_every_filter_points_towards_the_concept(filter):  # noqa: A002
    positive, nothing, negative, axis = planted_arrays(gap=6)
    vector = cav.direction(positive, negative, filter)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert vector @ axis > 0.5
    own, other = cav.held_out_projections(positive, negative, filter)
    assert cav.balanced_accuracy(own, other) > 0.8
    chance = cav.balanced_accuracy(*cav.held_out_projections(nothing, negative, filter))
    assert abs(chance - 0.5) < 0.2
    wide = cav.direction(positive[:6], negative[:6], filter)  # more dimensions than examples
    assert np.isfinite(wide).all()


def test_ridge_is_the_same_in_both_spaces():
    positive, _, negative, _ = planted_arrays(n=20, d=40)
    wide = cav._ridge(positive, negative)
    pad = cav._stack(positive, negative)[0]
    x = pad - pad.mean(0)
    y = np.r_[np.ones(20), -np.ones(20)] / np.sqrt(40)
    x = x / np.sqrt(40)
    penalty = 0.01 * (x**2).sum() / 40
    np.testing.assert_allclose(wide, np.linalg.solve(x.T @ x + penalty * np.eye(40), x.T @ y))


def test_corrections_are_those_of_the_textbook():
    p = np.array([[0.01, 0.04], [np.nan, 0.03]])
    np.testing.assert_allclose(tcav.correct(p, "bonferroni"), [[0.03, 0.12], [np.nan, 0.09]])
    np.testing.assert_allclose(tcav.correct(p, "holm"), [[0.03, 0.06], [np.nan, 0.06]])
    with pytest.raises(ValueError, match="holm"):
        tcav.correct(p, "none")


def test_the_welch_test_is_scipys():
    a, b = np.random.default_rng(0).normal(size=(2, 12)) * [[1], [3]] + [[0], [1]]
    b = b[:7]
    assert tcav.welch_p(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    wanted = stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
    assert tcav.welch_p(a, b, greater=True) == pytest.approx(wanted)
    assert tcav.welch_p(np.ones(3), np.ones(4)) == 1
    assert tcav.welch_p(np.ones(3), np.zeros(4)) == 0


def test_a_bootstrap_interval_is_near_the_normal_one():
    sample = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = tcav.bootstrap((sample,), np.mean)
    expected = stats.norm.interval(0.95, sample.mean(), sample.std() / 20)
    np.testing.assert_allclose([low, high], expected, atol=0.05)


def test_a_concept_of_nothing_is_significant_as_often_as_it_should():
    """With real gradients and random examples, 5 % of tests are below 0.05; the sign count's are not."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(80, 10)) + 0.5
    tests = [
        tcav.tcav_test(*rng.normal(size=(2, 40, 10)), gradients, runs=20, seed=seed)
        for seed in range(200)
    ]
    share = np.mean([test.p < 0.05 for test in tests])
    assert 0.01 < share < 0.1
    assert np.mean([test.p_sign < 0.05 for test in tests]) > 2 * share
    positive, negative = rng.normal(size=(2, 40, 10))
    real = tcav.tcav_test(positive + 2, negative, gradients)
    assert real.p < 1e-6
    assert real.scores.mean() > 0.9
    assert tcav.tcav_score(np.zeros((3, 10)), np.ones(10)) == 0.5


def test_bad_input_is_named(llama):
    positive, negative = prompts(llama, 6, 0), prompts(llama, 6, 1)
    with pytest.raises(ValueError, match="2 examples with the concept"):
        concepts({"few": positive[:2]}, negative)
    with pytest.raises(ValueError, match="negative="):
        concepts(positive)
    with pytest.raises(ValueError, match="label for each"):
        concepts(positive, labels=["a"])
    with pytest.raises(ValueError, match="negative names b"):
        concepts({"a": positive}, {"b": negative})
    with pytest.raises(ValueError, match="needs the model"):
        concepts({"a": np.ones((6, 3))}, np.zeros((6, 3)), target=(1, 0))
    with pytest.raises(ValueError, match="same layers and width"):
        concepts({"a": np.ones((6, 3))}, np.zeros((6, 4)))
    with pytest.raises(ValueError, match="not finite"):
        concepts({"a": np.full((6, 3), np.nan)}, np.zeros((6, 3)))
    with pytest.raises(ValueError, match="either prompts or arrays"):
        concepts({"a": positive}, np.zeros((6, 3)))
    with pytest.raises(ValueError, match="same activations"):
        concepts({"a": np.ones((6, 3))}, np.ones((6, 3)))
    with pytest.raises(SiteError, match="no layer 7"):
        concepts({"a": positive}, negative, layers=7)
    with pytest.raises(IndexError, match="no position 50"):
        concepts({"a": positive}, negative, position=50)
    with pytest.raises(ValueError, match="no output 999"):
        concepts({"a": positive}, negative, target=999)


def test_a_result_is_made_again_with_the_interventions_of_now(llama):
    positive, negative = prompts(llama, 6, 0, last=11), prompts(llama, 5, 1)
    found = concepts({"x": positive}, negative, layers=[2], target=5, runs=4)
    np.testing.assert_allclose(found.rerun().arrays["effect"], found.arrays["effect"], atol=1e-6)
    llama.ablate("mlp_out", layer=1)
    try:
        assert not np.allclose(found.rerun().arrays["effect"], found.arrays["effect"], atol=1e-3)
    finally:
        llama.reset()
