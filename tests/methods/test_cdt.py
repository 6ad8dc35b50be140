"""CD-T: both parts of every activation add up to the model's own, on every family."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import interp_widgets as iw
from interp_widgets.methods.cdt import Source, decompose, means, relevance_to_targets
from interp_widgets.methods.cdt.rules import Parts, clean_signs, through_norm, with_bias
from interp_widgets.methods.circuits import CircuitError
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site
from tests import families
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session

SOURCES = [
    Source(0, words=True, positions=(1, 2)),
    Source(1, words=True, positions=(0,)),
    Source(0, head=1, positions=(3,)),
    Source(1, head=2),
    Source(1),
]
EDGES = [
    Source(0, words=True, into=(0, 1, "k"), positions=(2,)),
    Source(0, head=1, into=(1, 2, "q")),
    Source(0, into=(2, 3, "v")),
    Source(1, head=0, into=(2, None, "mlp")),
    Source(1, into="logits"),
]
TARGETS = [(1, 3, "q"), (2, 1, "k"), (2, 3, "v"), (2, 2, "z"), (1, None, "mlp")]

_double: dict[str, Session] = {}


def opened(name):
    if name not in _double:
        torch.manual_seed(0)
        model = classifier() if name == "classifier" else families.build(name)
        _double[name] = Session(model.double())
    return _double[name]


def classifier():
    config = BertConfig(
        vocab_size=61,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=56,
    )
    return BertForSequenceClassification(config).eval()


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("gpt2", 1e-9),
        ("gpt_neox", 1e-9),
        ("bert", 1e-9),
        ("classifier", 1e-9),
        ("llama", 1e-5),  # RMS norms compute in float32 whatever the model's dtype is
        ("qwen3", 1e-5),
        ("gemma2", 1e-5),
        ("gemma3", 1e-5),
        ("phi3", 1e-5),
    ],
)
def test_the_parts_add_up_to_the_logits_and_to_what_targets_read(name, limit):
    session = opened(name)
    for ids, rule in (([5, 9, 23, 7, 11, 4], "relative"), ([5, 9, 23, 7, 11, 4, 8, 30], "frozen")):
        prompt = session.prompt(ids)
        targets = [t for t in TARGETS if t[0] < session.anatomy.n_layers]
        edges = [] if session.anatomy.blocks[0].norm_after else EDGES
        parts = decompose(session, prompt, SOURCES + edges, attention=rule, targets=targets)
        assert parts.check() < limit
        assert bool((parts.relevant.abs().flatten(1).amax(1) > 1e-9).all())
        for layer, head, slot in targets:
            site = Site("mlp_out" if slot == "mlp" else slot, layer)
            value = session.capture(prompt, site)[site]
            if slot != "mlp":
                shared = 4 // value.shape[1 if slot == "z" else 0]
                value = value[:, head] if slot == "z" else value[head // shared]
            own = parts.targets[layer, head, slot].total
            torch.testing.assert_close(own, value.expand_as(own), rtol=0, atol=max(limit, 1e-8))


def test_single_precision_is_exact_to_a_thousandth(session):
    prompt = session.prompt(IDS)
    every = [Source(i, head) for i in range(3) for head in (0, 1, 2, 3, None)]
    assert 0 < decompose(session, prompt, every).check() < 1e-3
    one = decompose(session, prompt, every, position=2)
    assert one.check() < 1e-3
    assert one.relevant.shape == (15, 1, 61)


def by_hand(model, ids, source, mean, rule, edge=(None, None), words=(), seen=None):
    """CD-T on a GPT-2 as the paper's equations have it; returns β and γ of the logits.

    With an ``edge`` (slot, what its writer adds) the source is where the edge ends; ``words`` are
    positions whose embeddings are the source. ``seen`` takes β and γ of each layer's heads.
    """
    layer, head, where = source
    slot, written = edge

    def linear(b, g, module):
        beta, gamma = b @ module.weight, g @ module.weight
        share = beta.abs() / (beta.abs() + gamma.abs() + 1e-300)
        return beta + module.bias * share, gamma + module.bias * (1 - share)

    def norm(b, g, module):
        total = b + g
        sigma = (total.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
        share = b.abs() / (b.abs() + g.abs() + 1e-300)
        beta, gamma = ((x - x.mean(-1, keepdim=True)) / sigma * module.weight for x in (b, g))
        return beta + module.bias * share, gamma + module.bias * (1 - share)

    def signs(b, g):
        for i in range(b.numel()):
            x, y = float(b.view(-1)[i]), float(g.view(-1)[i])
            if x * y < 0:
                b.view(-1)[i] = x + y if abs(x) >= abs(y) else 0
                g.view(-1)[i] = 0 if abs(x) >= abs(y) else x + y
        return b, g

    heads = model.config.n_head
    t = len(ids)
    g = model.transformer.wte.weight[ids] + model.transformer.wpe.weight[:t]
    own = torch.zeros_like(g)
    own[list(words)] = 1
    b, g = g * own, g * (1 - own)
    mask = torch.ones(t, t).tril() == 0

    def read(here, b, g):
        return (written, b + g - written) if here else (b, g)

    for i, block in enumerate(model.transformer.h):
        ends = i == layer and slot is not None
        bn, gn = norm(*read(ends and slot in "qkv", b, g), block.ln_1)
        bq, gq = linear(bn, gn, block.attn.c_attn)
        bs, gs = ([y.view(t, heads, -1) for y in x.chunk(3, -1)] for x in (bq, gq))

        def attend(q, k, v):
            scores = torch.einsum("qhe,khe->hqk", q, k) / q.shape[-1] ** 0.5
            return torch.einsum("hqk,khe->qhe", scores.masked_fill(mask, -torch.inf).softmax(-1), v)

        whole = attend(*(x + y for x, y in zip(bs, gs, strict=True)))
        total = bs[0] + gs[0], bs[1] + gs[1]
        bz = attend(*bs) if rule == "relative" else attend(*total, bs[2])
        if ends:  # the one slot of the one head without what the edge brings
            bz = torch.zeros_like(whole)
            if slot in "qkv":
                less = [gs[j] if s == slot else bs[j] + gs[j] for j, s in enumerate("qkv")]
                bz[:, head] = (whole - attend(*less))[:, head]
        gz = whole - bz
        if i == layer and head is not None and slot is None:
            bz[where, head], gz[where, head] = (whole - mean)[where, head], mean[where, head]
        if seen is not None:
            seen[i] = bz, gz
        out = linear(bz.reshape(t, -1), gz.reshape(t, -1), block.attn.c_proj)
        b, g = signs(b + out[0], g + out[1])
        up = signs(*linear(*norm(*read(ends and slot == "mlp", b, g), block.ln_2), block.mlp.c_fc))
        act = block.mlp.act
        rest = act(up[1])
        down = signs(*linear(act(up[0] + up[1]) - rest, rest, block.mlp.c_proj))
        b, g = signs(b + down[0], g + down[1])
    b, g = norm(*read(slot == "logits", b, g), model.transformer.ln_f)
    return b @ model.lm_head.weight.T, g @ model.lm_head.weight.T


@pytest.mark.parametrize("rule", ["relative", "frozen"])
def test_a_head_at_positions_is_what_the_equations_say(rule):
    session = opened("gpt2")
    model = session.model._module
    assert all(bool(v.any()) for n, v in model.named_parameters() if n.endswith("bias"))
    ids = [5, 9, 23, 7, 11]
    mean = torch.randn(5, 4, 8, dtype=torch.float64, generator=torch.manual_seed(2))
    source = Source(1, head=2, positions=(1, 3))
    parts = decompose(
        session,
        session.prompt(ids),
        [source],
        attention=rule,
        reference={Site("z", 1): mean},
    )
    with torch.no_grad():
        beta, gamma = by_hand(model, ids, (1, 2, [1, 3]), mean, rule)
    torch.testing.assert_close(parts.relevant[0], beta)
    torch.testing.assert_close(parts.rest[0], gamma)
    score = parts.score(lambda logits: logits[:, -1, 3] - logits[:, -1, 4])
    assert float(score) == pytest.approx(
        float((beta[-1, 3] - beta[-1, 4]) / (beta + gamma)[-1, [3, 4]].diff().neg())
    )


@pytest.mark.parametrize(
    "into", [(1, 2, "q"), (1, 3, "k"), (2, 0, "v"), (0, None, "mlp"), "logits"]
)
def test_an_edge_is_what_the_equations_say_where_it_ends(into):
    session = opened("gpt2")
    model = session.model._module
    ids = [5, 9, 23, 7, 11]
    mean = torch.randn(5, 4, 8, dtype=torch.float64, generator=torch.manual_seed(2))
    parts = decompose(
        session,
        session.prompt(ids),
        [Source(0, head=1, into=into)],
        reference={Site("z", 0): mean},
    )
    z = session.capture(session.prompt(ids), "z.0")["z.0"]
    projection = model.transformer.h[0].attn.c_proj.weight
    layer, head, slot = (None, None, into) if into == "logits" else into
    with torch.no_grad():
        written = (z - mean)[:, 1] @ projection[8:16]
        beta, gamma = by_hand(
            model, ids, (layer, head, None), None, "relative", edge=(slot, written)
        )
    torch.testing.assert_close(parts.relevant[0], beta)
    torch.testing.assert_close(parts.rest[0], gamma)
    assert float(beta.abs().max()) > 1e-6


def test_the_rules_one_by_one():
    parts = Parts(torch.tensor([1.0, 0.0, -3.0]), torch.tensor([3.0, 0.0, 1.0]))
    relevant, rest = with_bias(parts, torch.tensor([4.0, 5.0, 8.0]))
    assert relevant.tolist() == [2, 0, 3]  # a quarter, nothing, three quarters of the bias
    assert rest.tolist() == [6, 5, 3]
    relevant, rest = clean_signs(parts)
    assert relevant.tolist() == [1, 0, -2]
    assert rest.tolist() == [3, 0, 0]
    norm = torch.nn.LayerNorm(3)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.0, 0.0, 8.0]))
        relevant, rest = through_norm(parts, norm)
        torch.testing.assert_close(relevant + rest, norm(parts.total))
        scale = (parts.total.var(unbiased=False) + norm.eps).sqrt()
        # The bias is shared by the parts as they come in: 3 of 4.
        assert float(relevant[2]) == pytest.approx(float((-3 + 2 / 3) / scale + 6), rel=1e-5)


def test_all_words_leave_only_shares_of_biases_and_no_source_is_nothing():
    session = opened("gpt2")
    prompt = session.prompt([5, 9, 23, 7, 11, 4])
    parts = decompose(session, prompt, [Source(0, words=True), Source(0, words=True, positions=())])
    assert float(parts.rest[0].abs().max()) < 1e-6
    assert float(parts.relevant[1].abs().max()) == 0


def test_targets_are_read_as_shares_or_along_their_deviation(session):
    clean, corrupted = session.prompt(IDS, answer=ANSWER, foil=FOIL), session.prompt(OTHER)
    reference = means(Pairs.of(clean, corrupted), ("q", "k", "v"))[len(IDS)]
    sources = [Source(0, head) for head in range(4)]
    for slot in ("q", "k", "v", "z"):
        site = Site(slot, 2)
        value = session.capture(clean, site)[site]
        head, mean = (1, reference[site][:, 1]) if slot == "z" else (None, None)
        if slot != "z":
            head = 1 // (4 // value.shape[0])
            mean = reference[site][head]
        total = (value[:, 1] if slot == "z" else value[head]) - mean
        targets = [(2, 1, slot)]
        parts = decompose(session, clean, sources, targets=targets, reference=reference)
        beta, gamma = parts.targets[2, 1, slot]
        found = {
            how: relevance_to_targets(
                session, clean, sources, [Source(2, 1)], slot=slot, how=how, reference=reference
            )
            for how in ("dot", "l1")
        }
        expected = torch.einsum("stk,tk->s", beta, total).double().numpy()
        assert found["dot"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
        sizes = [x.abs().mean((1, 2)) for x in (beta, gamma)]
        assert found["l1"] == pytest.approx((sizes[0] / (sizes[0] + sizes[1])).numpy(), rel=1e-4)
        assert (found["l1"] > 0).all()
        assert (found["l1"] < 1).all()
    with pytest.raises(CircuitError, match="no position 40"):
        relevance_to_targets(session, clean, sources, [Source(2, 1, positions=(40,))])


def test_nothing_before_the_source_is_relevant_and_rows_do_not_mix():
    session = open_session("llama")
    prompt = session.prompt(IDS)
    many = [Source(i, head, (p,)) for i in range(2) for head in range(4) for p in range(7)] * 2
    parts = decompose(session, prompt, many, targets=[(0, 3, "k"), (0, 0, "z"), (2, 2, "v")])
    later = [i for i, s in enumerate(many) if s.layer == 1]
    assert float(parts.targets[0, 3, "k"].relevant[later].abs().max()) == 0
    assert float(parts.targets[0, 0, "z"].relevant[later].abs().max()) == 0
    alone = decompose(session, prompt, [many[33]], targets=[(2, 2, "v")])
    torch.testing.assert_close(parts.relevant[33], alone.relevant[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(parts.relevant[33 + 56], alone.relevant[0], rtol=0, atol=1e-5)
    own = parts.targets[2, 2, "v"].relevant[33]
    torch.testing.assert_close(own, alone.targets[2, 2, "v"].relevant[0], rtol=0, atol=1e-6)


def test_a_long_decomposition_is_cancelled(monkeypatch):
    session = open_session("gpt2")
    prompt = session.prompt(IDS)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "progress", progress)
    with pytest.raises(KeyboardInterrupt):
        decompose(session, prompt, [Source(i, 0) for i in range(3)])
    assert seen == [(1, 3)]
    assert decompose.__module__.startswith("interp_widgets")
    assert iw.cdt.decompose is decompose


def test_what_cannot_be_done_is_said():
    session = opened("olmo2")
    prompt = session.prompt([5, 9, 23])
    with pytest.raises(CircuitError, match='attention="frozen"'):
        decompose(session, prompt, SOURCES[3:4])
    assert decompose(session, prompt, SOURCES[3:4], attention="frozen").check() < 1e-5
    frozen = {"attention": "frozen"}
    with pytest.raises(CircuitError, match="there is no Source"):
        decompose(session, prompt, [Source(9, head=1)], **frozen)
    with pytest.raises(CircuitError, match="at least one source"):
        decompose(session, prompt, [], **frozen)
    with pytest.raises(CircuitError, match="not at 'o'"):
        decompose(session, prompt, SOURCES[3:4], targets=[(1, 2, "o")], **frozen)
    with pytest.raises(CircuitError, match="no target"):
        decompose(session, prompt, SOURCES[3:4], targets=[(1, 7, "z")], **frozen)
    with pytest.raises(CircuitError, match="no position 3"):
        decompose(session, prompt, SOURCES[3:4], position=3, **frozen)
    for into in ((0, 1, "v"), (1, 1, "z"), (3, 0, "q"), (1, 2, "mlp"), (0, None, "mlp")):
        with pytest.raises(CircuitError, match=r"no edge from a1\.h2"):
            decompose(session, prompt, [Source(1, head=2, into=into)], **frozen)
    with pytest.raises(CircuitError, match="into its heads cannot be followed"):
        decompose(session, prompt, [Source(0, head=2, into=(1, 1, "k"))], **frozen)
    assert decompose(session, prompt, [Source(0, 2, into="logits")], **frozen).check() < 1e-5
    bert = opened("bert")
    with pytest.raises(CircuitError, match="post-norm"):
        decompose(bert, bert.prompt([5, 9, 23]), [Source(0, head=2, into="logits")])


def test_a_wrong_rule_does_not_go_unnoticed(monkeypatch):
    session = open_session("gpt2")
    rule = "interp_widgets.methods.cdt.propagate.clean_signs"
    monkeypatch.setattr(rule, lambda parts: Parts(parts.relevant * 1.1, parts.rest))
    with pytest.raises(CircuitError, match="parts differ from the model's logits"):
        decompose(session, session.prompt(IDS), [Source(0, 1)])
