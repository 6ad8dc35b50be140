"""Tokenizer of the demonstration models: whole words, numbers below 100, and bytes."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from . import words
from .language import SENTENCES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EOT: Final = "<|endoftext|>"
CONTEXT: Final = 128
_PATTERN: Final = r"'(?:s|t|re|ve|ll|d|m)| ?\p{L}+| ?\d{1,2}| ?[^\s\p{L}\d]+|\s+"


def build(draws: int = 3000) -> PreTrainedTokenizerFast:
    """Build the tokenizer from the generated language.

    Every word of the language and every number from 0 to 99 is one piece; any other text falls
    back to letters and bytes, so nothing is unknown.

    Parameters
    ----------
    draws : int
        Sentences drawn per task and split to collect the words.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Tokenizer that puts `EOT` in front of every text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    rng = random.Random(1)
    count: Counter[str] = Counter()

    def collect(text: str) -> None:
        count.update(piece for piece, _ in splitter.pre_tokenize_str(text))

    for draw in SENTENCES.values():
        for split in ("train", "test"):
            for _ in range(draws):
                sentence = draw(rng, split)
                collect(sentence.prompt + sentence.answer + sentence.rest)
    for word in [*words.COMMON, *words.NAMES, *words.CAPITALS, *words.CAPITALS.values()]:
        collect(word)
        collect(" " + word)
    collect(", " + ". " + "? " + "! " + ": " + "; ")
    collect(" thanked received from by it. So then kept belongs bought")
    space = splitter.pre_tokenize_str(" a")[0][0][0]
    letters = [space + c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    numbers = [f"{i:02d}" for i in range(100)] + [space + f"{i:02d}" for i in range(100)]
    numbers += [space + str(i) for i in range(10)]
    pieces = [EOT, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces = list(dict.fromkeys([*pieces, *letters, *numbers, *sorted(count)]))
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: i for i, piece in enumerate(pieces)},
            unk_token=EOT,
            continuing_subword_prefix="",
            max_input_chars_per_word=1000,
        )
    )
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{EOT} $A", pair=f"{EOT} $A $B", special_tokens=[(EOT, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=EOT,
        eos_token=EOT,
        pad_token=EOT,
        unk_token=EOT,
        model_max_length=CONTEXT,
    )
