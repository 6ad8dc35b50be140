"""A claim: what is said of a model, sealed before its test, and everything that became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets import __version__
from interp_widgets.methods.claims import testing
from interp_widgets.methods.claims.errors import ClaimError, ClaimLockedError
from interp_widgets.methods.claims.inputs import Inputs, Sealed, digest, now
from interp_widgets.methods.claims.kinds import from_json
from interp_widgets.methods.claims.mechanism import Mechanism
from interp_widgets.methods.claims.prediction import Kind, Prediction
from interp_widgets.methods.claims.reproduce import STABLE
from interp_widgets.results.base import to_numpy
from interp_widgets.results.claims import LAMPS, ClaimsResult

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session

FORMAT = "interp_widgets.claim/1"
EXACT = 1e-6
"""How far a replay's numbers may be off."""


@dataclass(frozen=True)
class Replay:
    """What running a test again gave.

    Parameters
    ----------
    difference
        Largest difference of any number, test by test.
    same
        Whether that is at most 1e-6 and every verdict is the same.
    rows
        Per test: ``name, before, again, difference``.
    """

    difference: float
    same: bool
    rows: list[dict[str, Any]]

    def __repr__(self) -> str:
        word = "the same" if self.same else "not the same"
        return f"Replay({word}, largest difference {self.difference:.2g})"


