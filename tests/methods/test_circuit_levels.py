"""Circuits of nodes, neurons and positions, under every ablation, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_widgets.methods import circuits
from interp_widgets.methods.circuit import circuit
from interp_widgets.methods.circuits import ABLATIONS, CircuitError
from interp_widgets.methods.circuits.engine import ModelEngine
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.session import Session
from tests import families


def ids(count, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 61, (count, length), generator=generator).tolist()


@pytest.fixture(scope="module", params=["gpt2", "gemma2"])
def session(request):
    return Session(families.build(request.param).to(torch.float64))


@pytest.fixture
def pairs(session):
    clean = [session.prompt(x, answer=5, foil=9) for x in ids(4, 6, 0)]
    return clean, [session.prompt(x) for x in ids(4, 6, 2)]


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_identities_hold_under_every_ablation(pairs, ablation):
    found = circuit(*pairs, method="eap", ablation=ablation, sizes=[0, 1.0])
    assert max(found.meta["checks"].values()) < (1e-3 if ablation == "zero" else 1e-5)
    assert [f for _, f in found.faithfulness] == pytest.approx([0, 1], abs=1e-4)
    assert ABLATIONS[ablation] in found.meta["ablation"]


def test_means_are_what_they_say(session, pairs):
    problem = pose(Pairs.of(*pairs, 3), "logit_difference", "mean")
    written, _ = problem.engine.writers(PromptBatch(tuple(pairs[1])))
    mean, _ = problem.ablation.values(1)
    assert mean.shape[1] == 1
    torch.testing.assert_close(mean[:, 0, 2], written.mean((1, 2)))
    problem = pose(Pairs.of(*pairs, 3), "logit_difference", "mean_positional")
    torch.testing.assert_close(problem.ablation.values(0)[0][:, 2], written.mean(1))
    problem = pose(Pairs.of(*pairs, 3), "logit_difference", "resample")
    drawn = torch.cat([problem.ablation.values(i)[0] for i in range(2)], 1)
    partner = [
        int((drawn[:, i, None] - written).flatten(2).norm(dim=-1).sum(0).argmin()) for i in range(4)
    ]
    assert sorted(partner) == [0, 1, 2, 3]
    assert all(i != p for i, p in enumerate(partner))
    torch.testing.assert_close(drawn, written[:, partner])


def test_optimal_constants_disturb_less_than_means(session, pairs):
    def lost(ablation):
        problem = pose(Pairs.of(*pairs), "kl", ablation)
        case = next(problem.cases())
        _, logits = problem.engine.writers(case.clean)
        total = 0.0
        draw = torch.Generator().manual_seed(5)
        for _ in range(20):
            out = torch.rand(problem.engine.graph.n_forward, generator=draw) < 0.3
            mask = out[:, None] & torch.from_numpy(problem.engine.graph.real_edge_mask)
            ours = problem.engine.cut(case.clean, case.values, mask)
            total += float(problem.metric.value(ours, case.clean, logits).mean())
        return total

    assert lost("optimal") < 0.8 * min(lost("mean"), lost("zero"))


def test_a_node_is_the_sum_of_its_edges_and_of_its_neurons(pairs):
    options = {"faithfulness": False, "size": 5, "steps": 2}
    edges = circuit(*pairs, **options)
    nodes = circuit(*pairs, level="node", **options)
    neurons = circuit(*pairs, level="neuron", **options)
    own = nodes.numpy("unit_scores")
    np.testing.assert_allclose(own, edges.graph.scores.sum(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(own, neurons.numpy("unit_scores").sum(1), rtol=1e-4, atol=1e-6)
    by_position = circuit(*pairs, positions=True, **options)
    np.testing.assert_allclose(
        by_position.numpy("unit_scores").sum(-1), edges.graph.scores, rtol=1e-4, atol=1e-6
    )
    where = circuit(*pairs, level="node", positions=True, **options).numpy("unit_scores")
    np.testing.assert_allclose(where.sum(-1), own, rtol=1e-4, atol=1e-6)


def test_exact_node_scores_equal_ablating_the_head(session, pairs):
    """Zero ablation of one head: the session's own intervention is the independent reference."""
    found = circuit(
        *pairs, method="exact", level="node", ablation="zero", faithfulness=False, size=1
    )
    row = found.graph.writer(1, 1)
    before, after = [], []
    for prompt in pairs[0]:
        before.append(gap(session, prompt))
        session.ablate("z", layer=1, head=1)
        after.append(gap(session, prompt))
        session.reset()
    lost = np.mean(before) - np.mean(after)
    if session.anatomy.root.config.model_type == "gpt2":
        assert found.numpy("unit_scores")[row] == pytest.approx(lost, abs=1e-6)


