"""The circuit of a tagger: few heads that do the task, their paths and their roles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.particle.grow import Grower, Growth, Node
from interp_widgets.methods.particle.heads import Ablation, Heads, real_rows
from interp_widgets.methods.particle.paths import INPUT, PAIR, SLOTS, PathRuns, Paths, Sender
from interp_widgets.methods.particle.scan import PAPER
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.graph import Graph
from interp_widgets.session.session import Session

FLOOR = 0.02
"""Share of the largest effect of a kept head from which an effect counts for a role or an edge."""


@method(
    "particle_paths",
    result="array",
    title="Paths between the heads of a tagger",
    paper="Wang et al. 2022, arXiv:2211.00593 (appendix B); " + PAPER,
    family="patching",
    unit="path from a head to another, or to the score",
    cost="1 forward pass per sender, 1 more per sender and receiver",
    tags="mechanistic, interventional, global, verification, circuit, head",
)
def paths(
    run: Run,
    session: Session,
    jets: Tensor,
    corrupted: Tensor,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Measure what each head does to the inputs of each later head, and straight to the score.

    Senders are all heads, ``input`` (the embedding of the particles) and ``pair`` (the bias of
    pairs); a receiver's q, k and v are patched together. Effects are shares of the score's whole
    change from jets to corrupted jets. The session's interventions apply.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable.
    jets, corrupted
        ``[jet, particle, 4]`` with the same padding, of :func:`corrupt`.
    resamples, seed
        For the 95 % intervals over jets.

    Returns
    -------
    ArrayResult
        ``[quantity, sender, receiver]``; quantities are the effect, its ``low`` and ``high``; the
        last receiver is ``score``. NaN and masked where the receiver runs before the sender.

    Raises
    ------
    ValueError
        When the jets do not fit, or the corruption changes no score.

    Examples
    --------
    >>> iw.particle.paths(session, top, iw.particle.corrupt(top))
    """
    heads = Heads(session, jets)
    runs = PathRuns(heads, jets.float(), corrupted.float())
    found = runs.measure(runs.senders(), heads.nodes, apart=False, progress=run.progress)
    _check(found)
    values = torch.cat([found.effect.flatten(1, 3), found.direct[:, None]], 1)
    low, high = found.limits(values, resamples, seed)
    stacked = torch.stack([found.shares(values), low, high])
    hidden = torch.zeros(stacked.shape[1:], dtype=torch.bool)
    for i, sender in enumerate(found.senders):
        for j, receiver in enumerate(heads.nodes):
            hidden[i, j] = not _before(heads, sender, receiver)
    stacked[:, hidden] = torch.nan
    meta: dict[str, Any] = {
        "dims": ["quantity", "sender", "receiver"],
        "labels": {
            "quantity": ["effect", "effect, low", "effect, high"],
            "sender": [_name(s) for s in found.senders],
            "receiver": [*(_name(n) for n in heads.nodes), "score"],
        },
        "quantity": "share of the score's change",
        "signed": True,
        "title": "Paths between heads",
        "note": f"score {float(runs.score.mean()):.2f} clean, {float(runs.other.mean()):.2f} "
        f"corrupted, {len(jets)} pairs of jets",
    }
    mask = hidden[None].expand_as(stacked).contiguous()
    return ArrayResult({"values": stacked, "mask": mask}, meta)


