"""Claims about models: sealed, refuted or standing, replayed; two planted models told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.claims import statistics
from interp_widgets.methods.claims.falsify import blank
from interp_widgets.methods.claims.readings import Runner
from interp_widgets.results.base import Result
from interp_widgets.results.claims import ClaimsResult
from tests.methods.conftest import IDS, open_session
from tests.planted import C, prompts, train

PLANTED = "C is not read"


@pytest.fixture(scope="module")
def planted():
    """Two models of equal accuracy, a sibling of the second, checkpoints of the first."""
    torch.set_num_threads(1)
    first, kept = train(shortcut=True, steps=60, keep=(0, 10, 20, 30, 60))
    second, _ = train(shortcut=False, steps=110)
    sibling, _ = train(shortcut=False, steps=100, seed=1)
    made = {
        "S1": iw.Session(first, name="S1"),
        "S2": iw.Session(second, name="S2"),
        "sibling": iw.Session(sibling, name="S2, other seed"),
    }
    return {**made, "kept": kept}


def claim_on(session, count=160, **options):
    """The planted claim: blocking attention to C changes the accuracy by less than 0.05."""
    data = prompts(session, count, 5, shortcut=True)
    seen, sealed = iw.claims.split(data, name="sequences with the shortcut")
    shifted = iw.claims.seal(prompts(session, 200, 6, shortcut=False), name="without the shortcut")
    prediction = iw.claims.Prediction(
        "accuracy", "stays", 0.05, on=sealed, shifted=shifted, cause=False
    )
    return iw.claims.register(
        session,
        PLANTED,
        iw.claims.TokenRead(C),
        prediction,
        seen,
        kind="predict",
        rivals=("position", "frequency", f"token:{C}"),
        **options,
    )


@pytest.fixture(scope="module")
def claims(planted):
    """The same claim about both, tested."""
    found = {name: claim_on(planted[name]) for name in ("S1", "S2")}
    found["S1"].test()
    found["S2"].test(sibling=planted["sibling"])
    return found


def test_two_models_that_tie_on_accuracy_are_told_apart_by_mechanism(claims):
    first, second = (claims[name].result for name in ("S1", "S2"))
    for result in (first, second):
        assert result.cards[0]["snapshot"]["accuracy"] >= 0.98
    assert second.status == "stands"
    assert set(second.lamps().values()) == {"passed"}
    assert first.status == "refuted"
    moved = first.row("intervention")
    assert moved["passed"] is False
    assert moved["value"] >= 0.3
    assert abs(second.row("intervention")["value"]) < 0.05
    assert first.row("rivals")["passed"] is False
    assert "token:7" in first.row("rivals")["reading"]
    assert second.row("rivals")["low"] > 0


def test_the_mechanism_foretells_failures_where_confidence_is_blind(claims):
    first, second = (claims[name].result for name in ("S1", "S2"))
    for result, most in ((first, 0.6), (second, 0.05)):
        observed = result.row("share of failures")
        assert observed["passed"]
        assert abs(result.array("forecast").mean() - observed["value"]) <= 0.1
        assert observed["value"] <= most
    assert first.row("share of failures")["value"] >= 0.3
    failed = first.array("failed")
    own = ((first.array("forecast") - failed) ** 2).mean()
    confidence = ((first.array("confidence") - failed) ** 2).mean()
    assert own <= confidence - 0.05
    assert first.row("Brier score")["low"] > 0
    assert second.row("Brier score")["passed"] is None  # nothing fails: nothing to compare
    table = first.calibration()
    assert table["inputs"].sum() == 200
    assert abs((table["observed"] * table["inputs"]).sum() - failed.sum()) < 1e-9


def test_a_reinitialised_model_and_shuffled_answers_show_nothing(claims, planted):
    for claim in claims.values():
        for name in ("re-initialised model", "shuffled answers"):
            assert claim.result.row(name)["passed"]
    with (
        blank(planted["S2"], 0) as noise,
        pytest.raises(iw.claims.ClaimError, match="does not do what the claim is about"),
    ):
        claim_on(noise)


def test_the_sibling_of_another_seed_replicates(claims):
    assert claims["S2"].result.row("sibling model")["passed"]
    assert claims["S1"].result.row("sibling model")["passed"] is None


def test_a_replay_gives_the_same_numbers_also_from_its_record(claims, planted):
    again = iw.claims.Claim.from_json(planted["S1"], claims["S1"].to_json())
    assert again.hash == claims["S1"].hash
    replay = again.replay()
    assert replay.same
    assert replay.difference <= 1e-6
    assert {row["name"] for row in replay.rows} >= {"intervention", "forecast", "null"}
    assert [e["what"] for e in again.timeline][-1] == "replayed"


def test_every_run_is_in_the_audit_log(claims):
    log = claims["S1"].result.cards[0]["log"]
    assert len(log) >= 60  # 20 random mechanisms by 3 seeds, and the rest
    assert all(entry["inputs"] and entry["n"] for entry in log)
    assert {entry["what"] for entry in log} >= {"unchanged", "ablate", "resample", "flip"}


def test_the_card_of_both_shows_the_failed_one_too(claims, planted):
    card = iw.claims.card(planted["S1"], planted["S2"])
    assert [row["status"] for row in card.cards if row["statement"] == PLANTED][:2] == [
        "refuted",
        "stands",
    ]
    report = card.report()
    assert (report["accuracy"] >= 0.98).all()
    assert list(report["falsifiable"]) == ["failed", "passed"]
    assert "score" not in report.columns  # no single score
    assert "refuted" in card.text()


def test_a_tested_claim_cannot_be_changed_and_its_revision_needs_fresh_inputs(claims, planted):
    claim = claims["S1"]
    for name in ("statement", "prediction", "hash", "result"):
        with pytest.raises(iw.claims.ClaimLockedError):
            setattr(claim, name, None)
    with pytest.raises(iw.claims.ClaimLockedError, match="revise"):
        claim.change(min_size=0.9)
    with pytest.raises(iw.claims.ClaimLockedError, match="second try"):
        claim.test()
    with pytest.raises(iw.claims.SealedError, match="seal fresh"):
        claim.revise(min_size=0.9)
    fresh, wide = (
        iw.claims.seal(prompts(planted["S1"], 60, seed, shortcut=sc))
        for seed, sc in ((91, True), (92, False))
    )
    before = len(iw.claims.registered(planted["S1"]))
    new = claim.revise(
        "C is read", rivals=["position"], effect="drops", min_size=0.3, on=fresh, shifted=wide
    )
    assert new.record["revises"] == claim.hash
    assert claim.status == "refuted"
    assert len(iw.claims.registered(planted["S1"])) == before + 1
    assert claim.timeline[-1]["what"] == "revised"


def test_behaviour_and_mechanism_develop_at_different_times(claims, planted):
    def models():
        for step, weights in planted["kept"].items():
            model, _ = train(shortcut=True, steps=-1)
            model.load_state_dict(weights)
            yield step, model.eval()

    curve = iw.claims.development(claims["S1"], models(), n_random=5)
    accuracy, effect, random, hangs = curve.numpy("values")
    assert curve.labels("step") == ["0", "10", "20", "30", "60"]
    assert accuracy[0] < 0.7
    assert accuracy[-1] >= 0.98
    assert abs(effect[0]) < 0.2
    assert effect[-1] >= 0.3
    assert hangs[-1] - hangs[0] >= 0.3
    assert np.abs(random).max() < 0.1
    low = curve.numpy("low")
    assert (low[:2, -1] <= curve.numpy("values")[:2, -1]).all()


# The seal, and what is refused; on tiny random models.


@pytest.fixture
def ours():
    session = open_session("gpt2")
    rng = np.random.default_rng(3)
    data = [session.prompt(rng.integers(5, 60, 7).tolist(), answer=17, foil=8) for _ in range(24)]
    seen, sealed = iw.claims.split(data)
    return session, seen, sealed


def register(session, seen, sealed, mechanism=None, floor=0.0, **prediction):
    settings = {"metric": "logit_difference", "effect": "drops", "min_size": 0.1, "on": sealed}
    return iw.claims.register(
        session,
        "these heads write the answer",
        mechanism or iw.claims.Parts(["1.2"]),
        iw.claims.Prediction(**{**settings, **prediction}),
        seen,
        floor=floor,
    )


def test_sealed_inputs_cannot_be_read_before_registration(ours):
    session, seen, sealed = ours
    for read in (lambda: sealed[0], lambda: list(sealed), sealed.read, lambda: sealed.open("")):
        with pytest.raises(iw.claims.SealedError):
            read()
    assert len(sealed) == 12
    assert not any(str(t) in repr(sealed) for t in sealed._inputs[0].ids if t > 40)
    claim = register(session, seen, sealed)
    assert sealed.digest == claim.record["prediction"]["sealed"]["on"]["digest"]
    with pytest.raises(iw.claims.SealedError):
        sealed.read()
    with pytest.raises(iw.claims.SealedError, match="no claim with the hash"):
        sealed.open("0" * 64)
    assert json.loads(claim.to_json())["sealed"] == {}
    claim.test()
    assert len(list(sealed)) == 12
    with pytest.raises(iw.claims.SealedError, match="seal fresh"):
        register(session, seen, sealed)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"min_size": None}, "vague"),
        ({"min_size": 0.0}, "vague"),
        ({"min_size": float("nan")}, "vague"),
        ({"effect": None}, "vague"),
        ({"on": None}, "sealed inputs that decide"),
        ({"metric": "acuracy"}, "metric is one of"),
        ({"metric": "accuracy", "min_size": 1.5}, "between 0 and 1"),
        ({"sufficient": (1.2, 0.8)}, "interval"),
    ],
)
def test_a_vague_claim_is_refused(ours, wrong, told):
    session, seen, sealed = ours
    before = len(iw.claims.registered(session))
    with pytest.raises(iw.claims.ClaimError, match=told):
        register(session, seen, sealed, **wrong)
    assert len(iw.claims.registered(session)) == before
    assert not sealed.claims


def test_what_does_not_fit_is_refused_by_name(ours):
    session, seen, sealed = ours
    with pytest.raises(iw.claims.ClaimError, match=r"no head 9\.0"):
        register(session, seen, sealed, iw.claims.Parts(["9.0"]))
    with pytest.raises(iw.claims.ClaimError, match="names no part"):
        iw.claims.Parts(["head nine"])
    with pytest.raises(iw.claims.ClaimError, match="32 dimensions"):
        register(session, seen, sealed, iw.claims.Direction(np.ones(5), "resid_post.1"))
    with pytest.raises(iw.claims.ClaimError, match="norm 0"):
        iw.claims.Direction(np.zeros(32), "resid_post.1")
    with pytest.raises(iw.claims.ClaimError, match="among the seen"):
        register(session, seen, iw.claims.seal(list(seen)))
    with pytest.raises(iw.claims.ClaimError, match="has no answer"):
        iw.claims.seal([session.prompt(IDS)])
    with pytest.raises(iw.claims.ClaimError, match="rival"):
        iw.claims.register(
            session,
            "x",
            iw.claims.Parts(["0.1"]),
            iw.claims.Prediction("accuracy", "drops", 0.1, on=sealed),
            seen,
            rivals=(),
        )
    session.ablate("z", layer=0, head=0)
    with pytest.raises(iw.claims.ClaimError, match="model as it is"):
        register(session, seen, sealed)
    session.reset()
    with pytest.raises(iw.claims.ClaimError, match="20 or more"):
        register(session, seen, sealed).test(n_random=5)


def test_the_minimum_can_be_moved_before_the_test_and_every_version_stays_visible(ours):
    session, seen, sealed = ours
    claim = register(session, seen, sealed)
    first = claim.hash
    claim.change(min_size=0.4)
    assert claim.hash != first
    assert [(e["what"], e["hash"]) for e in claim.timeline] == [
        ("registered", first),
        ("changed", claim.hash),
    ]
    other = register(session, seen, sealed)
    other.test()  # opens the inputs of both
    assert claim.locked
    with pytest.raises(iw.claims.ClaimLockedError):
        claim.change(min_size=0.5)
    claim.test()  # registered in time, so it may still be tested


def test_a_record_that_was_edited_is_void(ours):
    session, seen, sealed = ours
    claim = register(session, seen, sealed)
    data = json.loads(claim.to_json())
    data["record"]["prediction"]["min_size"] = 0.0001
    with pytest.raises(iw.claims.ClaimError, match="changed after it was registered"):
        iw.claims.Claim.from_json(session, json.dumps(data), on=sealed)
    with pytest.raises(iw.claims.ClaimError, match="give its sealed inputs"):
        iw.claims.Claim.from_json(session, claim.to_json())
    with pytest.raises(iw.claims.ClaimError, match="hashes differ"):
        iw.claims.Claim.from_json(session, claim.to_json(), on=iw.claims.seal(list(seen)))
    again = iw.claims.Claim.from_json(session, claim.to_json(), on=sealed)
    assert again.hash == claim.hash
    assert again.status == "registered"


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen2", "gemma2"])
def test_parts_are_ablated_as_plain_hooks_do_and_random_ones_match(family):
    session = open_session(family)
    rng = np.random.default_rng(0)
    data = [session.prompt(rng.integers(5, 60, 6).tolist(), answer=17, foil=8) for _ in range(5)]
    inputs = iw.claims.Inputs(tuple(data))
    runner = Runner(session, inputs)
    plain = runner.plain(inputs)
    for names, edit in (
        (["1.2"], [iw.Ablate(site="z", layer=1, head=2)]),
        (["m1"], [iw.Ablate(site="mlp_out", layer=1)]),
        (["L2N7", "L2N9"], [iw.Ablate(site="mlp_post", layer=2, unit=[7, 9])]),
    ):
        found = runner.changed(inputs, iw.claims.Parts(names, "zero"), plain.choice)
        for i, prompt in enumerate(data):
            logits = session.run_with(prompt, edit)["logits"][-1]
            assert found.margin[i] == pytest.approx(float(logits[17] - logits[8]), abs=1e-4)
    mechanism = iw.claims.Parts(["1.2", "L2N7"])
    draws = mechanism.draw(runner, 20, seed=1)
    assert len(draws.mechanisms) == 20
    for drawn in draws.mechanisms:
        kinds = sorted(part.type for part in drawn.parts)
        assert kinds == ["head", "neuron"]
        assert not set(drawn.names) & set(mechanism.names)
    assert draws.mechanisms[0].names == mechanism.draw(runner, 20, seed=1).mechanisms[0].names


def test_a_blocked_token_is_not_attended_to_and_a_direction_is_gone():
    session = open_session("llama")
    prompt = session.prompt(IDS, answer=17, foil=8)
    inputs = iw.claims.Inputs((prompt,))
    runner = Runner(session, inputs)
    token, at = IDS[2], 2
    found = runner.changed(inputs, iw.claims.TokenRead(token))
    edits = [iw.Ablate(site="pattern", layer=i, unit=at) for i in range(3)]
    logits = session.run_with(prompt, edits)["logits"][-1]
    assert found.margin[0] == pytest.approx(float(logits[17] - logits[8]), abs=1e-4)
    vector = np.random.default_rng(0).standard_normal(40)
    direction = iw.claims.Direction(vector, "resid_post.1", name="noise")
    unit = torch.tensor(vector / np.linalg.norm(vector)).float()
    seen = session.capture(prompt, ["resid_post.1"])["resid_post.1"]
    assert (seen @ unit).abs().max() > 0.1
    drawn = direction.draw(runner, 20, 0)
    norms = [np.linalg.norm(m.vector) for m in drawn.mechanisms]
    np.testing.assert_allclose(norms, np.linalg.norm(vector), rtol=1e-9)
    assert len({m.vector for m in drawn.mechanisms}) == 20


def test_a_circuit_kept_whole_is_faithful_and_cut_whole_is_the_corrupted_run():
    session = open_session("gpt2")
    rng = np.random.default_rng(1)
    ids = [rng.integers(5, 60, 6).tolist() for _ in range(8)]
    clean = [session.prompt(i, answer=17, foil=8) for i in ids]
    corrupted = [session.prompt([*i[:2], 61 % 60, *i[3:]], answer=17, foil=8) for i in ids]
    inputs = iw.claims.Inputs(tuple(clean), tuple(corrupted))
    runner = Runner(session, inputs)
    whole = iw.claims.Edges.of(session, iw.circuits.Graph.from_session(session).real_edge_mask)
    plain, other = runner.plain(inputs), runner.plain(iw.claims.Inputs(tuple(corrupted)))
    np.testing.assert_allclose(runner.changed(inputs, whole).margin, other.margin, atol=1e-3)
    kept = runner.changed(inputs, whole, how="keep")
    np.testing.assert_allclose(kept.margin, plain.margin, atol=1e-3)
    effects, members = whole.effects(runner, inputs)
    assert effects.shape == (len(whole.names), 8)
    assert len(members) == len(whole.names)


def test_statistics_are_those_of_the_definitions():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    x = rng.standard_normal(400)
    y = (rng.random(400) < 1 / (1 + np.exp(-1.5 * x))).astype(float)
    assert statistics.auroc(x, y) == pytest.approx(roc_auc_score(y, x))
    theirs = LogisticRegression().fit(x[:, None], y).predict_proba(x[:, None])[:, 1]
    assert np.abs(statistics.Logistic(x, y)(x) - theirs).max() < 0.03
    assert statistics.p_random(1.0, np.zeros(19)) == pytest.approx(0.05)
    assert statistics.p_random(0.0, np.ones(19)) == 1.0
    line = statistics.Line(x, 2 * x + rng.standard_normal(400))
    assert line.slopes[0] / line.spread[0] == pytest.approx(2 / 1.05, abs=0.15)
    assert np.isnan(statistics.auroc(x, np.zeros(400)))


def test_a_card_is_saved_and_read_again(claims, tmp_path):
    path = claims["S1"].result.save(tmp_path / "card")
    again = Result.load(path)
    assert isinstance(again, ClaimsResult)
    assert again.status == "refuted"
    np.testing.assert_allclose(again.array("null"), claims["S1"].result.array("null"))
    assert again.live == ()
    with pytest.raises(KeyError, match="intervention"):
        again.row("nothing")


def test_a_fix_is_measured_with_its_side_effects_and_relapse(planted):
    """Blocking the shortcut mends inputs on which it misleads; the price is paid on the others."""
    session = planted["S1"]
    data = prompts(session, 500, 21, shortcut=False)
    runner = Runner(session, iw.claims.Inputs(tuple(data)))
    right = runner.plain(runner.seen).correct
    misled = [p for p, ok in zip(data, right, strict=True) if not ok and C in p.ids]
    fine = [p for p, ok in zip(data, right, strict=True) if ok and C in p.ids]
    third = len(misled) // 3
    parts = [misled[i * third : (i + 1) * third] for i in range(3)]
    claim = iw.claims.register(
        session,
        "blocking C mends what it misleads and leaves the rest",
        iw.claims.TokenRead(C),
        iw.claims.Prediction(
            "accuracy",
            "rises",
            0.5,
            on=iw.claims.seal(parts[1]),
            controls=iw.claims.seal(fine, name="inputs that were right"),
            side_effect=0.1,
            paraphrases=iw.claims.seal(parts[2]),
        ),
        parts[0],
        kind="fix",
    )
    result = claim.test()
    assert result.row("intervention")["value"] >= 0.5
    side = result.row("side effects")
    assert side["passed"] is False  # inputs that were right through C lose it
    assert side["value"] > 0.1
    assert "after" in side["reading"]
    assert result.row("relapse")["passed"]
    assert result.status == "refuted"


def test_right_for_the_wrong_reason_is_counted_among_right_outputs(planted):
    found = {}
    for name in ("S1", "S2"):
        session = planted[name]
        seen, sealed = iw.claims.split(prompts(session, 120, 31, shortcut=True))
        prediction = iw.claims.Prediction(
            "accuracy", "stays", 0.05, on=sealed, rate=(0.0, 0.1), cause=False
        )
        claim = iw.claims.register(
            session, PLANTED, iw.claims.TokenRead(C), prediction, seen, kind="detect"
        )
        result = claim.test()
        found[name] = result.row("right for the wrong reason")
        points = result.scatter()
        assert points["wrong_reason"].sum() == round(found[name]["value"] * points["correct"].sum())
    assert found["S1"]["low"] > 0.9  # every right answer hangs on the shortcut
    assert found["S1"]["passed"] is False
    assert found["S2"]["high"] < 0.1
    assert found["S2"]["passed"]