class Claim:
    """A claim about a model; :func:`register` makes it.

    Attributes
    ----------
    session
        Whose model it is about.
    record
        Everything that decides it, as plain data: statement, model, mechanism, prediction, hashes
        of the sealed inputs, rivals, floor, thresholds, version, time, hash of the claim before it.
    hash
        SHA-256 of the record.
    timeline
        What became of it: registered, changed, tested, replayed; each with time, hash and words.
    result
        What the test found; None before.

    Examples
    --------
    >>> claim = iw.claims.register(session, "3.0 writes the answer", mechanism, prediction, seen)
    >>> claim.test().lamps()
    """

    def __init__(
        self,
        session: Session,
        statement: str,
        mechanism: Mechanism,
        prediction: Prediction,
        kind: Kind,
        seen: Inputs,
        rivals: Sequence[str],
        floor: float,
        *,
        previous: str | None = None,
        revises: str | None = None,
    ) -> None:
        given = {
            "session": session,
            "mechanism": mechanism,
            "prediction": prediction,
            "seen": seen,
            "result": None,
            "timeline": [],
            "_given": (statement, kind, tuple(rivals), floor, previous, revises),
        }
        self.__dict__.update(given)
        self._seal("registered")

    def __setattr__(self, name: str, value: Any) -> None:
        raise ClaimLockedError(
            f"{name} is fixed by the claim's hash. Before its test claim.change(min_size=…) makes "
            "a new version; afterwards claim.revise(…) registers a new claim"
        )

    record: dict[str, Any]
    hash: str
    session: Session
    mechanism: Mechanism
    prediction: Prediction
    seen: Inputs
    result: ClaimsResult | None
    timeline: list[dict[str, Any]]
    _given: tuple[Any, ...]

    @property
    def statement(self) -> str:
        """What is claimed, in words."""
        return str(self.record["statement"])

    @property
    def tested(self) -> bool:
        """Whether its test was run."""
        return self.result is not None

    @property
    def status(self) -> str:
        """``registered``, ``stands``, ``refuted`` or ``not confirmed``."""
        return "registered" if self.result is None else self.result.status

    @property
    def locked(self) -> bool:
        """Whether it can no longer be changed: it was tested, or its sealed inputs were read."""
        return self.tested or any(s.opened for s in self.prediction.sealed.values())

    # Before the test.

    def change(self, **prediction: Any) -> Claim:
        """Change the prediction before the test; the old version stays in the timeline.

        Parameters
        ----------
        **prediction
            Fields of :class:`Prediction`, ``min_size=0.3`` for example.

        Raises
        ------
        ClaimLockedError
            Once it was tested, or its sealed inputs were read by another claim's test.
        ClaimError
            When the change would make it vague.
        """
        if self.locked:
            raise ClaimLockedError(
                "this claim's inputs were opened, and a prediction cannot be changed once it could "
                "be known how it comes out: claim.revise(on=fresh, …) registers a new claim"
            )
        try:
            changed = replace(self.prediction, **prediction)
        except TypeError as error:
            raise ClaimError(f"not a part of a prediction: {error}") from error
        changed.check(self._given[1])
        self.__dict__["prediction"] = changed
        self._seal("changed")
        return self

    def revise(
        self,
        statement: str | None = None,
        *,
        rivals: Sequence[str] | None = None,
        **prediction: Any,
    ) -> Claim:
        """Register a new claim that takes this one's place; this one stays visible.

        Parameters
        ----------
        statement
            New words; default the old ones.
        rivals
            Other rival explanations; default the old ones.
        **prediction
            Fields of :class:`Prediction` that change. ``on=`` has to be freshly sealed inputs.

        Raises
        ------
        SealedError
            When the inputs were read before.
        """
        from interp_widgets.methods.claims.registry import register

        _, kind, old, floor, _, _ = self._given
        new = register(
            self.session,
            statement or self.statement,
            self.mechanism,
            replace(self.prediction, **prediction),
            self.seen,
            kind=kind,
            rivals=old if rivals is None else rivals,
            floor=floor,
            revises=self,
        )
        self._note("revised", new.record["words"], new.hash)
        return new

    # The test.

    def test(
        self,
        n_random: int = 20,
        seeds: int = 3,
        *,
        sibling: Session | None = None,
        seed: int = 0,
    ) -> ClaimsResult:
        """Open the sealed inputs and test the claim, once.

        Parameters
        ----------
        n_random
            Random mechanisms per seed, at least 20.
        seeds
            At least 3.
        sibling
            Another model (other seed or size) on which the intervention is repeated.
        seed
            First seed.

        Returns
        -------
        ClaimsResult
            The card.

        Raises
        ------
        ClaimLockedError
            When it was tested before: ``claim.replay()`` runs the same again.
        ClaimError
            When the model's weights are not those that the claim was registered about.
        """
        if self.tested:
            raise ClaimLockedError(
                "this claim was tested; a second try would be another claim. claim.replay() runs "
                "the same test again, claim.revise(on=fresh) registers a new claim"
            )
        testing.unchanged(self.session)
        mine = self.session.model_info.get("fingerprint")
        if mine != self.record["model"].get("fingerprint"):
            raise ClaimError("the model changed since the claim was registered")
        inputs = {name: s.open(self.hash) for name, s in self.prediction.sealed.items()}
        found = testing.claim_test(
            self.record,
            list(self.seen.prompts),
            list(inputs["on"].prompts),
            seen_corrupted=list(self.seen.corrupted),
            on_corrupted=list(inputs["on"].corrupted),
            **{k: list(v.prompts) for k, v in inputs.items() if k != "on"},
            n_random=n_random,
            seeds=seeds,
            other=sibling,
            seed=seed,
        )
        self.__dict__["result"] = found
        self._note("tested", f"{found.status}; {_told(found)}", self.hash)
        self._dress(found)
        return found

    def replay(self) -> Replay:
        """Run the test again from its recipe and compare every number with the first time.

        Raises
        ------
        ClaimError
            Before the test.
        """
        if self.result is None:
            raise ClaimError("there is nothing to replay before claim.test()")
        again = self.result.rerun(self.session)
        rows, worst, alike = [], 0.0, True
        for old, new in zip(self.result.cards[0]["rows"], again.cards[0]["rows"], strict=True):
            off = max(testing.same(old[k], new[k]) for k in ("value", "low", "high", "p"))
            alike = alike and old["passed"] == new["passed"]
            worst = max(worst, off)
            rows.append(
                {
                    "name": old["name"],
                    "before": old["value"],
                    "again": new["value"],
                    "difference": off,
                }
            )
        for name, values in self.result.arrays.items():
            if name.startswith("0."):
                off = float(np.abs(to_numpy(values) - to_numpy(again.arrays[name])).max())
                rows.append({"name": name[2:], "before": None, "again": None, "difference": off})
                worst = max(worst, off)
        found = Replay(worst, alike and worst <= EXACT, rows)
        word = "the same numbers" if found.same else "other numbers"
        self._note("replayed", f"{word}, largest difference {worst:.2g}", self.hash)
        self._dress(self.result)
        return found

    # Showing and keeping.

    def input(self, at: int) -> Prompt:
        """Return the sealed input behind a dot of the card, once they were opened."""
        sealed = self.prediction.sealed
        return sealed["shifted" if "shifted" in sealed else "on"].read()[at]

    def card(self) -> ClaimsResult:
        """Return the claim as a card: what it foretells, and what the test found if it was run."""
        if self.result is not None:
            return self.result
        rows: list[dict[str, Any]] = []
        card = {
            **testing.facts(self.record),
            "rows": rows,
            "lamps": dict.fromkeys(LAMPS),
            "status": "registered",
        }
        found = ClaimsResult({}, {"cards": [card], "title": self.statement})
        found.session = self.session
        self._dress(found)
        return found

    def to_json(self) -> str:
        """Return the claim as JSON text; sealed inputs are in it once they were opened."""
        data: dict[str, Any] = {
            "format": FORMAT,
            "record": self.record,
            "hash": self.hash,
            "timeline": self.timeline,
            "seen": _inputs_json(self.seen),
            "sealed": {
                name: _inputs_json(s.read())
                for name, s in self.prediction.sealed.items()
                if s.opened is not None
            },
        }
        if self.result is not None and self.result.recipe is not None:
            arguments = self.result.recipe.arguments
            data["result"] = {
                "card": self.result.cards[0],
                "options": {k: arguments[k] for k in ("n_random", "seeds", "seed", "other")},
                "arrays": {
                    k: to_numpy(v).tolist()
                    for k, v in self.result.arrays.items()
                    if k.startswith("0.")
                },
            }
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, session: Session, text: str, **sealed: Sealed) -> Claim:
        """Read a claim.

        Parameters
        ----------
        session
            On the model that the claim is about.
        text
            What :meth:`to_json` returned.
        **sealed
            For a claim that was not tested: its sealed inputs, ``on=…``; their hashes are compared.

        Raises
        ------
        ClaimError
            When the text is no claim, was changed after registration, or the model or sealed
            inputs are not those that it names.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ClaimError(f"not a claim: the text is not JSON ({error})") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ClaimError(f"not a claim of this version ({FORMAT})")
        record: dict[str, Any] = data["record"]
        if digest(record) != data["hash"]:
            raise ClaimError(
                "the record was changed after it was registered: its hash does not fit"
            )
        if session.model_info.get("fingerprint") != record["model"].get("fingerprint"):
            raise ClaimError(f"the claim is about {record['model']['name']}, with other weights")
        sets = dict(sealed)
        for name, content in data["sealed"].items():
            made = Sealed(
                _inputs_of(session, content), record["prediction"]["sealed"][name]["name"]
            )
            made.claims.add(data["hash"])
            made.open(data["hash"])
            sets[name] = made
        for name, facts in record["prediction"]["sealed"].items():
            if name not in sets:
                raise ClaimError(f"the claim was not tested: give its sealed inputs, {name}=sealed")
            if sets[name].digest != facts["digest"]:
                raise ClaimError(f"{name} are not the inputs that the claim sealed: hashes differ")
            if data.get("result") is None:
                sets[name].promise(data["hash"])
        plain: dict[str, Any] = {k: v for k, v in record["prediction"].items() if k != "sealed"}
        plain |= {k: tuple(plain[k]) for k in ("sufficient", "rate") if plain[k] is not None}
        claim = cls.__new__(cls)
        claim.__dict__.update(
            session=session,
            mechanism=from_json(record["mechanism"]),
            prediction=Prediction(**{**plain, **sets}),
            seen=_inputs_of(session, data["seen"]),
            result=None,
            timeline=list(data["timeline"]),
            record=record,
            hash=data["hash"],
            _given=(
                record["statement"],
                record["kind"],
                tuple(record["rivals"]),
                record["floor"],
                record["previous"],
                record["revises"],
            ),
        )
        if data.get("result") is not None:
            claim._restore(data["result"])  # noqa: SLF001 - its own class
        return claim

    def __repr__(self) -> str:
        return f"Claim({self.statement!r}, {self.hash[:8]}, {self.status})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the card."""
        return self.card()._repr_mimebundle_(**options)

    # Inside.

    def _seal(self, what: str) -> None:
        """Write the record and its hash, and promise it to the sealed inputs."""
        statement, kind, rivals, floor, previous, revises = self._given
        info = self.session.model_info
        record = {
            "statement": statement,
            "kind": kind,
            "model": {
                k: info.get(k) for k in ("name", "class", "revision", "dtype", "fingerprint")
            },
            "mechanism": self.mechanism.to_json(),
            "mechanism_words": self.mechanism.words(),
            "prediction": self.prediction.to_json(),
            "words": self.prediction.words(self.mechanism.change_words()),
            "seen": {"n": len(self.seen), "digest": self.seen.digest},
            "rivals": list(rivals),
            "floor": float(floor),
            "stable": dict(STABLE),
            "version": __version__,
            "registered": now(),
            "previous": previous,
            "revises": revises,
        }
        self.__dict__.update(record=record, hash=digest(record))
        for sealed in self.prediction.sealed.values():
            sealed.promise(self.hash)
        self._note(what, record["words"], self.hash)

    def _note(self, what: str, words: str, hash_: str) -> None:
        self.timeline.append({"at": now(), "what": what, "words": words, "hash": hash_})

    def _dress(self, found: ClaimsResult) -> None:
        """Give a result the claim's hash, history, and the claim itself for its view."""
        found.cards[0]["hash"] = self.hash
        found.cards[0]["timeline"] = list(self.timeline)
        found.cards[0]["revises"] = self.record["revises"]
        found.live = (self,)

    def _restore(self, data: Mapping[str, Any]) -> None:
        """Take a stored result, with a recipe from which it can be run again."""
        from interp_widgets.methods.arguments import encode
        from interp_widgets.results.recipe import Recipe

        inputs = {name: s.read() for name, s in self.prediction.sealed.items()}
        prompts = {
            "seen": self.seen.prompts,
            "on": inputs["on"].prompts,
            "seen_corrupted": self.seen.corrupted,
            "on_corrupted": inputs["on"].corrupted,
            **{k: v.prompts for k, v in inputs.items() if k != "on"},
        }
        arguments = {k: encode(list(v), k, {}) for k, v in prompts.items()}
        arguments |= {"record": self.record, **data["options"]}
        arrays = {k: np.array(v, float) for k, v in data["arrays"].items()}
        meta = {"cards": [dict(data["card"])], "title": self.statement}
        recipe = Recipe("claim_test", arguments, dict(self.session.model_info))
        found = ClaimsResult(arrays, meta, recipe, self.session)
        self.__dict__["result"] = found
        self._dress(found)


def _told(found: ClaimsResult) -> str:
    return ", ".join(f"{name} {state}" for name, state in found.lamps().items())


def _inputs_json(inputs: Inputs) -> dict[str, Any]:
    return {
        "prompts": [p.to_json() for p in inputs.prompts],
        "corrupted": [p.to_json() for p in inputs.corrupted],
    }


def _inputs_of(session: Session, data: Mapping[str, Any]) -> Inputs:
    made = {name: tuple(session.prompt(p) for p in data[name]) for name in ("prompts", "corrupted")}
    return Inputs(made["prompts"], made["corrupted"])
