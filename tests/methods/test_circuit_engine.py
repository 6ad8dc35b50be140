"""Edges on real architectures: identities, finite differences, and a GPT-2 written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_widgets.methods.circuits import CircuitError, Graph
from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.session import Session
from tests import families

EDGES = [
    "gpt2",
    "gpt_neox",
    "gpt_neox_sequential",
    "llama",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "mistral",
    "phi3",
    "modernbert",
]


def opened(name, dtype=torch.float32):
    return Session(families.build(name).to(dtype))


def batches(session, rows=2, length=6):
    generator = torch.Generator().manual_seed(3)
    return [
        session.prompts(torch.randint(3, 61, (rows, length), generator=generator).tolist())
        for _ in range(2)
    ]


def loss(logits):
    return logits[:, 3] - logits[:, 5]


@pytest.mark.parametrize("name", [*EDGES, "mixtral", "gpt_oss"])
def test_cutting_nothing_gives_the_clean_run_and_everything_the_corrupted_one(name):
    session = opened(name)
    clean, corrupted = batches(session)
    engine = ModelEngine(session, clean)
    logits = session.capture(clean, "logits")["logits"][:, -1]
    wrong = session.capture(corrupted, "logits")["logits"][:, -1]
    theirs, _ = engine.writers(corrupted)
    none = torch.zeros(engine.graph.shape, dtype=torch.bool)
    every = torch.from_numpy(engine.graph.real_edge_mask)
    scale = float(logits.abs().max())
    assert float((logits - wrong).abs().max()) > 0.1 * scale  # the two runs do differ
    torch.testing.assert_close(engine.cut(clean, theirs, none), logits, atol=1e-4 * scale, rtol=0)
    torch.testing.assert_close(engine.cut(clean, theirs, every), wrong, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("name", ["gpt_neox", "llama", "qwen3", "gemma2", "phi3"])
def test_gradients_are_what_small_cuts_do(name):
    """Every edge's gradient against central differences of cutting it by a little."""
    session = opened(name, torch.float64)
    clean, corrupted = batches(session)
    engine = ModelEngine(session, clean)
    ours, theirs = (engine.writers(batch)[0] for batch in (clean, corrupted))
    gradients = {}
    for columns, part in engine.gradients(clean, loss):
        gradients.update(zip(columns, part, strict=True))
    assert sorted(gradients) == list(range(engine.graph.n_backward))
    step = 2e-3  # RMS norms compute in float32 whatever the model's dtype is
    difference = theirs - ours
    edges = np.argwhere(engine.graph.real_edge_mask)
    edges = edges[np.random.default_rng(0).permutation(len(edges))[:96]]
    masks = torch.zeros((len(edges), *engine.graph.shape), dtype=torch.bool)
    masks[torch.arange(len(edges)), edges[:, 0], edges[:, 1]] = True
    many = PromptBatch(clean.prompts * len(edges))
    up, down = (
        loss(
            engine.cut(
                many,
                (ours + sign * step * difference).repeat(1, len(edges), 1, 1),
                masks.repeat_interleave(len(clean), 0),
            )
        )
        .reshape(len(edges), -1)
        .sum(1)
        for sign in (1, -1)
    )
    measured = (up - down) / (2 * step)
    computed = torch.stack([(difference[w] * gradients[int(r)]).sum() for w, r in edges])
    torch.testing.assert_close(measured, computed, atol=2e-3 * float(computed.abs().max()), rtol=0)


def by_hand(model, ids, read):
    """GPT-2 with ``read(column, written) → what this reader reads``, position by position."""
    graph = Graph.build(model.config.n_layer, model.config.n_head)
    heads, block = model.config.n_head, model.transformer
    width = model.config.n_embd // heads
    written = [block.wte(ids) + block.wpe(torch.arange(ids.shape[1]))[None]]
    bias = torch.zeros_like(written[0])  # output projection's biases belong to no writer
    hidden = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
    for i, layer in enumerate(block.h):
        new = []
        for h in range(heads):
            parts = {}
            for s, slot in enumerate("qkv"):
                at = slice(s * heads * width + h * width, s * heads * width + (h + 1) * width)
                x = layer.ln_1(read(graph.reader(i, h, slot), written) + bias)
                parts[slot] = x @ layer.attn.c_attn.weight[:, at] + layer.attn.c_attn.bias[at]
            scores = parts["q"] @ parts["k"].transpose(1, 2) / width**0.5
            pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            own = layer.attn.c_proj.weight[h * width : (h + 1) * width]
            new.append(pattern @ parts["v"] @ own)
        written = written + new
        bias = bias + layer.attn.c_proj.bias
        written.append(layer.mlp(layer.ln_2(read(graph.reader(i), written) + bias)))
    final = block.ln_f(read(graph.n_backward - 1, written) + bias)
    return model.lm_head(final)[:, -1], torch.stack(written)


