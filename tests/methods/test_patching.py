"""Patching beside a loop of plain PyTorch hooks, one forward pass per cell."""

from __future__ import annotations

import itertools

import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.sites import SiteError
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER


class Hooked:
    """The model with plain hooks: read a site on one prompt, write a cell of it on another."""

    def __init__(self, session):
        self.root = session.model._module
        self.blocks = session.anatomy.blocks

    def place(self, site, layer):
        block = self.blocks[layer]
        if site in ("resid_pre", "resid_post"):
            return block.path, "input" if site == "resid_pre" else "output"
        if site == "resid_mid":
            return block.norms[1], "mid"
        path = {
            "attn_out": block.output_projection,
            "mlp_out": block.mlp,
            "z": block.output_projection,
        }
        return path[site], "input" if site == "z" else "output"

    def run(self, ids, site=None, layer=0, change=lambda value: value):
        seen = []
        root, handles = self.root, []

        def touch(value):
            first = value[0] if isinstance(value, tuple) else value
            heads = site == "z"
            shaped = first.unflatten(-1, (4, -1)) if heads else first
            seen.append(shaped.clone())
            new = change(shaped.clone())
            new = new.flatten(-2) if heads else new
            return (new, *value[1:]) if isinstance(value, tuple) else new

        if site is not None:
            path, port = self.place(site, layer)
            module = root.get_submodule(path)
            if port == "input":
                handles.append(
                    module.register_forward_pre_hook(lambda _m, a: (touch(a[0]), *a[1:]))
                )
            elif port == "output":
                handles.append(module.register_forward_hook(lambda _m, _a, out: touch(out)))
            else:  # the stream between attention and MLP: what both the norm and the sum read

                def in_place(_m, args):
                    args[0].copy_(touch(args[0]))

                handles.append(module.register_forward_pre_hook(in_place))
        try:
            with torch.no_grad():
                logits = root(input_ids=torch.tensor([ids])).logits[0, -1]
        finally:
            for handle in handles:
                handle.remove()
        return float(logits[ANSWER] - logits[FOIL]), seen[0] if seen else None


def by_hand(session, site, direction, *, per_position=False):
    """Normalised effects from the definition, cell by cell."""
    model = Hooked(session)
    into, source = (OTHER, IDS) if direction == "denoise" else (IDS, OTHER)
    before, after = model.run(into)[0], model.run(source)[0]
    rows = []
    for layer in range(3):
        value = model.run(source, site, layer)[1]
        positions = range(7) if site != "z" or per_position else [slice(None)]
        heads = range(4) if site == "z" else [None]
        row = []
        for head, position in itertools.product(heads, positions):
            at = (0, position) if head is None else (0, position, head)

            def change(x, at=at, value=value):
                x[at] = value[at]
                return x

            row.append(model.run(into, site, layer, change)[0])
        rows.append(
            torch.tensor(row).reshape(
                [len(p) for p in (heads, positions) if p != [None] and p != [slice(None)]]
            )
        )
    return (torch.stack(rows) - before) / (after - before)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize(
    "site", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z"]
)
def test_every_cell_equals_plain_hooks(session, prompt, corrupted, site, direction):
    result = iw.patching(prompt, corrupted, site=site, direction=direction)
    assert result.dims == (["layer", "head"] if site == "z" else ["layer", "position"])
    torch.testing.assert_close(
        result.values, by_hand(session, site, direction), rtol=1e-3, atol=1e-4
    )


def test_heads_per_position_equal_plain_hooks(session, prompt, corrupted):
    result = iw.patching(prompt, corrupted, site="z", per_position=True)
    assert result.sizes == {"layer": 3, "head": 4, "position": 7}
    expected = by_hand(session, "z", "denoise", per_position=True)
    torch.testing.assert_close(result.values, expected, rtol=1e-3, atol=1e-4)


def test_the_scale_runs_from_corrupted_to_clean(session, prompt, corrupted):
    result = iw.patching(prompt, corrupted, site="resid_post")
    last = result.values[-1]
    assert float(last[-1]) == pytest.approx(1, abs=1e-4)  # the last residual decides everything
    assert last[:-1].abs().max() < 1e-5  # and no other position is read
    assert result.values[:, :2].abs().max() < 1e-5  # before the first difference nothing differs
    assert result.quantity.endswith("(0 = corrupted, 1 = clean)")
    for name, ids in (("clean_score", IDS), ("corrupted_score", OTHER)):
        logits = session.capture(session.prompt(ids), "logits")["logits"][-1]
        assert result.meta[name] == pytest.approx(float(logits[ANSWER] - logits[FOIL]), abs=1e-5)


def test_positions_show_both_tokens_where_the_prompts_differ(prompt, corrupted):
    labels = iw.patching(prompt, corrupted).labels("position")
    assert labels == ["3", "14", "15 /41", "9", "26 /52", "5", "35"]


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out", "z"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_attribution_patching_is_the_gradient_of_the_definition(
    session, prompt, corrupted, site, direction
):
    """d effect / d share of the patch, at share 0, by finite differences with hooks."""
    model = Hooked(session)
    into, source = (OTHER, IDS) if direction == "denoise" else (IDS, OTHER)
    span = model.run(source)[0] - model.run(into)[0]
    result = iw.patching(prompt, corrupted, site=site, direction=direction, method="attribution")
    layer, share = 1, 3e-2
    value = model.run(source, site, layer)[1]
    expected = []
    for i in range(result.values.shape[1]):
        at = (0, slice(None), i) if site == "z" else (0, i)

        def moved(sign, at=at):
            def change(x):
                x[at] = x[at] + sign * share * (value[at] - x[at])
                return x

            return model.run(into, site, layer, change)[0]

        expected.append((moved(1) - moved(-1)) / (2 * share * span))
    torch.testing.assert_close(result.values[layer], torch.tensor(expected), rtol=2e-2, atol=2e-3)
    assert "estimated" in result.title


