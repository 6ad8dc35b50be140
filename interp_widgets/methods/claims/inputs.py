"""Inputs of a claim: those that anybody may look at, and those sealed until it is registered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.methods.claims.errors import ClaimError, SealedError
from interp_widgets.session.prompts import Prompt, PromptBatch

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

Prompts = Prompt | PromptBatch | Sequence[Prompt]


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def digest(data: Any) -> str:
    """Return the SHA-256 of plain data, written as canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Inputs:
    """Prompts with answers, and their corrupted twins where a circuit needs them.

    Parameters
    ----------
    prompts
        In order, each with an answer, best with a foil.
    corrupted
        One for each prompt, of its length; empty without.
    """

    prompts: tuple[Prompt, ...]
    corrupted: tuple[Prompt, ...] = ()

    @classmethod
    def of(cls, prompts: Any, corrupted: Prompts | None = None) -> Inputs:
        """Check and hold prompts.

        Raises
        ------
        ClaimError
            Without prompts, without answers, or with corrupted ones that do not fit.
        """
        if isinstance(prompts, Inputs):
            return prompts
        ours, theirs = _listed(prompts), _listed(corrupted)
        if not ours or not all(isinstance(p, Prompt) for p in (*ours, *theirs)):
            raise ClaimError("inputs are prompts made by session.prompt(…), at least one")
        lacking = next((p for p in ours if p.answer is None), None)
        if lacking is not None:
            raise ClaimError(
                f"{lacking!r} has no answer, so nothing can be right or wrong about it: give "
                'session.prompt(text, answer=" Mary", foil=" John")'
            )
        if theirs and [len(p) for p in theirs] != [len(p) for p in ours]:
            raise ClaimError("every prompt needs one corrupted prompt of its length, in its order")
        if len({id(p.session) for p in (*ours, *theirs)}) > 1:
            raise ClaimError("the inputs of a claim belong to one session")
        return cls(ours, theirs)

    @property
    def session(self) -> Session:
        """Whose prompts they are."""
        return self.prompts[0].session

    @property
    def digest(self) -> str:
        """SHA-256 of tokens, answers and foils, in order."""
        return digest([[*p.ids, p.key, p.answer, p.foil] for p in (*self.prompts, *self.corrupted)])

    def take(self, rows: Sequence[int]) -> Inputs:
        """Return some of the inputs, in that order."""
        kept = tuple(self.corrupted[i] for i in rows) if self.corrupted else ()
        return Inputs(tuple(self.prompts[i] for i in rows), kept)

    def on(self, session: Session) -> Inputs:
        """Return the same inputs for another session."""
        if session is self.session:
            return self
        ours, theirs = (
            tuple(session.prompt(p.to_json()) for p in part)
            for part in (self.prompts, self.corrupted)
        )
        return Inputs(ours, theirs)

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self.prompts[index]


class Sealed:
    """Inputs that can be read only after a claim about them is registered, and by its test.

    Attributes
    ----------
    name
        What they are, for readers: the distribution that the claim speaks of.
    digest
        SHA-256 of the inputs; a claim's record holds it from the moment of registration.
    opened
        When and for which claim they were first read; None while sealed.

    Examples
    --------
    >>> seen, sealed = iw.claims.split(prompts, test=0.5)
    >>> sealed[0]
    Traceback (most recent call last):
    SealedError: these inputs are sealed: …
    """

    def __init__(self, inputs: Inputs, name: str = "sealed inputs") -> None:
        self._inputs = inputs
        self.name = str(name)
        self.digest = inputs.digest
        self.claims: set[str] = set()
        self.opened: dict[str, str] | None = None

    @property
    def session(self) -> Session:
        """Whose prompts they are."""
        return self._inputs.session

    @property
    def paired(self) -> bool:
        """Whether every prompt has its corrupted twin."""
        return bool(self._inputs.corrupted)

    def shared(self, keys: Collection[str]) -> int:
        """Return how many of the inputs are among these prompts' keys; nothing else is told."""
        return sum(p.key in keys for p in self._inputs)

    def promise(self, claim: str) -> None:
        """Note that the claim with this hash is registered about them.

        Raises
        ------
        SealedError
            When they were read before.
        """
        if self.opened is not None:
            raise SealedError(
                f"{self.name} was read at {self.opened['at']} for claim {self.opened['by'][:8]}: "
                "a prediction about inputs that were looked at is none; seal fresh ones"
            )
        self.claims.add(claim)

    def open(self, claim: str) -> Inputs:
        """Return the inputs to the test of a registered claim.

        Raises
        ------
        SealedError
            When no claim with this hash is registered about them.
        """
        if claim not in self.claims:
            raise SealedError(
                f"{self.name} is sealed: no claim with the hash {claim[:8] or '(none)'} is "
                "registered about it; see iw.claims.register"
            )
        if self.opened is None:
            self.opened = {"by": claim, "at": now()}
        return self._inputs

    def read(self) -> Inputs:
        """Return the inputs once a test has opened them.

        Raises
        ------
        SealedError
            Before.
        """
        if self.opened is None:
            raise SealedError(
                f"{self.name} is sealed: register a claim about it and run claim.test() first"
            )
        return self._inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.read())

    def __getitem__(self, index: int) -> Prompt:
        return self.read()[index]

    def __repr__(self) -> str:
        state = "sealed" if self.opened is None else f"opened {self.opened['at']}"
        return f"Sealed({self.name!r}, {len(self)} inputs, {self.digest[:8]}, {state})"


def seal(prompts: Prompts, corrupted: Prompts | None = None, name: str = "sealed inputs") -> Sealed:
    """Seal inputs: they can be read after a claim about them is registered and tested.

    Parameters
    ----------
    prompts
        Prompts with answers (and foils).
    corrupted
        Their corrupted twins, of equal length; needed by claims about circuits of edges.
    name
        What they are, for readers.

    Examples
    --------
    >>> sealed = iw.claims.seal(held_out, name="IOI, other templates")
    """
    return Sealed(Inputs.of(prompts, corrupted), name)


def split(
    prompts: Prompts,
    corrupted: Prompts | None = None,
    *,
    test: float = 0.5,
    name: str = "sealed inputs",
    seed: int = 0,
) -> tuple[Inputs, Sealed]:
    """Divide inputs at random into those to look at and those to seal; repeated ones count once.

    Parameters
    ----------
    prompts, corrupted, name
        As in :func:`seal`.
    test
        Share that is sealed.

    Raises
    ------
    ClaimError
        When either part would be empty.

    Examples
    --------
    >>> seen, sealed = iw.claims.split(prompts, test=0.5, name="my sentences")
    """
    given = Inputs.of(prompts, corrupted)
    first: dict[str, int] = {}
    for i, prompt in enumerate(given):
        first.setdefault(prompt.key, i)
    every = given.take(list(first.values()))
    count = round(len(every) * test)
    if not 0 < count < len(every):
        raise ClaimError(f"{test:g} of {len(every)} inputs leaves one part empty")
    order = np.random.default_rng(seed).permutation(len(every)).tolist()
    held = sorted(order[:count])
    return every.take(sorted(order[count:])), Sealed(every.take(held), name)


def _listed(prompts: Any) -> tuple[Any, ...]:
    if prompts is None:
        return ()
    return (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
