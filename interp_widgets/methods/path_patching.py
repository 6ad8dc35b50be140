"""Path patching: how much of a behaviour goes from one component straight to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.patching import effects, masked, span_of
from interp_widgets.methods.path_runs import Ends, PathEngine, Reads
from interp_widgets.methods.prompt_pairs import PairGroup, Prompts, in_order
from interp_widgets.methods.rows import in_chunks
from interp_widgets.methods.target import Metric
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.graph import SLOTS, Graph, Node
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

Mlps = Literal["recomputed", "frozen"]
Senders = Literal["heads", "mlps", "all"]
PAPER = (
    "Wang et al. 2022, arXiv:2211.00593 (appendix B); Goldowsky-Dill et al. 2023, arXiv:2304.05969"
)


@method(
    "path_patching",
    result="array",
    title="Path patching",
    paper=PAPER,
    family="patching",
    unit="path from a head or MLP to another, or to the logits",
    cost="1 forward pass per sender, batched; 1 more per sender and receiver",
    tags="mechanistic, interventional, local, verification, circuit, head, layer",
)
def path_patching(
    run: Run,
    clean: Prompts,
    corrupted: Prompts,
    receivers: str | Sequence[str] = "logits",
    *,
    senders: Senders | Sequence[str] = "heads",
    together: bool = False,
    mlps: Mlps = "recomputed",
    metric: Metric = "logit_difference",
    normalise: bool = True,
) -> ArrayResult:
    """Measure what each sender does through its direct paths to the receivers alone.

    The clean prompt is run with one sender writing what it writes on the corrupted prompt and every
    other head writing what it writes on the clean one. What the receivers read in that run is put
    into a second clean run, where everything else is recomputed. Paths through other heads so take
    no part; paths through MLPs do, unless MLPs are frozen too.

    The session's interventions apply.

    Parameters
    ----------
    clean
        The prompt on which the model does the task, with answer and foil; or several.
    corrupted
        A prompt of the same number of tokens on which it does not; or as many.
    receivers
        ``"logits"``, or names of inputs as in circuits: ``"a9.h6<q>"`` (the query input of head 6
        of layer 9), ``"a9.h6"`` (its q, k and v), ``"m3"`` (an MLP); or a list of these.
    senders
        ``"heads"``, ``"mlps"``, ``"all"``, or names: ``["a5.h1", "m0"]``.
    together
        Whether the receivers get their inputs in one run, as a class of heads; else each by itself.
    mlps
        ``"recomputed"``: MLPs between sender and receiver act on what changed, as in the paper.
        ``"frozen"``: they write what they write in the clean run, so that only the residual stream
        itself is a path.
    metric
        Of the clean prompt's answer (and foil), at the last position.
    normalise
        Whether effects are shares of the difference between the prompts (0 = clean,
        1 = corrupted); else changes of the metric itself.

    Returns
    -------
    ArrayResult
        ``[layer, head]`` for heads and one receiver (or receivers together), ``[layer]`` for MLPs,
        ``[sender]`` for others; with several receivers ``[receiver, sender]``. NaN and masked where
        a sender comes after the receiver. ``changes [pair, …]``, and ``interval [2, …]`` of two
        pairs or more, as in :func:`patching`.

    Raises
    ------
    ValueError
        When prompts do not fit (see :func:`patching`), a name is not in the model, or the logits
        are to be received together with other inputs.
    CircuitError
        When the residual stream of the model is not a sum of what its components write.

    Examples
    --------
    >>> iw.path_patching(clean, corrupted)                        # which heads move the logits
    >>> iw.path_patching(clean, corrupted, ["a9.h6<q>", "a9.h9<q>"], together=True)
    """
    paths = Paths(run, PairGroup.of(run.session, clean, corrupted, metric), mlps=mlps)
    wanted = paths.receivers([receivers] if isinstance(receivers, str) else receivers)
    if together and any(node.kind == "logits" for node in wanted) and len(wanted) > 1:
        raise ValueError(
            "with the logits among receivers taken together nothing else could matter: what the "
            "logits read is replaced as a whole; give the logits by themselves"
        )
    chosen = paths.senders(senders)
    sets = [wanted] if together else [[node] for node in wanted]
    names = [" + ".join(node.name for node in nodes) for nodes in sets]
    changes = paths.changes(chosen, sets)
    ends = paths.metric_ends()
    span = span_of(ends, metric, noise=True, normalise=normalise)
    mask = torch.tensor([[not paths.reach(s, nodes) for s in chosen] for nodes in sets])
    grid, dims, labels = paths.shape(senders, chosen)
    if len(sets) == 1:
        changes, mask = changes[:, 0], mask[0]
    else:
        grid, dims, labels = [len(sets), len(chosen)], ["receiver", "sender"], {}
        labels = {"receiver": names, "sender": [node.name for node in chosen]}
    to = f"to {', '.join(names[:3])}" + ", …" * (len(names) > 3)
    meta: dict[str, Any] = {"dims": dims, "labels": labels, "title": f"Paths {to}", "mlps": mlps}
    meta |= {"receivers": [node.name for node in wanted], "together": together}
    changes = changes.reshape(len(changes), *grid)
    return masked(effects(changes, ends, span, metric, noise=True, meta=meta), mask.reshape(grid))


@method(
    "path_search",
    result="array",
    title="Paths traced back",
    paper=PAPER,
    family="patching",
    unit="path from a head or MLP to an input of a head, or to the logits",
    cost="1 forward pass per sender, and 1 per sender and input of a head found, batched",
    tags="mechanistic, interventional, local, hypothesis generation, circuit, head, layer",
)
def path_search(
    run: Run,
    clean: Prompts,
    corrupted: Prompts,
    *,
    rounds: int = 3,
    top: int = 3,
    threshold: float = 0.05,
    senders: Senders = "heads",
    mlps: Mlps = "recomputed",
    metric: Metric = "logit_difference",
) -> ArrayResult:
    """Trace a behaviour back from the logits: senders found become the receivers of the next round.

    The first round patches the paths of all senders to the logits. The heads of largest effect are
    then receivers: their query, key and value inputs, each by itself; and so on, as Wang et al.
    found the circuit of indirect object identification.

    Parameters
    ----------
    clean, corrupted
        As in :func:`path_patching`.
    rounds
        How often receivers are sought; the first is the logits alone.
    top
        Heads (or MLPs) that each round adds at most.
    threshold
        Smallest normalised |effect| of a sender that becomes a receiver.
    senders, mlps, metric
        As in :func:`path_patching`.

    Returns
    -------
    ArrayResult
        Normalised effects ``[receiver, sender]`` (0 = clean, 1 = corrupted), masked where there is
        no path. ``meta["rounds"]`` has the receivers of each round.

    Examples
    --------
    >>> iw.path_search(clean, corrupted, rounds=3).meta["rounds"]
    """
    if rounds < 1 or top < 1:
        raise ValueError(f"rounds={rounds} and top={top}: both have to be at least 1")
    paths = Paths(run, PairGroup.of(run.session, clean, corrupted, metric), mlps=mlps)
    chosen = paths.senders(senders)
    ends = paths.metric_ends()
    span = span_of(ends, metric, noise=True, normalise=True)
    assert span is not None
    found, receivers, seen, history = [], paths.receivers(["logits"]), set(), []
    masks: list[list[bool]] = []
    for step in range(rounds):
        sets = [[node] for node in receivers]
        changes = paths.changes(chosen, sets, (step, rounds))
        found.append(changes)
        masks += [[not paths.reach(s, nodes) for s in chosen] for nodes in sets]
        history.append([node.name for node in receivers])
        size = (changes.mean(0) / float(span.mean())).abs().amax(0)
        new = [i for i in size.argsort(descending=True).tolist() if chosen[i].name not in seen]
        new = [i for i in new[:top] if float(size[i]) >= threshold]
        seen |= {chosen[i].name for i in new}
        receivers = paths.receivers([chosen[i].name for i in new])
        receivers = [n for n in receivers if any(paths.reach(s, [n]) for s in chosen)]
        if not receivers:
            break
    labels = {
        "receiver": [name for names in history for name in names],
        "sender": [node.name for node in chosen],
    }
    meta = {"dims": ["receiver", "sender"], "labels": labels, "mlps": mlps, "rounds": history}
    meta["title"] = "Paths traced back from the logits"
    result = effects(torch.cat(found, 1), ends, span, metric, noise=True, meta=meta)
    return masked(result, torch.tensor(masks))


class Paths:
    """Path patching on groups of pairs.

    Parameters
    ----------
    run
        Its session's interventions apply.
    groups
        The pairs.
    mlps
        Whether MLPs are recomputed or frozen.
    """

    def __init__(self, run: Run, groups: Sequence[PairGroup], *, mlps: Mlps) -> None:
        self.run, self.groups, self.freeze = run, groups, mlps == "frozen"
        self.engine = PathEngine(run.session, PromptBatch(groups[0].clean))
        self.graph: Graph = self.engine.graph

    def receivers(self, names: Sequence[str]) -> list[Node]:
        """Return the inputs of these names; a head's name alone stands for its q, k and v."""
        found: dict[str, Node] = {}
        known = {node.name: node for node in self.graph.backward}
        for name in names:
            wanted = [name] if name in known else [f"{name}<{slot}>" for slot in SLOTS]
            if wanted[0] not in known:
                raise ValueError(
                    f"there is no receiver {name!r}; write logits, m0 to m{self.graph.layers - 1}, "
                    f"a0.h0 to a{self.graph.layers - 1}.h{self.graph.heads - 1}, or one input of a "
                    "head: a1.h0<q>"
                )
            found |= {each: known[each] for each in wanted}
        return list(found.values())

    def senders(self, senders: Senders | Sequence[str]) -> list[Node]:
        """Return the heads or MLPs that are to send."""
        kinds = {"heads": ["head"], "mlps": ["mlp"], "all": ["head", "mlp"]}
        nodes = [node for node in self.graph.forward if node.kind in ("head", "mlp")]
        if isinstance(senders, str) and senders in kinds:
            found = [node for node in nodes if node.kind in kinds[senders]]
        else:
            by_name = {node.name: node for node in nodes}
            names = [senders] if isinstance(senders, str) else list(senders)
            unknown = [name for name in names if name not in by_name]
            if unknown:
                raise ValueError(
                    f"there is no sender {unknown[0]!r}; write heads, mlps, all, or names such as "
                    f"a0.h{self.graph.heads - 1} and m0"
                )
            found = [by_name[name] for name in names]
        if not found:
            raise ValueError("there is no sender; this model has no MLPs, or the list is empty")
        return found

    def shape(
        self, asked: Senders | Sequence[str], chosen: Sequence[Node]
    ) -> tuple[list[int], list[str], dict[str, list[str]]]:
        """Return sizes, dims and labels of the senders."""
        layers = [str(i) for i in range(self.graph.layers)]
        if asked == "heads":
            return [self.graph.layers, self.graph.heads], ["layer", "head"], {"layer": layers}
        if asked == "mlps":
            return [self.graph.layers], ["layer"], {"layer": layers}
        return [len(chosen)], ["sender"], {"sender": [node.name for node in chosen]}

    def reach(self, sender: Node, receivers: Sequence[Node]) -> bool:
        """Whether any of the receivers reads after the sender wrote."""
        real, names = self.graph.real_edge_mask, [node.name for node in self.graph.backward]
        row = self.graph.forward.index(sender)
        return any(bool(real[row, names.index(node.name)]) for node in receivers)

    def metric_ends(self) -> Tensor:
        """Return the metric on the clean and on the corrupted prompts, ``[pair, 2]``."""
        rows = []
        for group in self.groups:
            sides = (group.clean, group.corrupted)
            rows.append(torch.stack([self._scored(group, side).double() for side in sides], 1))
        return in_order(self.groups, rows)

    def changes(
        self,
        senders: Sequence[Node],
        sets: Sequence[Sequence[Node]],
        part: tuple[int, int] = (0, 1),
    ) -> Tensor:
        """Return what senders change through each set of receivers, ``[pair, set, sender]``."""
        found = []
        for i, group in enumerate(self.groups):
            steps = (part[0] * len(self.groups) + i, part[1] * len(self.groups))
            found.append(self._changes(group, senders, sets, steps))
        return in_order(self.groups, found)

    def _changes(
        self,
        group: PairGroup,
        senders: Sequence[Node],
        sets: Sequence[Sequence[Node]],
        steps: tuple[int, int],
    ) -> Tensor:
        ends = self.engine.ends(group)
        clean = self._scored(group, group.clean)
        useful = [j for j, node in enumerate(senders) if any(self.reach(node, s) for s in sets)]
        useful.sort(key=lambda j: senders[j].layer or 0)
        rows = [(pair, senders[j]) for j in useful for pair in range(len(group.at))]
        everyone = list({node.name: node for nodes in sets for node in nodes}.values())

        def work(chunk: range) -> Tensor:
            some = rows[chunk.start : chunk.stop]
            pairs = [pair for pair, _ in some]
            logits, reads = self.engine.send(group, ends, some, everyone, freeze_mlps=self.freeze)
            sent = self._score(group, logits, pairs)
            columns = []
            for nodes in sets:
                if nodes[0].kind == "logits":
                    columns.append(sent - clean[pairs])
                    continue
                columns.append(self._received(group, ends, some, nodes, reads, clean))
            return torch.stack(columns, 1)

        length = group.length
        flat = in_chunks(self.run, len(rows), length, work, steps).float() if rows else None
        changes = clean.new_zeros(len(group.at), len(sets), len(senders), dtype=torch.float32)
        if flat is not None:
            shaped = flat.reshape(len(useful), len(group.at), len(sets)).permute(1, 2, 0)
            changes[:, :, useful] = shaped.to(changes)
        return changes

    def _received(
        self,
        group: PairGroup,
        ends: Ends,
        rows: Sequence[tuple[int, Node]],
        nodes: Sequence[Node],
        reads: Reads,
        clean: Tensor,
    ) -> Tensor:
        """Run the rows whose sender these receivers can read."""
        kept = [r for r, (_, sender) in enumerate(rows) if self.reach(sender, nodes)]
        change = clean.new_zeros(len(rows))
        if kept:
            pairs = [rows[r][0] for r in kept]
            later = [node for node in nodes if node.name in reads]  # the others read as ever
            mine = {node.name: reads[node.name][kept] for node in later}
            logits = self.engine.receive(group, ends, pairs, later, mine)
            change[kept] = self._score(group, logits, pairs) - clean[pairs]
        return change

    def _scored(self, group: PairGroup, prompts: Sequence[Prompt]) -> Tensor:
        """Return the metric of prompts as they are ``[pair]``."""
        end = Site("logits")
        return group.score(self.run.session.capture(PromptBatch(tuple(prompts)), end)[end])

    def _score(self, group: PairGroup, logits: Tensor, pairs: Sequence[int]) -> Tensor:
        return group.score(logits[:, None], pairs)
