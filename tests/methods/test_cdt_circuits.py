"""CD-T as a way to find circuits: ranking of heads, search, planted circuits, curves."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import interp_widgets as iw
from interp_widgets.methods.cdt import Source, decompose, discover, means, within_layers
from interp_widgets.methods.cdt.rules import Parts, clean_signs, through_activation
from interp_widgets.methods.circuits import CircuitError
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.session.sites import Site
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session
from tests.methods.test_circuit_scores import pairs as random_pairs
from tests.methods.test_circuit_scores import planted
from tests.views.fakes import look

HEADS = [Source(layer, head) for layer in range(4) for head in range(4)]


@pytest.fixture(scope="module")
def demo():
    return iw.demo()


def drawn(session, task, corruption, n, split="train"):
    """Pairs of one length, in training sentences or held-out ones."""
    found = {}
    for pair in iw.tasks.generate(
        task, 4 * n, session.tokenizer, seed=1, split=split, corruption=corruption
    ):
        texts = (pair.answer, pair.foil)
        answer, foil = (t if isinstance(t, str) else t[len(t) // 2] for t in texts)
        clean = session.prompt(pair.clean, answer=answer, foil=foil)
        found.setdefault(len(clean), []).append((clean, session.prompt(pair.corrupted)))
    some = max(found.values(), key=len)[:n]
    assert len(some) == n
    return [list(x) for x in zip(*some, strict=True)]


def drops(session, clean, reference):
    """What mean ablation of each head costs, by plain hooks."""
    model = session.model._module
    ids = torch.tensor([p.ids for p in clean])
    answers, foils = (torch.tensor([getattr(p, n) for p in clean]) for n in ("answer", "foil"))
    rows = torch.arange(len(clean))

    def metric():
        with torch.no_grad():
            logits = model(input_ids=ids).logits[:, -1]
        return float((logits[rows, answers] - logits[rows, foils]).mean())

    whole, found = metric(), []
    for source in HEADS:
        mean = reference[Site("z", source.layer)][:, source.head]

        def replace(_, args, mean=mean, head=source.head):
            z = args[0].unflatten(-1, (4, -1)).clone()
            z[:, :, head] = mean
            return (z.flatten(-2),)

        projection = model.transformer.h[source.layer].attn.c_proj
        handle = projection.register_forward_pre_hook(replace)
        found.append(whole - metric())
        handle.remove()
    return np.array(found)


@pytest.mark.parametrize(
    ("task", "corruption", "pairs", "least"),
    [("agreement", "number", 12, 0.8), ("ioi", "swap", 10, 0.7)],
)
def test_heads_are_ranked_as_mean_ablation_ranks_them(demo, task, corruption, pairs, least):
    """On 48 pairs: agreement 0.92, attention 0.48; IOI 0.80, attention −0.11."""
    clean, corrupted = drawn(demo, task, corruption, pairs)
    reference = means(Pairs.of(clean, corrupted))[len(clean[0])]
    true = drops(demo, clean, reference)
    grid = iw.contextual_decomposition(clean, corrupted, attention="frozen")
    found = grid.numpy("values").reshape(-1)
    sites = [Site("pattern", i) for i in range(4)]
    acts = [demo.capture(prompt, sites) for prompt in clean]
    attention = [np.mean([a[s][:, -1].amax(-1).numpy() for a in acts], 0) for s in sites]
    rank = spearmanr(true, found).statistic
    assert rank >= least
    assert rank >= spearmanr(true, np.concatenate(attention)).statistic + 0.3
    if task == "ioi":
        assert np.argmax(found) == np.argmax(true)
        # By its own queries and keys alone a part of an early head hardly attends to anything.
        relative = iw.contextual_decomposition(clean, corrupted).numpy("values").reshape(-1)
        assert spearmanr(true, relative).statistic < rank


def relevances(engine, clean, corrupted, edges):
    """CD-T on the planted network: the source is an edge, or a node ``(row, None)``."""
    graph = engine.graph
    written, logits = engine.writers(clean)
    mean = engine.writers(corrupted)[0].mean(1, keepdim=True)
    deviation = (written - mean)[:, :, 0]  # [writer, batch, d]
    a, b = logits.argmax(-1), engine.writers(corrupted)[1].argmax(-1)
    n, batch = len(edges), len(clean)
    relevant = torch.zeros(n, *written.shape[:2], written.shape[-1], dtype=torch.float64)
    whole = written[:, :, 0]

    def read(column, stream):  # [edge, batch, d] to [edge, batch, out]
        blocks = stream.unflatten(-1, (graph.n_forward, -1))
        return torch.einsum("ebwi,wio->ebo", blocks, engine.weights[:, column])

    def parts(columns, limit, stream):
        """What readers read: earlier relevant writings, and the edge's own writer."""
        total = sum(read(c, whole[:limit].sum(0)[None]) for c in columns)
        ours = torch.zeros(n, *total.shape[1:], dtype=torch.float64)
        for c in columns:
            ours += read(c, stream)
            own = [e for e, (_, column) in enumerate(edges) if column == c]
            if own:
                ours[own] += read(c, deviation[[edges[e][0] for e in own]])
        return clean_signs(Parts(ours, total - ours))

    for e, (row, column) in enumerate(edges):
        if column is None and row == 0:
            relevant[e, 0] = deviation[0]
    for layer in range(graph.layers):
        stream = relevant[:, : graph.writer(layer, 0)].sum(1)
        for head in range(graph.heads):
            row = graph.writer(layer, head)
            columns = [graph.reader(layer, head, slot) for slot in "qkv"]
            limit = int(graph.first_unreadable[columns[0]])
            own = through_activation(parts(columns, limit, stream), engine.activation).relevant
            relevant[:, row] = engine.place(row, own.transpose(0, 1)).transpose(0, 1)
            for e, (source, column) in enumerate(edges):
                if column is None and source == row:
                    relevant[e, row] = deviation[row]
    end = parts([graph.n_backward - 1], graph.n_forward, relevant.sum(1)).relevant
    rows = torch.arange(batch)
    return (end[:, rows, a] - end[:, rows, b]).mean(1).numpy()


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_circuit_is_found_edge_by_edge_and_node_by_node(seed):
    engine, truth, reads = planted(seed)
    clean, corrupted = random_pairs(24)
    real = engine.graph.real_edge_mask
    edges = [tuple(int(i) for i in edge) for edge in np.argwhere(real)]
    scores = np.zeros(real.shape)
    scores[real] = np.abs(relevances(engine, clean, corrupted, edges))
    auc = roc_auc_score(truth[real], scores[real])
    assert auc >= 0.95
    assert auc >= roc_auc_score(truth[real], reads[real]) + 0.03
    writers = range(1, engine.graph.n_forward)
    nodes = np.abs(relevances(engine, clean, corrupted, [(row, None) for row in writers]))
    inside = truth.any(1)[1:]
    assert inside.any()
    assert not inside.all()
    assert roc_auc_score(inside, nodes) >= 0.95
    assert roc_auc_score(inside, nodes) >= roc_auc_score(inside, reads[1:].max(1))


