"""Sessions on tiny random models with odd shapes: 3 layers, 4 heads, d_head 8, vocabulary 61."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.session.session import Session
from tests.families import WIDE, build

IDS = [3, 14, 15, 9, 26, 5, 35]
OTHER = [3, 14, 41, 9, 52, 5, 35]  # differs at positions 2 and 4
ANSWER, FOIL = 17, 8

_sessions: dict[str, Session] = {}


def open_session(family: str) -> Session:
    """Return one session per family for the whole test run, without interventions."""
    if family not in _sessions:
        _sessions[family] = Session(build(family))
    session = _sessions[family]
    session.interventions.clear()
    return session


def long_llama(positions: int):
    """Make a Llama that takes long prompts: 3 layers, 4 query and 2 key heads, d_head 8."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    settings = {**WIDE, "max_position_embeddings": positions}
    return LlamaForCausalLM(LlamaConfig(**settings)).eval()


@pytest.fixture(params=["gpt2", "llama"])
def session(request) -> Session:
    """GPT-2 (learned positions, LayerNorm) and Llama (rotary, RMSNorm, grouped queries)."""
    return open_session(request.param)


@pytest.fixture
def prompt(session):
    return session.prompt(IDS, answer=ANSWER, foil=FOIL)


@pytest.fixture
def corrupted(session):
    return session.prompt(OTHER)
