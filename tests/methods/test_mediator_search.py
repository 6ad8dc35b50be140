"""The search for mediators: where the truth is planted, and where every candidate can be run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.methods.mediation import mediation, mediator_search
from interp_widgets.session.session import Session
from tests.methods.conftest import ANSWER, FOIL, open_session

WIDTH = 16


class Planted(nn.Module):
    """h = Q [u; noise]: the first layer, the identity, is where to intervene; an MLP reads u."""

    def __init__(self):
        super().__init__()
        self.h = nn.Identity()
        self.read = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, x):
        return self.read(self.h(x))


@pytest.fixture(scope="module")
def planted():
    """A trained network, its rotation, and pairs of inputs with random u."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q

    def draw(n):
        u = torch.randint(0, 2, (n,)) * 2 - 1
        rest = 2.0 * torch.randn(n, WIDTH - 1)  # a variance of 4
        return torch.cat([u[:, None].float(), rest], 1) @ rotation.T, (u > 0).long()

    model = Planted()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        x, y = draw(256)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    x, y = draw(1000)
    assert float((model(x).argmax(1) == y).float().mean()) > 0.98
    session = Session(model.eval())
    (x, y), (other, z) = draw(240), draw(240)
    clean = [session.prompt(h, answer=int(a), foil=int(1 - a)) for h, a in zip(x, y, strict=True)]
    corrupted = [session.prompt(h, answer=int(a)) for h, a in zip(other, z, strict=True)]
    yield session, clean, corrupted, rotation
    torch.set_num_threads(threads)


def test_das_finds_a_planted_rotated_variable_that_no_neuron_and_no_component_carries(planted):
    _, clean, corrupted, rotation = planted
    learned = mediator_search(clean, corrupted, "h", method="das", k=1, steps=300, rate=0.03)
    assert learned.accuracy[0] >= 0.98  # on pairs that were not learned from
    direction = learned.numpy("basis.0")[0]
    assert abs(float(direction @ rotation[:, 0].numpy())) > 0.95
    assert learned.meta["fitted_on"] == 168
    assert learned.pairs == 72
    neurons = [iw.mediators.Neurons(site="h", units=[i]) for i in range(WIDTH)]
    best = float(mediation(clean, corrupted, neurons).accuracy.max())
    assert best <= 0.75
    component = mediator_search(clean, corrupted, "h", method="pca", k=1)
    assert component.accuracy[0] <= 0.75
    mean = mediator_search(clean, corrupted, "h", method="difference")
    probe = mediator_search(clean, corrupted, "h", method="probe")
    assert mean.accuracy[0] > best
    assert probe.accuracy[0] > 0.9
    whole = mediation(clean, corrupted, "h")
    assert whole.accuracy[0] == 1.0


def test_a_report_says_that_the_learned_direction_verifies_the_hypothesis(planted):
    _, clean, corrupted, rotation = planted
    true = iw.mediators.Subspace(site="h", basis=rotation[:, 0], name="u")
    neuron = iw.mediators.Neurons(site="h", units=[0])
    held = (clean[120:], corrupted[120:])
    result = mediation(clean[:120], corrupted[:120], [true, neuron], held_out=held)
    report = result.report().set_index("mediator")
    assert report.loc["u", "IIA"] >= 0.98
    assert "verify a hypothesis" in report.loc["u", "goals"]
    assert "verify a hypothesis" not in report["goals"].iloc[1]
    assert result.comparison().numpy("y")[0] > result.comparison().numpy("y")[1]


def prompts_of(session, n=6, seed=0):
    rng = np.random.default_rng(seed)
    clean, corrupted = [], []
    for _ in range(n):
        ids = rng.integers(3, 61, 7).tolist()
        other = [*ids[:2], int(rng.integers(3, 61)), *ids[3:]]
        clean.append(session.prompt(ids, answer=ANSWER, foil=FOIL))
        corrupted.append(session.prompt(other))
    return clean, corrupted


