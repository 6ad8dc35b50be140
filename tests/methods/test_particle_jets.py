"""Jets, observables and corruptions, against brute force and known shapes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from interp_widgets.methods import particle
from interp_widgets.methods.particle import kinematics
from interp_widgets.methods.particle.heads import Heads
from tests.methods.particle_models import jets, tagger


def three_prongs(z, places):
    """A jet of particles with these shares of pT at these (y, φ)."""
    t, at = torch.tensor(z, dtype=torch.float64), torch.tensor(places, dtype=torch.float64)
    return kinematics.momenta(t * 500, at[:, 0], at[:, 1])[None]


def by_hand(jet, beta=1.0):
    """Correlators of one jet with loops over particles, from their definition."""
    p = jet[0][kinematics.real(jet)[0]]
    t, y, f = kinematics.pt(p), kinematics.rapidity(p), kinematics.phi(p)
    z, n = t / t.sum(), len(p)

    def far(i, j):
        across = (float(f[i] - f[j]) + np.pi) % (2 * np.pi) - np.pi
        return float(np.hypot(float(y[i] - y[j]), across)) ** beta

    def over(size, how):
        total = 0.0
        for some in itertools.combinations(range(n), size):
            lengths = sorted(far(i, j) for i, j in itertools.combinations(some, 2))
            total += float(torch.prod(z[list(some)])) * how(lengths)
        return total

    return {
        "e2": over(2, np.prod),
        "e3": over(3, np.prod),
        "1e3": over(3, lambda d: d[0]),
        "2e3": over(3, lambda d: d[0] * d[1]),
        "e4": over(4, np.prod),
        "2e4": over(4, lambda d: d[0] * d[1]),
    }


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_correlators_are_their_definition(beta):
    three = three_prongs([0.5, 0.3, 0.2], [[0.1, 0.0], [-0.2, 0.1], [0.0, 3.1]])
    some = particle.toy_jets(1, particles=(5, 7), seed=3)[0].double()
    for jet in (three, *some.split(1)):
        found = particle.correlators(jet, beta)
        for name, expected in by_hand(jet, beta).items():
            assert float(found[name][0]) == pytest.approx(expected, rel=1e-9, abs=1e-15), name
    z, d = [0.5, 0.3, 0.2], kinematics.distances(three)[0]
    e3 = z[0] * z[1] * z[2] * float(d[0, 1] * d[0, 2] * d[1, 2]) ** beta
    assert float(particle.correlators(three, beta)["e3"][0]) == pytest.approx(e3)


def test_energy_flow_polynomials_hold_the_correlators():
    some = jets()[0][:9]
    known = particle.correlators(some)
    assert torch.allclose(particle.efp(some, [(0, 1)]), 2 * known["e2"])
    triangle = particle.efp(some, [(0, 1), (1, 2), (2, 0)])
    assert torch.allclose(triangle, 6 * known["e3"])
    # a product of two graphs is the product of their values (arXiv:1712.07124, eq. 2.13)
    both = particle.efp(some, [(0, 1), (2, 3)])
    assert torch.allclose(both, particle.efp(some, [(0, 1)]) ** 2)
    with pytest.raises(ValueError, match="different vertices"):
        particle.efp(some, [(1, 1)])


def test_subjettiness_counts_prongs():
    g = torch.Generator().manual_seed(0)
    spot = 0.3 * torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]], dtype=torch.float64)
    at = spot.repeat(5, 1) + 0.01 * torch.randn(15, 2, generator=g, dtype=torch.float64)
    jet = kinematics.momenta(torch.rand(15, generator=g).double() + 0.5, at[:, 0], at[:, 1])[None]
    tau = [float(particle.subjettiness(jet, n)[0]) for n in (1, 2, 3, 4)]
    assert tau[0] > tau[1] > tau[2] >= tau[3]
    assert tau[2] / tau[1] < 0.15 < tau[1] / tau[0]
    assert float(particle.subjettiness(jet[:, :3], 3)[0]) == pytest.approx(0, abs=1e-9)
    # no axes among many random ones are better than those found
    spots = 0.3 * torch.randn(4000, 3, 2, generator=g, dtype=torch.float64)
    place = torch.stack(kinematics.around_axis(jet), -1)[0]
    near = (place[:, None, None] - spots).norm(dim=-1).amin(-1)
    z = kinematics.pt(jet)[0] / kinematics.pt(jet)[0].sum()
    assert tau[2] <= float((z[:, None] * near).sum(0).min()) + 1e-9


def test_observables_tell_the_two_kinds_apart_and_padding_does_not_matter():
    some, labels = particle.toy_jets(150, particles=(10, 14), seed=5)
    table = particle.observables(some)
    assert list(table) == [*particle.observables(some[:1])]
    wider = torch.nn.functional.pad(some, (0, 0, 0, 5))
    assert np.allclose(table, particle.observables(wider), rtol=1e-9)
    assert roc_auc_score(labels, -table["tau21"]) > 0.85
    assert roc_auc_score(labels, -table["N2"]) > 0.85
    assert roc_auc_score(labels, table["log e2"]) < 0.75  # the width alone says little
    assert set(table["particles"]) == {10, 11, 12, 13, 14}
    whole = some.sum(1).double()
    mass2 = whole[:, 3] ** 2 - (whole[:, :3] ** 2).sum(1)
    assert np.allclose(table["mass"], mass2.sqrt(), rtol=1e-4)
    with pytest.raises(ValueError, match="no observable 'tau9'"):
        particle.observables(some, ["tau9"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(3, 5, 3), r"\[jet, particle, 4\]"),
        (torch.full((2, 5, 4), torch.nan), "NaN"),
        (torch.zeros(2, 5, 4), "no particle"),
    ],
)
def test_what_is_no_jet_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        particle.observables(wrong)


def test_corrupted_jets_are_still_jets():
    some, labels = particle.toy_jets(80, particles=(9, 12), seed=7)
    top, qcd = some[labels == 1], some[labels == 0]
    turned = particle.corrupt(top, "phi_scramble", seed=2)
    assert torch.allclose(
        kinematics.pt(turned), kinematics.pt(top).sort(1, descending=True).values, atol=1e-3
    )
    assert torch.allclose(
        kinematics.mass(turned).float(), torch.zeros_like(turned[..., 0]), atol=0.1
    )
    assert torch.equal(kinematics.real(turned), kinematics.real(top))

    def radius(x):
        across, around = kinematics.around_axis(x)
        return (across**2 + around**2).sqrt().sum(1) / kinematics.real(x).sum(1)

    moved = kinematics.pt(turned.sum(1)) / kinematics.pt(top.sum(1))
    assert (moved - 1).abs().max() < 0.05
    assert (radius(turned) / radius(top) - 1).abs().mean() < 0.05
    assert not torch.allclose(turned, top, atol=1.0)
    again = particle.corrupt(top, "phi_scramble", seed=2)
    assert torch.equal(turned, again)

    swapped = particle.corrupt(top, "matched_swap", reference=qcd)
    assert torch.equal(kinematics.real(swapped), kinematics.real(top))
    nearest = (kinematics.pt(swapped.sum(1)) - kinematics.pt(top.sum(1))).abs()
    for i in (0, 11, 40):
        same = kinematics.real(qcd).sum(1) == kinematics.real(top[i]).sum()
        best = (kinematics.pt(qcd[same].sum(1)) - kinematics.pt(top[i].sum(0))).abs().min()
        assert float(nearest[i]) == pytest.approx(float(best), abs=1e-3)
    with pytest.raises(ValueError, match="reference"):
        particle.corrupt(top, "matched_swap")
    few = qcd[kinematics.real(qcd).sum(1) < 12]
    with pytest.raises(ValueError, match="has 12 particles"):
        particle.corrupt(top, "matched_swap", reference=few)
    with pytest.warns(UserWarning, match="manifold"):
        particle.corrupt(top, "noise")


def test_a_scramble_takes_the_signal_to_the_background():
    """Required: within 0.1 of chance against background; without the scramble 0.97."""
    some, labels = jets()
    session = tagger()
    heads = Heads(session, some)
    top, scores = some[labels == 1], heads.scores(some)
    kinds = [1] * len(top) + [0] * len(top)
    assert roc_auc_score(labels, scores) > 0.94
    background = scores[labels == 0]
    for how in ("phi_scramble", "matched_swap"):
        changed = particle.corrupt(top, how, reference=some[labels == 0])
        auc = roc_auc_score(kinds, torch.cat([heads.scores(changed), background]))
        assert abs(auc - 0.5) < 0.1, (how, auc)