@method(
    "particle_circuit",
    result="circuit",
    title="Circuit of a tagger",
    paper=PAPER,
    family="circuits",
    unit="attention head",
    cost="about heads² forward passes of half the jets, and the paths between what is kept",
    tags="mechanistic, interventional, global, verification, circuit, head, full",
)
def circuit(
    run: Run,
    session: Session,
    jets: Tensor,
    labels: Tensor,
    corrupted: Tensor,
    *,
    target: float = 0.95,
    most: int = 8,
    ablation: Ablation = "mean",
    pairs: int = 64,
    random: int = 20,
    floor: float = FLOOR,
    resamples: int = 200,
    seed: int = 0,
) -> CircuitResult:
    """Grow the heads that do the task, prune them, and say who sends what to whom.

    On half of the jets heads are added, best first, while all others are ablated, until their AUC
    above chance is ``target`` of the whole model's; then heads are dropped while it stays so. The
    other half gives what is reported: AUC with intervals, what the set loses without each head,
    and random sets of as many heads. Paths between kept heads are patched from ``jets`` to
    ``corrupted`` on signal jets. Roles: a *readout* moves the score straight, a *source* sends to
    kept heads and gets nothing from any, a *relay* does both. The bias of pairs stays on while
    heads are ablated; what it gives to each head is in ``meta["pair"]``.

    Parameters
    ----------
    session
        On a model that :func:`explicit_attention` made readable.
    jets, labels
        ``[jet, particle, 4]``; 1 for signal ``[jet]``.
    corrupted
        As many jets, of :func:`corrupt`; with ``ablation="interchange"`` ablated heads write what
        they write on these.
    target
        Share of the AUC above chance that is enough.
    most
        Most heads.
    ablation
        ``"mean"`` (default: it keeps later layers on familiar inputs), ``"zero"`` or
        ``"interchange"``.
    pairs
        Signal jets on which paths are patched.
    random
        Random sets that are compared.
    floor
        Effects below this share of the largest among kept heads count for no role and no edge
        (2 %: heads that stand in for one another divide what one path carries).
    resamples, seed
        Of intervals, halves and random sets.

    Returns
    -------
    CircuitResult
        Layers count on through particle and class blocks. ``scores`` are path effects among
        kept heads; ``meta`` has ``kept``, ``auc``, ``minimality``, ``random``, ``roles`` and
        ``steps``.

    Raises
    ------
    ValueError
        When the jets do not fit, or ``target`` is not between 0 and 1.

    Examples
    --------
    >>> found = iw.particle.circuit(session, jets, labels, iw.particle.corrupt(jets))
    >>> found.meta["kept"], found.meta["auc"]["kept"]
    """
    if not 0 < target <= 1:
        raise ValueError(f"target is a share between 0 and 1, not {target}")
    jets, labels = real_rows(jets, labels)
    corrupted = corrupted.float()
    heads = Heads(session, jets)
    g = run.generator()
    order = torch.randperm(len(jets), generator=g)
    first, second = order[: len(jets) // 2], order[len(jets) // 2 :]

    def half(rows: Tensor, draws: int) -> Grower:
        other = corrupted[rows] if ablation == "interchange" else None
        return Grower(heads, jets[rows], labels[rows], ablation, other, draws, seed)

    kept, steps = half(first, 0).grow(target, most, lambda i, n: run.progress(i, n + 2))
    growth = half(second, resamples).judged(kept, random, g)
    growth.steps = steps
    kept = sorted(kept)
    rows = second[labels[second] == 1][:pairs]
    runs = PathRuns(heads, jets[rows], corrupted[rows])
    senders = [s for s in runs.senders() if isinstance(s, str) or s in kept]
    found = runs.measure(senders, kept, apart=True, progress=lambda *_: None)
    _check(found)
    roles = roles_of(found, kept, floor)
    graph = _graph(heads, found, kept, floor)
    made = CircuitResult.from_graph(
        graph, **_meta(heads, runs, growth, found, roles, ablation=ablation, size=graph.count)
    )
    groups = {
        role: [f"a{i}.h{h}" for i, h in kept if roles[i, h] == role]
        for role in ("source", "relay", "readout")
    }
    return made.arrange(groups={role: names for role, names in groups.items() if names})


def roles_of(found: Paths, kept: list[Node], floor: float = FLOOR) -> dict[Node, str]:
    """Return the role of each kept head: source, relay, readout, or other.

    A head that moves the score straight is a readout; one that gets something from a kept head and
    sends something to another is a relay; one that only sends is a source. What is below ``floor``
    of the largest effect of a kept head is nothing.
    """
    share = found.shares(found.effect).sum(-1).abs()
    direct = found.shares(found.direct).abs()
    at = {sender: i for i, sender in enumerate(found.senders)}
    least = _least(found, kept, floor)
    roles: dict[Node, str] = {}
    for node in kept:
        own = float(direct[at[node]])
        heard = max(float(share[at[other]][node]) for other in kept)
        sent = max(float(share[at[node]][other]) for other in kept)
        if own >= least:
            roles[node] = "readout"
        elif sent >= least:
            roles[node] = "relay" if heard >= least else "source"
        else:
            roles[node] = "other"
    return roles


def _least(found: Paths, kept: list[Node], floor: float) -> float:
    """Return the smallest share of the score's change that counts."""
    rows = [found.senders.index(node) for node in kept]
    share = found.shares(found.effect[rows]).sum(-1).abs()
    onto = max(float(share[:, layer, head].max()) for layer, head in kept)
    return floor * max(onto, float(found.shares(found.direct[rows]).abs().max()))


def _graph(heads: Heads, found: Paths, kept: list[Node], floor: float) -> Graph:
    """Return the graph with path effects as scores; edges from ``floor`` on, and a head's best.

    Every kept head keeps its strongest edge in and its strongest edge out.
    """
    graph = Graph.build(len(heads.layers), heads.heads, mlps=False)
    scores = np.zeros(graph.shape, np.float32)
    effect, direct = found.shares(found.effect), found.shares(found.direct)
    for i, sender in enumerate(found.senders):
        if sender == PAIR:
            continue
        row = 0 if isinstance(sender, str) else graph.writer(*sender)
        for layer, head in kept:
            if _before(heads, sender, (layer, head)):
                for s, slot in enumerate(SLOTS):
                    column = graph.reader(layer, head, slot)
                    scores[row, column] = float(effect[i, layer, head, s])
        if isinstance(sender, tuple):
            scores[row, -1] = float(direct[i])
    scores *= graph.real_edge_mask
    chosen = np.abs(scores) >= _least(found, kept, floor)
    size = np.abs(scores)
    for layer, head in kept:
        row = graph.writer(layer, head)
        columns = [graph.reader(layer, head, slot) for slot in SLOTS]
        if size[row].any():
            chosen[row, size[row].argmax()] = True
        into = size[:, columns]
        if into.any():
            best, slot_of = divmod(int(into.argmax()), len(columns))
            chosen[best, columns[slot_of]] = True
    return graph.with_scores(scores).with_edges(chosen)


def _meta(
    heads: Heads,
    runs: PathRuns,
    growth: Growth,
    found: Paths,
    roles: dict[Node, str],
    *,
    ablation: str,
    size: int,
) -> dict[str, Any]:
    share = found.shares(found.effect)
    pair = {}
    if PAIR in found.senders:
        at = found.senders.index(PAIR)
        pair = {_name(node): float(share[at][node].sum()) for node in sorted(growth.heads)}
    auc = {"whole": growth.full, "none": growth.empty, "kept": growth.kept}
    kept = [_name(node) for node in sorted(growth.heads)]
    low, high = growth.kept[1:]
    note = (
        f"{len(kept)} of {len(heads.nodes)} heads keep {growth.share:.0%} of the AUC above chance: "
        f"{growth.kept[0]:.3f} ({low:.3f} to {high:.3f}) of {growth.full[0]:.3f}"
    )
    if growth.random:
        note += f"; random sets of as many {np.mean(growth.random):.3f} on average"
    return {
        "title": "Circuit of a tagger",
        "metric": "logit difference, signal − background",
        "scoring": "Path patching between heads kept by greedy growth, in shares of the change",
        "ablation": f"{ablation} ablation of all other heads",
        "n_pairs": len(runs.clean),
        "values": {"clean": float(runs.score.mean()), "corrupted": float(runs.other.mean())},
        "size": size,
        "kept": kept,
        "auc": {name: list(values) for name, values in auc.items()},
        "share": growth.share,
        "minimality": {_name(node): list(v) for node, v in growth.minimality.items()},
        "random": growth.random,
        "roles": {_name(node): role for node, role in roles.items()},
        "steps": growth.steps,
        "pair": pair,
        "note": note,
    }


def _check(found: Paths) -> None:
    if abs(float(found.total.mean())) < 1e-6:
        raise ValueError(
            "the corrupted jets have the score of the clean ones on average, so effects have no "
            "scale: give jets of one kind, for example signal, and a corruption that changes them"
        )


def _before(heads: Heads, sender: Sender, receiver: Node) -> bool:
    if sender == PAIR:
        return not heads.layers[receiver[0]].of_class
    if sender == INPUT or isinstance(sender, str):
        return True
    return sender[0] < receiver[0]


def _name(node: Sender) -> str:
    return node if isinstance(node, str) else f"a{node[0]}.h{node[1]}"
