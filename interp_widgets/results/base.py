"""The result every method returns: labelled data that can show, draw, save and re-run itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import FIGURES, KINDS, METHODS, VIEWS

if TYPE_CHECKING:
    import pandas as pd

    from interp_widgets.results.live import LiveSession


COLUMNS = {"token": ("position",)}
"""Columns of a frame that hold a field of the selection, where they are not called like it."""


class NotLiveError(RuntimeError):
    """Something needs a session, and the result has none (see docs/errors/NotLiveError.md)."""


class Result:
    """Labelled data plus the recipe that made it.

    Parameters
    ----------
    arrays
        Torch tensors (on any device) or numpy arrays by name.
    meta
        JSON-able description: dims, labels, titles, units.
    recipe
        How it was made; None for tensors that a user brought.
    session
        The live session, if there is one; a result read from a file has none.

    Examples
    --------
    >>> result = iw.logit_lens(prompt)
    >>> result.frame().head(); result.figure(venue="acl").save("lens.pdf")
    """

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.kind:
            KINDS.register(cls.kind)(cls)

    def __init__(
        self,
        arrays: dict[str, Any],
        meta: dict[str, Any] | None = None,
        recipe: Recipe | None = None,
        session: LiveSession | None = None,
    ) -> None:
        self.arrays = arrays
        self.meta = dict(meta or {})
        self.recipe = recipe
        self.session = session
        self._view: Any = None
        self._check()

    def _check(self) -> None:
        """Raise ValueError when arrays and meta do not fit; kinds override."""

    @property
    def title(self) -> str:
        """What the result shows, in a few words."""
        return str(self.meta.get("title") or (self.recipe.method if self.recipe else self.kind))

    def numpy(self, name: str) -> np.ndarray:
        """Return one array as a C-ordered numpy array on the host (bfloat16 becomes float32)."""
        return to_numpy(self.arrays[name])

    def view(self, **state: Any) -> Any:
        """Return a new live view; ``state`` sets what it shows first, for example ``layer=3``."""
        return VIEWS.get(self.kind)(self, **state)

    def figure(
        self, venue: str | None = None, width: str | float = "column", **options: Any
    ) -> Any:
        """Draw the result for a paper.

        Parameters
        ----------
        venue
            ``"neurips"``, ``"icml"``, ``"iclr"``, ``"acl"``, ``"aaai"``, ``"cvpr"``, ``"tmlr"``,
            ``"slides"``, …; None draws for the screen.
        width
            ``"column"``, ``"text"`` or inches.
        **options
            Options of the kind's renderer; another raises TypeError and says which there are.

        Returns
        -------
        Figure
            With ``.save(path)``, ``.alt_text``, ``.caption``, ``.data``, ``.provenance``, ``.mpl``.
        """
        from_package = FIGURES.get(self.kind)
        return from_package(self, venue=venue, width=width, **options)

    def frame(self) -> pd.DataFrame:
        """Return the numbers as a tidy data frame."""
        raise NotImplementedError

    def at(self, selection: Mapping[str, Any]) -> pd.DataFrame:
        """Return the numbers at what is selected: the rows of :meth:`frame` that match.

        Parameters
        ----------
        selection
            ``token``, ``layer``, ``head``, ``unit``, ``feature``, ``node`` (results/live.py);
            None stands for "any", and so does a field that the frame has no column for.

        Returns
        -------
        DataFrame
            No rows when nothing is selected that the result knows.

        Examples
        --------
        >>> result.at({"layer": 9, "head": 6})
        """
        frame = self.frame()
        columns = {
            name: next((c for c in COLUMNS.get(name, (name,)) if c in frame.columns), None)
            for name, value in selection.items()
            if value is not None
        }
        known = {name: column for name, column in columns.items() if column is not None}
        if not known:
            return frame.head(0)
        for name, column in known.items():
            frame = frame[frame[column].astype(str) == str(selection[name])]
        return frame.reset_index(drop=True)

    def text(self) -> str:
        """Return a plain-text summary: what stands where widgets and images cannot."""
        raise NotImplementedError

    def alt_text(self) -> str:
        """Return what the picture shows, for a reader who cannot see it."""
        return self.text()

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one self-contained, interactive page; also write it to ``path`` if given."""
        view = self.view()
        try:
            return str(view.to_html(path))
        finally:
            view.close()

    def rerun(
        self,
        session: LiveSession | None = None,
        interventions: Literal["current", "none"] = "current",
    ) -> Self:
        """Make the result again from its recipe.

        Parameters
        ----------
        session
            Where; None takes the result's own.
        interventions
            ``"current"`` (default): those of the session that are on now; ``"none"``: what the
            model does by itself.

        Raises
        ------
        NotLiveError
            Without a session, or when the data came from the user and has no recipe.
        """
        session = session or self.session
        recipe = self.recipe
        if recipe is None:
            raise NotLiveError("this result was made from a tensor and has no recipe to run again")
        if session is None:
            raise NotLiveError(
                "this result is not attached to a session: pass one, as in result.rerun(session)"
            )
        maker, arrays = METHODS.get(recipe.method), self.arrays
        again: Self
        if interventions == "current":
            again = maker.rerun(session, recipe, arrays)
            return again

        def alone() -> Any:
            with session.interventions.set_aside():
                return maker.rerun(session, recipe, arrays)

        again = session.run(alone, label=f"{self.title}, without interventions")
        return again

    def save(self, path: str | Path) -> Path:
        """Write data and recipe into one safetensors file and return its path."""
        from safetensors.numpy import save_file

        path = Path(path)
        if path.suffix != ".safetensors":
            path = path.with_name(path.name + ".safetensors")
        header = {
            "kind": self.kind,
            "meta": json.dumps(self.meta, allow_nan=False),
            "recipe": self.recipe.to_json() if self.recipe else "",
        }
        save_file({name: to_numpy(a) for name, a in self.arrays.items()}, path, metadata=header)
        return path

    @classmethod
    def load(cls, path: str | Path, session: LiveSession | None = None) -> Result:
        """Read a result; give a session to make it live again.

        Raises
        ------
        ValueError
            When the file is not a result, or names a kind or method that is not registered.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
        if header.get("kind") not in KINDS or "meta" not in header:
            raise ValueError(f"{path} holds no result of interp_widgets")
        recipe = Recipe.from_json(header["recipe"]) if header.get("recipe") else None
        if recipe is not None and recipe.method not in METHODS:
            raise ValueError(f"{path} names the method {recipe.method!r}, which is not registered")
        kind: type[Result] = KINDS.get(header["kind"])
        return kind(arrays, json.loads(header["meta"]), recipe, session)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(a.shape)}" for name, a in self.arrays.items())
        return f"{type(self).__name__}({shapes})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Show the live view with its static twin in the same output."""
        if self._view is None or self._view.is_closed:
            self._view = self.view()
            self._view.of_result = True
        return self._view._repr_mimebundle_(include=include, exclude=exclude)


def load(path: str | Path, session: LiveSession | None = None) -> Result:
    """Read a result saved with :meth:`Result.save`; give a session to make it live again."""
    return Result.load(path, session)


def to_numpy(array: Any) -> np.ndarray:
    """Return a tensor or array on the host, C-ordered; bfloat16 becomes float32.

    It may share memory with the original: copy it before changing it.
    """
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array, order="C")
    import torch

    tensor = array.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return np.asarray(tensor.cpu().numpy(), order="C")
