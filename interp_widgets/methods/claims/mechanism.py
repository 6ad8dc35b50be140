"""What a claim is about: parts of a model that can be changed, and random ones to compare with."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.claims.errors import ClaimError
from interp_widgets.methods.claims.inputs import Inputs
from interp_widgets.session.prompts import PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.methods.claims.readings import Change, Runner
    from interp_widgets.session.session import Session

How = Literal["ablate", "resample", "keep", "flip"]
MOST_ALTERNATIVES = 64
NEAREST = 8
"""Random parts are drawn among so many of nearest norm."""
TRIES = 20
"""Draws for each random set that is asked for, before there are taken to be no more."""


@dataclass(frozen=True)
class Draws:
    """Random mechanisms like the one on trial.

    Parameters
    ----------
    mechanisms
        All different; fewer than were asked for where there are no more.
    matched
        How they are like it, in words.
    norm_ratio
        Mean size of what was drawn, divided by that of the mechanism.
    """

    mechanisms: list[Mechanism]
    matched: str
    norm_ratio: float = 1.0


class Mechanism(ABC):
    """A part of a model, or of its input, that a claim speaks of."""

    kind: ClassVar[str] = ""
    ways: ClassVar[tuple[How, ...]] = ("ablate",)
    """What :meth:`logits` can do."""

    @abstractmethod
    def words(self) -> str:
        """Name it: ``heads 9.6 and 9.9``."""

    @abstractmethod
    def change_words(self) -> str:
        """Say what ablating it is: ``ablating heads 9.6 and 9.9 (mean)``."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return plain data that :func:`from_json` reads."""

    @abstractmethod
    def check(self, session: Session) -> None:
        """Raise ClaimError where the model has no such part."""

    @abstractmethod
    def logits(self, runner: Runner, inputs: Inputs, how: str, strength: float, seed: int) -> Any:
        """Return logits ``[input, vocabulary]`` of inputs of one length with the change made."""

    @abstractmethod
    def draw(self, runner: Runner, count: int, seed: int) -> Draws:
        """Draw random mechanisms of the same type, place, number and size."""

    def whole(self, session: Session) -> Mechanism | None:
        """Return the mechanism with all others of its type; None where it cannot be kept alone."""
        del session
        return None

    def effects(self, runner: Runner, inputs: Inputs) -> tuple[np.ndarray, list[int]] | None:
        """Find what matters anew: effects ``[alternative, input]`` and which of them it is."""
        del runner, inputs
        return None

    def again(self, runner: Runner, seed: int) -> float | None:
        """Estimate it anew from other data; return how alike the two are (a cosine)."""
        del runner, seed
        return None


@dataclass(frozen=True, order=True)
class Part:
    """A head, an MLP or a neuron."""

    type: str
    layer: int
    index: int = 0

    @classmethod
    def parse(cls, name: str) -> Part:
        """Read ``"9.6"``, ``"a9.h6"``, ``"m3"`` or ``"L3N17"``.

        Raises
        ------
        ClaimError
            For another name.
        """
        for pattern, kind in (
            (r"a?(\d+)\.h?(\d+)", "head"),
            (r"m(\d+)", "MLP"),
            (r"L(\d+)N(\d+)", "neuron"),
        ):
            match = re.fullmatch(pattern, str(name).strip())
            if match:
                return cls(kind, *(int(x) for x in match.groups()))
        raise ClaimError(
            f"{name!r} names no part of a model: write 9.6 (a head), m3 (an MLP), L3N17 (a neuron)"
        )

    @property
    def name(self) -> str:
        """The short name."""
        if self.type == "MLP":
            return f"m{self.layer}"
        if self.type == "neuron":
            return f"L{self.layer}N{self.index}"
        return f"{self.layer}.{self.index}"

    @property
    def site(self) -> Site:
        """Where it writes."""
        name = {"head": "z", "MLP": "mlp_out", "neuron": "mlp_post"}[self.type]
        return Site(name, self.layer)

    @property
    def at(self) -> tuple[Any, ...]:
        """Index into a batch of the site ``[batch, position, …]``."""
        return () if self.type == "MLP" else (slice(None), slice(None), self.index)

    def of(self, value: Tensor) -> Tensor:
        """Return its values ``[batch, position, …]`` from those of the site."""
        return value[self.at] if self.at else value

    def put(self, value: Tensor, new: Tensor) -> Tensor:
        """Return the site's values with its own replaced."""
        if not self.at:
            return new.to(value)
        value[self.at] = new.to(value)
        return value


