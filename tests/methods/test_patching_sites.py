"""Patching inside heads and MLPs, other ablations, and leaving out what a patch cannot change."""

from __future__ import annotations

import functools

import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.short_runs import NOTHING, ShortRun
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session


def hooked(session, ids, edits=None, read=()):
    """Run the bare model; ``edits`` and ``read`` are (module path, port) pairs of plain hooks."""
    root, handles, seen = session.model._module, [], {}
    edits = edits or {}

    def touch(place, value):
        first = value[0] if isinstance(value, tuple) else value
        seen[place] = first.clone()
        if place in edits:
            first = edits[place](first.clone())
        return (first, *value[1:]) if isinstance(value, tuple) else first

    for place in {*edits, *read}:
        path, port = place
        module = root.get_submodule(path)
        if port == "input":
            hook = functools.partial(lambda place, _m, a: touch(place, a), place)
            handles.append(module.register_forward_pre_hook(hook))
        else:
            hook = functools.partial(lambda place, _m, _a, out: touch(place, out), place)
            handles.append(module.register_forward_hook(hook))
    try:
        with torch.no_grad():
            logits = root(input_ids=torch.tensor([ids])).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return float(logits[ANSWER] - logits[FOIL]), seen


def projection(session, layer, slot):
    """Path of the matrix that makes q, k or v, and the slice of its output."""
    block = session.anatomy.blocks[layer]
    if block.attention.endswith("attn") and hasattr(
        session.model._module.get_submodule(block.attention), "c_attn"
    ):
        at = "qkv".index(slot) * 32
        return (f"{block.attention}.c_attn", "output"), slice(at, at + 32)
    return (f"{block.attention}.{slot}_proj", "output"), slice(None)


def normalised(session, into, source, score):
    before, after = hooked(session, into)[0], hooked(session, source)[0]
    return (score - before) / (after - before)


@pytest.mark.parametrize("slot", ["q", "k", "v"])
def test_queries_keys_and_values_equal_plain_hooks(session, prompt, corrupted, slot):
    """Rotary embeddings turn each position by itself, so a patch before them is the same patch."""
    result = iw.patching(prompt, corrupted, slot)
    dim = "kv_head" if slot != "q" and session.anatomy.n_kv_heads == 2 else "head"
    assert result.dims == ["layer", dim]
    for layer, head in ((0, 1), (1, 0), (2, 1)):
        place, part = projection(session, layer, slot)
        value = hooked(session, IDS, read=[place])[1][place]

        def change(x, value=value, part=part, head=head):
            old, new = (t[..., part].unflatten(-1, (-1, 8)) for t in (x, value))
            old[:, :, head] = new[:, :, head]
            return x

        score = hooked(session, OTHER, {place: change})[0]
        expected = normalised(session, OTHER, IDS, score)
        assert float(result.values[layer, head]) == pytest.approx(expected, abs=1e-4)


