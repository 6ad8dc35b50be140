"""Claims about a model that can fail: sealed, tested, replayed, never hidden (``iw.claims``)."""

from interp_widgets.methods.claims.claim import Claim, Replay
from interp_widgets.methods.claims.development import development
from interp_widgets.methods.claims.direction import Direction
from interp_widgets.methods.claims.edges import Edges
from interp_widgets.methods.claims.errors import ClaimError, ClaimLockedError, SealedError
from interp_widgets.methods.claims.inputs import Inputs, Sealed, seal, split
from interp_widgets.methods.claims.mechanism import Mechanism, Parts
from interp_widgets.methods.claims.prediction import Prediction
from interp_widgets.methods.claims.registry import card, register, registered
from interp_widgets.methods.claims.token_read import TokenRead

__all__ = [
    "Claim",
    "ClaimError",
    "ClaimLockedError",
    "Direction",
    "Edges",
    "Inputs",
    "Mechanism",
    "Parts",
    "Prediction",
    "Replay",
    "Sealed",
    "SealedError",
    "TokenRead",
    "card",
    "development",
    "register",
    "registered",
    "seal",
    "split",
]
