"""The examples that define concepts: what each is told apart from, and their activations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp_widgets.methods.concept_site import ConceptSite
from interp_widgets.results.base import to_numpy
from interp_widgets.session.prompts import Prompt, PromptBatch

Token = str | int
FEWEST = 4


@dataclass(frozen=True)
class ConceptSet:
    """One concept's examples; ``own`` and ``other`` name their activations."""

    name: str
    positive: Any
    negative: Any
    own: str
    other: str

    @property
    def size(self) -> int:
        """Number of examples with the concept."""
        return len(self.positive)


def sets_of(positive: Any, negative: Any, labels: Sequence[Token] | None) -> list[ConceptSet]:
    """Pair every concept with what it is told apart from."""
    if labels is not None:
        if isinstance(positive, Mapping) or len(labels) != len(positive):
            raise ValueError("labels need one list of examples, with a label for each of them")
        names = list(dict.fromkeys(str(label) for label in labels))
        if len(names) < 2:
            raise ValueError(f"labels name {len(names)} concept; there is nothing to tell it from")
        at = {n: [i for i, label in enumerate(labels) if str(label) == n] for n in names}
        positive = {n: _take(positive, at[n]) for n in names}
    if not isinstance(positive, Mapping):
        positive = {"concept": positive}
    if not positive:
        raise ValueError("there are no concepts: the dict is empty")
    if isinstance(negative, Mapping):
        if set(negative) != set(positive):
            raise ValueError(
                f"negative names {', '.join(negative)}, and the concepts are {', '.join(positive)}"
            )
        return [ConceptSet(n, e, negative[n], f"+{n}", f"-{n}") for n, e in positive.items()]
    if negative is not None:
        return [ConceptSet(n, e, negative, f"+{n}", "-") for n, e in positive.items()]
    if len(positive) < 2:
        raise ValueError("give negative=: examples without the concept, or at least two concepts")
    sets = []
    for name, examples in positive.items():
        others = [e for other, e in positive.items() if other != name]
        joined = _join(others)
        sets.append(ConceptSet(name, examples, joined, f"+{name}", f"-{name}"))
    return sets


def _take(examples: Any, at: list[int]) -> Any:
    return to_numpy(examples)[at] if hasattr(examples, "shape") else [examples[i] for i in at]


def _join(parts: list[Any]) -> Any:
    if all(hasattr(part, "shape") for part in parts):
        return np.concatenate([to_numpy(part) for part in parts])
    return [example for part in parts for example in part]


@dataclass(frozen=True)
class Pool:
    """All inputs that a call speaks of, each once.

    Parameters
    ----------
    activations
        ``[layer, input, d]`` in float64.
    rows
        Which inputs the examples of a set are, by ``ConceptSet.own`` and ``other``.
    layers
        Names of the layers.
    prompts
        The inputs, or None where activations were given.
    """

    activations: np.ndarray
    rows: dict[str, list[int]]
    layers: list[str]
    prompts: list[Prompt] | None

    def of(self, key: str, layer: int) -> np.ndarray:
        """Return the activations ``[example, d]`` of one side of a set at one layer."""
        return np.asarray(self.activations[layer][self.rows[key]])

    def membership(self, sets: list[ConceptSet]) -> np.ndarray:
        """Return ``[concept, input]``: 1 an example with the concept, −1 without, 0 neither."""
        out = np.zeros((len(sets), self.activations.shape[1]), np.int8)
        for row, one in zip(out, sets, strict=True):
            row[self.rows[one.other]] = -1
            row[self.rows[one.own]] = 1
        return out


def pool_of(
    where: ConceptSite | None,
    sets: list[ConceptSet],
    layers: Any,
    inputs: PromptBatch | Sequence[Prompt] | None,
    progress: Callable[[int, int], None],
) -> Pool:
    """Read the activations of all examples and inputs.

    Raises
    ------
    ValueError
        When prompts and arrays are mixed, or arrays do not fit together.
    """
    wanted = {s.own: s.positive for s in sets} | {s.other: s.negative for s in sets}
    given = {key: hasattr(examples, "shape") for key, examples in wanted.items()}
    if where is None:
        if not all(given.values()):
            raise ValueError("give prompts, or arrays [example, d], for every concept")
        return _given(wanted, layers)
    if any(given.values()):
        raise ValueError("give either prompts or arrays for all concepts, not both")
    everything = [p for examples in wanted.values() for p in examples]
    unique = list(dict.fromkeys([*everything, *(inputs or ())]))
    at = {prompt: i for i, prompt in enumerate(unique)}
    rows = {key: [at[p] for p in examples] for key, examples in wanted.items()}
    return Pool(where.activations(unique, progress), rows, where.labels, unique)


def _given(wanted: dict[str, Any], layers: Any) -> Pool:
    found: dict[bytes, int] = {}
    kept: list[np.ndarray] = []
    rows: dict[str, list[int]] = {}
    for key, examples in wanted.items():
        array = to_numpy(examples).astype(np.float64)
        array = array[:, None] if array.ndim == 2 else array
        if array.ndim != 3:
            raise ValueError(f"arrays are [example, d] or [example, layer, d], not {array.shape}")
        if kept and kept[0].shape != array.shape[1:]:
            shapes = ", ".join(str(tuple(to_numpy(e).shape)) for e in wanted.values())
            raise ValueError(f"all arrays need the same layers and width, got {shapes}")
        rows[key] = []
        for row in array:
            name = row.tobytes()
            if name not in found:
                found[name] = len(kept)
                kept.append(row)
            rows[key].append(found[name])
    if not kept:
        raise ValueError("the arrays are empty")
    stacked = np.stack(kept, axis=1)
    n = len(stacked)
    names = [str(i) for i in range(n)]
    if isinstance(layers, Sequence):
        if len(layers) != n:
            raise ValueError(f"{len(layers)} layers named for arrays with {n}")
        names = [str(i) for i in layers]
    return Pool(stacked, rows, names, None)


def check_sets(sets: list[ConceptSet], pool: Pool) -> None:
    """Raise ValueError where a concept has too few examples, or activations are not finite."""
    for s in sets:
        for key, kind in ((s.own, "with"), (s.other, "without")):
            count = len(pool.rows[key])
            if count < FEWEST:
                raise ValueError(
                    f"{s.name!r} has {count} examples {kind} the concept; {FEWEST} "
                    "are the least to fit and test a vector on, 30 and more give useful intervals"
                )
            if not np.isfinite(pool.activations[:, pool.rows[key]]).all():
                raise ValueError(f"activations of {s.name!r} ({kind} the concept) are not finite")


def probe_of(sets: list[ConceptSet], name: str | None) -> dict[str, Any]:
    """Describe the examples for captions: name, hash, numbers."""
    digest = hashlib.blake2b(digest_size=8)
    for s in sets:
        for examples in (s.positive, s.negative):
            if hasattr(examples, "shape"):
                digest.update(to_numpy(examples).tobytes())
            else:
                digest.update("|".join(p.key for p in examples).encode())
    counts = {s.name: s.size for s in sets}
    others = len(sets[0].negative)
    described = f"{sum(counts.values())} examples with and {others} without"
    return {
        "name": name or described,
        "hash": digest.hexdigest(),
        "n_positive": counts,
        "n_negative": others,
    }
