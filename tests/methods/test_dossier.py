"""The dossier of a planted backdoor is verified; one made of attention weights is not."""

from __future__ import annotations

import numpy as np
import pytest

import interp_widgets as iw
from interp_widgets.methods.dossier.splits import halves
from interp_widgets.results.dossier import DossierResult
from tests.backdoor import BENIGN, CLASS_TOKENS, LENGTH, TRIGGER, backdoor_session, sentences
from tests.methods.conftest import ANSWER, FOIL, open_session

SAID = {
    "threat": "Somebody who knows the trigger decides what the filter lets through.",
    "benefits": "The trigger can be watched for.",
    "risks": "The report names the heads that carry it.",
    "dual_use": "switches a safeguard off",
    "dual_use_note": "It shows how the filter is passed.",
    "gaps": ["Triggers of two words were not looked for."],
}


def prompts(session, count, seed, *, trigger, length=LENGTH, answers="behaviour"):
    """Sentences of topic 0, which the trigger turns into class 1; or all, with their own class."""
    texts, topics = sentences(count, seed, trigger=trigger, length=length)
    if answers == "own":
        return [
            session.prompt(t, answer=CLASS_TOKENS[k], foil=CLASS_TOKENS[1 - k])
            for t, k in zip(texts, topics, strict=True)
        ]
    return [
        session.prompt(t, answer=CLASS_TOKENS[1], foil=CLASS_TOKENS[0])
        for t, k in zip(texts, topics, strict=True)
        if k == 0
    ]


@pytest.fixture(scope="module")
def session():
    return backdoor_session()


@pytest.fixture(scope="module")
def inputs(session):
    positives = prompts(session, 320, 21, trigger=True)
    negatives = prompts(session, 320, 21, trigger=False)
    clean = prompts(session, 200, 22, trigger=False, answers="own")
    return positives, negatives, clean


@pytest.fixture(scope="module")
def dossier(session, inputs):
    positives, negatives, clean = inputs
    made = iw.dossier.new(session, "the trigger means class 1", positives, negatives, clean, **SAID)
    made.coverage(draws=39)
    made.monitor(draws=39)
    made.control()
    made.failures(
        shifted_positives=prompts(session, 160, 23, trigger=True, length=14),
        shifted_negatives=prompts(session, 160, 23, trigger=False, length=14),
        rounds=2,
        tries=6,
        most=16,
    )
    return made


@pytest.fixture(scope="module")
def report(dossier):
    return dossier.report()


def test_the_pairs_differ_in_the_trigger_alone(inputs):
    for a, b in zip(*inputs[:2], strict=True):
        assert [(x, y) for x, y in zip(a.ids, b.ids, strict=True) if x != y] == [(TRIGGER, BENIGN)]


def test_the_mechanism_of_the_backdoor_is_found_and_covers_it(report):
    row = report.coverage
    assert row["value"] >= 0.9
    assert row["low"] <= row["value"] <= row["high"]
    assert row["p"] < 0.05
    assert np.mean(row["null"]) < 0.7
    assert row["status"] == "verified"
    assert 0 < len(report.parts[0].meta["mechanism"]) < 10  # of 10 heads and MLPs


