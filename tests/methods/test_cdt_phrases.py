"""Words and phrases as sources: iw.phrase_importance, and captum's integrated gradients beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from transformers import BertConfig, BertForSequenceClassification

import interp_widgets as iw
from interp_widgets.methods.cdt import Source, decompose
from interp_widgets.methods.cdt.units import spans
from interp_widgets.session.session import Session
from tests.methods.conftest import ANSWER, FOIL, IDS, open_session
from tests.methods.test_cdt import by_hand, opened
from tests.views.fakes import look

TEXT = "When Mary and John went to the store, John gave a drink to"
WORDS = {0: (50, 51, 52), 1: (53, 54, 55), 2: (56, 57, 58)}
"""Which words speak for which class; words 5 to 49 mean nothing."""
LENGTH = 11


@pytest.fixture(scope="module")
def demo():
    return iw.demo()


def texts(n, generator, *, contrast=False):
    """Random words with one of a class; with ``contrast`` two, and one of another class."""
    ids = torch.randint(5, 50, (n, LENGTH), generator=generator)
    ids[:, 0] = 1
    labels = torch.randint(0, 3, (n,), generator=generator)
    others = (labels + torch.randint(1, 3, (n,), generator=generator)) % 3
    places = torch.stack([1 + torch.randperm(LENGTH - 1, generator=generator)[:3] for _ in labels])
    kinds = [labels, labels, others] if contrast else [labels]
    for j, kind in enumerate(kinds):
        word = torch.tensor([WORDS[int(c)][i % 3] for i, c in enumerate(kind)])
        ids[torch.arange(n), places[:, j]] = word
    return ids, labels, places, others


@pytest.fixture(scope="module")
def classifier():
    """A small BERT that learned which words speak for which class; solves all held-out texts."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=56,
        max_position_embeddings=16,
        num_labels=3,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    model = BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(160):
        ids, labels, *_ = texts(64, generator, contrast=step % 2 == 1)
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    ids, labels, *_ = texts(200, generator)
    assert (model(input_ids=ids).logits.argmax(-1) == labels).float().mean() > 0.97
    return Session(model)


def integrated_gradients(session, ids, label, competitor):
    """Captum's attribution of the difference of two classes' logits ``[position]``."""
    model = session.model._module

    def difference(x):
        logits = model(input_ids=x).logits
        return logits[:, label] - logits[:, competitor]

    explain = LayerIntegratedGradients(difference, model.bert.embeddings.word_embeddings)
    found = explain.attribute(ids[None], baselines=torch.zeros_like(ids[None]), n_steps=20)
    return found.sum(-1)[0].detach().numpy()


def test_planted_words_are_found_and_those_that_speak_against(classifier):
    generator = torch.Generator().manual_seed(7)
    hits = {"cdt": [], "captum": []}
    against = {"cdt": [], "captum": []}
    for contrast, store in ((False, hits), (True, against)):
        ids, labels, places, others = texts(15, generator, contrast=contrast)
        for row, label, where, other in zip(ids, labels, places, others, strict=True):
            prompt = classifier.prompt(row.tolist(), answer=int(label))
            foil = int(other) if contrast else None
            result = iw.phrase_importance(prompt, units="token", foil=foil)
            named = result.meta["target"].split(" over ")[1]
            rival = int(named.removeprefix("class ").strip("'"))
            captum = integrated_gradients(classifier, row, int(label), rival)
            for name, scores in (("cdt", result.numpy("values")[0]), ("captum", captum)):
                if contrast:
                    store[name].append(np.argmin(scores[1:]) + 1 == int(where[2]))
                else:
                    store[name].append(np.argmax(scores[1:]) + 1 == int(where[0]))
    # By chance one of ten. Integrated gradients are the baseline.
    assert np.mean(hits["cdt"]) >= 0.9
    assert np.mean(hits["cdt"]) >= np.mean(hits["captum"]) - 0.1
    assert np.mean(against["cdt"]) >= 0.8
    assert np.mean(against["cdt"]) >= np.mean(against["captum"]) - 0.1


def test_a_phrase_and_the_rest_add_up_to_label_minus_closest_competitor(classifier):
    ids, labels, places, _ = texts(1, torch.Generator().manual_seed(3))
    prompt = classifier.prompt(ids[0].tolist())
    word = int(places[0, 0])
    other = (word + 3) % LENGTH
    result = iw.phrase_importance(prompt, units=[[word, other - LENGTH], [(word + 1) % LENGTH]])
    logits = classifier.capture(prompt, "logits")["logits"]
    best, second = logits.topk(2).values.tolist()
    assert int(logits.argmax()) == int(labels[0])
    assert result.meta["score"] == pytest.approx(best - second, rel=1e-5)
    relevant, rest = result.numpy("values")
    inside = np.isfinite(relevant)
    assert set(np.flatnonzero(inside)) == {p for group in result.meta["units"] for p in group}
    assert relevant[inside] + rest[inside] == pytest.approx(best - second, abs=1e-4)
    assert relevant[word] == relevant[other]
    parts = decompose(
        classifier, prompt, [Source(0, None, (word, other), words=True)], attention="frozen"
    ).relevant[0]
    a, b = logits.topk(2).indices.tolist()
    assert relevant[word] == pytest.approx(float(parts[a] - parts[b]), rel=1e-4)


