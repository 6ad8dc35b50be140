"""Prompts say what the model reads, and why something cannot be read."""

from __future__ import annotations

import json

import pytest
import torch

from interp_widgets.session.errors import PromptError
from interp_widgets.session.session import Session
from tests.families import build
from tests.models import BYTES, tiny_gpt2


def tokenizer(kind: str):
    """Make a tiny real tokenizer: byte-level as GPT-2, or word pieces as BERT."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if kind == "bytes":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        merges = [
            ("a", "n"),
            ("Ġ", "M"),
            ("ĠM", "a"),
            ("ĠMa", "r"),
            ("ĠMar", "y"),
            ("J", "o"),
            ("Jo", "h"),
            ("Joh", "n"),
            ("Ġ", "John"),
        ]
        words = [*alphabet, *(a + b for a, b in merges)]
        made = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        return PreTrainedTokenizerFast(tokenizer_object=made)
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "mary", "john", "##ny", "gave"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
    )


@pytest.fixture(scope="module")
def gpt2():
    return Session(tiny_gpt2(**BYTES), tokenizer=tokenizer("bytes"))


@pytest.fixture(scope="module")
def plain():
    return Session(build("llama"))


def test_a_text_is_read_as_the_tokens_a_person_sees(gpt2):
    prompt = gpt2.prompt("an John\n", answer=" Mary", foil=" John")
    assert prompt.tokens == ("an", " John", "\n")
    assert prompt.strings(visible=True) == ["an", "·John", "⏎"]
    assert (prompt.answer_token, prompt.foil_token) == (" Mary", " John")
    assert len(prompt) == 3
    assert repr(prompt) == "Prompt('an John\\n', 3 tokens, answer=' Mary', foil=' John')"


def test_parts_of_a_character_keep_a_name(gpt2):
    prompt = gpt2.prompt("é")
    assert prompt.tokens == ("Ã", "©")


def test_markup_stays_text(gpt2):
    prompt = gpt2.prompt("<script>")
    assert "".join(prompt.tokens) == "<script>"


def test_word_pieces_and_special_tokens_are_shown():
    live = Session(build("bert"), tokenizer=tokenizer("pieces"))
    prompt = live.prompt("Mary gave johnny")
    assert prompt.tokens == ("[CLS]", "mary", "gave", "john", "##ny", "[SEP]")
    assert live.capture(prompt, "logits")["logits"].shape == (6, 61)


def test_prompts_are_equal_by_content_and_survive_json(gpt2):
    prompt = gpt2.prompt("an John", answer=" Mary")
    again = gpt2.prompt(json.loads(json.dumps(prompt.to_json())))
    assert again == prompt
    assert hash(again) == hash(prompt)
    assert again.key == prompt.key
    assert gpt2.prompt("an John") != prompt
    assert gpt2.prompt("an John").key == prompt.key
    assert gpt2.prompt(prompt.to_json(), answer=" John").answer_token == " John"


def test_ids_without_a_tokenizer(plain):
    prompt = plain.prompt([3, 4, 5], answer=7)
    assert prompt.tokens == ("3", "4", "5")
    assert prompt.ids == plain.prompt(torch.tensor([[3, 4, 5]])).ids
    assert plain.capture(prompt, "logits")["logits"].shape == (3, 61)


def test_a_prompt_cannot_be_changed(gpt2):
    with pytest.raises(AttributeError):
        gpt2.prompt("an").ids = (1,)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("", {}, "empty"),
        ([], {}, "empty"),
        ("an" * 30, {}, r"30 tokens and this model takes at most 20"),
        ([3, 270], {}, r"270 in the prompt is not in the vocabulary \(0 to 269\)"),
        ([-1], {}, "not in the vocabulary"),
        ([3, "x"], {}, "integers"),
        ([[1, 2], [3, 4]], {}, "one prompt"),
        (7, {}, "not int"),
        (None, {}, "NoneType"),
        ({"neither": 1}, {}, "not a prompt"),
        ("an", {"answer": " Maryan"}, r"2 tokens here \(' Mary' \+ 'an'\)"),
        ("an", {"foil": "Mary"}, r"with the space before it, foil=' Mary'"),
        ("an", {"answer": ""}, "empty"),
        ("an", {"answer": 999}, "999 in the answer"),
        ("an", {"answer": 1.5}, "text or a token id"),
    ],
)
def test_what_cannot_be_read_says_why(gpt2, source, options, message):
    with pytest.raises(PromptError, match=message):
        gpt2.prompt(source, **options)


def test_text_needs_a_tokenizer(plain):
    with pytest.raises(PromptError, match="no tokenizer"):
        plain.prompt("hello")
    with pytest.raises(PromptError, match="no tokenizer"):
        plain.prompt([3], answer=" Mary")


def test_a_batch_is_padded_on_the_right_with_a_mask(plain):
    batch = plain.prompts([[3, 4, 5, 6], [7, 8]])
    assert batch.ids.tolist() == [[3, 4, 5, 6], [7, 8, 0, 0]]
    assert batch.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.lengths == (4, 2)
    assert plain.prompts(json.loads(json.dumps(batch.to_json()))) == batch
    together = plain.capture(batch, "logits")["logits"]
    alone = plain.capture(batch[1], "logits")["logits"]
    assert torch.allclose(together[1, :2], alone, atol=1e-5)
    with pytest.raises(PromptError, match="at least one"):
        plain.prompts([])


def test_a_prompt_of_another_session_is_read_again(plain):
    other = Session(build("llama"))
    prompt = other.prompt([3, 4, 5], answer=6)
    mine = plain.prompt(prompt)
    assert mine.session is plain
    assert mine == plain.prompt([3, 4, 5], answer=6)
    assert mine.answer == 6
    with pytest.raises(PromptError, match="different sessions"):
        type(plain.prompts([[3]]))((prompt, mine))


def test_an_image_becomes_patches():
    live = Session(build("vit"))
    image = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
    prompt = live.prompt(image, answer=2)
    assert prompt.tokens == ("[CLS]", "0,0", "0,1", "0,2", "1,0", "1,1", "1,2", "2,0", "2,1", "2,2")
    assert live.capture(prompt, ["resid_post.0"])["resid_post.0"].shape == (10, 32)
    again = live.prompt(json.loads(json.dumps(prompt.to_json())))
    assert again == prompt
    assert torch.equal(again.values, image[None])
    assert live.prompt(image + 1).key != prompt.key
    with pytest.raises(PromptError, match="images"):
        live.prompt([1, 2])
    with pytest.raises(PromptError, match="NaN"):
        live.prompt(image * float("nan"))
    with pytest.raises(PromptError, match="batch of 2"):
        live.prompt(torch.zeros(2, 3, 12, 12))


def test_roberta_keeps_two_positions_for_itself():
    live = Session(build("roberta"))
    most = live.prompt([5] * 63)
    assert len(most) == 63
    live.capture(most, "resid_post.0")
    with pytest.raises(PromptError, match="at most 63"):
        live.prompt([5] * 64)


def test_a_prompt_moves_to_a_model_with_another_tokenizer_by_its_text(gpt2):
    bert = Session(build("bert"), tokenizer=tokenizer("pieces"))
    moved = gpt2.prompt(bert.prompt("mary gave", answer="john"), answer=" Mary")
    assert "".join(moved.tokens) == "mary gave"
    assert moved.answer_token == " Mary"
    assert bert.prompt("mary gave", answer="john").to_json()["answer"] == "john"
