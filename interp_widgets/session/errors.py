"""The errors of this room; each has a page in ``docs/errors/`` with a cause and a way on."""

from __future__ import annotations


class SessionError(RuntimeError):
    """A session cannot do what was asked; the base of this room's errors."""


class ModelError(SessionError):
    """A model could not be opened or fingerprinted."""


class SessionClosedError(SessionError):
    """The session was closed and owns no model any more."""


class SessionBusyError(SessionError):
    """Something asked the session to run the model from inside a trace of the same thread."""


class OutOfMemory(SessionError):  # noqa: N818 - the name users look for
    """The device's memory does not hold this work, even with an empty cache."""


class Cancelled(SessionError):  # noqa: N818 - a state more than a fault
    """The work was cancelled, by the user or because a newer request replaced it."""


class PromptError(ValueError):
    """A prompt, its answer or its foil does not fit the model."""


class InterventionError(ValueError):
    """An intervention does not fit the model, the site or the prompt."""
