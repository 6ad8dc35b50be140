"""Attribution graphs: which features, errors and tokens led to which output on one prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets import __version__
from interp_widgets.methods import catalogue
from interp_widgets.methods.attribution_graph.features import Features
from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel
from interp_widgets.methods.attribution_graph.pruning import (
    EMBEDDING,
    ERROR,
    FEATURE,
    LOGIT,
    Links,
    Pruned,
    prune,
    scores,
)
from interp_widgets.methods.attribution_graph.tracing import Edges, Logits, Tracer
from interp_widgets.methods.attribution_graph.transcoders import Transcoders
from interp_widgets.methods.catalogue import Run
from interp_widgets.methods.circuits.wiring import CircuitError, close, matrix
from interp_widgets.methods.readout import COARSE, TOLERANCE, Readout
from interp_widgets.results.attribution_graph import (
    EDGE_THRESHOLD,
    NODE_THRESHOLD,
    AttributionGraph,
)
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

PROBABILITY, MOST_LOGITS, MOST_FEATURES = 0.95, 10, 7_500
"""Outputs explained and features expanded by default, as in circuit-tracer."""
NAMED = 10
"""Tokens listed that a feature speaks for and against."""


@catalogue.method(
    "attribution_graph",
    result="attribution_graph",
    title="Attribution graph",
    paper=(
        "Ameisen et al. 2025, Circuit Tracing; Dunefsky et al. 2024, arXiv:2406.11944 (transcoders)"
    ),
    family="circuits",
    unit="transcoder feature at a position",
    cost="3 forward passes; 1 backward pass for every 64 features",
    tags="mechanistic, interventional, local, hypothesis generation, feature, circuit",
)
def attribution_graph(
    run: Run,
    prompt: Prompt,
    transcoders: Transcoders | str,
    *,
    targets: Sequence[str | int] | None = None,
    probability: float = PROBABILITY,
    max_logits: int = MOST_LOGITS,
    max_features: int = MOST_FEATURES,
    node_threshold: float = NODE_THRESHOLD,
    edge_threshold: float = EDGE_THRESHOLD,
    batch_size: int | None = None,
) -> AttributionGraph:
    """Trace what led to the output through transcoder features, errors and tokens.

    In the model of this one prompt, MLPs are replaced by transcoders plus what the transcoders
    leave over (errors), and attention patterns and norm scales are held fixed. That model gives the
    prompt's own logits, and in it every feature's pre-activation, and every logit's distance from
    the mean logit, is a sum over features of earlier layers, errors, tokens and biases. A link is
    one such summand. Because patterns are fixed, the graph does not say why heads attend where they
    do: measure a claim with :func:`feature_intervention`.

    The session's interventions apply.

    Parameters
    ----------
    prompt
        A prompt of tokens; its last position's prediction is explained.
    transcoders
        :class:`Transcoders`, the path of safetensors files that ``Transcoders.load`` reads, or
        ``"neurons"``: the model's own neurons, which leave no error and are not sparse.
    targets
        Tokens to explain. Default: the smallest set of most likely tokens that reaches
        ``probability``, at most ``max_logits`` (0.95 and 10, as circuit-tracer).
    max_features
        Most features whose own inputs are traced, the most influential first; others are left out
        and the note says how much influence they had. 7,500, as circuit-tracer.
    node_threshold, edge_threshold
        Shares of all influence on the outputs that the kept nodes and links carry (0.8 and 0.98);
        1 keeps everything.
    batch_size
        Targets of one backward pass; default 64, fewer for long prompts or little memory.

    Returns
    -------
    AttributionGraph
        Nodes in the schema of circuit-tracer and Neuronpedia (``to_json``), with
        ``pre_activation`` and ``bias`` (what biases add to it) of features and logits, and
        ``top_logits`` of features; links in the target's units; ``replacement_score`` and
        ``completeness_score`` of the graph before pruning in ``meta["metadata"]``.

    Raises
    ------
    CircuitError
        When the model is of a form that is not known, a transcoder does not fit it, or the
        replacement is not linear.
    OutOfMemory
        When the links do not fit into memory; the message says how many features would.
    ValueError
        When a share is not between 0 and 1, or a count below 1.

    Examples
    --------
    >>> prompt = session.prompt("When Mary and John went to the store, John gave a drink to")
    >>> iw.attribution_graph(prompt, iw.Transcoders.load("transcoders.safetensors"))
    """
    _check(probability, node_threshold, edge_threshold, max_logits, max_features, batch_size)
    session = run.session
    used = resolve(transcoders, session, prompt)
    model = FrozenModel(session, prompt, before_norm=used.before_norm)
    features = Features.of(model, used)
    logits = _logits(session, model, targets, probability, max_logits)
    tracer = Tracer(model, features, used, logits, batch_size)
    edges = tracer.edges(max_features, run.progress)
    off = _check_sums(edges, model)
    links, order = _links(edges, features, model, logits)
    kept = prune(links, node_threshold, edge_threshold)
    settings = {
        "max_n_logits": max_logits,
        "desired_logit_prob": probability,
        "batch_size": tracer.rows,
        "max_feature_nodes": max_features,
    }
    nodes = _Nodes(session, model, features, logits, used, edges, order, kept).entries()
    metadata = _metadata(session, prompt, used, settings, node_threshold, edge_threshold)
    metadata |= {f"{name}_score": value for name, value in scores(links).items()}
    metadata["node_threshold"] = node_threshold
    metadata["info"]["largest_gap"] = off
    meta: dict[str, Any] = {
        "title": f"Attribution graph by {used.name}",
        "nodes": nodes,
        "metadata": metadata,
        "qParams": {"linkType": "both", "clickedId": "", "sg_pos": ""},
        "links": {},
        "extra": {},
    }
    note = _note(tracer, edges, features)
    if note:
        meta["note"] = note
    place = np.cumsum(kept.nodes) - 1
    arrays = {
        "source": place[links.source[kept.links]].astype(np.int32),
        "target": place[links.target[kept.links]].astype(np.int32),
        "weight": links.weight[kept.links],
        "influence": kept.node_influence[kept.nodes].astype(np.float32),
        "edge_influence": kept.link_influence[kept.links].astype(np.float32),
    }
    return AttributionGraph(arrays, meta)


def resolve(transcoders: Transcoders | str, session: Session, prompt: Prompt) -> Transcoders:
    """Return transcoders from what users give."""
    if isinstance(transcoders, Transcoders):
        return transcoders
    if transcoders == "neurons":
        return Transcoders.neurons(session, prompt)
    return Transcoders.load(transcoders)


def _check(
    probability: float, nodes: float, edges: float, logits: int, features: int, batch: int | None
) -> None:
    shares = {"probability": probability, "node_threshold": nodes, "edge_threshold": edges}
    for name, value in shares.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} is a share between 0 and 1, not {value}")
    counts = {"max_logits": logits, "max_features": features, "batch_size": batch}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


def _logits(
    session: Session,
    model: FrozenModel,
    targets: Sequence[str | int] | None,
    probability: float,
    most: int,
) -> Logits:
    """Choose the outputs to explain; each is read along its mean-centred unembedding column."""
    readout = Readout.of(session, model.prompt)
    head = model.root.get_submodule(model.unembed.path)
    weight = matrix(head).detach()
    bias = getattr(head, "bias", None)
    before = model.final @ weight
    before = before if bias is None else before + bias
    own = before.float() * readout.scale
    if readout.softcap is not None:
        own = torch.tanh(own / readout.softcap) * readout.softcap
    if not session.interventions.active and not close(own, model.logits.float()):
        raise CircuitError(
            f"the logits of {type(model.root).__name__} are not its unembedding of what that reads"
        )
    chance = model.logits.float().softmax(-1)
    if targets is None:
        best, ids = chance.topk(min(most, len(chance)))
        count = int((best.cumsum(0) < probability).sum()) + 1
        chosen = ids[:count].tolist()
    else:
        chosen = [session.token_id(t) for t in targets]
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError("targets must be tokens, each once: [' Mary', ' John']")
    directions = (weight[:, chosen] - weight.mean(1, keepdim=True)).T * readout.scale
    constants = torch.zeros(len(chosen)).to(directions)
    if bias is not None:
        constants = (bias[chosen] - bias.mean()).detach() * readout.scale
    return Logits(chosen, chance[chosen].tolist(), directions.contiguous(), constants)


def _check_sums(edges: Edges, model: FrozenModel) -> float:
    """Return the largest gap between a target and the sum of what feeds it, of the largest target.

    Raises
    ------
    CircuitError
        When it is beyond rounding: something between the MLPs is not linear.
    """
    sums = edges.matrix.sum(1, dtype=np.float64) + edges.biases
    size = np.abs(edges.matrix).sum(1, dtype=np.float64).max(initial=1e-12)
    gap = float(np.abs(sums - edges.values).max(initial=0.0) / size)
    limit = TOLERANCE.get(model.embeddings.dtype, COARSE)
    if not gap <= limit:
        raise CircuitError(
            f"what feeds a feature adds up to something else than its pre-activation (off by "
            f"{gap:.2g} of the largest sum): in {type(model.root).__name__} more than attention "
            "patterns and norm scales makes the way from MLP to MLP non-linear"
        )
    return gap


def _links(
    edges: Edges, features: Features, model: FrozenModel, logits: Logits
) -> tuple[Links, np.ndarray]:
    """Return the graph as arrays, and which active feature each feature node is.

    Nodes are the expanded features by layer, position and index, then errors, tokens and logits.
    """
    order = np.sort(edges.expanded)
    n, active = len(order), len(features)
    rest = edges.matrix.shape[1] - active
    length, outputs = len(model.prompt), len(logits.ids)
    columns = np.concatenate([order, np.arange(active, active + rest)])
    own = edges.matrix[:, columns]
    target, source = np.nonzero(own)
    weight = own[target, source]
    place = np.searchsorted(order, edges.expanded)
    rows = np.concatenate([n + rest + np.arange(outputs), place])
    kinds = np.full(n + rest + outputs, LOGIT, np.uint8)
    kinds[:n] = FEATURE
    kinds[n : n + rest - length] = ERROR
    kinds[n + rest - length : n + rest] = EMBEDDING
    start = np.zeros(len(kinds))
    start[n + rest :] = logits.probabilities
    links = Links(source, rows[target].astype(np.int64), weight, kinds, start)
    return links, order


def _note(tracer: Tracer, edges: Edges, features: Features) -> str:
    """Say what a limit on features left out."""
    if len(edges.expanded) == len(features):
        return ""
    outputs = len(tracer.logits.ids)
    influence = tracer.influence(edges.matrix[:outputs], edges.matrix[outputs:], edges.expanded)
    left = np.setdiff1d(np.arange(len(features)), edges.expanded)
    share = influence[left].sum() / influence.sum()
    return (
        f"{len(edges.expanded):,} of {len(features):,} active features were traced; the others "
        f"have {share:.1%} of the influence and are left out"
    )


def _metadata(
    session: Session,
    prompt: Prompt,
    transcoders: Transcoders,
    settings: dict[str, Any],
    node_threshold: float,
    edge_threshold: float,
) -> dict[str, Any]:
    text = prompt.text if prompt.text is not None else "".join(prompt.tokens)
    words = "".join(c if c.isalnum() else " " for c in text).split()
    return {
        "slug": "-".join(words)[:60].lower() or "prompt",
        "scan": session.name,
        "transcoder_list": [transcoders.name],
        "prompt_tokens": list(prompt.tokens),
        "prompt": text,
        "schema_version": 1,
        "info": {"generator": {"name": "interp-widgets", "version": __version__, "url": ""}},
        "generation_settings": settings,
        "pruning_settings": {"node_threshold": node_threshold, "edge_threshold": edge_threshold},
    }


class _Nodes:
    """The kept nodes in the public schema."""

    def __init__(
        self,
        session: Session,
        model: FrozenModel,
        features: Features,
        logits: Logits,
        transcoders: Transcoders,
        edges: Edges,
        order: np.ndarray,
        kept: Pruned,
    ) -> None:
        self.session = session
        self.model = model
        self.features = features
        self.logits = logits
        self.transcoders = transcoders
        self.kept = kept
        self.order = order
        outputs = len(logits.ids)
        rows = np.argsort(edges.expanded, kind="stable") + outputs
        self.values = np.concatenate([edges.values[rows], edges.values[:outputs]])
        self.biases = np.concatenate([edges.biases[rows], edges.biases[:outputs]])

    def entries(self) -> list[dict[str, Any]]:
        length = len(self.model.prompt)
        n = len(self.order)
        errors = n + self.model.n_layers * length
        tokens = errors + length
        chosen = np.flatnonzero(self.kept.nodes)
        found = self._features(chosen[chosen < n])
        for node in chosen[(chosen >= n) & (chosen < errors)]:
            layer, at = divmod(int(node) - n, length)
            found.append(_entry(f"{layer}_-1_{at}", -1, layer, at, "mlp reconstruction error",
                                f"{layer}_-1-0", influence=self._influence(node)))  # fmt: skip
        for node in chosen[(chosen >= errors) & (chosen < tokens)]:
            at = int(node) - errors
            token = self.model.prompt.ids[at]
            found.append(_entry(f"E_{token}_{at}", at, "E", at, "embedding",
                                f"E_{token}-{at}", influence=self._influence(node)))  # fmt: skip
        return found + [self._logit(i) for i in range(len(self.logits.ids))]

    def _influence(self, node: int) -> float | None:
        value = float(self.kept.node_influence[node])
        return value if math.isfinite(value) else None

    def _features(self, chosen: np.ndarray) -> list[dict[str, Any]]:
        which = self.order[chosen]
        layer, position, index, activation = (
            t.cpu().numpy()[which]
            for t in (
                self.features.layer,
                self.features.position,
                self.features.index,
                self.features.activation.double(),
            )
        )
        top, bottom = self._words(torch.as_tensor(which, device=self.features.vectors.device))
        found = []
        for i, node in enumerate(chosen):
            a, b, c = int(layer[i]), int(index[i]), int(position[i])
            step = 10 ** math.ceil(math.log10(max(self.features.counts[a], 2)))
            entry = _entry(f"{a}_{b}_{c}", b + step * a, a, c, "cross layer transcoder",
                           f"{a}_{b}-0", influence=self._influence(node))  # fmt: skip
            entry["clerp"] = self.transcoders.labels.get(f"{a}.{b}", "")
            entry["activation"] = float(activation[i])
            entry |= self._value(int(node))
            entry["top_logits"], entry["bottom_logits"] = top[i], bottom[i]
            found.append(entry)
        return found

    def _words(self, which: Tensor) -> tuple[list[list[str]], list[list[str]]]:
        """Return the tokens that each feature's writing speaks most for and against."""
        head = matrix(self.model.root.get_submodule(self.model.unembed.path)).detach()
        path = self.session.anatomy.final_norm
        norm = None if path is None else self.model.held_at_end(path)
        top: list[list[str]] = []
        bottom: list[list[str]] = []
        sign = torch.sign(self.features.activation)
        totals = self.features.totals()
        for some in which.split(64):
            vectors = totals[some] * sign[some, None]
            if norm is not None:
                vectors = norm.linear(vectors)
            along = vectors.to(head) @ head
            count = min(NAMED, along.shape[-1])
            top += [self._strings(ids) for ids in along.topk(count).indices.tolist()]
            bottom += [self._strings(ids) for ids in (-along).topk(count).indices.tolist()]
        return top, bottom

    def _strings(self, ids: list[int]) -> list[str]:
        return [self.session.token_string(i) for i in ids]

    def _logit(self, i: int) -> dict[str, Any]:
        token, chance = self.logits.ids[i], self.logits.probabilities[i]
        layer, at = self.model.n_layers + 1, len(self.model.prompt) - 1
        text = self.session.token_string(token)
        entry = _entry(f"{layer}_{token}_{at}", token, layer, at, "logit", f"L_{token}-{at}")
        entry |= {"clerp": f'Output "{text}" (p={chance:.3f})', "token_prob": chance}
        entry["is_target_logit"] = i == 0
        return entry | self._value(len(self.order) + i)

    def _value(self, row: int) -> dict[str, float]:
        return {"pre_activation": float(self.values[row]), "bias": float(self.biases[row])}


def _entry(
    name: str,
    feature: int,
    layer: int | str,
    position: int,
    kind: str,
    js: str,
    influence: float | None = None,
) -> dict[str, Any]:
    return {
        "node_id": name,
        "feature": feature,
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": kind,
        "token_prob": 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": js,
        "clerp": "",
        "influence": influence,
        "activation": None,
    }
