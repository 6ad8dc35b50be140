"""The errors of claims; each has a page in ``docs/errors/``."""

from __future__ import annotations


class ClaimError(ValueError):
    """A claim says too little to be tested, or does not fit the model or the inputs."""


class SealedError(RuntimeError):
    """Sealed inputs were read, or used again, out of turn."""


class ClaimLockedError(RuntimeError):
    """A claim whose test was run cannot be changed."""
