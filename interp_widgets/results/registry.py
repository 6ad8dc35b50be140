"""Where rooms meet without importing one another."""

from __future__ import annotations

import importlib.util
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Registry:
    """Named things that one room registers and others look up.

    The room is imported the first time somebody asks: first the module of that name, then all; so
    a result can show its view without importing the views.

    Parameters
    ----------
    what
        What an entry is called in messages, for example ``"view"``.
    package
        The package whose modules register entries when they are imported.
    """

    def __init__(self, what: str, package: str) -> None:
        self.what = what
        self.package = package
        self._entries: dict[str, Any] = {}
        self._loaded = False
        self._loading = threading.RLock()

    def register(self, name: str) -> Callable[[Any], Any]:
        """Register the decorated class or function under ``name``."""

        def add(entry: Any) -> Any:
            known = self._entries.get(name)
            if known is not None and known.__module__ != entry.__module__:
                raise ValueError(
                    f"{self.what} {name!r} is registered by {known.__module__} already; "
                    f"choose another name in {entry.__module__}"
                )
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> Any:
        """Return the entry called ``name``.

        Raises
        ------
        LookupError
            When there is none; the message lists those there are.
        """
        if name not in self._entries and importlib.util.find_spec(f"{self.package}.{name}"):
            importlib.import_module(f"{self.package}.{name}")
        if name not in self._entries:
            self._load()
        if name not in self._entries:
            raise LookupError(f"no {self.what} {name!r}; there are {', '.join(sorted(self))}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def _load(self) -> None:
        with self._loading:
            if self._loaded:
                return
            self._loaded = True  # first, so that a module which asks while it loads gets an answer
            try:
                package = importlib.import_module(self.package)
                for module in pkgutil.walk_packages(package.__path__, prefix=f"{self.package}."):
                    importlib.import_module(module.name)
            except BaseException:
                self._loaded = False
                raise


METHODS = Registry("method", "interp_widgets.methods")
VIEWS = Registry("view", "interp_widgets.views")
FIGURES = Registry("figure", "interp_widgets.figures")
KINDS = Registry("kind of result", "interp_widgets.results")