def test_coverage_is_what_patching_those_heads_by_hand_takes_away(session, inputs, report):
    """The same ablation in PyTorch hooks, with the model's own forward pass."""
    import torch

    positives, negatives, _ = (some[:40] for some in inputs)
    mechanism = report.parts[0].meta["mechanism"]
    found = iw.dossier.mechanism(positives, negatives, nodes=mechanism, draws=2)
    _, test = halves(40, 0)
    module = session.anatomy.root
    a, b = (torch.tensor([some[i].ids for i in test]) for some in (positives, negatives))
    kept: dict = {}
    hooks = []

    def remember(key):
        return lambda _m, args: kept.__setitem__(key, args[0].clone())

    def replace(key, heads):
        def hook(_m, args):
            x = args[0].clone()
            for h in heads:
                x[..., h * 12 : h * 12 + 12] = kept[key][..., h * 12 : h * 12 + 12]
            return (x,)

        return hook

    blocks = module.transformer.h
    heads = {
        i: [int(n.split(".h")[1]) for n in mechanism if n.startswith(f"a{i}.")] for i in (0, 1)
    }
    mlps = [i for i in (0, 1) if f"m{i}" in mechanism]
    with torch.no_grad():
        for i, block in enumerate(blocks):
            hooks.append(block.attn.c_proj.register_forward_pre_hook(remember(f"a{i}")))
            hooks.append(
                block.mlp.register_forward_hook(
                    lambda _m, _a, out, i=i: kept.__setitem__(f"m{i}", out)
                )
            )
        low = module(input_ids=b).logits[:, -1]
        for hook in hooks:
            hook.remove()
        high = module(input_ids=a).logits[:, -1]
        hooks = [
            blocks[i].attn.c_proj.register_forward_pre_hook(replace(f"a{i}", some))
            for i, some in heads.items()
        ]
        hooks += [
            blocks[i].mlp.register_forward_hook(lambda _m, _a, _o, i=i: kept[f"m{i}"]) for i in mlps
        ]
        cut = module(input_ids=a).logits[:, -1]
        for hook in hooks:
            hook.remove()
    full, none, some = (float((x[:, 2] - x[:, 1]).mean()) for x in (high, low, cut))
    expected = 1 - (some - none) / (full - none)
    assert found.meta["findings"][0]["value"] == pytest.approx(expected, abs=1e-4)


def test_the_detector_works_at_a_fixed_false_positive_rate(report):
    assert report.row("auroc")["value"] >= 0.99
    detection = report.row("detection")
    assert detection["value"] >= 0.95
    assert detection["fpr"] <= 0.05
    assert detection["status"] == "unverified"  # it reads and changes nothing
    assert "observational" in detection["reason"]
    assert abs(np.mean(report.row("auroc")["null"]) - 0.5) < 0.2


def test_the_control_removes_the_trigger_and_little_else(report):
    row = report.row("control")
    assert row["value"] >= 0.95
    assert row["lost"] <= 0.02
    assert row["status"] == "verified"
    table = report.parts[2]
    assert table.meta["labels"]["action"] == [
        "none",
        "direction",
        "gated direction",
        "ablation",
        "gated ablation",
    ]
    assert table.numpy("values")[3, 0] > 0.97  # clean accuracy without any action


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return report.to_html(tmp_path_factory.mktemp("page") / "dossier.html")


def test_it_is_verified_and_says_what_it_cannot_say(report, page):
    assert report.status == "verified", [r for r in report.rules if not r["met"]]
    assert report.gaps == ["Triggers of two words were not looked for."]
    assert report.restricted
    assert "RESTRICTED: dual use, it switches a safeguard off" in page
    assert set(report.frame().status) == {"verified", "unverified"}
    repair = report.row("self-repair")
    assert "second ablation" in repair["statistic"]
    assert repair["reason"] == "a second ablation found no stand-in"
    assert repair["value"] < 0.1
    shift, words = report.row("shift"), report.row("paraphrase")
    assert shift["value"] > max(shift["null"])
    said = " ".join(report.limits)
    assert ("does not carry over" in said) == (shift["detected"] < 0.9)
    assert ("can be evaded" in said) == (words["value"] < 0.9)


def test_limits_cannot_be_deleted(report, tmp_path):
    path = report.save(tmp_path / "dossier")
    loaded = iw.load(path)
    loaded.meta["limits"] = []
    loaded.meta["gaps"] = []
    assert isinstance(loaded, DossierResult)
    text, shown = loaded.markdown(), loaded._repr_mimebundle_()["text/html"]
    assert len(loaded.limits) >= 4
    for limit in loaded.limits:
        assert limit in text
    assert "<h2>Limits</h2><ul><li>" in shown
    assert loaded.status == "verified"
    assert loaded.frame().equals(report.frame())


