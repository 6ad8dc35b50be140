"""The arguments of a method call: checked, searched for their session, written into a recipe."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import numpy as np

from interp_widgets.results.base import Result
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import KINDS, METHODS
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.session import Session

OTHER = "other"
"""Name of an argument that is the session of a second model."""

READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
"""Of objects that write themselves into a recipe (``to_recipe``), by tag: how they are read."""

_others: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def bind(
    method: str,
    signature: inspect.Signature,
    hints: Mapping[str, Any],
    given: tuple[Any, ...],
    named: Mapping[str, Any],
) -> inspect.BoundArguments:
    """Return the call's arguments with defaults filled in.

    Raises
    ------
    TypeError
        For an unknown or missing argument, or one of the wrong type; a close name is suggested.
    ValueError
        For a value that is not among the choices; they are listed.
    """
    for name in named:
        if name not in signature.parameters:
            close = difflib.get_close_matches(name, signature.parameters, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else "it takes " + _call(signature)
            raise TypeError(f"{method} has no argument {name!r}; {hint}")
    try:
        bound = signature.bind(*given, **named)
    except TypeError as error:
        raise TypeError(f"{method}: {error}; it takes {_call(signature)}") from None
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if name in hints:
            _check(method, name, value, hints[name])
    return bound


def session_of(method: str, values: Mapping[str, Any]) -> Session | None:
    """Return the session that the arguments belong to; None when there is only plain data.

    An argument called ``other`` is the session of a second model and does not count.

    Raises
    ------
    ValueError
        When prompts belong to different sessions.
    """
    values = {name: value for name, value in values.items() if name != OTHER}
    sessions = {id(prompt.session): prompt.session for prompt in prompts_in(values)}
    for value in values.values():
        owner: Any = value.session if isinstance(value, Result) else value
        if _is_session(owner):
            sessions[id(owner)] = owner
    if len(sessions) > 1:
        names = " and ".join(str(getattr(s, "name", s)) for s in sessions.values())
        raise ValueError(
            f"the arguments of {method} belong to different sessions ({names}); "
            "make a prompt of one session for the other with other_session.prompt(prompt)"
        )
    return next(iter(sessions.values()), None)


def prompts_in(value: Any) -> Iterator[Prompt | PromptBatch]:
    """Find prompts at any depth of lists, tuples and dicts."""
    if isinstance(value, Prompt | PromptBatch):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from prompts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from prompts_in(item)


def encode(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """Write an argument as JSON; arrays go to ``arrays`` under ``arg.<name>``.

    Raises
    ------
    TypeError
        When a recipe cannot hold the value, such as a function.
    """
    if isinstance(value, Prompt):
        return {"$prompt": value.to_json()}
    if isinstance(value, PromptBatch):
        return {"$batch": value.to_json()}
    if _is_session(value):
        return {"$other": _remember(value)} if name == OTHER else {"$session": True}
    if isinstance(value, Site):
        return str(value)
    if isinstance(value, Result):
        return {"$result": _encode_result(value, name, arrays)}
    if hasattr(value, "to_recipe"):
        return value.to_recipe()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if _is_array(value):
        arrays[f"arg.{name}"] = value
        return {"$array": f"arg.{name}"}
    if _is_linear(value):
        value = [value.weight, value.bias]
    if isinstance(value, list | tuple | range):
        return [encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        if any(key.startswith("$") for key in value):
            raise TypeError(
                f"{name}: keys that start with $ have a meaning in recipes; rename them"
            )
        return {key: encode(item, f"{name}.{key}", arrays) for key, item in value.items()}
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a recipe cannot hold: recipes are plain data "
        "(numbers, text, prompts, arrays, and lists and dicts of them)"
    )


def decode(value: Any, session: Session, arrays: Mapping[str, Any]) -> Any:
    """Read what :func:`encode` wrote, with prompts made by ``session``.

    Raises
    ------
    ValueError
        When an array that the recipe names is missing.
    """
    if isinstance(value, list):
        return [decode(item, session, arrays) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        tag, content = next(iter(value.items()))
        if tag == "$prompt":
            return session.prompt(content)
        if tag == "$batch":
            return session.prompts(content["prompts"])
        if tag == "$session":
            return session
        if tag == "$other":
            return _recall(content)
        if tag == "$float":
            return float(content)
        if tag in READERS:
            return READERS[tag](content)
        if tag == "$result":
            return _decode_result(content, session, arrays)
        if tag == "$array":
            if content not in arrays:
                raise ValueError(f"the recipe names the array {content!r}, which is not there")
            return arrays[content]
    return {key: decode(item, session, arrays) for key, item in value.items()}


def _encode_result(result: Result, name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """Write a result as its recipe, or, where it has none, as its data."""
    kept = [k for k in result.arrays if result.recipe is None or k.startswith("arg.")]
    arrays.update({f"arg.{name}/{key}": result.arrays[key] for key in kept})
    found: dict[str, Any] = {"arrays": {key: f"arg.{name}/{key}" for key in kept}}
    if result.recipe is not None:
        return {**found, "recipe": asdict(result.recipe)}
    return {**found, "kind": result.kind, "meta": result.meta}


def _decode_result(
    content: Mapping[str, Any], session: Session, arrays: Mapping[str, Any]
) -> Result:
    missing = [name for name in content["arrays"].values() if name not in arrays]
    if missing:
        raise ValueError(f"the recipe names the array {missing[0]!r}, which is not there")
    own = {key: arrays[name] for key, name in content["arrays"].items()}
    if "recipe" in content:
        recipe = Recipe(**content["recipe"])
        again: Result = METHODS.get(recipe.method).rerun(session, recipe, own)
        return again
    kind: type[Result] = KINDS.get(content["kind"])
    return kind(own, dict(content["meta"]), session=session)


def _remember(session: Any) -> dict[str, str]:
    """Return how a recipe names a second model, which is found again while its session is open."""
    info = session.model_info
    _others[str(info["fingerprint"])] = session
    return {"name": str(info["name"]), "fingerprint": str(info["fingerprint"])}


def _recall(named: Mapping[str, str]) -> Any:
    found = _others.get(named["fingerprint"])
    if found is None or found.closed:
        raise ValueError(
            f"the recipe compares with {named['name']!r}, whose session is not open: open it and "
            "call the method again with other=session"
        )
    return found


def _call(signature: inspect.Signature) -> str:
    return "(" + ", ".join(str(p).replace("'", "") for p in signature.parameters.values()) + ")"


def _check(method: str, name: str, value: Any, hint: Any) -> None:
    """Raise when ``value`` is not what the annotation says."""
    if _fits(value, hint):
        return
    choices = _choices(hint)
    if choices and (isinstance(value, str) or not _names(hint)):
        listed = ", ".join(map(repr, choices))
        close = difflib.get_close_matches(str(value), map(str, choices), n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{method}: {name}={value!r} is not one of {listed}{meant}")
    if isinstance(value, str) and Prompt in _parts(hint):
        raise TypeError(
            f"{method}: {name} is text; a prompt belongs to a model: session.prompt({value[:40]!r})"
        )
    wanted = " or ".join([*_names(hint), *map(repr, choices)])
    raise TypeError(
        f"{method}: {name} must be {wanted}, not {type(value).__name__} ({value!r:.60})"
    )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value fits an annotation, as far as a short check can tell."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if origin in (list, Sequence):
        if isinstance(value, str) or not isinstance(value, Sequence | range):
            return False
        return all(_fits(item, part) for item in value for part in get_args(hint))
    if origin is tuple:
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        if not isinstance(value, list | tuple):
            return False
        if len(parts) == 1:
            return all(_fits(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(_fits, value, parts))
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(item, get_args(hint)[1]) for item in value.values()
        )
    if getattr(hint, "__name__", "") == "Tensor":
        return _is_array(value)
    if isinstance(hint, type):
        return isinstance(value, hint)
    return True


def _parts(hint: Any) -> list[Any]:
    """Return an annotation's alternatives."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _choices(hint: Any) -> list[Any]:
    return [c for part in _parts(hint) if get_origin(part) is Literal for c in get_args(part)]


def _names(hint: Any) -> list[str]:
    plain = [part for part in _parts(hint) if get_origin(part) is not Literal]
    return [
        "None"
        if part is types.NoneType
        else getattr(part, "__name__", "")
        if get_origin(part) is None
        else str(part)
        for part in plain
    ]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or all(
        hasattr(value, a) for a in ("shape", "dtype", "device", "detach")
    )


def _is_linear(value: Any) -> bool:
    """Whether the value is a linear layer, which is no more than its weight and bias."""
    return all(hasattr(value, a) for a in ("weight", "bias", "in_features", "out_features"))


def _is_session(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("trace", "capture", "prompt", "interventions"))
