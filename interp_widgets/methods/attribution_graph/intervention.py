"""Interventions on transcoder features: what an attribution graph claims, measured in the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods import catalogue
from interp_widgets.methods.attribution_graph.features import Features
from interp_widgets.methods.attribution_graph.frozen_model import FrozenModel
from interp_widgets.methods.attribution_graph.graph import resolve
from interp_widgets.methods.attribution_graph.transcoders import Transcoders
from interp_widgets.methods.catalogue import Run
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

SHOWN = 5
Place = tuple[int, int, int]
"""Layer, position, index of a feature."""


@catalogue.method(
    "feature_intervention",
    result="array",
    title="Feature intervention",
    paper="Ameisen et al. 2025, Circuit Tracing (constrained patching)",
    family="circuits",
    unit="transcoder feature at a position",
    cost="2 forward passes",
    tags="mechanistic, interventional, local, verification, feature",
)
def feature_intervention(
    run: Run,
    prompt: Prompt,
    transcoders: Transcoders | str,
    changes: Mapping[str, float],
    *,
    to: Literal["factor", "value"] = "factor",
    until: int | None = None,
    attention: Literal["frozen", "free"] = "frozen",
    norms: Literal["frozen", "free"] = "free",
    groups: Mapping[str, Sequence[str]] | None = None,
    watch: Sequence[str] | None = None,
    targets: Sequence[str | int] | None = None,
) -> ArrayResult:
    """Set features of the prompt and see what happens to the outputs and to other features.

    Constrained patching: up to layer ``until`` every MLP writes what it wrote, plus what the
    changed features write more or less; later MLPs of the model itself run on what that leads to.
    With ``until`` the last layer, and patterns and norms frozen, only direct effects are left: a
    logit then moves by exactly ``(factor - 1) × weight`` of the graph's link. With attention and
    norms free the model does the rest by itself.

    Parameters
    ----------
    prompt
        The prompt of the graph. The session's interventions apply to both runs.
    transcoders
        Those of the graph.
    changes
        What is changed, by node id (``"4_18_7"``: layer, feature, position; ``"4_18"``: at every
        position) or by the name of one of ``groups``, whose members all change.
    to
        ``"factor"`` (default): the new activation is this times the old one (0 ablates, -1
        inverts, 2 doubles); ``"value"``: it is this.
    until
        Last layer whose MLP only passes the changes on; default the highest changed layer. Features
        of a cross-layer transcoder write into the layers up to this one.
    attention, norms
        ``"frozen"``: patterns (default), or norm scales, stay those of the prompt; ``"free"``: they
        are what the changed run makes them (default for norms).
    groups
        Supernodes, names and members: ``graph.supernodes``.
    watch
        Nodes whose activations are reported; default the members of ``groups``.
    targets
        Tokens to report; default the five most likely before and after.

    Returns
    -------
    ArrayResult
        ``values [output, run]``: probabilities at the last position before and after;
        ``logits [output, run]``; ``activations [node, run]`` of ``meta["watched"]``;
        ``groups [group]`` of ``meta["groups"]``: a group's activation after, as a share of before,
        averaged over its members that were active.

    Raises
    ------
    ValueError
        When a node or group is not there, or ``until`` is below a changed layer or beyond the last.
    CircuitError
        As of :func:`attribution_graph`.

    Examples
    --------
    >>> iw.feature_intervention(prompt, transcoders, {"Mary": 0}, groups=graph.supernodes)
    """
    session = run.session
    used = resolve(transcoders, session, prompt)
    model = FrozenModel(session, prompt, before_norm=used.before_norm)
    features = Features.of(model, used)
    reader = _Places(model, features, groups or {})
    wanted = reader.changes(changes)
    last = max(place[0] for place in wanted)
    stop = last if until is None else until
    if not 0 <= stop < model.n_layers:
        raise ValueError(f"until={stop}, and the model has layers 0 to {model.n_layers - 1}")
    patch = _Patch(model, features, used, wanted, factor=to == "factor", until=stop)
    run.progress(1, 2)
    reads = model.run(
        model.embeddings[None],
        patch.write,
        attention=attention == "frozen",
        norms=norms == "frozen",
        whole=True,
    )
    members = {name: reader.group(name) for name in groups or {}}
    watched = [p for name in watch or [] for p in reader.read(name)]
    watched += [p for group in members.values() for p in group]
    watched = list(dict.fromkeys(watched))
    after = {p: patch.now(p, reads.mlp) for p in watched}
    logits = torch.stack([model.logits, reads.logits[0]], 1).float()
    shown = _shown(session, logits, targets)
    arrays: dict[str, Any] = {
        "values": logits.softmax(0)[shown],
        "logits": logits[shown],
        "activations": torch.tensor(
            [[patch.baseline.get(p, 0.0), after[p]] for p in watched], dtype=torch.float32
        ).reshape(len(watched), 2),
        "groups": torch.tensor(
            [_share(group, patch.baseline, after) for group in members.values()]
        ),
    }
    return ArrayResult(
        arrays,
        {
            "title": _title(changes, to),
            "dims": ["output", "run"],
            "labels": {
                "output": [session.token_string(i) for i in shown],
                "run": ["before", "after"],
            },
            "quantity": "probability",
            "signed": False,
            "watched": [f"{layer}_{index}_{position}" for layer, position, index in watched],
            "groups": list(members),
        },
    )


def _title(changes: Mapping[str, float], to: str) -> str:
    sign = "×" if to == "factor" else "="
    return "After " + ", ".join(f"{name} {sign} {value:g}" for name, value in changes.items())


class _Places:
    """From node ids and group names to features."""

    def __init__(
        self, model: FrozenModel, features: Features, groups: Mapping[str, Sequence[str]]
    ) -> None:
        self.length = len(model.prompt)
        self.counts = features.counts
        self.groups = groups

    def changes(self, given: Mapping[str, float]) -> dict[Place, float]:
        """Return the value of every changed feature."""
        if not given:
            raise ValueError('nothing is changed: give nodes, {"4_18_7": 0.0}')
        found: dict[Place, float] = {}
        for name, value in given.items():
            places = self.group(name) if name in self.groups else self.read(name)
            found |= dict.fromkeys(places, float(value))
        return found

    def group(self, name: str) -> list[Place]:
        """Return the features of a group; its tokens, errors and outputs are not features."""
        features = [member for member in self.groups[name] if self._is_feature(member)]
        found = [place for member in features for place in self.read(member)]
        if not found:
            raise ValueError(f"the group {name!r} has no features")
        return found

    def _is_feature(self, name: str) -> bool:
        layer, _, rest = name.partition("_")
        return layer.isdigit() and int(layer) in self.counts and not rest.startswith("-1")

    def read(self, name: str) -> list[Place]:
        """Return the features that a node id stands for."""
        parts = name.split("_")
        if len(parts) not in (2, 3) or not all(part.isdigit() for part in parts):
            known = f"; groups are {', '.join(self.groups)}" if self.groups else ""
            raise ValueError(
                f"{name!r} is no feature: write layer_feature_position, '4_18_7', or "
                f"layer_feature for every position{known}"
            )
        layer, index, *at = map(int, parts)
        if index >= self.counts.get(layer, 0):
            there = ", ".join(f"{i}: {n:,}" for i, n in self.counts.items())
            raise ValueError(f"there is no feature {name!r}; layers have as many: {there}")
        if at and at[0] >= self.length:
            raise ValueError(f"{name!r}: the prompt has positions 0 to {self.length - 1}")
        return [(layer, position, index) for position in at or range(self.length)]


@dataclass
class _Patch:
    """What every MLP writes in the changed run."""

    model: FrozenModel
    features: Features
    transcoders: Transcoders
    changes: dict[Place, float]
    factor: bool
    until: int

    def __post_init__(self) -> None:
        names = (self.features.layer, self.features.position, self.features.index)
        places = zip(*(t.tolist() for t in names), strict=True)
        self.baseline: dict[Place, float] = dict(
            zip(places, self.features.activation.tolist(), strict=True)
        )

    def goal(self, place: Place) -> float:
        """Return the activation that a changed feature is given."""
        own = self.baseline.get(place, 0.0)
        return self.changes[place] * own if self.factor else self.changes[place]

    def write(self, layer: int, x: Tensor, own: Tensor) -> Tensor:
        if layer > self.until:
            return own
        out = self.model.written[layer].expand_as(own).clone()
        for source in {place[0] for place in self.changes}:
            one, step = self.transcoders[source], layer - source
            if not 0 <= step < one.steps:
                continue
            here = [place for place in self.changes if place[0] == source]
            index = torch.tensor([place[2] for place in here], device=out.device)
            rows = one.writers(index, self.features.counts[source], x[0], step).to(out)
            for place, row in zip(here, rows, strict=True):
                out[0, place[1]] += (self.goal(place) - self.baseline.get(place, 0.0)) * row
        return out

    def now(self, place: Place, reads: Mapping[int, Tensor]) -> float:
        """Return a feature's activation in the changed run."""
        if place in self.changes:
            return self.goal(place)
        layer, position, index = place
        if layer <= self.until:
            return self.baseline.get(place, 0.0)
        return float(self.transcoders[layer].encode(reads[layer][0])[position, index])


def _share(
    group: Iterable[Place], before: Mapping[Place, float], after: Mapping[Place, float]
) -> float:
    shares = [after[p] / before[p] for p in group if before.get(p)]
    return sum(shares) / len(shares) if shares else float("nan")


def _shown(session: Session, logits: Tensor, targets: Sequence[str | int] | None) -> list[int]:
    if targets is not None:
        return [session.token_id(t) for t in targets]
    count = min(SHOWN, len(logits))
    best = logits.topk(count, dim=0).indices.T.flatten().tolist()
    return list(dict.fromkeys(best))
