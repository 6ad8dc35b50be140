"""What a tagger's residual stream says, and when the tagger decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

import interp_widgets as iw
from interp_widgets.methods import particle
from interp_widgets.methods.particle import kinematics, ridge
from interp_widgets.methods.particle.heads import Heads
from interp_widgets.methods.particle.probes import representations
from tests.methods.particle_models import jets, random_model, tagger


def test_ridge_is_ridge_and_chooses_its_penalty():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 7)) * [1, 2, 3, 4, 5, 6, 7] + 2
    y = np.column_stack([x @ rng.normal(size=7), rng.normal(size=90)])
    found = ridge.fit(x, y)
    assert found.alpha[0] < 0.01 < 1 <= found.alpha[1]  # noise wants a large penalty
    z = (x - x.mean(0)) / x.std(0)
    for target in (0, 1):
        theirs = Ridge(alpha=found.alpha[target] * len(x)).fit(z, y[:, target])
        assert np.allclose(found.predict(x)[:, target], theirs.predict(z), atol=1e-8)


def test_residuals_hold_nothing_of_what_was_regressed_out():
    rng = np.random.default_rng(1)
    known = rng.normal(size=(200, 2))
    hidden = rng.normal(size=200)
    y = hidden + 3 * known[:, 0] - known[:, 1] ** 2 + known[:, 0] * known[:, 1]
    train = np.arange(200) < 150
    left = ridge.Residual(known, train).of(y)
    assert np.corrcoef(left[~train], hidden[~train])[0, 1] > 0.98
    assert abs(np.corrcoef(y, hidden)[0, 1]) < 0.6


def test_principal_angles():
    a = np.eye(5)[:2]
    turned = np.stack([np.eye(5)[0], np.cos(0.3) * np.eye(5)[1] + np.sin(0.3) * np.eye(5)[4]])
    assert np.allclose(ridge.principal_angles(a, turned), [0, np.degrees(0.3)], atol=1e-6)


def test_representations_are_means_over_real_particles_and_class_tokens():
    model = random_model()
    some = particle.toy_jets(4, particles=(5, 8), seed=3)[0]
    found = representations(Heads(iw.Session(model), some), some)
    assert list(found) == ["embed", "0", "1", "2 class", "3 class"]
    kept = {}
    handles = [
        module.register_forward_hook(lambda _m, _a, out, name=name: kept.update({name: out}))
        for name, module in (("1", model.blocks[1]), ("3 class", model.cls_blocks[1]))
    ]
    with torch.no_grad():
        model(some)
    for handle in handles:
        handle.remove()
    one = kept["1"][0][kinematics.real(some)[0]].mean(0)
    assert np.allclose(found["1"][0], one, atol=1e-5)
    assert np.allclose(found["3 class"], kept["3 class"][:, 0], atol=1e-6)


@pytest.fixture(scope="module")
def probed():
    return particle.probes(tagger(), jets(1000)[0], resamples=40)


def value(result, quantity, observable, layer):
    at = [result.labels(d).index(x) for d, x in
          zip(result.dims, (quantity, observable, layer), strict=True)]  # fmt: skip
    return float(result.numpy("values")[tuple(at)])


def test_probes_read_observables(probed):
    """Required: log e2 at 0.95 or more; a probe of shuffled jets reads nothing."""
    layers = probed.labels("layer")
    best = max(value(probed, "R²", "log e2", layer) for layer in layers)
    assert best >= 0.95
    assert value(probed, "R²", "C2", "1") > value(probed, "R²", "C2", "embed") > 0.5
    for name in ("R²", "R² beyond mass, pT"):
        middle = value(probed, name, "C2", "1")
        assert value(probed, f"{name}, low", "C2", "1") <= middle
        assert middle <= value(probed, f"{name}, high", "C2", "1")
    assert value(probed, "R² beyond mass, pT", "log e2", "1") < value(probed, "R²", "log e2", "1")
    some = jets(1000)[0]
    x = representations(Heads(tagger(), some), some)["1"]
    shuffled = np.random.default_rng(0).permutation(len(x))
    y = particle.observables(some, ["C2"]).to_numpy()[shuffled]
    nothing = ridge.explained(y[1000:], ridge.fit(x[:1000], y[:1000]).predict(x[1000:]))
    assert abs(float(nothing[0])) < 0.05


def test_families_are_compared_at_equal_numbers(probed):
    """The study's two findings hold on the toy: correlators first, and two prongs before three."""
    table = particle.families(probed)
    assert set(table.groupby("comparison")["targets"].nunique()) == {1}
    for reading in ("R²", "R² beyond mass, pT"):
        for first, second in (
            ("energy correlators", "N-subjettiness"),
            ("2-prong", "3-prong"),
        ):
            rows = table[(table["reading"] == reading) & (table["layer"] == "2")]
            r2 = rows.set_index("family")["R²"]
            assert r2[first] > r2[second] + 0.05, (reading, first)
    given = particle.families(probed, {"a": ["C2"], "b": ["tau1", "tau2"]})
    assert set(given["targets"]) == {1}


