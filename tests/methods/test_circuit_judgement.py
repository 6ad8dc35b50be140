"""A user tests a circuit: completeness, minimality, random circuits, p-values, known circuits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from interp_widgets.methods import circuits
from interp_widgets.methods.circuit import circuit
from interp_widgets.methods.circuits import CircuitError, Graph, known
from interp_widgets.methods.circuits import tests_of_circuits as statistics
from interp_widgets.methods.circuits.completeness import Sets, measure_completeness, scatter_of
from interp_widgets.methods.circuits.minimality import array_of, measure_minimality
from interp_widgets.methods.circuits.random_circuits import inflate, random_circuit, random_edges
from interp_widgets.methods.circuits.roc import Recovery
from interp_widgets.methods.circuits.trials import Subject, between
from interp_widgets.results.base import load
from interp_widgets.session.session import Session
from tests import families


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def session(request):
    """Layer norm; rotary positions with grouped queries. Three layers of four heads."""
    return Session(families.build(request.param))


def ids(count, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 61, (count, length), generator=generator).tolist()


@pytest.fixture
def pairs(session):
    clean = [session.prompt(x, answer=5, foil=9) for x in ids(3, 7, 0) + ids(2, 5, 1)]
    return clean, [session.prompt(x) for x in ids(3, 7, 2) + ids(2, 5, 3)]


@pytest.fixture
def held_out(session):
    clean = [session.prompt(x, answer=5, foil=9) for x in ids(4, 6, 4)]
    return clean, [session.prompt(x) for x in ids(4, 6, 5)]


def share(session, graph, kept, pairs):
    """Faithfulness by cutting one set of edges at a time, with the single-circuit function."""
    held = circuits.cut
    result = circuit(*pairs, method="eap", faithfulness=False)
    values = [
        held(session, result, edges, *pairs)
        for edges in (graph.real_edge_mask & ~kept, np.zeros_like(kept), graph.real_edge_mask)
    ]
    own, full, empty = values
    return (own - empty) / (full - empty)


def test_a_report_on_held_out_prompts(session, pairs, held_out):
    found = circuit(*pairs, size=40, faithfulness=False)
    classes = {"first": ["0.0", "0.1", "0.2", "0.3"], "MLPs": ["m0", "m1", "m2"]}
    report = circuits.judge(
        session,
        found,
        *held_out,
        classes=classes,
        sizes=[20, 1.0],
        random_circuits=5,
        random_sets=3,
        greedy=2,
        edges_tested=4,
    )
    graph = found.graph
    kept = graph.in_graph
    assert report.faithfulness == pytest.approx(share(session, graph, kept, held_out), abs=2e-3)
    low, high = report.interval
    assert low <= report.faithfulness <= high
    rest = graph.real_edge_mask & ~kept
    assert report.numpy("own")[1, 0] == pytest.approx(
        share(session, graph, rest, held_out), abs=2e-3
    )
    assert report.curve["faithfulness"].iloc[-1] == pytest.approx(1, abs=1e-3)
    assert len(report.numpy("random")) == 5
    assert (report.numpy("random_sizes") <= graph.count).all()

    complete = report.completeness
    names = complete.meta["labels"]["set"]
    assert names[0] == "nothing"
    assert complete.numpy("x")[0] == pytest.approx(1, abs=1e-3)
    assert complete.numpy("y")[0] == pytest.approx(report.faithfulness, abs=1e-5)
    k = names.index("MLPs")
    rows = [graph.writer(i) for i in range(3) if f"m{i}" in report.meta["nodes"]]
    without, network = kept.copy(), graph.real_edge_mask.copy()
    without[rows], network[rows] = False, False
    assert complete.numpy("y")[k] == pytest.approx(
        share(session, graph, without, held_out), abs=2e-3
    )
    assert complete.numpy("x")[k] == pytest.approx(
        share(session, graph, network, held_out), abs=2e-3
    )
    greedy = [i for i, kind in enumerate(complete.meta["kinds"]) if kind == "greedy"]
    assert "," not in names[greedy[0]]
    assert complete.numpy("members")[greedy[-1]].sum() == 2
    singles = report.meta["nodes"]

    minimal = report.minimality
    first = minimal.sel(node=0, set=0)
    alone = kept.copy()
    alone[graph.forward.index(next(n for n in graph.forward if n.name == singles[0]))] = False
    assert first == pytest.approx(
        report.faithfulness - share(session, graph, alone, held_out), abs=3e-3
    )
    assert set(report.tests["name"]) == {
        "equivalence",
        "independence",
        "sufficiency",
        "partial necessity",
        "minimality",
    }
    assert report.tests["p"].between(0, 1).all()
    assert "Miller et al." in report.text()
    assert "found on these very prompts" not in report.text()
    assert list(report.frame().columns) == ["finding", "value", "low", "high", "p", "reading"]


def test_a_report_is_saved_drawn_and_made_again(session, pairs, tmp_path):
    options = {"random_circuits": 3, "random_sets": 2, "greedy": 1, "edges_tested": 0}
    found = circuit(*pairs, method="eap", level="node", size=6, faithfulness=False)
    found.arrange(groups={"<script>alert(1)</script>": ["0.0", "m0"]})
    report = circuits.judge(session, found, sizes=[3], seed=4, **options)
    assert "found on these very prompts" in report.meta["note"]
    assert report.meta["size"] == 6
    assert report.meta["classes"] == {"<script>alert(1)</script>": ["a0.h0", "m0"]}
    again = load(report.save(tmp_path / "report"), session)
    assert again.faithfulness == report.faithfulness
    twice = again.rerun()
    np.testing.assert_allclose(twice.numpy("random"), report.numpy("random"), atol=1e-5)
    data, _ = report._repr_mimebundle_()
    assert "text/html" not in data
    assert "image/png" in data
    views = [report.view(part) for part in ("all", "completeness", "minimality")]
    names = ["JudgementView", "ScatterView", "HeatmapView"]
    assert [type(view).__name__ for view in views] == names
    assert len(views[0].spec["findings"]) == len(report.frame())
    for view in views:
        view.close()
    assert "superfluous" in report.text()
    figure = report.figure("neurips", parts=["completeness", "minimality"])
    assert "on the diagonal" in figure.caption
    with pytest.raises(ValueError, match="parts are some of"):
        report.figure(parts=["size"])
    with pytest.raises(ValueError, match="completeness, minimality"):
        report.view("curve")


def test_the_whole_network_is_complete_and_nothing_is_lost_outside(session, pairs):
    whole = Graph.from_session(session)
    whole = whole.with_edges(whole.real_edge_mask)
    found = circuits.completeness(session, whole, *pairs, random=4, greedy=1)
    np.testing.assert_allclose(found.numpy("x"), found.numpy("y"), atol=1e-6)
    assert found.meta["incompleteness"] < 1e-6


@pytest.mark.parametrize("family", ["gpt_neox", "qwen3", "gemma2"])
def test_other_families_are_judged_the_same_way(family):
    """Attention and MLP side by side; norms on q and k; norms after each block, grouped queries."""
    own = Session(families.build(family))
    clean = [own.prompt(x, answer=5, foil=9) for x in ids(3, 6, 0)]
    corrupted = [own.prompt(x) for x in ids(3, 6, 2)]
    whole = Graph.from_session(own)
    kept = whole.real_edge_mask.copy()
    kept[whole.writer(1)] = False
    report = circuits.judge(
        own, kept, clean, corrupted, random_circuits=2, random_sets=0, greedy=0, edges_tested=0
    )
    captured = circuits.cut(
        own,
        circuit(clean, corrupted, method="eap", faithfulness=False),
        ~kept & whole.real_edge_mask,
    )
    ends = report.numpy("samples")[:2].mean(1)
    assert report.faithfulness == pytest.approx(
        (captured - ends[1]) / (ends[0] - ends[1]), abs=1e-3
    )


def test_a_planted_idle_node_is_superfluous(session, pairs):
    """A head into which nothing of the circuit leads on: its edges lead nowhere."""
    found = circuit(*pairs, size=40, faithfulness=False)
    kept = found.graph.in_graph.copy()
    graph = found.graph
    idle = graph.forward[graph.writer(1, 2)].name
    kept[graph.writer(1, 2)] = False
    kept[0, graph.reader(2, 3, "q")] = True
    kept[graph.writer(1, 2), graph.reader(2, 3, "q")] = True
    kept[graph.writer(2, 3)] = False  # nobody hears head 2.3
    table = circuits.minimality(session, kept, *pairs, random=3)
    at = table.labels("node").index(idle)
    assert np.abs(table.sel(node=at)).max() < 1e-5
    assert idle in table.meta["superfluous"]
    assert table.sizes["node"] == len(Subject(graph, kept).nodes)


def test_positions_are_left_out_together_or_apart(session, held_out):
    found = circuit(*held_out, method="eap", positions=True, size=60, sizes=[60])
    table = circuits.sensitivity(session, found, *held_out, ablations=["interchange"])
    by_cut = dict(zip(table.labels("cut"), table.sel(ablation=0, prompts=0), strict=True))
    assert by_cut["edges"] == pytest.approx(found.faithfulness[0][1], abs=2e-3)
    flat = circuit(*held_out, method="eap", faithfulness=False).graph.with_edges(
        found.numpy("in_graph")
    )
    expected = share(session, flat, flat.in_graph, held_out)
    assert by_cut["edges at all positions"] == pytest.approx(expected, abs=2e-3)
    complete = circuits.completeness(session, found, *held_out, random=2, greedy=0)
    assert complete.numpy("y")[0] == pytest.approx(by_cut["edges"], abs=1e-4)


def test_choices_that_change_the_story_are_named(session, pairs):
    found = circuit(*pairs, size=40, faithfulness=False)
    ways = ["interchange", "zero", "mean"]
    table = circuits.sensitivity(
        session, found, *pairs, ablations=ways, templates={"long": [0, 1, 2], "short": [3, 4]}
    )
    assert table.sizes == {"ablation": 3, "cut": 2, "prompts": 3}
    for i, way in enumerate(ways):
        curve = circuits.evaluate(session, found, *pairs, sizes=[40], ablation=way)
        assert table.sel(ablation=i, cut=0, prompts=0) == pytest.approx(curve.values[0], abs=2e-3)
    short = [p[3:] for p in pairs]
    curve = circuits.evaluate(session, found, *short, sizes=[40])
    assert table.sel(ablation=0, cut=0, prompts=2) == pytest.approx(curve.values[0], abs=2e-3)
    spread = np.ptp(table.values, axis=0).max()
    assert ("the way of ablation changes the story" in table.meta["note"]) == (spread > 0.2)
    assert table.meta["note"] in table.text() or table.meta["note"]
    lonely = circuits.sensitivity(
        session, found, *[p[:1] for p in pairs], ablations=["interchange", "resample"]
    )
    assert "at least two pairs" in lonely.meta["failed"]["resample"]
    assert np.isnan(lonely.sel(ablation=1)).all()
    with pytest.raises(ValueError, match="names pair 9, and there are 5"):
        circuits.sensitivity(session, found, *pairs, templates={"a": [9]})


def test_what_is_no_circuit_is_said(session, pairs):
    graph = Graph.from_session(session)
    with pytest.raises(CircuitError, match="has no edges"):
        circuits.judge(session, graph, *pairs)
    with pytest.raises(CircuitError, match="another network"):
        circuits.judge(session, known("ioi"), *pairs)
    with pytest.raises(CircuitError, match=r"no a7\.h1"):
        circuits.judge(session, ["7.1"], *pairs)
    with pytest.raises(CircuitError, match="no edge"):
        circuits.judge(session, ["m2->m0"], *pairs)
    with pytest.raises(CircuitError, match="no heads or MLPs"):
        circuits.completeness(session, ["input->logits"], *pairs)
    with pytest.raises(CircuitError, match="names no prompts"):
        circuits.judge(session, ["0.1"])
    with pytest.raises(CircuitError, match="together"):
        circuits.judge(session, ["0.1"], pairs[0])
    with pytest.raises(TypeError, match="no argument 'random_circuit'"):
        circuits.judge(session, ["0.1"], *pairs, random_circuit=3)
    neurons = circuit(*pairs, method="eap", level="neuron", faithfulness=False)
    with pytest.raises(CircuitError, match="single neurons"):
        circuits.judge(session, neurons, *pairs)


def test_random_circuits_are_connected_and_as_large():
    graph = Graph.build(4, 4)
    rng = np.random.default_rng(0)
    for size in (3, 20, 100, graph.n_edges // 2):
        drawn = graph.with_edges(random_edges(graph, size, rng))
        assert drawn.prune().count == drawn.count
        assert size - 3 <= drawn.count <= size
    kept = random_edges(graph, 40, rng)
    subject = Subject(graph, kept)
    large, less = inflate(subject, rng)
    assert (kept <= less).all()
    assert large.sum() - less.sum() == 1
    nodes = random_circuit(subject, rng, nodes=True)
    assert len(Subject(graph, nodes).nodes) == len(subject.nodes)
    many = np.repeat(kept[..., None], 5, -1) & (rng.random((*kept.shape, 5)) < 0.4)
    placed = random_circuit(Subject(graph, many), rng, nodes=False)
    used = many.any(-1).sum()
    assert abs(placed.any(-1).sum() - used) <= 3
    assert placed.sum() == pytest.approx(many.sum(), abs=15)


class Planted:
    """A network whose behaviour is the sum of what its writers give; 1.3 stands in for 0.2."""

    n_pairs = 2

    def __init__(self, graph, worth):
        self.rows = {graph.writer(*place): value for place, value in worth.items()}
        self.lost, self.backup = graph.writer(0, 2), graph.writer(1, 3)

    def share(self, samples):
        return samples.mean(-1)

    def shares_of_draws(self, samples, pick):
        return samples[:, pick].mean(-1)

    def measure(self, masks):
        return np.array([[self.value(mask)] * 2 for mask in masks])

    def value(self, mask):
        there = mask.any(1)
        total = sum(worth for row, worth in self.rows.items() if there[row])
        return total + (0.3 if there[self.backup] and not there[self.lost] else 0)


def test_a_planted_backup_makes_a_circuit_incomplete():
    graph = Graph.build(2, 4)
    worth = {(0, 1): 0.2, (0, 2): 0.5, (1, 0): 0.3}
    subject = Subject(graph, between(graph, ["a0.h1", "a0.h2", "a1.h0"]))
    trials = Planted(graph, worth)
    sets = Sets.of(subject.nodes, {"rest": ["0.1", "1.0"]}, 0, seed=0)
    found = scatter_of(measure_completeness(trials, subject, sets, greedy=2), trials)
    names = found.meta["labels"]["set"]
    assert found.meta["incompleteness"] == pytest.approx(0.3)
    assert "greedy: a0.h2" in names  # the first that it takes
    at = names.index("greedy: a0.h2")
    assert found.numpy("y")[at] == pytest.approx(0.5)  # the circuit has no backup
    assert found.numpy("x")[at] == pytest.approx(0.8)  # the network has
    k = names.index("rest")
    assert found.numpy("x")[k] == pytest.approx(found.numpy("y")[k]) == pytest.approx(0.5)
    table = array_of(measure_minimality(trials, subject, sets), trials)
    assert dict(zip(table.labels("node"), table.numpy("largest"), strict=True)) == pytest.approx(
        {"a0.h1": 0.2, "a0.h2": 0.5, "a1.h0": 0.3}
    )


def test_sets_of_nodes():
    nodes = ["a0.h0", "a0.h1", "m0"]
    sets = Sets.of(nodes, {"heads": ["0.0", (0, 1)], "elsewhere": ["9.9"]}, 50, seed=1)
    assert sets.names[:2] == ["nothing", "heads"]
    assert len(sets.members) == 8  # every subset once
    assert len({m.tobytes() for m in sets.members}) == 8


def test_equivalence_has_the_level_it_says():
    """At the edge of the null (the circuit wins 60 % of the time) at most 5 % are rejected."""
    rng = np.random.default_rng(0)
    n = 80
    edge = [
        statistics.equivalence(np.sign(rng.random(n) - 0.4), np.zeros(n)).rejected
        for _ in range(400)
    ]
    assert np.mean(edge) < 0.08
    worse = statistics.equivalence(np.full(n, -1.0), np.zeros(n))
    assert worse.rejected
    assert worse.p == pytest.approx(stats.binom.pmf([0, n], n, 0.6).sum(), rel=1e-6)
    assert statistics.equivalence(np.zeros(n), np.zeros(n)).p == 1
    with pytest.raises(ValueError, match="finite"):
        statistics.equivalence(np.array([np.nan]), np.zeros(1))
    with pytest.raises(ValueError, match="one metric per pair"):
        statistics.equivalence(np.zeros(3), np.zeros(4))


def test_independence_finds_what_correlation_does_not():
    rng = np.random.default_rng(1)
    x = rng.normal(size=80)
    quadratic = x**2 + 0.1 * rng.normal(size=80)
    assert abs(np.corrcoef(x, quadratic)[0, 1]) < 0.3
    assert statistics.independence(quadratic, x, 300).p < 0.01
    false = [
        statistics.independence(rng.normal(size=40), rng.normal(size=40), 100, seed=i).rejected
        for i in range(100)
    ]
    assert np.mean(false) < 0.12
    # the statistic by its definition
    k = np.exp(-(np.subtract.outer(x, x) ** 2) / (2 * np.median(_apart(x)) ** 2))
    m = np.exp(
        -(np.subtract.outer(quadratic, quadratic) ** 2) / (2 * np.median(_apart(quadratic)) ** 2)
    )
    h = np.eye(80) - 1 / 80
    expected = np.trace(k @ h @ m @ h) / 79**2
    assert statistics.independence(quadratic, x, 10).statistic == pytest.approx(expected)


def _apart(values):
    distance = np.abs(np.subtract.outer(values, values))
    return distance[distance > 0]


def test_comparison_with_random_circuits():
    network = np.ones(6)
    drawn = np.linspace(0, 0.9, 40)[:, None] * np.ones(6)
    best = statistics.sufficiency(np.full(6, 0.95), network, drawn)
    assert best.rejected
    assert best.p == pytest.approx(0.9**40)
    assert not statistics.sufficiency(np.full(6, 0.5), network, drawn).rejected
    assert statistics.partial_necessity(np.zeros(6) - 1, network, drawn).rejected
    assert not statistics.partial_necessity(np.ones(6), network, drawn).rejected
    idle = statistics.minimal_edges(np.array([1.0, 0.0]), np.full(30, 0.5), ["a->b", "c->d"])
    assert idle.rejected
    assert "1 of 2 edges" in idle.reading
    np.testing.assert_allclose(statistics.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])


def test_roc_and_precision_recall_agree_with_a_reference():
    rng = np.random.default_rng(2)
    wanted = rng.random(200) < 0.2
    scores = rng.normal(size=200) + wanted
    found = Recovery.of(scores, wanted)
    assert found.auc == pytest.approx(roc_auc_score(wanted, scores))
    assert found.average_precision == pytest.approx(average_precision_score(wanted, scores))
    assert found.auc_optimistic == pytest.approx(found.auc_pessimistic)
    tied = np.round(scores)
    found = Recovery.of(tied, wanted)
    assert found.auc == pytest.approx(roc_auc_score(wanted, tied))
    for sign, value in ((-1, found.auc_pessimistic), (1, found.auc_optimistic)):
        assert value == pytest.approx(roc_auc_score(wanted, tied + sign * 1e-6 * wanted))
    apart = tied + 1e-9 * rng.random(200)
    limits = [average_precision_score(wanted, apart + s * 1e-6 * wanted) for s in (-1, 1)]
    assert found.average_precision_limits == pytest.approx(tuple(limits))
    same = Recovery.of(np.zeros(10), np.arange(10) < 3)
    assert (same.auc_pessimistic, same.auc, same.auc_optimistic) == (0, 0.5, 1)
    assert Recovery.of(np.array([np.nan, 1.0]), np.array([False, True])).auc == 1
    with pytest.raises(ValueError, match="0 of 3 edges"):
        Recovery.of(np.zeros(3), np.zeros(3, bool))
    assert list(found.frame()["edges_taken"])[-1] == 200
    assert "AUC" in found.chart().layout.title.text


def test_known_circuits_have_the_published_sizes():
    """Edges as in the ACDC paper, less its three placeholder edges per head."""
    ioi = known("ioi")
    assert len(ioi.graph.with_edges(ioi.edges).edges()) == 1041 - 3 * 26
    assert known("greater-than").graph.count == 262 - 3 * 9
    assert sum(len(m) for name, m in ioi.classes.items() if name != "MLP") == 26
    assert ioi.positions["S-inhibition"] == "end"
    heads = known("ioi", "heads")
    assert all(".h" in name for name in heads.nodes)
    assert set(heads.edges) < set(known("ioi", "MLP 0").edges)
    assert not heads.graph.in_graph[0, heads.graph.reader(7, 3, "k")]
    for name in ("ioi", "greater-than", "docstring"):
        found = known(name)
        assert found.graph.prune().count == found.graph.count
    members = [m for group in known("greater-than").drawing for m in group["members"]]
    assert len(members) == len(set(members))
    with pytest.raises(ValueError, match="did you mean 'ioi'"):
        known("ioa")
    with pytest.raises(ValueError, match="'all MLPs', 'MLP 0', 'heads'"):
        known("ioi", "none")


def test_a_circuit_beside_a_known_one():
    ioi = known("ioi")
    rng = np.random.default_rng(0)
    perfect = ioi.graph.with_scores(ioi.graph.in_graph + 0.1 * rng.random(ioi.graph.shape))
    found = circuits.compare(perfect.top_n(963), ioi)
    assert found.overlap.precision == found.overlap.recall == 1
    assert found.edges.auc == found.nodes.auc == 1
    assert found.frame()["found"].all()
    random = ioi.graph.with_scores(rng.random(ioi.graph.shape)).with_edges([])
    found = circuits.compare(random, ioi)
    assert found.edges.auc == pytest.approx(0.5, abs=0.03)
    assert found.overlap.recall == 0
    by_node = circuits.compare(perfect, {"name mover": ["9.9", "10.0"]})
    assert by_node.edges is None
    assert "name mover: 2 of 2" in str(by_node)
    with pytest.raises(ValueError, match="another network"):
        circuits.compare(perfect, known("docstring"))


@pytest.fixture(scope="module")
def demo():
    import interp_widgets as iw

    return iw.demo()


@pytest.mark.parametrize("name", ["demo-ioi", "demo-greater-than"])
def test_circuits_of_the_demo_model_hold_on_fresh_prompts(demo, name):
    """Their figures were measured on other draws of held-out templates, names and years."""
    import interp_widgets as iw

    found = known(name)
    task = name.removeprefix("demo-").replace("-", "_")
    drawn = iw.tasks.generate(task, 60, demo.tokenizer, seed=31, split="test")
    ends = [
        [x if isinstance(x, str) else x[len(x) // 2] for x in (p.answer, p.foil)] for p in drawn
    ]
    clean = [demo.prompt(p.clean, answer=a, foil=b) for p, (a, b) in zip(drawn, ends, strict=True)]
    corrupted = [demo.prompt(p.corrupted) for p in drawn]
    length = max({len(p) for p in clean}, key=[len(p) for p in clean].count)
    chosen = [i for i, p in enumerate(clean) if len(p) == length]
    pairs = [clean[i] for i in chosen], [corrupted[i] for i in chosen]
    table = iw.circuits.sensitivity(demo, found, *pairs, ablations=["interchange"])
    value, low, high = found.verified["faithfulness"]
    assert low <= value <= high
    assert float(table.sel(ablation=0, cut=0, prompts=0)) == pytest.approx(value, abs=0.25)
    heads = found.classes["same token"]
    without = iw.circuits.completeness(
        demo, found, *pairs, classes={"same token": heads}, random=0, greedy=0
    )
    assert without.meta["labels"]["set"] == ["nothing", "same token"]
    assert without.numpy("y")[1] < 0.35  # nothing goes without the heads that read the tokens
