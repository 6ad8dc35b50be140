"""Reading weights as tokens: neurons, heads and whole models (``iw.weights``)."""

from interp_widgets.methods.weights.align import align, projected_correlation
from interp_widgets.methods.weights.clamp import clamp, clamp_curve, clamp_target, clamp_test
from interp_widgets.methods.weights.heads import head, head_block, top_pairs
from interp_widgets.methods.weights.neurons import decode
from interp_widgets.methods.weights.project import diff, keep_k, project
from interp_widgets.methods.weights.space import Space, WeightsError, right_inverse
from interp_widgets.methods.weights.stitch import kernel, stitch, stitched_logits
from interp_widgets.methods.weights.topk import Top, top_tokens
from interp_widgets.methods.weights.validate import pairs, validate

__all__ = [
    "Space",
    "Top",
    "WeightsError",
    "align",
    "clamp",
    "clamp_curve",
    "clamp_target",
    "clamp_test",
    "decode",
    "diff",
    "head",
    "head_block",
    "keep_k",
    "kernel",
    "pairs",
    "project",
    "projected_correlation",
    "right_inverse",
    "stitch",
    "stitched_logits",
    "top_pairs",
    "top_tokens",
    "validate",
]
