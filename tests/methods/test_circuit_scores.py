"""Edge scores on a network whose circuit is known, in plain torch: no transformer, no nnsight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from interp_widgets.methods.circuits.acdc import acdc, kept_scores
from interp_widgets.methods.circuits.eap import eap, eap_ig, exact
from interp_widgets.methods.circuits.edge_pruning import edge_pruning
from interp_widgets.methods.circuits.flow_routes import flow_routes
from interp_widgets.methods.circuits.gates import Gates, Trial
from interp_widgets.methods.circuits.gradient_sampling import gradient_sampling
from interp_widgets.results.graph import Graph

WIDTH = 16


class Planted:
    """Heads that write to a block of their own, and read only planted blocks.

    ``weights[row, column]`` is the matrix by which a reader reads a writer's block; most are zero.
    """

    def __init__(self, graph, weights, activation):
        self.graph = graph
        self.weights = weights  # [n_forward, n_backward, in, out]
        self.activation = activation

    def forward(self, x, change=lambda column, written: torch.stack(written).sum(0), replace=None):
        row, values = (None, None) if replace is None else replace
        written = [self.place(0, x[:, None]) if row != 0 else values[0]]
        for layer in range(self.graph.layers):
            heads = []
            for head in range(self.graph.heads):
                total = 0
                for slot in "qkv":
                    column = self.graph.reader(layer, head, slot)
                    total = total + self.read(column, change(column, written))
                heads.append(self.place(self.graph.writer(layer, head), self.activation(total)))
            written = written + (list(values) if row == self.graph.writer(layer, 0) else heads)
        column = self.graph.n_backward - 1
        return torch.stack(written), self.read(column, change(column, written))[:, 0]

    def place(self, row, block):
        out = torch.zeros(*block.shape[:-1], self.graph.n_forward * WIDTH, dtype=block.dtype)
        out[..., row * WIDTH : (row + 1) * WIDTH] = block
        return out

    def read(self, column, stream):
        blocks = stream.unflatten(-1, (self.graph.n_forward, WIDTH))
        return torch.einsum("btwi,wio->bto", blocks, self.weights[:, column])

    def writers(self, batch):
        with torch.no_grad():
            return self.forward(batch)

    def gradients(self, batch, loss, *, replace=None, note=None):
        read = {}

        def keep(column, written):
            read[column] = torch.stack(written).sum(0)
            if not read[column].requires_grad:
                read[column].requires_grad_()
            return read[column]

        written, logits = self.forward(batch, keep, replace=replace)
        if note is not None:
            note(written.detach(), logits.detach())
        grads = torch.autograd.grad(loss(logits).sum(), list(read.values()), allow_unused=True)
        for column, grad in reversed(list(zip(read, grads, strict=True))):
            yield [column], torch.zeros_like(read[column])[None] if grad is None else grad[None]

    def streams(self, batch):
        written, _ = self.writers(batch)
        return {
            int(limit): written[:limit].sum(0) for limit in np.unique(self.graph.first_unreadable)
        }

    def cut(self, batch, values, edges, *, grad=False):
        masks = edges.expand(len(batch), *self.graph.shape).double()

        def change(column, written):
            now = torch.stack(written)
            difference = values[: len(now)] - now
            return now.sum(0) + torch.einsum(
                "bw,wbtd->btd", masks[:, : len(now), column], difference
            )

        with torch.set_grad_enabled(grad):
            return self.forward(batch, change)[1]


def planted(seed):
    """A network with distractor reads; returns it, its circuit and its reads."""
    rng = np.random.default_rng(seed)
    graph = Graph.build(layers=3, heads=4, mlps=False)
    assert (graph.n_edges, graph.n_forward * WIDTH) == (193, 208)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.zeros(*graph.shape, WIDTH, WIDTH, dtype=torch.float64)
    for column, node in enumerate(graph.backward):
        limit = int(graph.first_unreadable[column])
        count = 3 if node.kind == "logits" else int(rng.integers(1, 3))
        for row in rng.permutation(limit)[:count]:
            matrix = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
            weights[row, column] = matrix / matrix.norm() * 2.5
    reads = weights.flatten(2).norm(dim=-1).numpy()
    circuit = graph.with_edges((reads > 0) & graph.real_edge_mask).prune()
    if not 21 <= circuit.count <= 37:
        return planted(seed + 1000)
    return Planted(graph, weights, torch.tanh), circuit.in_graph, reads


def pairs(n=64, seed=100):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2)]


def tops(engine, clean, corrupted):
    """Minus the logit difference of the two runs' top tokens."""
    a, b = (engine.writers(x)[1].argmax(-1) for x in (clean, corrupted))

    def value(logits):
        repeat = len(logits) // len(a)
        rows = torch.arange(len(logits))
        return logits[rows, b.repeat(repeat)] - logits[rows, a.repeat(repeat)]

    return lambda _: value


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_circuit_is_recovered(seed):
    engine, truth, reads = planted(seed)
    clean, corrupted = pairs()
    loss = tops(engine, clean, corrupted)
    real = engine.graph.real_edge_mask

    def auroc(scores):
        return roc_auc_score(truth[real], np.abs(scores)[real])

    assert (reads[real] > 0).sum() > truth.sum()  # distractors exist
    found = {
        "eap": eap(engine, clean, engine.writers(corrupted)[0], loss),
        "eap-ig": eap_ig(engine, clean, engine.writers(corrupted)[0], loss, steps=5),
    }
    for scores in found.values():
        assert auroc(scores) >= 0.99
        assert auroc(scores) >= auroc(reads) + 0.03
        assert (scores[~real] == 0).all()
    flow = flow_routes(engine, clean)
    # What flows is not what matters for the task: worse than the norms of the weights.
    assert 0.68 <= auroc(flow) <= 0.84
    np.testing.assert_allclose(flow.sum(0), len(clean))


