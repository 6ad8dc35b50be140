"""Causal tracing beside a loop of plain PyTorch hooks with the same noise."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from tests.methods.conftest import ANSWER, IDS, open_session

SUBJECT = [1, 2]


def by_hand(session, restore, *, samples=3, seed=4):
    """Probability of the answer for each draw; ``restore`` is (path, port, position) places."""
    root = session.model._module
    table = root.get_input_embeddings()
    draw = torch.Generator().manual_seed(seed)
    width = table.weight.shape[1]
    noise = torch.randn((samples, 2, width), generator=draw) * 3 * table.weight.std()

    def run(sample=None, values=None):
        seen, handles = {}, []

        def disturb(_m, _a, out):
            if sample is None:
                return out
            out = out.clone()
            out[:, SUBJECT] += noise[sample]
            return out

        handles.append(table.register_forward_hook(disturb))
        for path, position in restore:

            def hook(_m, _a, out, path=path, position=position):
                first = out[0] if isinstance(out, tuple) else out
                seen[path] = first.clone()
                if values is None:
                    return out
                first = first.clone()
                first[:, position] = values[path][:, position]
                return (first, *out[1:]) if isinstance(out, tuple) else first

            handles.append(root.get_submodule(path).register_forward_hook(hook))
        with torch.no_grad():
            logits = root(input_ids=torch.tensor([IDS])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return float(logits.softmax(-1)[ANSWER]), seen

    clean, values = run()
    return clean, [run(s, values)[0] for s in range(samples)]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_every_panel_equals_plain_hooks(family):
    session = open_session(family)
    prompt = session.prompt(IDS, ANSWER)
    trace = iw.causal_trace(prompt, SUBJECT, samples=3, window=2, seed=4)
    assert trace.sizes == {"kind": 3, "position": 7, "layer": 3}
    clean, noisy = by_hand(session, [])
    assert trace.meta["clean_score"] == pytest.approx(clean, abs=1e-6)
    assert trace.meta["corrupted_score"] == pytest.approx(sum(noisy) / 3, abs=1e-6)
    blocks = session.anatomy.blocks
    cases = [(0, 2, [1]), (1, 1, [0, 1]), (2, 2, [1, 2]), (1, 0, [0])]
    for kind, layer, restored in cases:
        paths = {
            0: [blocks[i].path for i in restored],
            1: [blocks[i].mlp for i in restored],
            2: [blocks[i].output_projection for i in restored],
        }[kind]
        shown = 1 if kind == 0 else layer
        for position in (1, 4):
            restored_scores = by_hand(session, [(path, position) for path in paths])[1]
            each = torch.tensor(restored_scores) - torch.tensor(noisy)
            got = trace.arrays["by_sample"][:, kind, position, shown]
            torch.testing.assert_close(got, each, rtol=1e-3, atol=1e-5)
            assert float(trace.values[kind, position, shown]) == pytest.approx(
                float(each.mean()), abs=1e-5
            )


def test_restoring_what_decides_restores_everything():
    """The last token's last state is all the answer is read from; tokens before have no way in."""
    session = open_session("gpt2")
    trace = iw.causal_trace(session.prompt(IDS, ANSWER), SUBJECT, kinds=["state"], samples=2)
    span = trace.meta["clean_score"] - trace.meta["corrupted_score"]
    assert float(trace.values[0, -1, -1]) == pytest.approx(span, abs=1e-6)
    assert trace.values[0, :-1, -1].abs().max() < 1e-6
    assert trace.values[0, 0].abs().max() < 1e-6  # before the subject nothing was disturbed
    assert trace.labels("position")[1:3] == ["14*", "15*"]


def test_interventions_hold_and_the_noise_is_the_same_again():
    session = open_session("llama")
    prompt = session.prompt(IDS, ANSWER)
    first = iw.causal_trace(prompt, SUBJECT, kinds=["attention"], samples=2, window=1)
    assert torch.equal(first.rerun().values, first.values)
    session.ablate("attn_out", layer=1)
    after = first.rerun()
    assert after.values[0, :, 1].abs().max() < 1e-6  # nothing is left there to restore
    assert not torch.allclose(after.values, first.values)
    session.interventions.clear()


def test_the_subject_is_found_in_the_text_and_the_figure_has_three_panels():
    session = iw.demo()
    prompt = session.prompt("When Mary and John went to the store, John gave a drink to", " Mary")
    trace = iw.causal_trace(prompt, "John went", kinds=["state", "mlp"], samples=2)
    assert [prompt.tokens[i] for i in trace.meta["subject"]] == [" John", " went"]
    panels = [trace.figure(kind=kind) for kind in range(2)]
    figure = iw.panels([panels], share="rows")
    assert len(figure.panels) == 2


@pytest.mark.parametrize(
    ("subject", "arguments", "why"),
    [
        ("Needle", {}, "'Needle' is not in the prompt"),
        ([9], {}, "give positions of a prompt of 7 tokens"),
        ([], {}, "give positions"),
        ([1], {"samples": 0}, "have to be positive"),
        ([1], {"kinds": []}, "kinds is empty"),
        ([1], {"kinds": ["heads"]}, "heads"),
    ],
)
def test_what_is_wrong_is_told(subject, arguments, why):
    session = open_session("gpt2")
    with pytest.raises((ValueError, TypeError), match=why):
        iw.causal_trace(session.prompt(IDS, ANSWER), subject, **arguments)
