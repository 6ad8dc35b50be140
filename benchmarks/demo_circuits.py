"""Find the circuits of the embedded model and test them: ``python -m benchmarks.demo_circuits``.

EAP-IG on prompts of the training templates ranks the edges. From the strongest on, each edge is cut
alone, weakest first, and left out if that moves faithfulness away from 1 by less than a threshold.
What is left is tested on held-out templates, names, years and lengths, and written with the figures
into the package, where ``iw.circuits.known("demo-ioi")`` reads it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import interp_widgets as iw
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.problem import pose
from interp_widgets.methods.circuits.trials import Trials
from interp_widgets.results.arrangement import component

OUT = Path(iw.__file__).parent / "demo" / "assets" / "demo" / "circuits.json"
PAIRS, HELD_OUT = 24, 32
LEAST = 0.004
CORRUPTIONS = {"abc": "three names", "01": "start year, 01", "successor": "successor"}

TASKS = {
    "demo-ioi": {
        "title": "Indirect object identification",
        "task": "ioi",
        "corruption": "abc",
        "start": 150,
        "classes": {
            "same token": {
                "members": ["0.3", "0.2"],
                "does": "at the names themselves, at S2 also at S1 (0.3: half)",
            },
            "previous token": {
                "members": ["0.0"],
                "at": "S1+1",
                "does": "reads S1 from the word after it",
            },
            "second name": {
                "members": ["1.0", "1.3", "2.2"],
                "does": "1.0, 1.3 from the end and 2.2 from S2 attend to the name that came second",
            },
            "first name": {
                "members": ["1.1", "1.2"],
                "at": "end",
                "does": "attends to the name that came first",
            },
            "answer": {
                "members": ["3.0", "3.2", "3.1", "3.3"],
                "at": "end",
                "does": "attends to S2, not to IO, and writes the answer",
            },
        },
    },
    "demo-greater-than": {
        "title": "Greater-than",
        "task": "greater_than",
        "corruption": "01",
        "start": 100,
        "classes": {
            "same token": {
                "members": ["0.3", "0.2"],
                "at": "YY",
                "does": "reads the year where it stands",
            },
            "year mover": {
                "members": ["1.0", "1.1"],
                "at": "end",
                "does": "attends from the end to YY",
            },
            "late MLP": {
                "members": ["m1", "m2", "m3"],
                "at": "end",
                "does": "turns the year into later years",
            },
        },
    },
    "demo-induction": {
        "title": "Induction",
        "task": "induction",
        "corruption": "successor",
        "also": "previous",
        "start": 100,
        "classes": {
            "previous token": {"members": ["0.0"], "does": "each token's predecessor"},
            "same token": {"members": ["0.3", "0.2"], "does": "what stands here, for the values"},
            "induction": {
                "members": ["1.0", "1.1", "1.2", "1.3"],
                "at": "end",
                "does": "attends from the end to the token after the last occurrence",
            },
        },
    },
}


def pairs_of(session, entry, count, split, seed, length=None):
    """Draw clean and corrupted prompts; of the right and the wrong years the middle ones.

    ``also`` names another position whose token is exchanged in the corrupted prompt. For induction
    that is the first occurrence of the repeated token: with another successor alone, the heads
    would attend to the same place in both prompts, and how they find it would not be seen.
    """
    task, corruption = entry["task"], entry["corruption"]
    clean, corrupted = [], []
    while len(clean) < count:
        drawn = iw.tasks.generate(
            task, 4 * count, session.tokenizer, seed=seed, split=split, corruption=corruption
        )
        for pair in drawn:
            ends = [x if isinstance(x, str) else x[len(x) // 2] for x in (pair.answer, pair.foil)]
            prompt = session.prompt(pair.clean, answer=ends[0], foil=ends[1])
            if len(clean) < count and length in (None, len(prompt)):
                clean.append(prompt)
                corrupted.append(_twin(session, pair, entry.get("also"), seed))
        seed += 1000
    return clean, corrupted


def _twin(session, pair, also, seed):
    twin = session.prompt(pair.corrupted)
    if also is None:
        return twin
    free = sorted(set(range(50, 300)) - set(twin.ids))
    ids = list(twin.ids)
    ids[pair.positions[also]] = free[(seed + sum(ids)) % len(free)]
    return session.prompt(ids)


def lengths_of(session, entry):
    """Return the two commonest lengths of the training prompts."""
    clean, _ = pairs_of(session, entry, 60, "train", 5)
    lengths, counts = np.unique([len(p) for p in clean], return_counts=True)
    return [int(n) for n in lengths[np.argsort(-counts)][:2]]


def find(session, entry):
    """Return the circuit and the training pairs."""
    clean, corrupted = [], []
    for i, length in enumerate(lengths_of(session, entry)):
        ours, theirs = pairs_of(session, entry, PAIRS // 2, "train", 100 + i, length)
        clean, corrupted = clean + ours, corrupted + theirs
    found = iw.circuit(clean, corrupted, size=entry["start"], faithfulness=False)
    graph, kept = found.graph, found.graph.in_graph.copy()
    trials = Trials(pose(Pairs.of(clean, corrupted), "logit_difference"))
    share = float(trials.share(trials.measure([kept]))[0])
    for name in reversed(graph.edges()):
        less = graph.with_edges(kept)
        mask = less.in_graph.copy()
        mask[graph.edge(name)] = False
        mask = graph.with_edges(mask).prune().in_graph
        if not kept[graph.edge(name)]:
            continue
        without = float(trials.share(trials.measure([mask]))[0])
        if abs(1 - without) < abs(1 - share) + LEAST:
            kept, share = mask, without
    return graph.with_edges(kept), share, clean, corrupted


def test(session, entry, graph):
    """Judge the circuit on held-out prompts and under other ablations."""
    clean, corrupted = pairs_of(session, entry, HELD_OUT, "test", 7000)
    classes = {name: value["members"] for name, value in entry["classes"].items()}
    report = iw.circuits.judge(
        session, graph, clean, corrupted, classes=classes, random_sets=8, greedy=3
    )
    table = iw.circuits.sensitivity(
        session,
        graph.with_scores(np.zeros(graph.shape)),
        clean,
        corrupted,
        ablations=["interchange", "mean", "mean_positional", "zero"],
    )
    print(report.frame().to_string())
    print(table.meta["note"])
    low, high = report.interval
    ways = {
        way: {
            cut: round(float(table.sel(ablation=i, cut=j, prompts=0)), 3)
            for j, cut in enumerate(table.labels("cut"))
        }
        for i, way in enumerate(table.labels("ablation"))
    }
    return {
        "pairs": len(clean),
        "corruption": _corruption(entry),
        "faithfulness": [round(x, 3) for x in (report.faithfulness, low, high)],
        "without the circuit": round(float(report.numpy("own")[1, 0]), 3),
        "random circuits": [
            round(float(f(report.numpy("random"))), 3) for f in (np.median, np.max)
        ],
        "largest completeness gap": round(report.meta["completeness"]["incompleteness"], 3),
        "at": report.meta["completeness"]["worst"],
        "needed": {
            node: round(float(x), 3)
            for node, x in zip(
                report.meta["nodes"], report.numpy("minimality_largest"), strict=True
            )
        },
        "other ablations": ways,
        "tests": {
            t["name"]: {"p": float(f"{t['p']:.2g}"), "reading": t["reading"]}
            for t in report.meta["tests"]
        },
    }


def main(names):
    """Find and test the circuits that are named, or all."""
    session = iw.demo()
    known = json.loads(OUT.read_text()) if OUT.is_file() else {}
    for name in names or TASKS:
        entry = TASKS[name]
        graph, share, clean, _ = find(session, entry)
        print(f"{name}: {graph.count} edges, {share:.3f} on the {len(clean)} training pairs")
        listed = {m for value in entry["classes"].values() for m in value["members"]}
        classes = dict(entry["classes"])
        used = {n for edge in graph.edges() for n in edge.split("<")[0].split("->")}
        others = sorted(n for n in used - {"input", "logits"} if short(n) not in listed)
        if others:
            classes["others"] = {"members": others, "does": "small effects"}
        for value in classes.values():
            value["members"] = [m for m in value["members"] if component(m) in used]
        entry = {**entry, "classes": {k: v for k, v in classes.items() if v["members"]}}
        verified = {
            "found": (
                f"EAP-IG on {len(clean)} pairs of training templates, {entry['start']} edges; then "
                "each edge cut alone, weakest first, and left out if faithfulness moved away from "
                f"1 by less than {LEAST}"
            ),
            "faithfulness on those pairs": round(share, 3),
            **test(session, entry, graph),
        }
        known[name] = {
            "title": entry["title"],
            "model": "interp-widgets/demo",
            "paper": "found and tested in this package: docs/demo-circuits.md",
            "layers": graph.layers,
            "heads": graph.heads,
            "mlps": graph.mlps,
            "classes": entry["classes"],
            "edges": graph.edges(),
            "variants": {"interchange": {"about": f"cut edges carry: {_corruption(entry)}"}},
            "verified": verified,
        }
        OUT.write_text(json.dumps(known, indent=1) + "\n")


def _corruption(entry):
    names = [CORRUPTIONS[entry["corruption"]], *([entry["also"]] if "also" in entry else [])]
    return f"the twin of iw.tasks with another {' and '.join(names)}"


def short(name):
    """``a0.h3`` as ``0.3``."""
    return name[1:].replace(".h", ".") if ".h" in name else name


if __name__ == "__main__":
    main(sys.argv[1:])
