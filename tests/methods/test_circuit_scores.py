"""Edge scores on a network whose circuit is known, in plain torch: no transformer, no nnsight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from interp_widgets.methods.circuits.eap import eap, eap_ig, exact
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

    def cut(self, batch, values, edges, *, grad=False):
        masks = edges.expand(len(batch), *self.graph.shape).double()

        def change(column, written):
            now = torch.stack(written)
            difference = values[: len(now)] - now
            return now.sum(0) + torch.einsum(
                "bw,wbtd->btd", masks[:, : len(now), column], difference
            )

        with torch.no_grad():
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