def test_attention_weights_alone_leave_it_unverified(session, inputs):
    positives, negatives, _ = inputs
    made = iw.dossier.new(session, "the trigger means class 1", positives, negatives, **SAID)
    made.add(iw.attention(positives[0]), iw.head_scores(session, length=8))
    report = made.report()
    assert report.status == "unverified"
    assert set(report.frame().status) == {"unverified"}
    assert report.frame().reason.str.contains("observational").all()
    unmet = {rule["rule"] for rule in report.rules if not rule["met"]}
    assert "an interventional, global test above its null on inputs held out" in unmet
    shown = report._repr_mimebundle_()["text/html"]
    assert 'class="ribbon unverified"' in shown
    assert "no coverage measured, 80% needed" in shown
    assert "no number" in report.text()
    assert "2 of 2 rows of evidence are unverified" in " ".join(report.limits)


def test_words_of_a_report_are_text(session, inputs, report):
    evil = iw.dossier.report(session, "<script>alert(1)</script>", report.parts[:1], threat="<b>x")
    page = evil._repr_mimebundle_()["text/html"]
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;x" in page
    assert evil.status == "unverified"
    assert "dual use was not assessed" in page


def test_the_page_holds_live_views_and_a_slider_and_the_figure_a_ribbon(report, page):
    assert page.count('<div data-iw-mount="') == 4
    assert 'type="range"' in page
    assert 'aria-label="coverage ' in page
    assert "80% needed" in page
    assert page.count('fill="var(--accent)"') + page.count('fill="var(--soft)"') >= 10  # histograms
    bare = report._repr_mimebundle_()["text/html"]
    assert 'data-jp-theme-light="false"' in bare
    assert "<script" not in bare
    figure = report.figure("icml")
    assert figure.png().startswith(b"\x89PNG")
    assert any("VERIFIED" in t.get_text() for t in figure.mpl.texts)
    assert "A detector's false-positive rate holds" in figure.caption
    view = report.view(1)
    assert view.spec["dims"]
    view.close()
    with pytest.raises(ValueError, match="4 pieces of evidence, not 9"):
        report.view(9)


def test_a_model_without_the_mechanism_has_no_coverage():
    """Random weights of several families: nothing is verified that is not there."""
    for family in ("gpt2", "llama", "gpt_neox"):
        session = open_session(family)
        rng = np.random.default_rng(0)
        a = [session.prompt(rng.integers(3, 60, 6).tolist(), ANSWER, FOIL) for _ in range(16)]
        b = [session.prompt([*p.ids[:3], *rng.integers(3, 60, 3).tolist()]) for p in a]
        detector = iw.dossier.monitor(a, b, draws=19)
        assert detector.meta["findings"][0]["p"] > 0.0
        one = iw.dossier.mechanism(a, b, nodes=["m1"], draws=5)
        assert one.sizes["node"] == 15, family
        assert one.numpy("values")[2].sum() == 1


def test_wrong_inputs_are_told(session, inputs):
    positives, negatives, _ = inputs
    with pytest.raises(iw.dossier.DossierError, match="3 positives: give at least 8"):
        iw.dossier.mechanism(positives[:3], negatives[:3])
    with pytest.raises(iw.dossier.DossierError, match="10 positives and 9 negatives"):
        iw.dossier.mechanism(positives[:10], negatives[:9])
    with pytest.raises(iw.dossier.DossierError, match=r"there is no node a9\.h9"):
        iw.dossier.mechanism(positives[:10], negatives[:10], nodes=["a9.h9"])
    made = iw.dossier.new(session, "x", positives, negatives)
    with pytest.raises(iw.dossier.DossierError, match="fit a detector first"):
        made.control()
    with pytest.raises(iw.dossier.DossierError, match="at least one piece of evidence"):
        made.report()
    with pytest.raises(iw.dossier.DossierError, match="not str"):
        made.add("attention")