def gap(session, prompt):
    logits = session.capture(prompt, "logits")["logits"][-1]
    return float(logits[prompt.answer] - logits[prompt.foil])


@pytest.mark.parametrize(
    "options",
    [
        {"level": "node"},
        {"level": "neuron"},
        {"level": "node", "positions": True},
        {"positions": True},
        {"level": "node", "method": "eap-ig-activations", "steps": 2, "ablation": "mean"},
        {"method": "clean-corrupted"},
    ],
    ids=str,
)
def test_circuits_of_every_level_go_from_nothing_to_everything(session, pairs, options):
    found = circuit(*pairs, sizes=[0.3, 1.0], **options)
    assert found.faithfulness[-1][1] == pytest.approx(1, abs=1e-4)
    again = circuits.evaluate(session, found, sizes=[0.3, 1.0])
    np.testing.assert_allclose(again.values, found.numpy("faithfulness"), rtol=1e-4, atol=1e-5)
    empty = circuits.evaluate(session, found, sizes=[0])
    if options.get("level", "edge") == "edge":
        assert empty.values[0] == pytest.approx(0, abs=1e-4)


def test_a_position_is_cut_alone(session, pairs):
    clean, corrupted = (PromptBatch(tuple(p)) for p in pairs)
    engine = ModelEngine(session, clean)
    ours, theirs = (engine.writers(x)[0] for x in (clean, corrupted))
    mask = torch.zeros(1, *engine.graph.shape, 6, dtype=torch.bool)
    at = engine.graph.edge("m0->m1")
    mask[(0, *at)][4] = True
    mixed = ours.clone()
    mixed[:, :, 4] = theirs[:, :, 4]
    whole = torch.zeros(engine.graph.shape, dtype=torch.bool)
    whole[at] = True
    torch.testing.assert_close(engine.cut(clean, theirs, mask), engine.cut(clean, mixed, whole))


def test_runs_can_be_differentiated_by_masks_and_values(session, pairs):
    clean, corrupted = (PromptBatch(tuple(p)) for p in pairs)
    engine = ModelEngine(session, clean)
    theirs, _ = engine.writers(corrupted)
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(engine.graph.shape, generator=generator, dtype=torch.float64)
    masks = masks * torch.from_numpy(engine.graph.real_edge_mask)

    def total(masks, values, **options):
        return engine.cut(clean, values, masks, **options)[:, 3].sum()

    masks.requires_grad_()
    values = theirs.clone().requires_grad_()
    by_mask, by_value = torch.autograd.grad(total(masks, values, grad=True), [masks, values])
    step = 1e-3 if session.anatomy.root.config.model_type == "gemma2" else 1e-5
    for name in ("input->a0.h1<v>", "m0->a1.h0<k>", "a1.h1->logits"):
        shift = torch.zeros_like(masks)
        shift[engine.graph.edge(name)] = step
        up, down = (total((masks + s * shift).detach(), theirs) for s in (1, -1))
        assert float(up - down) / (2 * step) == pytest.approx(
            float(by_mask[engine.graph.edge(name)]), rel=2e-2, abs=1e-3
        )
    shift = torch.randn(theirs.shape, generator=generator, dtype=torch.float64) * step
    up, down = (total(masks.detach(), theirs + s * shift) for s in (1, -1))
    assert float(up - down) / 2 == pytest.approx(float((by_value * shift).sum()), rel=2e-2)


def test_what_does_not_go_together_is_refused(session, pairs):
    with pytest.raises(CircuitError, match="does not tell positions apart"):
        circuit(*pairs, method="exact", positions=True)
    with pytest.raises(CircuitError, match="scores edges and nodes, not neurons"):
        circuit(*pairs, method="exact", level="neuron")
    with pytest.raises(CircuitError, match="method is one of eap"):
        circuit(*pairs, method="guess")
    with pytest.raises(CircuitError, match="at least two pairs"):
        circuit(pairs[0][0], pairs[1][0], ablation="resample")
    longer = session.prompt(ids(1, 8, 5)[0], answer=5, foil=9), session.prompt(ids(1, 8, 6)[0])
    with pytest.raises(CircuitError, match="prompts of one length"):
        circuit([*pairs[0], longer[0]], [*pairs[1], longer[1]], positions=True)