def test_estimates_rank_as_exact_effects_do_and_better_with_steps():
    session = open_session("gpt2")
    clean, corrupted = prompts_of(session)
    exact = mediation(clean, corrupted, "heads")
    errors = []
    for steps in (0, 8):
        found = mediator_search(
            clean, corrupted, "heads", method="attribution", top=12, steps=steps
        )
        grid = found.candidates()
        assert grid.sizes == {"layer": 3, "head": 4}
        errors.append(float(np.abs(grid.numpy("values").reshape(-1) - exact.mean()).mean()))
        assert found.meta["search"] == "attribution"
        order = [exact.mediators.index(name) for name in found.mediators]
        np.testing.assert_allclose(found.mean(), exact.mean()[order], atol=1e-5)
        estimate = found.numpy("estimate").mean(1)
        assert (np.diff(np.abs(estimate)) <= 1e-9).all()
    patching = iw.patching(
        clean, corrupted, "z", method="attribution", direction="noise", normalise=False
    )
    zero = mediator_search(clean, corrupted, "heads", method="attribution", top=1)
    np.testing.assert_allclose(zero.candidates().numpy("values"), patching.values, atol=1e-5)
    assert errors[1] < errors[0]


def test_exhaustive_search_over_every_candidate_is_the_ranking():
    session = open_session("llama")
    clean, corrupted = prompts_of(session, 3)
    exact = mediation(clean, corrupted, "heads")
    found = mediator_search(clean, corrupted, "heads", method="exhaustive", top=4)
    assert found.mediators == [exact.mediators[i] for i in exact.ranked()[:4]]
    assert found.candidates().sizes == {"layer": 3, "head": 4}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_neurons_are_estimated_together_and_the_best_run(family):
    session = open_session(family)
    clean, corrupted = prompts_of(session, 4)
    found = mediator_search(clean, corrupted, "neurons", method="attribution", top=3)
    assert found.candidates().sizes == {"layer": 3, "neuron": 56}
    ranked = np.abs(found.candidates().numpy("values")).reshape(-1).argsort()[::-1][:3]
    assert found.mediators == [f"L{i // 56}N{i % 56}" for i in ranked]
    np.testing.assert_allclose(found.numpy("estimate").mean(1), found.mean(), atol=0.05)


def test_gates_open_for_what_carries_the_answer():
    session = open_session("gpt2")
    clean, corrupted = [], []
    for _ in range(6):
        own = session.prompt([3, 14, 15, 9, 26, 5, 35])
        other = session.prompt([3, 14, 41, 9, 52, 5, 30])
        tops = [int(session.capture(p, "logits")["logits"][-1].argmax()) for p in (own, other)]
        assert tops[0] != tops[1]
        clean.append(session.prompt(own.ids, answer=tops[0], foil=tops[1]))
        corrupted.append(session.prompt(other.ids, answer=tops[1]))
    candidates = ["resid_post.2@-1", "resid_post.0@1", "a0.h2@1", "m1@0"]
    found = mediator_search(
        clean, corrupted, candidates, method="mask", steps=60, price=1.0, held_back=0.34
    )
    assert found.mediators[:2] == ["all 1 chosen", "resid_post.2@-1"]
    assert found.numpy("score")[1] > 0.9
    assert found.numpy("score")[2:].max() < 0.5
    assert found.proportion[0] == pytest.approx(1, abs=1e-4)
    units = mediator_search(clean, corrupted, "neurons", method="mask", steps=5, top=3)
    assert units.candidates().sizes == {"layer": 3, "neuron": 56}
    back = mediator_search(
        clean, corrupted, candidates, method="mask", steps=60, direction="denoising"
    )
    assert back.mediators[1] == "resid_post.2@-1"