def test_the_decision_is_there_before_the_lens_sees_it():
    some, labels = jets()
    result = particle.decision(tagger(), some, labels, resamples=40)
    auc, low, high = result.numpy("values")
    probe, lens, early = auc
    layers = result.labels("layer")
    assert layers == ["embed", "0", "1", "2", "3 class"]
    whole = roc_auc_score(labels, Heads(tagger(), some).scores(some))
    assert lens[-1] == pytest.approx(whole, abs=0.03)  # the last lens is the model itself
    assert early[3] == pytest.approx(lens[-1], abs=1e-6)  # so is the exit after the last block
    saturated = probe > 0.98 * probe[-1]
    assert saturated[layers.index("1")]
    assert lens[layers.index("0")] < probe[layers.index("0")] - 0.1
    assert np.isnan(early[-1])
    seen = np.isfinite(auc)
    assert (low[seen] <= auc[seen]).all()
    assert (auc[seen] <= high[seen]).all()
    assert len(result.meta["angles"]) == 4
    assert all(0 < angle <= 90 for angle in result.meta["angles"])


def test_a_jet_is_drawn_with_what_a_head_attends_to():
    session = tagger()
    some, labels = particle.toy_jets(10, particles=(8, 12), seed=4)
    one = some[labels == 1][:1]
    prompt = session.prompt(one)
    count = int(kinematics.real(one).sum())
    result = particle.jet(prompt, layer=1, head=3, threshold=0.1)
    pattern = session.capture(prompt, "pattern.1")["pattern.1"][3]
    links, weight = result.numpy("link"), result.numpy("link_weight")
    assert len(links) > 3
    assert weight.min() >= 0.1
    assert list(weight) == sorted(weight, reverse=True)
    for (i, j), w in zip(links, weight, strict=True):
        assert w == pytest.approx(float(max(pattern[i, j], pattern[j, i])), abs=1e-6)
    assert len(result.numpy("x")) == count
    kt = kinematics.pairs(one)["ln kT"][0]
    assert result.numpy("link_value")[0] == pytest.approx(float(kt[tuple(links[0])]), abs=1e-5)
    figure = result.figure()
    assert "Width of a line: attention" in figure.caption
    assert "r =" not in result.text()
    of_class = particle.jet(prompt, layer=3, head=0)
    assert of_class.names[-1] == "position class"
    assert (of_class.numpy("link")[:, 0] == count).all()
    with pytest.raises(ValueError, match=r"no head 4\.0"):
        particle.jet(prompt, layer=4)


def test_scores_and_their_curve():
    some, labels = jets(200)
    spectrum = particle.spectrum(tagger(), some, labels, bins=12)
    assert np.allclose(spectrum.numpy("values").sum(1), 1)
    curve = particle.roc(tagger(), some, labels)
    x, y = curve.numpy("x"), curve.numpy("y")
    area = np.trapezoid(y, x)
    exact = roc_auc_score(labels, Heads(tagger(), some).scores(some))
    assert area == pytest.approx(exact, abs=0.01)
    assert curve.figure().caption


def test_families_are_lines_with_bands(probed):
    figure = probed.figure(groups=particle.FAMILIES, venue="neurips")
    legend = figure.mpl.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "energy correlators (9)",
        "N-subjettiness (7)",
    ]
    drawn = figure.mpl.axes[0].get_lines()[0].get_ydata()
    values = probed.numpy("values")[0]
    at = [probed.labels("observable").index(x) for x in particle.FAMILIES["energy correlators"]]
    assert np.allclose(drawn, values[at].mean(0))
    assert "bands: their range" in figure.caption
    with pytest.raises(ValueError, match="cannot be told apart"):
        probed.figure(draw="lines")


def test_the_view_of_a_jet_gets_lines_and_sizes_and_survives_saving(tmp_path):
    session = tagger()
    result = particle.jet(session.prompt(jets(20)[0][:1]), layer=0, head=0)
    again = iw.load(result.save(tmp_path / "jet"))
    view = again.view()
    points = view.first()["points"]
    assert {"size", "link", "link_weight", "link_value"} <= set(points)
    assert view.describe()["map"]
    assert view.describe()["links"]["value"] == "ln kT"
    assert points["outliers"] == []
    view.close()
