"""Ways of taking a behaviour away, applied to prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.concept_site import ConceptSite, at_end
from interp_widgets.methods.dossier.monitor import Detector
from interp_widgets.session.interventions import Ablate
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

MEASURES = {
    "rate": "share of the positives that show the behaviour",
    "logits": "logit difference of the behaviour's answer, mean over positives",
    "rate without": "share of the same inputs without it that show it",
    "accuracy": "share of clean inputs answered rightly",
    "KL": "change of the predictions on clean inputs (nats)",
}
"""Measures of a control by short name."""
RATE, METRIC, BASE, ACCURACY, KL = range(5)
ROWS, REFERENCES = 64, 64


@dataclass(frozen=True, eq=False)
class Action:
    """An action, the layer where a direction is set, and what random thing replaces it."""

    name: str
    layer: int | None = None
    random: np.ndarray | None = None


NOTHING = Action("none")


class Bench:
    """Applies actions and measures what they do.

    Parameters
    ----------
    session
        The model.
    detector
        The gate.
    nodes
        The mechanism.
    place
        Where directions are set.
    positives, negatives
        Pairs that the directions and means are taken from.
    """

    def __init__(
        self,
        session: Session,
        detector: Detector,
        nodes: Sequence[str],
        place: ConceptSite,
        positives: list[Prompt],
        negatives: list[Prompt],
    ) -> None:
        self.session = session
        self.detector = detector
        self.nodes = nodes
        self.place = place
        self._reference = negatives[:REFERENCES]
        high, low = (place.activations(p) for p in (positives, negatives))
        difference = high.mean(1) - low.mean(1)
        lengths = np.linalg.norm(difference, axis=1, keepdims=True)
        self._directions = difference / np.maximum(lengths, 1e-12)
        self._centres = (low.mean(1) * self._directions).sum(1)
        self._known: dict[str, np.ndarray] = {}

    @property
    def width(self) -> int:
        """Numbers that a random action draws."""
        return int(self._directions.shape[1])

    def column(
        self,
        action: Action,
        positives: list[Prompt],
        negatives: list[Prompt],
        clean: list[Prompt],
    ) -> np.ndarray:
        """Return the five measures under an action."""
        says = difference(self.logits(action, positives), positives)
        calm = difference(self.logits(action, negatives), positives)
        own, before = self.logits(action, clean), self.logits(NOTHING, clean)
        accuracy = right(own, clean).mean()
        return np.array(
            [(says > 0).mean(), says.mean(), (calm > 0).mean(), accuracy, _kl(before, own)]
        )

    def logits(self, action: Action, prompts: list[Prompt]) -> np.ndarray:
        """Return the last logits ``[prompt, output]`` under an action."""
        if action is NOTHING:
            key = repr([p.key for p in prompts])
            if key not in self._known:
                self._known[key] = self._run(prompts)
            return self._known[key]
        apply = self._ablated if action.layer is None else self._set
        changed = apply(action, prompts)
        if not action.name.startswith("gated"):
            return changed
        fires = self.detector.scores(self.session, prompts) > self.detector.threshold
        return np.where(fires[:, None], changed, self.logits(NOTHING, prompts))

    def spread(
        self, action: Action, positives: list[Prompt], negatives: list[Prompt], seed: int
    ) -> tuple[float, float]:
        """Return 95 % limits of the share removed, over inputs."""
        runs = ((action, positives), (NOTHING, positives), (NOTHING, negatives))
        ends = [difference(self.logits(a, p), positives) > 0 for a, p in runs]
        picks = np.random.default_rng(seed).integers(0, len(positives), (500, len(positives)))
        own, full, base = (e[picks].mean(1) for e in ends)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (full - own) / (full - base)
        low, high = np.nanquantile(shares, [0.025, 0.975])
        return float(low), float(high)

    def _run(
        self, prompts: list[Prompt], layer: int = 0, changes: np.ndarray | None = None
    ) -> np.ndarray:
        rows: list[Tensor] = []

        def keep(logits: Tensor, batch: PromptBatch) -> Tensor:
            last = at_end(logits, batch).detach().cpu()
            rows.append(last)
            return last[:, 0]

        if changes is None:
            self.place.values(prompts, keep)
        else:
            self.place.without(prompts, keep, layer, changes.astype(np.float32))
        return np.asarray(torch.cat(rows).double().numpy())

    def _set(self, action: Action, prompts: list[Prompt]) -> np.ndarray:
        """Set the projection on the direction to what it is without the behaviour."""
        layer = action.layer or 0
        own = self._directions[layer]
        along = self.place.activations(prompts)[layer] @ own - self._centres[layer]
        vector = own if action.random is None else action.random / np.linalg.norm(action.random)
        return self._run(prompts, layer, along[:, None] * vector[None])

    def _ablated(self, action: Action, prompts: list[Prompt]) -> np.ndarray:
        nodes = self.nodes if action.random is None else self._others(action.random)
        items = ablations(nodes, self._reference)
        rows = []
        for start in range(0, len(prompts), ROWS):
            batch = PromptBatch(tuple(prompts[start : start + ROWS]))
            found = self.session.run_with(batch, items, "logits")[Site("logits")]
            rows.append(at_end(found, batch).cpu())
        return np.asarray(torch.cat(rows).double().numpy())

    def _others(self, random: np.ndarray) -> list[str]:
        """Return as many other nodes, chosen by some random numbers."""
        anatomy = self.session.anatomy
        layers = range(anatomy.n_layers)
        heads = [f"a{i}.h{h}" for i in layers for h in range(anatomy.attention(i).heads)]
        every = [n for n in (*heads, *(f"m{i}" for i in layers)) if n not in self.nodes]
        order = np.argsort(np.resize(random, len(every)), kind="stable")
        return [every[i] for i in order[: len(self.nodes)]]


def ablations(nodes: Sequence[str], reference: Sequence[Prompt]) -> list[Ablate]:
    """Return mean ablations of nodes (``a0.h1``, ``m1``) over reference prompts."""
    some = tuple(p.to_json() for p in reference)
    items = []
    for node in nodes:
        if node.startswith("m"):
            items.append(Ablate(site="mlp_out", layer=int(node[1:]), method="mean", reference=some))
            continue
        layer, head = node[1:].split(".h")
        where: dict[str, Any] = {"layer": int(layer), "head": (int(head),)}
        items.append(Ablate(site="z", method="mean", reference=some, **where))
    return items


def right(logits: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """Return whether each prompt gets its answer: above its foil, or above everything."""
    own = _of(logits, [p.answer for p in prompts])
    if any(p.foil is None for p in prompts):
        return np.asarray(own >= logits.max(1), float)
    return np.asarray(own > _of(logits, [p.foil for p in prompts]), float)


def difference(logits: np.ndarray, asked: Sequence[Prompt]) -> np.ndarray:
    """Return the logit of each prompt's answer minus that of its foil."""
    return _of(logits, [p.answer for p in asked]) - _of(logits, [p.foil for p in asked])


def removed(table: np.ndarray, action: int) -> float:
    """Return the share of the behaviour's excess over the same inputs without it that is gone."""
    excess = table[RATE, 0] - table[BASE, 0]
    return float((table[RATE, 0] - table[RATE, action]) / excess) if excess > 0 else 0.0


def lost(table: np.ndarray, action: int) -> float:
    """Return the accuracy on clean inputs that an action costs."""
    return float(table[ACCURACY, 0] - table[ACCURACY, action])


def _of(logits: np.ndarray, tokens: Sequence[int | None]) -> np.ndarray:
    """Return each row's logit of its token; every token has to be there."""
    return np.asarray(logits[np.arange(len(tokens)), np.array(tokens, np.int64)])


def _kl(before: np.ndarray, after: np.ndarray) -> float:
    a, b = (torch.from_numpy(x).log_softmax(-1) for x in (before, after))
    return float((a.exp() * (a - b)).sum(-1).mean())
