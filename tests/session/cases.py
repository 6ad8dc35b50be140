"""Every kind of intervention at every site, each beside the tensor function that it stands for."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp_widgets.session.interventions import (
    Ablate,
    Clamp,
    Intervention,
    Patch,
    Scale,
    Steer,
)
from interp_widgets.session.session import Session
from tests.families import build
from tests.session.hooks import PLACES, Reference

SITES = (
    "embed", "resid_pre", "q", "k", "v", "pattern", "z",
    "attn_out", "resid_mid", "mlp_post", "mlp_out", "resid_post", "logits",
)  # fmt: skip
KINDS = (
    "zero",
    "mean",
    "mean of references",
    "mean at each position",
    "resample",
    "scale",
    "steer",
    "patch",
    "patch across",
    "clamp",
)
LAYER = 1
IDS = [3, 14, 15, 9, 26, 5, 35]
OTHER = [31, 4, 15, 52, 6, 7, 8]
REFERENCES = [[10, 11, 12, 13, 14, 15, 16], [50, 40, 30, 20, 10, 9, 8]]

CASES = [
    (f, s)
    for f in PLACES
    for s in SITES
    if s in PLACES[f] or s in ("q", "k", "v", "pattern", "logits")
]


@functools.cache
def session(family: str) -> Session:
    """Return one session per family for the whole test run."""
    return Session(build(family))


@functools.cache
def reference(family: str) -> Reference:
    """Return one model with hooks per family for the whole test run."""
    return Reference(family)


def inputs(ids: list[int]) -> dict[str, Any]:
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
    }


@dataclass
class Case:
    item: Intervention
    edit: Any  # the same as a function of the tensor, batch in front


def case(family: str, site: str, kind: str) -> Case | None:
    """Return one intervention and its plain meaning; None where the kind has no meaning at the site."""
    live, hooks = session(family), reference(family)
    layer = None if site in ("embed", "logits") else LAYER
    heads = {"q": (0, 2), "z": (0, 2), "pattern": (1, 3), "k": (1,), "v": (1,)}.get(site)
    units = (1, 4) if site in ("resid_post", "z", "pattern", "mlp_post") else None
    where = {"site": site, "layer": layer, "head": heads, "unit": units, "position": (1, -1, -3)}
    position, key = [1, 6, 4], units
    if site == "pattern" and kind == "mean":
        return None

    def changed(x: Tensor, value: Any) -> Tensor:
        """Write ``value(old)`` where the intervention points, by a mask and without its own code."""
        dims = dict(zip(dims_of(site), range(1, x.ndim), strict=True))
        mask = torch.ones_like(x, dtype=torch.bool)
        for dim, chosen in (
            (dims["position"], position),
            (dims.get("head"), heads),
            (dims["unit"], key),
        ):
            if dim is None or chosen is None:
                continue
            line = torch.zeros(x.shape[dim], dtype=torch.bool)
            line[list(chosen)] = True
            mask &= line.view([-1 if d == dim else 1 for d in range(x.ndim)])
        return torch.where(mask, value(x), x)

    at = 1 + dims_of(site).index("position")
    if kind == "zero":
        return Case(Ablate(**where), lambda x: changed(x, torch.zeros_like))
    if kind == "mean":
        return Case(
            Ablate(**where, method="mean"), lambda x: changed(x, lambda o: o.mean(at, keepdim=True))
        )
    if kind == "mean at each position":
        prompts = [live.prompt(r) for r in REFERENCES]
        aligned = torch.cat([hooks.read(inputs(r), site, layer) for r in REFERENCES]).mean(0)[None]
        return Case(
            Ablate(**where, method="mean_positional", reference=prompts),
            lambda x: changed(x, lambda o: aligned),
        )
    if kind == "mean of references":
        prompts = [live.prompt(r) for r in REFERENCES]
        clean = torch.cat([hooks.read(inputs(r), site, layer) for r in REFERENCES])
        mean = (
            clean.mean(0, keepdim=True) if site == "pattern" else clean.mean((0, at), keepdim=True)
        )
        return Case(
            Ablate(**where, method="mean", reference=prompts), lambda x: changed(x, lambda o: mean)
        )
    if kind == "resample":
        prompts = [live.prompt(r) for r in REFERENCES]
        drawn = random.Random(5).choice(REFERENCES)
        value = hooks.read(inputs(drawn), site, layer)
        return Case(
            Ablate(**where, method="resample", reference=prompts, seed=5),
            lambda x: changed(x, lambda o: value),
        )
    if kind == "scale":
        return Case(Scale(**where, factor=-1.5), lambda x: changed(x, lambda o: -1.5 * o))
    if kind == "steer":
        length = len(units) if units else width(live, site, layer)
        direction = torch.linspace(-1, 2, length)
        full = torch.zeros(7 if site == "pattern" else width(live, site, layer))
        full[list(units) if units else slice(None)] = direction
        return Case(
            Steer(**where, direction=direction, strength=0.75),
            lambda x: changed(x, lambda o: o + 0.75 * full),
        )
    if kind == "patch":
        value = hooks.read(inputs(OTHER), site, layer)
        return Case(
            Patch(**where, source=live.prompt(OTHER)), lambda x: changed(x, lambda o: value)
        )
    if kind == "patch across":
        value = hooks.read(inputs(OTHER), site, layer)
        taken = [5, 0, 2]
        shifted = value.clone()
        shifted.index_copy_(at, torch.tensor(position), value.index_select(at, torch.tensor(taken)))
        return Case(
            Patch(**where, source=live.prompt(OTHER), source_position=taken),
            lambda x: changed(x, lambda o: shifted),
        )
    return Case(Clamp(**where, value=0.3), lambda x: changed(x, lambda o: torch.full_like(o, 0.3)))


def dims_of(site: str) -> list[str]:
    if site in ("q", "k", "v", "pattern"):
        return ["head", "position", "unit"]
    return ["position", "head", "unit"] if site == "z" else ["position", "unit"]


def width(live: Session, site: str, layer: int | None) -> int:
    if site in ("q", "k", "v", "z"):
        return 8
    return {"mlp_post": 56, "logits": 61}.get(site) or live.capture(
        live.prompt(IDS), "resid_post.0"
    )["resid_post.0"].shape[-1]