def divergence(engine, clean, corrupted):
    """The pairs with the KL divergence from the clean run as the loss."""
    ours = engine.writers(clean)[1].log_softmax(-1)

    def loss(logits):
        theirs = logits.log_softmax(-1)
        return torch.nn.functional.kl_div(theirs, ours, reduction="none", log_target=True).sum(-1)

    return Trial(clean, engine.writers(corrupted)[0], loss)


def repeat(x, n):
    return x.repeat(n, 1)


@pytest.mark.parametrize("seed", range(2))
def test_searched_and_learned_circuits_are_the_planted_one(seed):
    engine, truth, reads = planted(seed)
    trials = [divergence(engine, *pairs(16))]
    real = engine.graph.real_edge_mask
    taus = [0.05, 0.002]
    gates = Gates(engine.graph)
    scores, gate = edge_pruning(engine, trials, gates, steps=100, sparsity=0.8)
    found = {
        "acdc": kept_scores(acdc(engine, trials, repeat=repeat, taus=taus, rows=512), taus),
        "edge pruning": scores,
        "sampling": gradient_sampling(engine, trials, gates, steps=80, rate=0.2),
    }
    for name, own in found.items():
        assert (own[~real] == 0).all()
        assert (own >= 0).all()
        auc = roc_auc_score(truth[real], own[real])
        least = 0.95 if name == "edge pruning" else 0.98
        assert auc >= least, (name, auc)
        assert auc > roc_auc_score(truth[real], reads[real])
    assert gate[real].sum() == pytest.approx(truth.sum(), abs=3)  # it also knows how many


def test_trying_cuts_side_by_side_finds_what_one_after_the_other_finds():
    """Algorithm 1 of the paper in a plain loop, with every edge's own run."""
    engine, _, _ = planted(2)
    clean, corrupted = pairs(6)
    trial = divergence(engine, clean, corrupted)
    graph, tau = engine.graph, 0.02
    cut = torch.zeros(graph.shape, dtype=torch.bool)
    loss = 0.0
    for column in reversed(range(graph.n_backward)):
        for row in reversed(range(int(graph.first_unreadable[column]))):
            tried = cut.clone()
            tried[row, column] = True
            after = float(trial.loss(engine.cut(clean, trial.values, tried)).mean())
            if after - loss < tau:
                cut, loss = tried, after
    (kept,) = acdc(engine, [trial], repeat=repeat, taus=[tau], rows=60)
    np.testing.assert_array_equal(kept, graph.real_edge_mask & ~cut.numpy())
    assert 0 < kept.sum() < 60
    with pytest.raises(ValueError, match="above 0"):
        acdc(engine, [trial], repeat=repeat, taus=[0.1, 0])


