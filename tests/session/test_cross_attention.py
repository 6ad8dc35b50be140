"""Heads of cross-attention in encoder-decoders that are not T5, against plain PyTorch hooks."""

from __future__ import annotations

import nnsight
import pytest
import torch

import interp_widgets as iw
from interp_widgets.session.session import Session

SOURCE, TARGET = [5, 9, 23, 7, 11, 2], [2, 8, 6, 13]
HEADS, D_HEAD = 4, 8
FAMILIES = {
    "bart": ("BartForConditionalGeneration", "BartConfig"),
    "mbart": ("MBartForConditionalGeneration", "MBartConfig"),
    "marian": ("MarianMTModel", "MarianConfig"),
}


def build(name: str, kernel: str = "sdpa"):
    """2 layers of the encoder, 3 of the decoder, 4 heads of width 8; wide weights."""
    import transformers

    model, config = FAMILIES[name]
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    made = getattr(transformers, config)(
        vocab_size=61,
        d_model=HEADS * D_HEAD,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_position_embeddings=32,
        attn_implementation=kernel,
        forced_eos_token_id=None,
        **ids,
    )
    torch.manual_seed(0)
    built = getattr(transformers, model)(made).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return built


def plain(model, cut: tuple[int, int, slice] | None = None):
    """Return the model's own logits and what each output projection of cross-attention reads."""
    read, handles = {}, []
    for layer, block in enumerate(model.model.decoder.layers):

        def hook(_module, args, layer=layer):
            z = args[0].unflatten(-1, (HEADS, D_HEAD)).clone()
            if cut is not None and cut[0] == layer:
                z[:, cut[2], cut[1]] = 0
            read[layer] = z[0]
            return (z.flatten(-2),)

        handles.append(block.encoder_attn.out_proj.register_forward_pre_hook(hook))
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([SOURCE]), decoder_input_ids=torch.tensor([TARGET])
        ).logits
    for handle in handles:
        handle.remove()
    return logits, read


@pytest.fixture(scope="module", params=list(FAMILIES))
def session(request):
    with Session(build(request.param), name=request.param) as session:
        yield session


@pytest.fixture
def opened(session):
    yield session
    session.reset()


def traced(session, prompt):
    with torch.no_grad(), session.trace(prompt, decoder_input_ids=torch.tensor([TARGET])):
        found = nnsight.save([])
        for i in range(session.anatomy.n_layers):
            found.append(session.anatomy.locate("cross_z", i).read(session.model))
        logits = session.model.output.logits.save()
    return logits, found


def test_cross_z_is_what_the_cross_attentions_output_projection_reads(opened):
    assert opened.anatomy.n_layers == 3, "the decoder is the larger stack"
    assert "cross_z" in opened.anatomy.sites
    logits, found = traced(opened, opened.prompt(SOURCE))
    expected, read = plain(opened.model._module)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    for layer, z in enumerate(found):
        torch.testing.assert_close(z[0].unflatten(-1, (HEADS, D_HEAD)), read[layer])


def test_a_head_of_cross_attention_is_ablated_alone_and_at_the_decoders_positions(opened):
    prompt, model = opened.prompt(SOURCE), opened.model._module
    clean = plain(model)[0]
    for layer, head, position in ((0, 1, None), (1, 2, -1), (2, 3, 0)):
        where = {} if position is None else {"position": position}
        opened.ablate("cross_z", layer=layer, head=head, **where)
        logits, _ = traced(opened, prompt)
        opened.reset()
        at = slice(None) if position is None else slice(position % 4, position % 4 + 1)
        expected, _ = plain(model, (layer, head, at))
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
        assert (expected - clean).abs().max() > 1e-3
        opened.ablate("z", layer=layer, head=head, **where)
        own, _ = traced(opened, prompt)
        opened.reset()
        assert (own - expected).abs().max() > 1e-3, "the decoder's own attention is another"


def test_the_pattern_of_cross_attention_is_that_of_the_eager_model(opened):
    result = iw.attention(opened.prompt(SOURCE), decoder=opened.prompt(TARGET))
    assert (result.n_queries, result.positions, result.cross) == (4, 6, True)
    eager = build(opened.name, "eager")
    with torch.no_grad():
        patterns = eager(
            input_ids=torch.tensor([SOURCE]),
            decoder_input_ids=torch.tensor([TARGET]),
            output_attentions=True,
        ).cross_attentions
    for layer in range(3):
        for head in range(HEADS):
            torch.testing.assert_close(
                result.tile(layer, head, slice(0, 4), slice(0, 6)),
                patterns[layer][0, head],
                atol=1e-5,
                rtol=1e-4,
            )