def test_patterns_equal_plain_hooks(session, prompt, corrupted):
    """The other prompt's pattern over this prompt's values, written into the output projection."""
    result = iw.patching(prompt, corrupted, "pattern", direction="noise")
    root = session.model._module
    kernel = root.config._attn_implementation
    root.set_attn_implementation("eager")
    with torch.no_grad():
        patterns = root(input_ids=torch.tensor([OTHER]), output_attentions=True).attentions
    root.set_attn_implementation(kernel)
    for layer, head in ((0, 2), (1, 1), (2, 3)):
        place, part = projection(session, layer, "v")
        v = hooked(session, IDS, read=[place])[1][place][..., part].unflatten(-1, (-1, 8))
        z = patterns[layer][0, head] @ v[0, :, head // (4 // v.shape[2])]

        def change(x, z=z, head=head):
            x.unflatten(-1, (4, 8))[0, :, head] = z
            return x

        out = session.anatomy.blocks[layer].output_projection
        score = hooked(session, IDS, {(out, "input"): change})[0]
        expected = normalised(session, IDS, OTHER, score)
        assert float(result.values[layer, head]) == pytest.approx(expected, abs=1e-4)
    split = iw.patching(prompt, corrupted, "pattern", direction="noise", per_position=True)
    assert split.dims == ["layer", "head", "position"]
    assert split.values[:, :, 0].abs().max() < 1e-4  # the first query sees itself only


def test_neurons_equal_plain_hooks_and_their_estimates_rank_them(session, prompt, corrupted):
    result = iw.patching(prompt, corrupted, "mlp_post", neurons=4)
    assert result.sizes == {"mlp_neuron": 12}
    guess = iw.patching(prompt, corrupted, "mlp_post", method="attribution")
    assert guess.sizes == {"layer": 3, "neuron": 56}
    for name, value in zip(result.labels("mlp_neuron"), result.values, strict=True):
        layer, unit = map(int, name[1:].split("N"))
        rank = (guess.values[layer].abs() > guess.values[layer, unit].abs()).sum()
        assert rank < 4
        place = (session.anatomy.blocks[layer].down_projection, "input")
        new = hooked(session, IDS, read=[place])[1][place]

        def change(x, new=new, unit=unit):
            x[..., unit] = new[..., unit]
            return x

        score = hooked(session, OTHER, {place: change})[0]
        expected = normalised(session, OTHER, IDS, score)
        assert float(value) == pytest.approx(expected, abs=1e-4)
    here = iw.patching(prompt, corrupted, "mlp_post", neurons=2, layers=[1], per_position=True)
    assert here.sizes == {"mlp_neuron": 2, "position": 7}


@pytest.mark.parametrize("site", ["q", "k", "v", "pattern", "mlp_post"])
def test_estimates_are_the_slope_of_the_exact_effect(session, prompt, corrupted, site):
    """By finite differences with plain hooks: a small share of the patch, forth and back."""
    guess = iw.patching(prompt, corrupted, site, method="attribution", normalise=False)
    layer, share = 1, 3e-2
    block = session.anatomy.blocks[layer]
    place = (block.down_projection, "input")
    part, width = slice(None), 1
    if site in "qkv":
        (place, part), width = projection(session, layer, site), 8
    elif site == "pattern":
        place, width = (block.output_projection, "input"), 8
    new = hooked(session, IDS, read=[place])[1][place]
    if site == "pattern":
        both = session.prompts([prompt, corrupted])
        found = session.capture(both, [f"pattern.{layer}", f"v.{layer}"])
        v = found[f"v.{layer}"][1].repeat_interleave(4 // session.anatomy.n_kv_heads, 0)
        new = (found[f"pattern.{layer}"][0] @ v).transpose(0, 1).flatten(1)[None]
    for i in range(2):

        def moved(sign, i=i):
            def change(x):
                old, aim = (t[..., part].unflatten(-1, (-1, width)) for t in (x, new))
                old[..., i, :] += sign * share * (aim - old)[..., i, :]
                return x

            return hooked(session, OTHER, {place: change})[0]

        slope = (moved(1) - moved(-1)) / (2 * share)
        assert float(guess.values[layer, i]) == pytest.approx(slope, rel=3e-2, abs=3e-3)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_ablations_equal_plain_hooks(session, prompt, corrupted, ablation):
    result = iw.patching(prompt, corrupted, "z", ablation=ablation)
    assert result.meta["direction"] == "noise"
    for layer, head in ((0, 0), (2, 3)):
        place = (session.anatomy.blocks[layer].output_projection, "input")
        value = hooked(session, OTHER, read=[place])[1][place].mean((0, 1)) * (ablation == "mean")

        def change(x, value=value, head=head):
            x.unflatten(-1, (4, 8))[:, :, head] = value.unflatten(-1, (4, 8))[head]
            return x

        score = hooked(session, IDS, {place: change})[0]
        expected = normalised(session, IDS, OTHER, score)
        assert float(result.values[layer, head]) == pytest.approx(expected, abs=1e-4)


def test_without_a_corrupted_prompt_changes_are_in_logits(session, prompt, corrupted):
    raw = iw.patching(prompt, site="mlp_out", ablation="zero", per_position=False)
    assert raw.dims == ["layer"]
    assert raw.quantity == "change of the logit difference, logits"
    assert "corrupted_score" not in raw.meta
    both = iw.patching(prompt, corrupted, site="mlp_out", ablation="zero", per_position=False)
    span = both.meta["corrupted_score"] - both.meta["clean_score"]
    torch.testing.assert_close(raw.values, both.values * span, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="an interchange needs corrupted prompts"):
        iw.patching(prompt)
    with pytest.raises(ValueError, match="give corrupted prompts, or normalise=False"):
        iw.patching(prompt, ablation="zero", normalise=True)
    with pytest.raises(ValueError, match='its direction is "noise"'):
        iw.patching(prompt, ablation="zero", direction="denoise")
    with pytest.raises(ValueError, match="at least one neuron"):
        iw.patching(prompt, site="mlp_post", ablation="zero", neurons=0)


def test_pairs_of_different_lengths_meet_in_heads(session):
    cleans = [session.prompt(IDS, ANSWER, FOIL), session.prompt(IDS[1:], ANSWER, FOIL)]
    others = [session.prompt(OTHER), session.prompt(OTHER[1:])]
    result = iw.patching(cleans, others, "z", normalise=False)
    single = [iw.patching(c, o, "z", normalise=False) for c, o in zip(cleans, others, strict=True)]
    expected = torch.stack([r.values for r in single])
    torch.testing.assert_close(result.arrays["changes"], expected, rtol=1e-4, atol=1e-6)
    low, high = result.arrays["interval"]
    assert (low <= result.values + 1e-6).all()
    assert (result.values <= high + 1e-6).all()
    torch.testing.assert_close(low, expected.amin(0), rtol=1e-4, atol=1e-6)  # two pairs: the ends


FAMILIES = ["gpt2", "llama", "gpt_neox", "qwen3", "gemma2", "olmo2", "mixtral", "bert"]


@pytest.mark.parametrize("family", FAMILIES)
def test_leaving_out_blocks_and_positions_changes_nothing(family, monkeypatch):
    session = open_session(family)
    pair = session.prompt(IDS, ANSWER, FOIL), session.prompt(OTHER)
    short = ShortRun.of(session, pair[0])
    assert len(short.blocks) == 3
    assert short.narrow
    top = iw.patching(*pair, "z", layers=[2], normalise=False)
    ran, handles = [], []
    for layer, block in enumerate(session.anatomy.blocks):
        norm = session.model._module.get_submodule(block.norms[0])
        note = functools.partial(lambda layer, *_: ran.append(layer), layer)
        handles.append(norm.register_forward_hook(note))
    again = top.rerun()
    for handle in handles:
        handle.remove()
    assert ran == [2]  # all four heads in one pass, and neither block 0 nor block 1
    assert torch.equal(again.values, top.values)
    fast = [iw.patching(*pair, site, normalise=False) for site in ("z", "resid_post", "mlp_out")]
    monkeypatch.setattr(ShortRun, "of", lambda *_: NOTHING)
    for quick in [top, *fast]:
        whole = quick.rerun()
        torch.testing.assert_close(quick.values, whole.values, rtol=1e-3, atol=1e-5)


def test_interventions_are_reached_although_blocks_could_be_left_out(session, prompt):
    assert ShortRun.of(session, prompt).blocks
    session.ablate("mlp_out", layer=0)
    assert ShortRun.of(session, prompt) == NOTHING
