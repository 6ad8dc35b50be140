"""The task generators: filters, positions, splits and errors."""

from __future__ import annotations

import re

import pytest

from interp_widgets.demo import tasks, words
from interp_widgets.demo.tokenizer import build


@pytest.fixture(scope="module")
def tokenizer():
    return build(draws=300)


@pytest.mark.parametrize(
    ("task", "corruption"), [(t, c) for t, cs in tasks.CORRUPTIONS.items() for c in cs]
)
def test_pairs_fit_the_tokenizer(tokenizer, task, corruption):
    pairs = tasks.generate(task, 20, tokenizer, seed=3, corruption=corruption)
    assert len(pairs) == 20
    assert 0 < pairs.share_kept <= 1
    for pair in pairs:
        clean, corrupted = (tokenizer(t)["input_ids"] for t in (pair.clean, pair.corrupted))
        assert len(clean) == len(corrupted)
        assert clean != corrupted
        assert pair.positions["end"] == len(clean) - 1
        assert pair.corruption == corruption
        right = tasks.answer_ids(tokenizer, pair)
        assert not set(right) & set(tasks.answer_ids(tokenizer, pair, foil=True))


def test_ioi_positions_point_at_the_names(tokenizer):
    for pair in tasks.generate("ioi", 30, tokenizer, seed=4):
        ids = tokenizer(pair.clean)["input_ids"]
        word = {k: tokenizer.decode([ids[i]]).strip() for k, i in pair.positions.items()}
        assert word["IO"] == pair.answer.strip()
        assert word["S1"] == word["S2"] == pair.foil.strip()
        assert pair.positions["S1"] < pair.positions["S2"]
        assert pair.positions["S1+1"] == pair.positions["S1"] + 1


def test_ioi_swap_turns_the_answer_round(tokenizer):
    pair = tasks.generate("ioi", 1, tokenizer, seed=5, corruption="swap")[0]
    assert pair.corrupted.count(pair.answer.strip()) == 2
    assert pair.corrupted.count(pair.foil.strip()) == 1


def test_years_lie_on_their_side(tokenizer):
    for pair in tasks.generate("greater_than", 20, tokenizer):
        assert len(pair.answer) + len(pair.foil) == 100
        assert max(pair.foil) < min(pair.answer)


def test_held_out_material_stays_out_of_training():
    def templates(split):
        drawn = []
        for pair in tasks.generate("ioi", 400, split=split):
            text = re.sub(rf"\b({pair.answer.strip()}|{pair.foil.strip()})\b", "N", pair.clean)
            drawn.append(re.sub(rf"\b({'|'.join(words.PLACES + words.OBJECTS)})\b", "X", text))
        return set(drawn)

    assert not templates("train") & templates("test")
    for split in ("train", "test"):
        for pair in tasks.generate("ioi", 200, split=split):
            held = words.held_out_pair(pair.answer.strip(), pair.foil.strip())
            assert held == (split == "test")


def test_draws_repeat_with_the_seed(tokenizer):
    first = tasks.generate("gender", 10, tokenizer, seed=8)
    assert first == tasks.generate("gender", 10, tokenizer, seed=8)
    assert first != tasks.generate("gender", 10, tokenizer, seed=9)


def test_digit_tokenizer_answers_with_the_tens():
    def digits(text: str) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    pair = tasks.generate("greater_than", 1, digits)[0]
    assert all(len(answer) == 1 for answer in pair.answer)
    assert max(pair.foil) < min(pair.answer)


def test_without_tokenizer_nothing_is_filtered():
    pairs = tasks.generate("induction", 5)
    assert pairs.share_kept == 1
    assert pairs[0].positions == {}


@pytest.mark.parametrize("kwargs", [{"task": "chess"}, {"split": "dev"}, {"corruption": "zero"}])
def test_unknown_choices_are_refused(kwargs):
    with pytest.raises(ValueError, match="known"):
        tasks.generate(**{"task": "ioi", "n": 1, **kwargs})


def test_impossible_tokenizer_is_refused():
    def never(text: str) -> dict[str, list[int]]:
        return {"input_ids": [hash(text) % 1000]}

    with pytest.raises(ValueError, match="fit the tokenizer"):
        tasks.generate("ioi", 2, never)
