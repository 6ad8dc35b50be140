"""The lens is the model's own readout at every layer, checked in float64 against its definition."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.readout import Readout
from interp_widgets.session.errors import PromptError
from interp_widgets.session.sites import SiteError
from tests.methods.conftest import ANSWER, FOIL, IDS, open_session


def definition(session, prompt) -> torch.Tensor:
    """Logits of every row ``[layer, position, vocabulary]``, written out per family in float64."""
    root = session.model._module
    with torch.no_grad():
        out = root(input_ids=torch.tensor([list(prompt.ids)]), output_hidden_states=True)
    model = getattr(root, "transformer", None) or root.model
    blocks = session.anatomy.n_layers
    last = session.capture(prompt, f"resid_post.{blocks - 1}")[f"resid_post.{blocks - 1}"]
    residuals = [h[0].double() for h in out.hidden_states[:-1]] + [last.double()]
    rows = []
    for h in residuals:
        if hasattr(model, "ln_f"):
            norm = model.ln_f
            weights = (norm.weight.double(), norm.bias.double())
            x = torch.nn.functional.layer_norm(h, h.shape[-1:], *weights, norm.eps)
        else:
            gain = model.norm.weight.double()
            x = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + root.config.rms_norm_eps)
            x = x * (1 + gain if type(root).__name__.startswith("Gemma") else gain)
        logits = x @ root.lm_head.weight.double().T
        cap = getattr(root.config, "final_logit_softcapping", None)
        rows.append(logits if cap is None else cap * torch.tanh(logits / cap))
    return torch.stack(rows)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_every_cell_is_what_the_definition_says(family):
    session = open_session(family)
    prompt = session.prompt(IDS, answer=ANSWER, foil=FOIL)
    lens = iw.logit_lens(prompt, k=5)
    logits = definition(session, prompt)
    log_p = logits.log_softmax(-1)
    best = log_p.exp().topk(5)
    close = {"rtol": 1e-3, "atol": 1e-4, "check_dtype": False}
    assert lens.arrays["ids"].shape == (4, 7, 5)
    torch.testing.assert_close(lens.arrays["probs"], best.values, **close)
    torch.testing.assert_close(lens.arrays["ids"][..., 0], best.indices[..., 0], check_dtype=False)
    torch.testing.assert_close(lens.arrays["entropy"], -(log_p.exp() * log_p).sum(-1), **close)
    kl = (log_p[-1].exp() * (log_p[-1] - log_p)).sum(-1)
    torch.testing.assert_close(lens.arrays["kl"], kl, **close)
    torch.testing.assert_close(lens.arrays["answer_prob"], log_p.exp()[..., ANSWER], **close)
    rank = (logits > logits[..., ANSWER : ANSWER + 1]).sum(-1)
    torch.testing.assert_close(lens.arrays["answer_rank"], rank, check_dtype=False)
    difference = logits[..., ANSWER] - logits[..., FOIL]
    torch.testing.assert_close(lens.arrays["logit_difference"], difference, **close)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_the_last_row_is_exactly_the_models_own_output(family):
    session = open_session(family)
    prompt = session.prompt(IDS)
    lens = iw.logit_lens(prompt, k=61)
    own = session.capture(prompt, "logits")["logits"]
    assert torch.equal(lens.arrays["logits"][-1], own.topk(61).values)
    assert torch.equal(
        lens.arrays["probs"][-1], own.log_softmax(-1).exp().gather(-1, own.topk(61).indices)
    )
    assert torch.equal(lens.arrays["kl"][-1], torch.zeros(7))


def test_the_soft_cap_of_gemma_is_part_of_every_row():
    session = open_session("gemma2")
    prompt = session.prompt(IDS)
    assert Readout.of(session, prompt).softcap == 3.0
    assert iw.logit_lens(prompt).arrays["logits"].abs().max() < 3.0


def test_rows_and_columns_are_labelled(session, prompt):
    lens = iw.logit_lens(prompt, k=3)
    assert lens.layers == ["embed", "0", "1", "2"]
    assert lens.tokens == [str(i) for i in IDS]
    assert lens.meta["sites"][0] == "resid_pre.0"
    assert lens.string(ANSWER) == str(ANSWER)
    assert set(lens.meta["strings"]) >= {str(int(i)) for i in lens.arrays["ids"].unique()}


def test_chunks_of_positions_change_nothing(session, prompt, monkeypatch):
    whole = iw.logit_lens(prompt, k=4)
    monkeypatch.setattr(lens_module_of(), "CELLS", 2 * 61)  # two positions at a time
    parts = iw.logit_lens(prompt, k=4)
    for name, array in whole.arrays.items():
        torch.testing.assert_close(parts.arrays[name], array)


def lens_module_of():
    """The module behind the function of the same name."""
    import sys

    return sys.modules["interp_widgets.methods.logit_lens"]


def test_some_positions_only(session, prompt):
    whole, part = iw.logit_lens(prompt, k=4), iw.logit_lens(prompt, k=4, positions=[5, -1])
    assert part.tokens == [str(IDS[5]), str(IDS[6])]
    assert part.positions == [5, 6]
    assert torch.equal(part.arrays["ids"], whole.arrays["ids"][:, 5:])
    assert sorted(part.frame().position.unique()) == [5, 6]


def test_an_intervention_moves_the_rows_after_it(session, prompt):
    before = iw.logit_lens(prompt)
    session.ablate("mlp_out", layer=1)
    after = before.rerun()
    torch.testing.assert_close(after.arrays["entropy"][:2], before.arrays["entropy"][:2])
    assert not torch.allclose(after.arrays["entropy"][2:], before.arrays["entropy"][2:])
    own = session.capture(prompt, "logits")["logits"]
    assert torch.equal(after.arrays["logits"][-1, :, 0], own.amax(-1))


def test_an_intervention_on_the_logits_shows_in_the_last_row_only(session, prompt):
    before = iw.logit_lens(prompt)
    session.scale("logits", 0.5)
    after = before.rerun()
    torch.testing.assert_close(after.arrays["logits"][-1], before.arrays["logits"][-1] * 0.5)
    torch.testing.assert_close(after.arrays["logits"][:-1], before.arrays["logits"][:-1])


def test_a_head_with_layers_of_its_own_is_applied_whole():
    session = open_session("bert")
    prompt = session.prompt(IDS)
    lens = iw.logit_lens(prompt, k=61)
    root = session.model._module
    with torch.no_grad():
        hidden = root(
            input_ids=torch.tensor([IDS]),
            attention_mask=torch.ones(1, 7),
            output_hidden_states=True,
        ).hidden_states
        expected = torch.stack([root.cls(h)[0] for h in hidden])
    torch.testing.assert_close(
        lens.arrays["logits"], expected.topk(61).values, rtol=1e-3, atol=1e-4
    )


def test_a_readout_that_is_not_understood_is_refused_instead_of_guessed():
    from interp_widgets.session.session import Session
    from tests.families import build

    model = build("llama")
    model.lm_head.register_forward_hook(lambda _module, _args, out: out)  # harmless
    forward = type(model).forward

    class Odd(type(model)):
        def forward(self, *args, **kwargs):
            out = forward(self, *args, **kwargs)
            out.logits = out.logits.sin()
            return out

    model.__class__ = Odd
    session = Session(model)
    with pytest.raises(
        SiteError, match=r"from the last residual to the logits of Odd is not known"
    ):
        iw.logit_lens(session.prompt(IDS))
    assert iw.activations(session.prompt(IDS)).sizes["layer"] == 3
    session.close()


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "bert"])
def test_any_token_can_be_followed_whether_it_was_pinned_or_not(family):
    session = open_session(family)
    prompt = session.prompt(IDS)
    lens = iw.logit_lens(prompt, k=61, pins=[[3, 17], [8]])
    assert lens.pins == [[3, 17], [8]]
    whole = torch.zeros(4, 7, 61).scatter_(-1, lens.arrays["ids"].long(), lens.arrays["probs"])
    close = {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(
        lens.arrays["pin_probs"], whole[..., [3, 8, 17]].movedim(-1, 0), **close
    )
    tracked = torch.from_numpy(lens.track([40, 17, 2]))  # 40 and 2 are read off the model
    torch.testing.assert_close(tracked, whole[..., [40, 17, 2]].movedim(-1, 0), **close)
    group = torch.from_numpy(lens.probability([3, 17]))
    torch.testing.assert_close(group, whole[..., [3, 17]].sum(-1), **close)
    frame = lens.trajectory(position=-1)
    assert len(frame) == 2 * 4
    assert frame.probability.iloc[3] == pytest.approx(float(group[-1, -1]))


def test_what_is_followed_later_is_read_with_the_interventions_of_the_lens(session, prompt):
    session.ablate("mlp_out", layer=1)
    cut = iw.logit_lens(prompt, k=61)
    session.undo()
    whole = torch.zeros(4, 7, 61).scatter_(-1, cut.arrays["ids"].long(), cut.arrays["probs"])
    torch.testing.assert_close(
        torch.from_numpy(cut.track([33]))[0], whole[..., 33], rtol=1e-4, atol=1e-6
    )


def test_pins_are_the_answer_and_foil_unless_said_and_each_must_be_a_token(session, prompt):
    assert iw.logit_lens(prompt).pins == [[ANSWER], [FOIL]]
    assert iw.logit_lens(prompt, pins=[]).pins == []
    assert "pin_probs" not in iw.logit_lens(prompt, pins=[]).arrays
    with pytest.raises(TypeError, match="pins must be"):
        iw.logit_lens(prompt, pins=" Mary")
    with pytest.raises(PromptError):
        iw.logit_lens(prompt, pins=[[9999]])


def test_translators_are_added_to_the_residual_before_the_readout(session, prompt, tmp_path):
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(0)
    width = session.capture(prompt, "resid_pre.0")["resid_pre.0"].shape[-1]
    pairs = [
        (0.1 * torch.randn(width, width, generator=draw), torch.randn(width, generator=draw))
        for _ in range(3)
    ]
    tuned = iw.logit_lens(prompt, k=61, translators=pairs)
    assert tuned.title == "Tuned lens"
    readout = Readout.of(session, prompt)
    for row, site in enumerate(["resid_pre.0", "resid_post.0", "resid_post.1"]):
        h = session.capture(prompt, site)[site]
        weight, bias = pairs[row]
        expected = readout(h + h @ weight.T + bias).log_softmax(-1).exp()
        got = torch.zeros(7, 61).scatter_(
            -1, tuned.arrays["ids"][row].long(), tuned.arrays["probs"][row]
        )
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
    plain = iw.logit_lens(prompt, k=61)
    torch.testing.assert_close(tuned.arrays["probs"][-1], plain.arrays["probs"][-1])
    zero = [(torch.zeros(width, width), torch.zeros(width))] * 3
    same = iw.logit_lens(prompt, k=61, translators=zero)
    torch.testing.assert_close(same.arrays["probs"], plain.arrays["probs"])
    file = tmp_path / "lens.safetensors"
    save_file(
        {
            f"{i}.{n}": t.contiguous()
            for i, p in enumerate(pairs)
            for n, t in zip(("weight", "bias"), p, strict=True)
        },
        file,
    )
    layers = [torch.nn.Linear(width, width) for _ in pairs]
    for layer, (weight, bias) in zip(layers, pairs, strict=True):
        layer.weight.data, layer.bias.data = weight, bias
    for given in (str(file), layers):
        again = iw.logit_lens(prompt, k=61, translators=given)
        torch.testing.assert_close(again.arrays["probs"], tuned.arrays["probs"])
        torch.testing.assert_close(again.rerun().arrays["probs"], tuned.arrays["probs"])
    torch.testing.assert_close(
        torch.from_numpy(tuned.track([5]))[0],
        torch.zeros(4, 7, 61).scatter_(-1, tuned.arrays["ids"].long(), tuned.arrays["probs"])[
            ..., 5
        ],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda d: [(torch.zeros(d, d), torch.zeros(d))] * 2, "2 translators for 3 rows"),
        (lambda d: [(torch.zeros(d, 3), torch.zeros(d))] * 3, "this model needs"),
        (lambda d: [(torch.full((d, d), torch.nan), torch.zeros(d))] * 3, "not finite"),
        (lambda _d: [1, 2, 3], r"pair \(weight, bias\) or a linear layer, not a int"),
    ],
)
def test_translators_that_do_not_fit_are_refused(prompt, session, make, why):
    width = session.capture(prompt, "resid_pre.0")["resid_pre.0"].shape[-1]
    with pytest.raises(ValueError, match=why):
        iw.logit_lens(prompt, translators=make(width))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"k": 0}, "k=0: give 1 to 61"),
        ({"k": 62}, "size of the vocabulary"),
        ({"positions": [7]}, "0 to 6"),
        ({"positions": []}, "at least one"),
    ],
)
def test_numbers_out_of_range_are_refused(prompt, arguments, why):
    with pytest.raises(ValueError, match=why):
        iw.logit_lens(prompt, **arguments)


@pytest.mark.parametrize("family", ["t5_encoder", "vit"])
def test_models_without_a_prediction_per_position_say_so(family):
    from tests.families import inputs

    session = open_session(family)
    source = inputs("vit")["pixel_values"][0] if family == "vit" else IDS
    with pytest.raises(SiteError, match=r"no output head|one prediction for the whole input"):
        iw.logit_lens(session.prompt(source))


def test_summaries_of_cells_agree_with_torch_distributions():
    logits, final = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(1))
    cells = lens_module_of().read_cells(logits, final.log_softmax(-1), 4, answer=2, foil=5)
    p, q = (torch.distributions.Categorical(logits=x) for x in (final, logits))
    torch.testing.assert_close(cells["kl"], torch.distributions.kl_divergence(p, q))
    torch.testing.assert_close(cells["entropy"], q.entropy())
    assert cells["answer_rank"].tolist() == [
        int((row.argsort(descending=True) == 2).nonzero()) for row in logits
    ]


def test_tokens_that_the_model_rules_out_do_not_spoil_entropy_and_kl():
    logits = torch.tensor([[1.0, 2.0, float("-inf"), 0.0]])
    module = lens_module_of()
    cells = module.read_cells(logits, module.log_softmax(logits), 2)
    assert cells["kl"].item() == 0
    expected = torch.distributions.Categorical(logits=logits[:, [0, 1, 3]]).entropy()
    torch.testing.assert_close(cells["entropy"], expected)
