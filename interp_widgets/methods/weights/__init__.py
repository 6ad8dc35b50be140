"""Reading weights as tokens: neurons, heads and whole models (``iw.weights``)."""

from interp_widgets.methods.weights.clamp import clamp, clamp_curve, clamp_target, clamp_test
from interp_widgets.methods.weights.neurons import decode
from interp_widgets.methods.weights.space import Space, WeightsError
from interp_widgets.methods.weights.topk import Top, top_tokens

__all__ = [
    "Space",
    "Top",
    "WeightsError",
    "clamp",
    "clamp_curve",
    "clamp_target",
    "clamp_test",
    "decode",
    "top_tokens",
]
