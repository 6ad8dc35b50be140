"""Tiny random models that several tests open sessions on."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from interp_widgets.session.session import Session

BYTES = {
    "vocab_size": 270,
    "n_positions": 20,
    "n_layer": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Settings of a model for the tokenizer of bytes (tests/session/test_prompts.py)."""


def tiny_gpt2(seed: int = 0, **settings: Any) -> GPT2LMHeadModel:
    """A GPT-2 with 3 layers of 2 heads, width 16, vocabulary 40 and 24 positions."""
    torch.manual_seed(seed)
    shape = {"n_layer": 3, "n_head": 2, "n_embd": 16, "vocab_size": 40, "n_positions": 24}
    config = GPT2Config(**{**shape, "bos_token_id": 0, "eos_token_id": 0, **settings})
    return GPT2LMHeadModel(config)


def tiny_t5() -> T5ForConditionalGeneration:
    """A T5 with 2 layers of the encoder and 3 of the decoder, 4 heads, width 32, vocabulary 60."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=60,
        d_model=32,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        relative_attention_num_buckets=8,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).eval()


def tiny_session(seed: int = 0, **options: Any) -> Session:
    """A session called "tiny" on :func:`tiny_gpt2`; options go to the session."""
    return Session(tiny_gpt2(seed), name="tiny", **options)