def test_words_phrases_and_sentences_of_a_text(demo):
    prompt = demo.prompt(TEXT, answer=" Mary", foil=" John")

    def pieces(unit, text=TEXT):
        given = demo.prompt(text)
        groups = spans(given, unit)
        assert [p for group in groups for p in group] == list(range(len(given)))
        return ["".join(given.tokens[i] for i in group).strip() for group in groups]

    words = [w for w in pieces("word") if w[:1] != "<"]
    assert words == [
        *[
            "When",
            "Mary",
            "and",
            "John",
            "went",
            "to",
            "the",
            "store",
            ",",
            "John",
            "gave",
            "a",
            "drink",
            "to",
        ]
    ]
    phrases = [p for p in pieces("phrase") if p[:1] != "<"]
    assert phrases == ["When Mary and John went to the store,", "John gave a drink to"]
    twice = f"{TEXT} Mary. {TEXT} Mary."
    assert len([s for s in pieces("sentence", twice) if s[:1] != "<"]) == 2
    result = iw.phrase_importance(prompt, units="phrase")
    assert result.channels == ["relevant", "rest"]
    assert "Mary" in result.meta["target"]
    assert "John" in result.meta["target"]
    assert len(result.meta["unit_scores"]) == len(result.meta["units"])
    assert "share of the logit difference" in result.text()
    again = result.rerun()
    np.testing.assert_allclose(again.numpy("values"), result.numpy("values"), rtol=1e-5)
    view = result.view()
    look(view)
    told = view.describe()
    assert told["channels"] == ["relevant", "rest"]
    assert [unit["at"] for unit in told["units"]] == result.meta["units"]
    assert {round(u["score"] + u["rest"], 3) for u in told["units"]} == {
        round(result.meta["score"], 3)
    }
    assert "under a bracket" in " ".join(result.figure().notes)
    assert iw.catalogue().set_index("name").loc["phrase_importance", "result"] == "tokens"


def test_word_pieces_and_ids_are_words_too():
    class Some:
        class session:
            tokenizer = type("T", (), {"all_special_ids": [1, 2]})

        ids = (1, 7, 8, 9, 10, 2)
        tokens = ("[CLS]", "un", "##happi", "##ly", "!", "[SEP]")

    assert spans(Some, "word") == [(0,), (1, 2, 3), (4,), (5,)]
    assert spans(Some, "sentence") == [(0,), (1, 2, 3, 4), (5,)]
    session = open_session("gpt2")
    assert spans(session.prompt(IDS), "word") == [(i,) for i in range(len(IDS))]


@pytest.mark.parametrize("rule", ["frozen", "relative"])
def test_shares_of_a_head_are_what_the_equations_say(rule):
    session = opened("gpt2")
    prompt = session.prompt([5, 9, 23, 7, 11])
    units = [[0], [1, 3], [4]]
    layer, head = 2, 1
    result = iw.phrase_importance(
        prompt, units=units, target=(layer, head), position=-2, attention=rule
    )
    for unit, score, rest in zip(
        units, result.meta["unit_scores"], result.meta["unit_rest"], strict=True
    ):
        seen = {}
        model = session.model._module
        with torch.no_grad():
            by_hand(model, list(prompt.ids), (None, None, None), None, rule, words=unit, seen=seen)
        relevant, other = (x[3, head].abs().mean() for x in seen[layer])
        assert score == pytest.approx(float(relevant / (relevant + other)), rel=1e-9)
        assert score + rest == pytest.approx(1)
    assert result.meta["unit_scores"][2] == 0  # it comes after what is read
    assert all(0.01 < score < 0.99 for score in result.meta["unit_scores"][:2])
    assert result.meta["target"] == "output of head 2.1 at '7' (3)"
    assert not result.signed
    again = result.rerun()
    np.testing.assert_array_equal(again.numpy("values"), result.numpy("values"))


def test_a_classifiers_head_is_read_everywhere(classifier):
    ids, *_ = texts(1, torch.Generator().manual_seed(3))
    prompt = classifier.prompt(ids[0].tolist())
    result = iw.phrase_importance(prompt, units=[[2, 5]], target=(1, 3))
    parts = decompose(
        classifier,
        prompt,
        [Source(0, None, (2, 5), words=True)],
        attention="frozen",
        targets=[(1, 3, "z")],
    ).targets[1, 3, "z"]
    relevant, rest = (float(x.double().abs().mean()) for x in parts)
    assert result.meta["unit_scores"] == [pytest.approx(relevant / (relevant + rest), rel=1e-5)]
    assert result.meta["target"] == "output of head 1.3"


def test_levels_interventions_and_bad_input(session):
    prompt = session.prompt(IDS, answer=ANSWER, foil=FOIL)
    first, later = (iw.phrase_importance(prompt, level=i).numpy("values") for i in (0, 2))
    assert not np.allclose(first, later)
    both = iw.phrase_importance(prompt, level=2, attention="relative", position=3)
    assert both.meta["level"] == 2
    assert "note" not in both.meta
    session.ablate("z", layer=1, head=2)
    changed = iw.phrase_importance(prompt)
    np.testing.assert_allclose(changed.numpy("values"), first, rtol=1e-4, atol=1e-5)
    assert "interventions are not in these numbers" in changed.meta["note"]
    session.interventions.clear()
    for words, options in (
        ("no layer 9", {"level": 9}),
        ("positions from 0 to 6", {"units": [[2, 9]]}),
        ("positions from 0 to 6", {"units": [[]]}),
        ("in one unit only", {"units": [[2, -5]]}),
        ("is not one of", {"units": "clause"}),
        ("are the same", {"foil": ANSWER}),
        ("no position 7", {"position": 7}),
        ("no position 7", {"position": 7, "target": (1, 2)}),
        ("no target", {"target": (9, 0)}),
        ("has none", {"target": (1, 2), "foil": FOIL}),
        ("split after head 1.2", {"target": (1, 2), "level": 2}),
    ):
        with pytest.raises(ValueError, match=words):
            iw.phrase_importance(prompt, **options)
