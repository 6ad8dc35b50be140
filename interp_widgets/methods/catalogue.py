"""The catalogue of methods, and the one decorator that puts a method into it."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from interp_widgets.methods import arguments
from interp_widgets.methods.tags import Tags
from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import METHODS
from interp_widgets.session.worker import current_job

if TYPE_CHECKING:
    import torch

    from interp_widgets.session.session import Session

P = ParamSpec("P")
R = TypeVar("R", bound=Result)


class Run:
    """What the body of a method may use while it runs.

    Parameters
    ----------
    session
        The session of the call's prompts, or None when the call had only arrays.
    seed
        The call's ``seed``, or None when the method draws nothing at random.
    label
        Name of the method, for progress bars.
    """

    def __init__(self, session: Session | None, seed: int | None = None, label: str = "") -> None:
        self._session = session
        self.seed = seed
        self.label = label

    @property
    def session(self) -> Session:
        """The live session.

        Raises
        ------
        NotLiveError
            When no argument of the call belongs to a session.
        """
        if self._session is None:
            raise NotLiveError(
                f"{self.label} needs a model here, and no argument belongs to a session: "
                "pass a prompt made by session.prompt(...)"
            )
        return self._session

    @property
    def live(self) -> bool:
        """Whether the call has a session."""
        return self._session is not None

    def progress(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are over.

        Raises
        ------
        Cancelled
            When somebody asked this call to stop, or a newer one replaced it.
        """
        job = current_job()
        if job is not None:
            job.progress(done, total)

    def generator(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a new random generator seeded with the call's seed (0 without one)."""
        import torch

        return torch.Generator(device=device).manual_seed(self.seed or 0)


@dataclass
class Method:
    """An entry of the catalogue: a method's body and what is known about it."""

    name: str
    title: str
    paper: str
    family: str
    unit: str
    cost: str
    result: str
    body: Callable[..., Result]
    signature: inspect.Signature
    hints: dict[str, Any]
    tags: Tags | None = None

    def __post_init__(self) -> None:
        self.__module__ = self.body.__module__

    @property
    def summary(self) -> str:
        """First line of the method's documentation."""
        return (inspect.getdoc(self.body) or "").partition("\n")[0]

    def call(self, given: tuple[Any, ...], named: dict[str, Any]) -> Result:
        """Check the arguments, run the body on the worker, attach recipe and session."""
        bound = arguments.bind(self.name, self.signature, self.hints, given, named)
        return self._run(arguments.session_of(self.name, bound.arguments), bound)

    def rerun(self, session: Session, recipe: Recipe, arrays: dict[str, Any]) -> Result:
        """Make a result again from its recipe, with the session's interventions of now."""
        values = arguments.decode(recipe.arguments, session, arrays)
        bound = arguments.bind(self.name, self.signature, self.hints, (), values)
        return self._run(session, bound)

    def _run(self, session: Session | None, bound: inspect.BoundArguments) -> Result:
        kept: dict[str, Any] = {}
        encoded = {
            name: arguments.encode(value, name, kept) for name, value in bound.arguments.items()
        }
        seed = bound.arguments.get("seed")
        run = Run(session, seed, self.name)

        def work() -> tuple[Result, list[dict[str, Any]]]:
            import torch

            with torch.no_grad():
                active = session.interventions.to_json() if session is not None else []
                return self.body(run, *bound.args, **bound.kwargs), active

        result, active = work() if session is None else session.run(work, label=self.title)
        if not isinstance(result, Result) or result.kind != self.result:
            raise TypeError(
                f"{self.name} is registered with result={self.result!r} and returned "
                f"{type(result).__name__}; correct the decorator or the return value"
            )
        result.arrays.update(kept)
        result.meta.setdefault("title", self.title)
        model = dict(session.model_info) if session is not None else {}
        result.recipe = Recipe(self.name, encoded, model, active, seed)
        result.session = session
        return result


def method(
    name: str,
    *,
    result: str,
    family: str,
    unit: str,
    cost: str,
    paper: str = "",
    title: str | None = None,
    tags: str = "",
) -> Callable[[Callable[Concatenate[Run, P], R]], Callable[P, R]]:
    """Register the decorated function as a method.

    The function takes a :class:`Run` first and returns a result of kind ``result``. What users call
    is the same function without the run: its arguments are checked against the annotations, it runs
    on the session's worker without gradients (``torch.enable_grad()`` where they are needed), shows
    progress, can be cancelled, and its result carries recipe and session.

    Parameters
    ----------
    name
        The method's name: what users call and what recipes name.
    result
        Kind of result, for example ``"array"``.
    family
        What sort of method it is: ``"activations"``, ``"attention"``, ``"lens"``,
        ``"attribution"``, ``"patching"``, ``"circuits"``, ``"concepts"``.
    unit
        Unit of analysis, for example ``"attention head"``.
    cost
        What it costs in passes through the model.
    paper
        Where it comes from: authors, year, arXiv id.
    title
        Name for readers; default: ``name`` with spaces.
    tags
        What kind of method it is, in words between commas (``methods/tags.py``): paradigm, causal
        nature, scope, phase, and one or more units. Methods of this package have all of them.

    Examples
    --------
    >>> @method("norms", result="array", family="lens", unit="position", cost="1 forward pass")
    ... def norms(run: Run, prompt: Prompt) -> ArrayResult: ...
    """

    def register(body: Callable[Concatenate[Run, P], R]) -> Callable[P, R]:
        signature, hints = _describe(name, body)
        entry = Method(
            name=name,
            title=title or name.replace("_", " ").capitalize(),
            paper=paper,
            family=family,
            unit=unit,
            cost=cost,
            result=result,
            body=body,
            signature=signature,
            hints=hints,
            tags=Tags.of(tags) if tags else None,
        )
        METHODS.register(name)(entry)

        @functools.wraps(body)
        def call(*given: P.args, **named: P.kwargs) -> R:
            return typing.cast("R", entry.call(given, named))

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__.pop(next(iter(inspect.signature(body).parameters)), None)
        return call

    return register


def _describe(name: str, body: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return the signature without the run, and the types of its arguments."""
    parameters = list(inspect.signature(body).parameters.values())
    if not parameters or parameters[0].name != "run":
        raise TypeError(f"the first parameter of the method {name!r} must be `run`")
    try:
        hints = typing.get_type_hints(body)
    except NameError as error:
        raise TypeError(
            f"the annotations of the method {name!r} cannot be read ({error}): "
            "import their types where the method is defined, not under TYPE_CHECKING"
        ) from error
    signature = inspect.signature(body)
    return signature.replace(parameters=parameters[1:]), hints