def test_circuits_of_cdt_are_as_faithful_as_those_of_eap_and_more_than_random(demo):
    """Area between faithfulness on held-out pairs and 1 (CMD), by number of heads and MLPs."""
    sizes = list(range(0, 21, 5))
    train = drawn(demo, "ioi", "swap", 4)
    test = drawn(demo, "ioi", "swap", 8, split="test")
    found = {
        name: iw.circuit(*train, method=name, level="node", faithfulness=False)
        for name in ("cdt", "eap")
    }
    own = iw.circuits.curves(demo, found, *test, random=3, sizes=sizes)
    table = own.frame().set_index(["method", "nodes"]).faithfulness
    assert table["random", 20] == pytest.approx(1)
    assert own.cmd("cdt") < own.cmd("eap") + 0.1
    assert own.cmd("cdt") < 0.75 * own.cmd("random")
    alone = iw.circuits.evaluate(demo, found["cdt"], *test, sizes=sizes)
    assert own.curves["cdt"].values == pytest.approx(alone.values)
    assert own.cmd("cdt") == pytest.approx(alone.cmd)
    chart = own.chart()
    assert [trace.name for trace in chart.data] == ["CD-T", "EAP", "random (3)"]
    assert len(chart.layout.shapes) == 2  # lines at 0 and 1