def test_attribution_costs_one_backward_instead_of_a_pass_per_cell(session, prompt, corrupted):
    session.cache.clear()
    before = session.forward_passes
    iw.patching(prompt, corrupted, site="mlp_out", method="attribution")
    assert session.forward_passes - before == 3  # clean, corrupted, and the one with gradients


def test_per_position_attribution_adds_up_to_the_head(prompt, corrupted):
    whole = iw.patching(prompt, corrupted, site="z", method="attribution")
    parts = iw.patching(prompt, corrupted, site="z", method="attribution", per_position=True)
    assert parts.dims == ["layer", "head", "position"]
    torch.testing.assert_close(parts.values.sum(-1), whole.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("metric", ["logit", "log_probability", "probability"])
def test_other_metrics_keep_the_ends_of_the_scale(prompt, corrupted, metric):
    result = iw.patching(prompt, corrupted, site="resid_post", metric=metric)
    assert float(result.values[-1, -1]) == pytest.approx(1, abs=1e-3)
    assert metric.replace("_", " ") in result.quantity


def test_interventions_hold_in_both_runs(session, prompt, corrupted):
    free = iw.patching(prompt, corrupted, "resid_post")
    session.ablate("z", layer=0, head=2)
    result = free.rerun()
    assert not torch.allclose(result.values, free.values)
    assert float(result.values[-1, -1]) == pytest.approx(1, abs=1e-4)
    logits = session.capture(prompt, "logits")["logits"][-1]
    assert result.meta["clean_score"] == pytest.approx(
        float(logits[ANSWER] - logits[FOIL]), abs=1e-5
    )


def test_an_ablated_head_has_nothing_to_patch(session, prompt, corrupted):
    session.ablate("z", layer=1, head=3)
    assert iw.patching(prompt, corrupted, site="z").values[1, 3].abs() < 1e-5


def test_some_layers_only(prompt, corrupted):
    part = iw.patching(prompt, corrupted, layers=[2, 1])
    assert part.labels("layer") == ["2", "1"]
    whole = iw.patching(prompt, corrupted)
    torch.testing.assert_close(part.values, whole.values[[2, 1]], rtol=1e-3, atol=1e-5)


def test_several_pairs_give_the_mean_change_over_the_mean_difference(session):
    second = [3, 14, 15, 22, 26, 5, 35], [3, 14, 15, 9, 33, 5, 35]
    cleans = [session.prompt(IDS, ANSWER, FOIL), session.prompt(second[0], FOIL, 40)]
    others = [session.prompt(OTHER), session.prompt(second[1])]
    result = iw.patching(cleans, others, site="mlp_out")
    single = [iw.patching(c, o, site="mlp_out") for c, o in zip(cleans, others, strict=True)]
    spans = [r.meta["clean_score"] - r.meta["corrupted_score"] for r in single]
    expected = sum(r.values * span for r, span in zip(single, spans, strict=True)) / sum(spans)
    torch.testing.assert_close(result.values, expected, rtol=1e-4, atol=1e-5)
    assert result.quantity.endswith("mean of 2 pairs")
    assert result.labels("position") == ["3", "14", "15 /41", "9 /22", "26 /52 /33", "5", "35"]
    assert torch.equal(result.rerun().values, result.values)
    batch = iw.patching(session.prompts(cleans), session.prompts(others), site="mlp_out")
    assert torch.equal(batch.values, result.values)


def test_lists_that_make_no_pairs_are_refused(session, prompt, corrupted):
    with pytest.raises(ValueError, match="2 clean and 1 corrupted prompts make no pairs"):
        iw.patching([prompt, prompt], corrupted)
    with pytest.raises(ValueError, match="0 clean and 1 corrupted"):
        iw.patching([], corrupted)
    short = session.prompt(IDS[:5], ANSWER, FOIL), session.prompt(OTHER[:5])
    with pytest.raises(ValueError, match="different lengths, so their positions have no mean"):
        iw.patching([prompt, short[0]], [corrupted, short[1]])


def test_prompts_of_different_length_are_told_with_their_tokens(session, prompt):
    with pytest.raises(
        ValueError, match=r"7 tokens and the corrupted one 5.*equal length \(3\|14\|15"
    ):
        iw.patching(prompt, session.prompt(OTHER[:5]))


@pytest.mark.parametrize(
    ("answers", "arguments", "why"),
    [
        ({}, {}, "the clean prompt has no answer"),
        ({"answer": ANSWER}, {}, 'needs an answer and a foil.*metric="logit"'),
        (
            {"answer": ANSWER, "foil": FOIL},
            {"metric": "logit_diff"},
            "did you mean 'logit_difference'",
        ),
        ({"answer": ANSWER, "foil": FOIL}, {"site": "Q"}, "'Q' is not one of 'resid_pre'"),
        ({"answer": ANSWER, "foil": FOIL}, {"layers": []}, "layers is empty"),
    ],
)
def test_what_is_missing_is_asked_for(session, corrupted, answers, arguments, why):
    with pytest.raises(ValueError, match=why):
        iw.patching(session.prompt(IDS, **answers), corrupted, **arguments)


def test_a_layer_that_is_not_there_is_refused(prompt, corrupted):
    with pytest.raises(SiteError, match="no layer 3"):
        iw.patching(prompt, corrupted, layers=[3])


def test_equal_prompts_have_no_difference_to_trace(session, prompt):
    with pytest.raises(ValueError, match="no difference to trace"):
        iw.patching(prompt, session.prompt(IDS))