def test_features_of_a_dictionary_keep_its_error():
    session = open_session("gpt2")
    clean, corrupted = prompts_of(session, 3)
    generator = torch.Generator().manual_seed(0)
    encoder = torch.randn(20, 32, generator=generator)
    parts = {"encoder": encoder, "decoder": encoder / 32, "bias": torch.full((20,), -0.5)}
    found = mediator_search(clean, corrupted, "resid_post.1", method="sae", dictionary=parts, top=5)
    assert found.candidates().sizes == {"feature": 20}
    assert found.numpy("identity").max() < 1e-4
    assert found.meta["mediators"][0]["type"] == "feature"
    exact = mediation(
        clean,
        corrupted,
        [
            iw.mediators.Feature(
                site="resid_post", layer=1, encoder=row, decoder=row / 32, bias=-0.5
            )
            for row in encoder
        ],
    )
    estimates = found.candidates().numpy("values")
    assert np.corrcoef(estimates, exact.mean())[0, 1] > 0.9


def test_mistakes_of_a_search_are_explained():
    session = open_session("gpt2")
    clean, corrupted = prompts_of(session, 2)
    same = [session.prompt([3, 4, 5], answer=ANSWER)] * 3
    other = [session.prompt([3, 4, 6])] * 3
    cases = [
        ({"mediators": "neurons", "method": "das"}, "attribution"),
        ({"mediators": "resid_post", "method": "sae"}, "needs dictionary"),
        ({"mediators": "heads", "dictionary": {"encoder": torch.ones(1, 32)}}, "goes with"),
        ({"mediators": "resid_post", "method": "das", "k": 33}, "more than the 32"),
        ({"mediators": "resid_post", "method": "probe", "k": 2}, "one direction"),
        ({"mediators": "a0.h1->logits"}, "exhaustive"),
        ({"top": 0}, "at least one"),
        ({"held_back": 1.0}, "below 1"),
        ({"steps": -1}, "steps=-1"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            mediator_search(clean, corrupted, **options)
    with pytest.raises(ValueError, match="what becomes right"):
        mediator_search(same, other, "resid_post", method="das", metric="logit")


class TwoVariables(nn.Module):
    """Two hidden places: one carries u, the other v; the class is u."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(2, 4)
        self.right = nn.Linear(2, 4)
        torch.manual_seed(0)
        with torch.no_grad():
            self.left.weight[:, 1] = 0
            self.right.weight[:, 0] = 0
        self.scale = nn.Parameter(torch.linalg.pinv(self.left.weight)[0] * 4)
        self.other = nn.Parameter(torch.linalg.pinv(self.right.weight)[1] * 2)

    def forward(self, x):
        a = (self.left(x) - self.left.bias) @ self.scale
        b = (self.right(x) - self.right.bias) @ self.other
        return torch.stack([a, -a, b, -b], -1)


def test_variables_are_matched_with_their_places():
    session = Session(TwoVariables().eval())
    rng = np.random.default_rng(0)
    points = [torch.tensor(p, dtype=torch.float32) for p in rng.choice([-1.0, 1.0], (40, 2))]
    others = [torch.tensor(p, dtype=torch.float32) for p in rng.choice([-1.0, 1.0], (40, 2))]

    def prompts(inputs, axis, first):
        return [
            session.prompt(x, answer=first + int(x[axis] < 0), foil=first + int(x[axis] > 0))
            for x in inputs
        ]

    variables = {
        name: (prompts(points, axis, first), prompts(others, axis, first))
        for axis, (name, first) in enumerate((("u", 0), ("v", 2)))
    }
    found = iw.variable_alignment(variables, ["right", "left"], method="exhaustive")
    assert found.meta["assignment"] == {"u": "left", "v": "right"}
    assert found.sel(variable=0).tolist()[1] == 1.0
    assert found.sel(variable=0)[0] < 0.8
    with pytest.raises(ValueError, match="do not fit 1 places"):
        iw.variable_alignment(variables, ["right"], method="exhaustive")