def test_attribution_agrees_with_patching_every_edge_alone():
    engine, truth, _ = planted(0)
    clean, corrupted = pairs(12)
    loss = tops(engine, clean, corrupted)
    real = engine.graph.real_edge_mask
    estimate = eap(engine, clean, engine.writers(corrupted)[0], loss)
    reference = exact(
        engine,
        clean,
        engine.writers(corrupted)[0],
        loss,
        repeat=lambda x, n: x.repeat(n, 1),
        rows=600,
    )
    assert roc_auc_score(truth[real], np.abs(reference)[real]) >= 0.99
    assert (estimate[real & ~truth] == 0).all()
    assert spearmanr(estimate[truth], reference[truth]).statistic > 0.9


def test_a_saturated_edge_is_seen_by_integrated_gradients_only():
    """relu(1 − x) is flat at the clean input and not on the way from the corrupted one."""
    graph = Graph.build(layers=1, heads=1, mlps=False)
    weights = torch.zeros(*graph.shape, WIDTH, WIDTH, dtype=torch.float64)
    weights[0, graph.reader(0, 0, "v")] = torch.eye(WIDTH)
    weights[graph.writer(0, 0), -1] = torch.eye(WIDTH)
    engine = Planted(graph, weights, lambda x: torch.relu(1 - x))
    clean = torch.full((2, WIDTH), 2.0, dtype=torch.float64)
    corrupted = torch.zeros(2, WIDTH, dtype=torch.float64)

    def loss(_):
        return lambda logits: logits.sum(-1)

    edge = graph.edge("input->a0.h0<v>")
    assert eap(engine, clean, engine.writers(corrupted)[0], loss)[edge] == 0
    score = eap_ig(engine, clean, engine.writers(corrupted)[0], loss, steps=10, endpoint="clean")[
        edge
    ]
    library = eap_ig(
        engine, clean, engine.writers(corrupted)[0], loss, steps=10, endpoint="corrupted"
    )[edge]
    true = exact(
        engine, clean, engine.writers(corrupted)[0], loss, repeat=lambda x, n: x.repeat(n, 1)
    )[edge]
    # The gradient is −1 on the corrupted half of the way: 4 of the inputs k/10, k = 1…10 (at k = 5
    # the relu is at its corner, where torch takes 0), and 5 of k = 0…9, of change −2 × 16 × 2 rows.
    assert true == pytest.approx(32)
    assert score == pytest.approx(64 * 4 / 10)
    assert library == pytest.approx(64 * 5 / 10)
    trial = Trial(clean, engine.writers(corrupted)[0], loss(None))
    (kept,) = acdc(engine, [trial], repeat=lambda x, n: x.repeat(n, 1), taus=[1.0])
    gates = Gates(graph)
    pruned, _ = edge_pruning(engine, [trial], gates, steps=60, sparsity=0.5)
    sampled = gradient_sampling(engine, [trial], gates, steps=60, price=0.1, rate=0.3)
    chain = graph.with_edges(["input->a0.h0<v>", "a0.h0->logits"]).in_graph
    for own in (kept, pruned, sampled):
        assert own[chain].min() > own[graph.real_edge_mask & ~chain].max()


def test_integrating_with_one_step_at_the_clean_end_is_attribution_patching():
    engine, _, _ = planted(7)
    clean, corrupted = pairs(8)

    def loss(_):
        return lambda logits: logits[:, 0]

    np.testing.assert_allclose(
        eap_ig(engine, clean, engine.writers(corrupted)[0], loss, steps=1),
        eap(engine, clean, engine.writers(corrupted)[0], loss),
    )
    with pytest.raises(ValueError, match="steps"):
        eap_ig(engine, clean, engine.writers(corrupted)[0], loss, steps=0)