def width(session: Session, part: Part) -> int:
    """Return how many parts of this type a layer has; 0 where there are none."""
    anatomy = session.anatomy
    if part.type == "head":
        return int(anatomy.n_heads or 0)
    if part.type == "MLP":
        return 1 if "mlp_out" in anatomy.sites else 0
    return int(anatomy.d_mlp or 0) if "mlp_post" in anatomy.sites else 0


@dataclass(frozen=True)
class Parts(Mechanism):
    """Heads, MLPs and neurons by name.

    Parameters
    ----------
    names
        ``"9.6"`` or ``"a9.h6"`` for a head, ``"m3"`` for an MLP, ``"L3N17"`` for a neuron.
    ablation
        What an ablated part writes: ``"mean"`` (its mean over the seen inputs and their positions,
        the default: it keeps what is the same everywhere), ``"zero"``, or ``"resample"`` (what it
        writes at the same position of another seen input of equal length).

    Notes
    -----
    Random parts to compare with are of the same type, of the same layers where those have enough,
    and drawn among those whose activations are nearest in norm.

    Examples
    --------
    >>> iw.claims.Parts(["9.9", "9.6", "10.0"])
    """

    names: tuple[str, ...]
    ablation: Literal["mean", "zero", "resample"] = "mean"
    parts: tuple[Part, ...] = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "parts"
    ways: ClassVar[tuple[How, ...]] = ("ablate", "resample", "keep")

    def __post_init__(self) -> None:
        given: Any = self.names
        names = (given,) if isinstance(given, str) else tuple(given)
        parts = tuple(dict.fromkeys(Part.parse(name) for name in names))
        if not parts:
            raise ClaimError("a mechanism needs at least one part")
        if self.ablation not in ("mean", "zero", "resample"):
            raise ClaimError(f"ablation is mean, zero or resample, not {self.ablation!r}")
        object.__setattr__(self, "names", tuple(part.name for part in parts))
        object.__setattr__(self, "parts", parts)

    def words(self) -> str:
        """Name the parts by type."""
        found = []
        for kind in ("head", "MLP", "neuron"):
            own = [p.name for p in self.parts if p.type == kind]
            if own:
                found.append(f"{kind}{'s' if len(own) > 1 else ''} {_and(own)}")
        return _and(found)

    def change_words(self) -> str:
        """Say what ablating is."""
        return f"ablating {self.words()} ({self.ablation})"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, "names": list(self.names), "ablation": self.ablation}

    def check(self, session: Session) -> None:
        """Raise ClaimError where the model has no such part."""
        for part in self.parts:
            layers, most = int(session.anatomy.n_layers or 0), width(session, part)
            if part.layer >= layers or part.index >= most:
                raise ClaimError(
                    f"{session.name} has no {part.type} {part.name}: it has {layers} layers"
                    + (f" of {most} {part.type}s" if most else f" and no {part.type}s")
                )

    def logits(
        self, runner: Runner, inputs: Inputs, how: str, strength: float, seed: int
    ) -> Tensor:
        """Run with the parts changed."""
        parts = self.parts if how != "keep" else self._others(runner.session)
        ablation = "resample" if how == "resample" else self.ablation
        by_site: dict[Site, list[Part]] = {}
        for part in parts:
            by_site.setdefault(part.site, []).append(part)
        partners = None
        if ablation == "resample":
            at = runner.partner(inputs, seed)
            if min(at) < 0:
                raise ClaimError(
                    "resampling needs a seen input of the length of every input tested: add some, "
                    'or choose ablation="mean"'
                )
            batch = PromptBatch(tuple(runner.seen[i] for i in at))
            partners = runner.session.capture(batch, list(by_site), interventions="none")

        def target(site: Site, part: Part, own: Tensor) -> Tensor:
            if ablation == "zero":
                return torch.zeros_like(own)
            if partners is not None:
                return part.of(partners[site]).to(own)
            mean = runner.mean(site)
            return part.of(mean[None, None]).to(own).expand_as(own)

        def change(site: Site, some: Sequence[Part]) -> Change:
            def work(value: Tensor) -> Tensor:
                for part in some:
                    own = part.of(value)
                    value = part.put(value, own + strength * (target(site, part, own) - own))
                return value

            return site, work

        if ablation == "mean":
            for site in by_site:
                runner.mean(site)
        changes = [change(site, some) for site, some in by_site.items()]
        return runner.edited(PromptBatch(inputs.prompts), changes)

    def draw(self, runner: Runner, count: int, seed: int) -> Draws:
        """Draw different sets of as many parts, in the same layers where those have enough."""
        rng = np.random.default_rng(seed)
        norms = _norms(runner, {p.type for p in self.parts})
        where, pool = self._pool(norms, count)
        found: dict[frozenset[Part], None] = {}
        for _ in range(TRIES * count):
            if len(found) == count:
                break
            chosen: list[Part] = []
            for part in self.parts:
                free = [p for p in pool[part] if p not in chosen]
                if free:
                    chosen.append(free[int(rng.integers(len(free)))])
            if len(chosen) == len(self.parts):
                found.setdefault(frozenset(chosen))
        if len(found) < 2:
            raise ClaimError(
                f"the model has no other parts to compare {self.words()} with: name fewer parts"
            )
        own = sum(norms[p] for p in self.parts)
        return Draws(
            [Parts(tuple(p.name for p in sorted(some)), self.ablation) for some in found],
            f"as many parts of the same type, {where}",
            float(np.mean([sum(norms[p] for p in some) / own for some in found])),
        )

    def whole(self, session: Session) -> Mechanism:
        """Return all parts of the same types."""
        types = {p.type: p for p in self.parts}
        names = [part.name for one in types.values() for part in _every(session, one)]
        return Parts(tuple(names), self.ablation)

    def effects(self, runner: Runner, inputs: Inputs) -> tuple[np.ndarray, list[int]] | None:
        """Ablate each part of the same type alone: what each takes from the margin."""
        if len({p.type for p in self.parts}) > 1:
            return None
        every = _every(runner.session, self.parts[0])
        if len(every) > MOST_ALTERNATIVES:
            norms = _norms(runner, {self.parts[0].type})
            own = float(np.mean([norms[p] for p in self.parts]))
            others = [p for p in every if p not in self.parts]
            others.sort(key=lambda p: (abs(np.log(norms[p] / own)), p))
            every = sorted([*self.parts, *others[: MOST_ALTERNATIVES - len(self.parts)]])
        plain = runner.plain(inputs)
        found = [
            plain.margin - runner.changed(inputs, Parts((p.name,), self.ablation)).margin
            for p in every
        ]
        return np.stack(found), [every.index(p) for p in self.parts]

    def _others(self, session: Session) -> tuple[Part, ...]:
        types = {p.type: p for p in self.parts}
        return tuple(
            part
            for one in types.values()
            for part in _every(session, one)
            if part not in self.parts
        )

    def _like(self, part: Part, norms: dict[Part, float], *, same_layer: bool) -> list[Part]:
        found = [
            p
            for p in norms
            if p.type == part.type
            and p not in self.parts
            and (p.layer == part.layer or not same_layer)
        ]
        found.sort(key=lambda p: (abs(np.log(norms[p] / norms[part])), p))
        return found

    def _pool(self, norms: dict[Part, float], count: int) -> tuple[str, dict[Part, list[Part]]]:
        """Return what each part may be replaced by, from no further off than it takes."""
        near = max(NEAREST, 2 * len(self.parts))
        choices = (
            ("the same layers, of nearest norm", True, near),
            ("any layer, of nearest norm", False, near),
            ("any layer", False, len(norms)),
        )
        for where, same_layer, most in choices:
            pool = {p: self._like(p, norms, same_layer=same_layer)[:most] for p in self.parts}
            if self._sets(pool) >= count:
                return where, pool
        return where, pool

    def _sets(self, pool: dict[Part, list[Part]]) -> int:
        """Return a lower bound of how many different sets there are."""
        every = {p for found in pool.values() for p in found}
        if any(not found for found in pool.values()):
            return 0
        same = len({tuple(found) for found in pool.values()}) == 1
        if same:
            return math.comb(len(every), len(self.parts))
        return max(len(found) for found in pool.values())


def _every(session: Session, like: Part) -> list[Part]:
    layers = range(int(session.anatomy.n_layers or 0))
    if like.type == "neuron":
        layers = range(like.layer, like.layer + 1)
    return [Part(like.type, i, j) for i in layers for j in range(width(session, like))]


def _norms(runner: Runner, types: set[str]) -> dict[Part, float]:
    """Return the mean norm of each part's activation over some seen inputs."""
    session = runner.session
    found: dict[Part, float] = {}
    prompts = runner.seen.prompts[:16]
    for kind in sorted(types):
        for layer in range(int(session.anatomy.n_layers or 0)):
            one = Part(kind, layer)
            values = [
                session.capture(prompt, [one.site], interventions="none")[one.site].float()
                for prompt in prompts
            ]
            joined = torch.cat(values)[None]
            for j in range(width(session, one)):
                part = Part(kind, layer, j)
                own = part.of(joined)
                size = own.abs() if kind == "neuron" else own.norm(dim=-1)
                found[part] = max(float(size.mean()), 1e-12)
    return found


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
