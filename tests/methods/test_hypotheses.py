"""Core hypotheses about networks, each on a model where the truth is planted, each with its null."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from interp_widgets.results.hypotheses import HypothesisReport
from tests.backdoor import CLASS_TOKENS, sentences, topic_session
from tests.methods.conftest import open_session

H = iw.hypotheses


def only(result, word):
    found = [f for f in result.meta["findings"] if word in f["statistic"]]
    assert len(found) == 1, [f["statistic"] for f in result.meta["findings"]]
    return found[0]


# H1


@pytest.fixture(scope="module")
def toy():
    return H.toy_superposition(copies=2, batch=256)


def test_sparse_features_share_dimensions_and_dense_ones_do_not(toy):
    represented = toy.numpy("represented").mean(1)
    assert abs(represented[0] - 5) <= 0.5  # as many as dimensions
    assert represented[2] >= 8
    per_dimension = toy.numpy("per_dimension").mean(1)
    assert per_dimension[0] < per_dimension[1] < per_dimension[2]  # D* rises with sparsity
    assert toy.values.shape == (3, 20, 20)
    assert all(f["value"] > max(f["null"]) for f in toy.meta["findings"])


def test_more_directions_than_dimensions_are_counted_with_random_ones_beside(toy):
    basis = torch.eye(12)
    orthogonal = H.superposition(dictionary=basis, draws=19)
    assert only(orthogonal, "pairwise")["value"] == 1.0  # one feature for each dimension
    assert only(orthogonal, "interference")["p"] == 0.05  # above all 19 draws
    assert np.allclose(orthogonal.numpy("values")[0], 1)  # each has a dimension to itself
    doubled = H.superposition(dictionary=torch.cat([basis, basis]), draws=19)
    assert np.allclose(doubled.numpy("values")[0], 0.5)
    assert only(doubled, "pairwise")["value"] == 1.0
    random = H.superposition(dictionary=torch.randn(40, 16), draws=19)
    assert only(random, "interference")["p"] > 0.05


def test_the_neurons_of_any_family_are_features_too():
    for family in ("gpt2", "llama", "gpt_neox", "gemma2"):
        found = H.superposition(open_session(family), layer=1, draws=3)
        assert found.sizes["feature"] == 56, family
    with pytest.raises(ValueError, match="there is no layer 7"):
        H.superposition(open_session("gpt2"), layer=7)
    with pytest.raises(ValueError, match="needs a session"):
        H.superposition()
    with pytest.raises(ValueError, match="fewer dimensions than features"):
        H.toy_superposition(features=3, dimensions=5)


# H2


def test_a_planted_direction_is_found_and_swapped_pairs_have_none():
    rng = torch.Generator().manual_seed(0)
    base = torch.randn(64, 48, generator=rng)
    v = torch.nn.functional.normalize(torch.randn(48, generator=rng), dim=0)
    noise = torch.nn.functional.normalize(torch.randn(64, 48, generator=rng), dim=1)
    positive = base + 2 * v + noise  # signal twice the noise
    found = H.linear_representation(positive, base)
    cosine, null = only(found, "cosine")["value"], only(found, "cosine")["null"]
    assert cosine >= 0.8
    assert abs(np.mean(null)) <= 0.2
    assert max(null) < 0.5
    assert only(found, "cosine")["p"] < 0.05
    none = H.linear_representation(base + torch.randn(64, 48, generator=rng), base)
    assert only(none, "cosine")["value"] < 0.3


def test_steering_along_the_concept_moves_the_logits_on_a_line():
    session = topic_session()
    texts, topics = sentences(48, seed=5)
    first = [session.prompt(t, answer=CLASS_TOKENS[0], foil=CLASS_TOKENS[1]) for t in texts]
    pairs = [(p, t) for p, t in zip(first, topics, strict=True)]
    positive = [p for p, t in pairs if t == 0][:10]
    negative = [p for p, t in pairs if t == 1][:10]
    found = H.linear_representation(positive, negative, layers=[1], target="logit_difference")
    slope = only(found, "slope")
    assert slope["p"] <= 0.05
    assert slope["value"] > 2 * max(slope["null"])
    assert float(slope["note"].rpartition(" ")[2]) > 0.9  # R²
    assert found.arrays["steered"].shape == (20, 5)


def test_pairs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="give four pairs or more"):
        H.linear_representation(torch.ones(3, 4), torch.ones(3, 4))
    with pytest.raises(ValueError, match="8 positive and 4 negative"):
        H.linear_representation(torch.ones(8, 4), torch.ones(4, 4))


# H3


def test_features_that_are_tokens_are_purer_than_random_contexts():
    session = open_session("llama")
    rng = np.random.default_rng(0)
    prompts = [session.prompt(rng.integers(3, 13, 20).tolist()) for _ in range(12)]
    embed = session.anatomy.root.get_input_embeddings().weight.detach()[3:13]
    result = H.monosemanticity(
        prompts,
        embed,
        layer=0,
        dictionary_site="embed",
        threshold=0.7 * float(embed.square().sum(1).min()),
    )
    feature, neuron = only(result, "feature's"), only(result, "neuron's")
    assert feature["p"] < 0.05
    assert feature["value"] > 0.4 > np.quantile(feature["null"], 0.95)
    assert feature["value"] > neuron["value"]
    names = result.meta["labels"]["unit"]
    assert names[0] == "neuron 0"
    assert names[-1] == "feature 9"
    with pytest.raises(ValueError, match="labels for 12 prompts"):
        H.monosemanticity(prompts, labels=["a"])
    with pytest.raises(ValueError, match="the dictionary is"):
        H.monosemanticity(prompts, torch.ones(3, 5))


# H4


def test_a_copier_at_a_fixed_distance_is_exposed_by_other_lengths():
    session = fixed_distance_copier()
    right = H.motifs(session, lengths=[10], weights=False)
    assert only(right, "induction score of the best head")["value"] >= 0.9
    exposed = H.motifs(session, lengths=[6, 10, 15], weights=False)
    assert only(exposed, "induction at the worst length")["value"] < 0.1


def fixed_distance_copier():
    """One head that looks back nine positions whatever stands there: induction for blocks of 10."""
    config = GPT2Config(
        n_layer=1, n_head=1, n_embd=64, vocab_size=32, n_positions=40, bos_token_id=0, eos_token_id=0
    )  # fmt: skip
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        angles = torch.arange(40)[:, None] * torch.exp(-torch.arange(32) / 6)[None]
        model.transformer.wpe.weight.copy_(torch.cat([angles.sin(), angles.cos()], 1))
        model.transformer.wte.weight.mul_(0.01)
        shift = (9 * torch.exp(-torch.arange(32) / 6)).float()
        turn = torch.zeros(64, 64)
        i = torch.arange(32)
        turn[i, i], turn[i, i + 32] = shift.cos(), shift.sin()
        turn[i + 32, i], turn[i + 32, i + 32] = -shift.sin(), shift.cos()
        attention = model.transformer.h[0].attn.c_attn
        attention.weight.zero_()
        attention.bias.zero_()
        attention.weight[:, :64] = 20 * turn
        attention.weight[:, 64:128] = torch.eye(64)
    return iw.Session(model, name="fixed copier")


# H5


def test_a_model_with_its_units_in_another_order_is_the_same_and_a_rotated_one_is_not():
    session = open_session("gpt2")
    twin = iw.Session(permuted(session.anatomy.root), name="permuted")
    rng = np.random.default_rng(0)
    prompts = [session.prompt(rng.integers(3, 60, 12).tolist()) for _ in range(8)]
    result = H.universality(prompts, twin, draws=19)
    assert only(result, "correlation| of a unit")["value"] > 0.999
    assert np.mean(only(result, "correlation| of a unit")["null"]) < 0.8
    assert result.numpy("mutual").all()
    assert np.allclose(np.diag(result.numpy("values")), 1, atol=1e-4)
    assert only(result, "CKA")["value"] > max(only(result, "CKA")["null"])
    assert only(result, "head's patterns")["value"] > 0.999
    stranger = H.universality(prompts, open_session("llama"), draws=5)
    assert only(stranger, "correlation| of a unit")["value"] < 0.9


def permuted(module):
    """The same function with the neurons of every MLP in another order."""
    import copy

    twin = copy.deepcopy(module)
    order = torch.randperm(56, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for block in twin.transformer.h:
            block.mlp.c_fc.weight.copy_(block.mlp.c_fc.weight[:, order])
            block.mlp.c_fc.bias.copy_(block.mlp.c_fc.bias[order])
            block.mlp.c_proj.weight.copy_(block.mlp.c_proj.weight[order])
    return twin


# H7


def test_a_topic_is_read_off_the_activations_and_writing_another_changes_the_answer():
    session = topic_session()
    texts, topics = sentences(60, seed=3)
    prompts = [session.prompt(text) for text in texts]
    states = [f"topic {t}" for t in topics]
    answers = {f"topic {i}": token for i, token in enumerate(CLASS_TOKENS)}
    result = H.internal_state(prompts, states, answers, draws=19)
    read, written = only(result, "read rightly"), only(result, "output follows")
    assert read["value"] >= 0.9
    assert read["p"] <= 0.05
    assert written["value"] >= 0.9
    assert written["p"] <= 0.05
    assert max(written["null"]) < 0.7
    with pytest.raises(ValueError, match="lacks the token that is right in state 'topic 1'"):
        H.internal_state(prompts, states, {"topic 0": CLASS_TOKENS[0]})
    with pytest.raises(ValueError, match="2 states of 2 kinds"):
        H.internal_state(prompts, [*states[:1], "b"], answers)


# the report


def test_a_report_says_what_was_found_with_nulls_and_what_was_not_run(tmp_path):
    session = topic_session()
    report = H.run(
        session,
        options={"H4": {"lengths": [6, 11], "weights": False}, "H1": {"draws": 19}},
    )
    frame = report.frame()
    assert set(frame.hypothesis) == {"H1", "H4"}
    assert frame.null_mean.notna().all()
    assert report.meta["not_run"]["H7"] == "needs prompts and states and answers"
    assert "H2 not run: needs positive and negative" in report.text()
    view = report.view("H4")
    assert view.spec["dims"]
    view.close()
    figure = report.figure("neurips")
    assert figure.png().startswith(b"\x89PNG")
    assert "Not run: H2, H3, H5, H6, H7" in figure.caption
    loaded = iw.load(report.save(tmp_path / "report"), session)
    assert isinstance(loaded, HypothesisReport)
    assert loaded.frame().equals(frame)
    assert loaded.parts["H4"].rerun().values.shape == loaded.parts["H4"].values.shape
    assert "Numbers and their nulls" in report._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match=r"H7 \(internal state\) needs prompts and states"):
        H.run(session, ["H7"])
    with pytest.raises(ValueError, match="this report has H1, H4"):
        report.view("H2")


def test_a_number_without_a_null_is_refused():
    with pytest.raises(ValueError, match="the null needs at least one finite draw"):
        H.finding("H1", "something", 1.0, [], "nothing")
    with pytest.raises(ValueError, match="has no null"):
        HypothesisReport({}, {"findings": [{"statistic": "x", "null": []}], "parts": {}})
