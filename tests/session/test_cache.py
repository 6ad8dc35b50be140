"""The cache holds at most its bytes, and views on one prompt share one forward pass."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.session import forward as forward_module
from interp_widgets.session.cache import Cache
from interp_widgets.session.errors import OutOfMemory
from interp_widgets.session.session import Session
from tests.families import build

IDS = [3, 14, 15, 9, 26, 5, 35]


@pytest.fixture
def live():
    with Session(build("gpt2")) as session:
        yield session


def test_the_least_recently_used_leave_first():
    cache = Cache(3 * 40)
    for name in "abc":
        cache.put(name, torch.zeros(10))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(10))
    assert [name in cache for name in "abcd"] == [True, False, True, True]
    assert cache.bytes == 120
    assert cache.get("b") is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_slices_of_one_tensor_are_counted_once():
    cache = Cache(1000)
    fused = torch.zeros(30)
    for name, part in zip("qkv", fused.split(10), strict=True):
        cache.put(name, part)
    assert cache.bytes == 120
    cache.put("q", torch.zeros(5))
    assert cache.bytes == 140
    assert cache.clear() == 140
    assert (cache.bytes, len(cache)) == (0, 0)


def test_what_is_larger_than_the_cache_is_not_kept():
    cache = Cache(100)
    cache.put("small", torch.zeros(10))
    assert not cache.put("large", torch.zeros(100))
    assert "small" in cache
    with pytest.raises(ValueError, match="cache_bytes"):
        Cache(-1)


def test_ten_views_on_one_prompt_cost_one_forward_pass(live):
    prompt = live.prompt(IDS)
    wanted = [
        ["resid_post"], ["q", "k"], "logits", "resid_post.1", ["embed", "logits"],
        "q.2", ["k.0", "resid_post.2"], ["logits", "resid_post"], "embed", ["q", "k", "resid_post", "logits"],
    ]  # fmt: skip
    for sites in wanted:
        live.capture(prompt, sites)
    live.capture(live.prompt(IDS), "logits")
    assert live.forward_passes == 1
    live.capture(prompt, ["mlp_post", "logits"])
    assert live.forward_passes == 2
    live.capture(prompt, "mlp_post.1")
    assert live.forward_passes == 2


def test_an_intervention_costs_one_more_and_going_back_costs_nothing(live):
    prompt = live.prompt(IDS)
    clean = live.capture(prompt, "logits")["logits"]
    live.ablate("z", layer=1, head=2)
    ablated = live.capture(prompt, ["logits", "resid_post"])["logits"]
    assert live.forward_passes == 2
    live.undo()
    assert torch.equal(live.capture(prompt, "logits")["logits"], clean)
    live.redo()
    assert torch.equal(live.capture(prompt, "logits")["logits"], ablated)
    assert live.cached(prompt, "resid_post")
    assert not live.cached(prompt, "z.0")
    assert live.forward_passes == 2


def test_cached_values_are_those_of_a_fresh_run(live):
    prompt = live.prompt(IDS)
    live.capture(prompt, "logits")
    with torch.no_grad(), live.model.trace(input_ids=torch.tensor([IDS])):
        hidden = live.model.transformer.h[1].output.save()
    assert torch.allclose(
        live.capture(prompt, "resid_post.1")["resid_post.1"], hidden[0], atol=1e-6
    )
    assert live.forward_passes == 1


def test_a_small_cache_fetches_only_what_is_asked_for():
    with Session(build("gpt2"), cache_bytes=4000) as live:
        live.capture(live.prompt(IDS), "resid_post.1")
        assert len(live.cache) == 1
        for length in range(2, 12):
            live.capture(live.prompt(list(range(3, 3 + length))), "resid_post")
            assert live.cache.bytes <= 4000
    with Session(build("gpt2"), cache_bytes=0) as live:
        live.capture(live.prompt(IDS), "logits")
        live.capture(live.prompt(IDS), "logits")
        assert (live.forward_passes, live.cache.bytes) == (2, 0)


def _short_of_memory(monkeypatch, times):
    real, left = forward_module.capture, [times]

    def scarce(*args, **kwargs):
        if left[0] > 0:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(*args, **kwargs)

    monkeypatch.setattr(forward_module, "capture", scarce)


def test_out_of_memory_empties_the_cache_and_tries_once_more(live, monkeypatch):
    live.capture(live.prompt(IDS[:3]), "logits")
    assert len(live.cache) > 0
    _short_of_memory(monkeypatch, times=1)
    got = live.capture(live.prompt(IDS), "logits")
    assert got["logits"].shape == (7, 61)
    assert not live.cached(live.prompt(IDS[:3]), "logits")


def test_out_of_memory_twice_says_what_would_fit_and_the_session_lives_on(live, monkeypatch):
    _short_of_memory(monkeypatch, times=2)
    with pytest.raises(
        OutOfMemory, match=r"activations of 7 tokens need about .* at most 3 tokens"
    ):
        live.capture(live.prompt(IDS), ["resid_post", "logits"])
    assert live.capture(live.prompt(IDS), "logits")["logits"].shape == (7, 61)


def test_variants_take_smaller_batches_when_memory_is_short(live, monkeypatch):
    from interp_widgets.session.interventions import Ablate

    prompt = live.prompt(IDS)
    variants = [[Ablate(site="z", layer=1, head=h)] for h in range(4)]
    whole = live.run_variants(prompt, variants)
    _short_of_memory(monkeypatch, times=2)
    assert torch.allclose(live.run_variants(prompt, variants), whole, atol=1e-5)


def test_other_errors_are_not_taken_for_short_memory(live, monkeypatch):
    monkeypatch.setattr(
        forward_module,
        "capture",
        lambda *a, **k: (_ for _ in ()).throw(RuntimeError("shapes differ")),
    )
    with pytest.raises(RuntimeError, match="shapes differ"):
        live.capture(live.prompt(IDS), "logits")
