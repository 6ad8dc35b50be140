"""Running only what a patch changes: from the patched block on, and the last position's logits."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nnsight
import torch
from torch import Tensor

from interp_widgets.methods.readout import COARSE, TOLERANCE
from interp_widgets.session.engines import LocalEngine
from interp_widgets.session.location import Location
from interp_widgets.session.sites import Site

if TYPE_CHECKING:
    from interp_widgets.session.prompts import Prompt
    from interp_widgets.session.session import Session


@dataclass(frozen=True)
class ShortRun:
    """What a forward pass may leave out when blocks before a layer give what they gave before.

    Blocks before the patched one are skipped: the residual stream that they gave is put in their
    place. The last block's MLP and the unembedding run on the last position only.
    Found for a model by trying: the logits have to be those of a whole pass.

    Parameters
    ----------
    blocks
        Paths of the blocks that can be skipped; empty where they cannot.
    narrow
        Places whose input may be cut to the last position, in the model's order.

    Examples
    --------
    >>> short = ShortRun.of(session, prompt)
    >>> with session.trace(prompt.repeat(8)):
    ...     short.skip(session, 5, residuals)     # [row, position, d_model]
    ...     short.end(session)
    ...     logits = session.anatomy.locate("logits").read(session.model).save()
    """

    blocks: tuple[str, ...] = ()
    narrow: tuple[Location, ...] = ()

    def skip(self, session: Session, layer: int, stream: Tensor) -> None:
        """Start with block ``layer``, which reads ``stream``. Only inside a trace, first."""
        for path in self.blocks[:layer]:
            Location(path, "output").envoy(session.model).skip(stream)

    def end(self, session: Session, after: float = 0.0) -> None:
        """Keep the last position only from here on. Only inside a trace, after all else.

        Parameters
        ----------
        session
            Whose trace it is.
        after
            When the last place that was touched is reached (``anatomy.order``).
        """
        for place in self.narrow:
            if session.anatomy.order(place) > after:
                place.write(session.model, place.read(session.model)[:, -1:])

    @classmethod
    def of(cls, session: Session, prompt: Prompt) -> ShortRun:
        """Return what can be left out in this session now: nothing while interventions are on.

        An intervention may be at any place, so that every place has to be reached.
        """
        edited = session.interventions.active or getattr(session.model, "_edits", ())
        if edited or not session.anatomy.blocks or not isinstance(session.engine, LocalEngine):
            return NOTHING
        known = _known.get(session.anatomy)
        if known is None:
            known = _known[session.anatomy] = cls._find(session, prompt)
        return known

    @classmethod
    def _find(cls, session: Session, prompt: Prompt) -> ShortRun:
        anatomy = session.anatomy
        blocks = tuple(block.path for block in anatomy.blocks)
        last = anatomy.blocks[-1]
        ends = [
            Location(path, "input") for path in (anatomy.unembed or anatomy.final_norm,) if path
        ]
        whole = [Location(last.mlp, "input"), *ends] if last.mlp else ends
        outputs = [block.places.get("resid_post") for block in anatomy.blocks]
        skips = (blocks, ()) if all(p is not None and p.index is None for p in outputs) else ((),)
        for paths in skips:
            for narrow in dict.fromkeys((tuple(whole), tuple(ends))):
                short = cls(paths, narrow)
                if short._agrees(session, prompt):
                    return short
        return NOTHING

    def _agrees(self, session: Session, prompt: Prompt) -> bool:
        """Whether the last position's logits are those of a whole pass."""
        layer = len(session.anatomy.blocks) // 2
        sites = [Site("resid_pre", layer), Site("logits")]
        stream, logits = (session.capture(prompt, sites)[site] for site in sites)
        if logits.ndim != 2 or len(logits) != len(prompt):
            return False
        end = session.anatomy.locate("logits")
        try:
            with torch.no_grad(), session.trace(prompt.repeat(2)):
                self.skip(session, layer, stream.expand(2, *stream.shape))
                self.end(session)
                found = nnsight.save(end.read(session.model))
        except Exception:  # a foreign model may not run with a part left out
            return False
        expected = logits[-1].float()
        if found.ndim != 3 or found.shape[-1] != len(expected):
            return False
        limit = TOLERANCE.get(logits.dtype, COARSE) * float(expected.abs().max().clamp_min(1e-6))
        return float((found[:, -1].float() - expected).abs().max()) <= limit


NOTHING = ShortRun()
_known: weakref.WeakKeyDictionary[object, ShortRun] = weakref.WeakKeyDictionary()