def test_cutting_edges_equals_gpt2_written_out_by_hand():
    session = opened("gpt2", torch.float64)
    model = session.anatomy.root
    clean, corrupted = batches(session)
    engine = ModelEngine(session, clean)
    with torch.no_grad():
        plain = lambda _, written: torch.stack(written).sum(0)  # noqa: E731
        logits, ours = by_hand(model, clean.ids, plain)
        _, theirs = by_hand(model, corrupted.ids, plain)
    torch.testing.assert_close(engine.writers(clean)[0], ours)
    torch.testing.assert_close(engine.writers(clean)[1], logits)
    rng = np.random.default_rng(4)
    for share in (0.03, 0.3, 0.9):
        cut = engine.graph.real_edge_mask & (rng.random(engine.graph.shape) < share)
        mask = torch.from_numpy(cut)

        def mixed(column, written, mask=mask):
            now = torch.stack(written)
            chosen = mask[: len(now), column, None, None, None]
            return torch.where(chosen, theirs[: len(now)], now).sum(0)

        with torch.no_grad():
            wanted, _ = by_hand(model, clean.ids, mixed)
        assert float((wanted - logits).abs().max()) > 1e-3
        torch.testing.assert_close(engine.cut(clean, theirs, mask), wanted)


def test_gradients_equal_autograd_on_gpt2_written_out_by_hand():
    session = opened("gpt2", torch.float64)
    model = session.anatomy.root
    clean, _ = batches(session)
    engine = ModelEngine(session, clean)
    read = {}

    def own(column, written):
        read[column] = torch.stack(written).sum(0).clone()
        return read[column]

    logits, _ = by_hand(model, clean.ids, own)
    wanted = dict(
        zip(read, torch.autograd.grad(loss(logits).sum(), list(read.values())), strict=True)
    )
    for columns, part in engine.gradients(clean, loss):
        for column, gradient in zip(columns, part, strict=True):
            torch.testing.assert_close(gradient, wanted[column])


def test_integrated_inputs_start_where_they_are_told():
    session = opened("gpt_neox", torch.float64)
    clean, corrupted = batches(session)
    engine = ModelEngine(session, clean)
    theirs, _ = engine.writers(corrupted)
    expected = dict(_flat(engine.gradients(corrupted, loss)))
    for column, gradient in _flat(engine.gradients(clean, loss, replace=(0, theirs[:1]))):
        torch.testing.assert_close(gradient, expected[column])


def _flat(found):
    for columns, part in found:
        yield from zip(columns, part, strict=True)


def test_a_gpt2_small_session_has_32491_edges():
    config = GPT2Config(n_embd=24, n_layer=12, n_head=12, n_positions=16, vocab_size=30)
    graph = Graph.from_session(Session(GPT2LMHeadModel(config)))
    assert graph.real_edge_mask.shape == (157, 445)
    assert int(graph.real_edge_mask.sum()) == 32_491


def test_shared_keys_are_given_back_after_every_run():
    session = opened("llama")
    module = session.anatomy.root.get_submodule(str(session.anatomy.blocks[0].attention))
    clean, corrupted = batches(session)
    engine = ModelEngine(session, clean)
    before = session.capture(clean, "logits")["logits"]
    theirs, _ = engine.writers(corrupted)
    engine.cut(clean, theirs, torch.from_numpy(engine.graph.real_edge_mask))
    assert module.num_key_value_groups == 2
    with pytest.raises(RuntimeError):
        engine.cut(clean, theirs[..., :-1], torch.from_numpy(engine.graph.real_edge_mask))
    assert module.num_key_value_groups == 2
    session.cache.clear()
    torch.testing.assert_close(session.capture(clean, "logits")["logits"], before)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bert", "post-norm"), ("olmo2", "keys of all heads together"), ("mamba", "no heads")],
)
def test_a_model_without_edges_is_refused_with_the_reason(name, reason):
    session = opened(name)
    clean, _ = batches(session)
    with pytest.raises(CircuitError, match=reason):
        ModelEngine(session, clean)