def test_the_search_goes_back_from_the_logits_and_prunes(demo):
    clean, corrupted = drawn(demo, "greater_than", "01", 2)
    result = iw.circuit(clean, corrupted, method="cdt-search", level="node")
    graph = result.graph
    rounds, kept = result.numpy("found_in_round"), result.numpy("in_circuit")
    assert 1 <= kept.sum() < 20
    assert (rounds[kept] > 0).all()
    assert not kept[0]
    names = [node.name for node in graph.forward]
    first = [names[i] for i in np.flatnonzero(rounds == 1)]
    alone = discover(clean, corrupted, mlps=True)
    assert first == sorted(alone.nodes[:2])
    # Its own nodes alone, everything else ablated:
    scores = result.numpy("unit_scores")
    assert set(np.argsort(-scores)[: kept.sum()]) == set(np.flatnonzero(kept))
    curve = iw.circuits.evaluate(demo, result, clean, corrupted, sizes=[int(kept.sum())])
    assert curve.values[0] >= 0.85
    assert "CD-T search" in result.meta["scoring"]
    assert result.meta["size"] == kept.sum()
    inside = graph.in_graph
    order = np.argsort(-np.where(graph.real_edge_mask, np.abs(graph.scores), -1), axis=None)
    assert set(order[: inside.sum()]) == set(np.flatnonzero(inside))  # the view draws the circuit
    view = result.view()
    look(view)
    assert view.shown_size == inside.sum()
    by_position = iw.circuit(
        clean[:1],
        corrupted[:1],
        method="cdt-search",
        level="node",
        positions=True,
        options={"l1": 1, "per_round": 8, "rounds": 2},
        faithfulness=False,
    )
    where = by_position.numpy("in_circuit")
    assert where.shape == (graph.n_forward, len(clean[0]))
    assert where.any()


def test_scores_are_relevances_of_deviations_from_the_mean(session):
    clean = [session.prompt(ids, answer=ANSWER, foil=FOIL) for ids in (IDS, IDS[::-1])]
    corrupted = [session.prompt(ids) for ids in (OTHER, OTHER[::-1])]
    found = iw.circuit(clean, corrupted, method="cdt", level="node", faithfulness=False)
    reference = means(Pairs.of(clean, corrupted))[len(IDS)]
    one = Source(1, head=2)
    expected = 0.0
    for prompt in clean:
        beta = decompose(session, prompt, [one], attention="frozen", reference=reference).relevant[
            0, -1
        ]
        expected += float(beta[ANSWER] - beta[FOIL]) / 2
    row = [node.name for node in found.graph.forward].index("a1.h2")
    assert found.numpy("unit_scores")[row] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    placed = iw.circuit(
        clean, corrupted, method="cdt", level="node", positions=True, faithfulness=False
    ).numpy("unit_scores")
    assert placed.shape == (found.graph.n_forward, len(IDS))
    # The last block reads off the last position alone, and its MLP is nothing but a source.
    assert np.abs(placed[-1, :-1]).max() == 0
    assert placed[-1, -1] == pytest.approx(found.numpy("unit_scores")[-1], rel=1e-3, abs=1e-6)


def test_the_grid_of_heads_by_position_and_for_a_target(session):
    clean, corrupted = session.prompt(IDS, answer=ANSWER, foil=FOIL), session.prompt(OTHER)
    grid = iw.contextual_decomposition(clean, corrupted, positions=True)
    assert grid.dims == ["position", "layer", "head"]
    assert grid.values.shape == (7, 3, 4)
    values = grid.numpy("values")
    assert np.abs(values[:2]).max() < 1e-4  # nothing deviates before the first difference
    assert np.abs(values[2:]).max() > 1e-3
    target = iw.contextual_decomposition(
        clean, corrupted, target=(2, 1), slot="q", relevance="l1", normalise=True
    )
    own = target.numpy("values")
    assert np.abs(own[2]).max() == 0  # a head does not read its own layer
    assert np.abs(own[:2]).sum(1) == pytest.approx([1, 1], rel=1e-4)
    assert "query of head 2.1" in target.quantity
    look(grid.view())
    again = target.rerun()
    assert again.numpy("values") == pytest.approx(own)


def test_shares_within_layers():
    scores = within_layers(np.array([3.0, -1.0, 0.5, 0.0]), [Source(i, 0) for i in (0, 0, 1, 2)])
    assert scores.tolist() == [0.75, -0.25, 1.0, 0.0]


def test_what_cdt_cannot_score_is_said():
    session = open_session("gpt2")
    clean, corrupted = session.prompt(IDS, answer=ANSWER, foil=FOIL), session.prompt(OTHER)

    def fails(words, **options):
        with pytest.raises(CircuitError, match=re.escape(words)):
            iw.circuit(clean, corrupted, **{"method": "cdt", "level": "node", **options})

    fails("no sum of its parts", metric="kl")
    fails("has no option 'tau'", options={"tau": 1})
    with pytest.raises(CircuitError, match="no target"):
        iw.contextual_decomposition(clean, corrupted, target=(7, 0))
    with pytest.raises(CircuitError, match="no answer"):
        iw.contextual_decomposition(session.prompt(IDS), corrupted)
    with pytest.raises(CircuitError, match="one length"):
        iw.contextual_decomposition(
            [clean, session.prompt(IDS[:5], answer=ANSWER, foil=FOIL)],
            [corrupted, session.prompt(OTHER[:5])],
            positions=True,
        )
    session.ablate("z", layer=1, head=2)
    fails("sees no interventions")
    session.interventions.clear()
