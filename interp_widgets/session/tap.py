"""The attention call: where a module hands q, k, v to the attention function, and what it tells it.

Every attention of transformers 5 calls one function through a variable `attention_interface`; its
last call is the tap.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from interp_widgets.session.engines import LocalEngine
from interp_widgets.session.location import Location, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

CALLEE: Final = "attention_interface"
MASKED: Final = -1e4
"""An additive mask below this switches a key off (half precision's lowest value is -65,504)."""


@dataclass(frozen=True)
class AttentionFacts:
    """How one layer turns q and k into a pattern.

    Parameters
    ----------
    heads, kv_heads
        Query heads and key/value heads; `heads // kv_heads` query heads share one key head.
    d_head, d_value
        Width of q and k, and of v, per head.
    scaling
        Factor of q·k before the softmax.
    softcap
        Scores s become `softcap * tanh(s / softcap)` (Gemma 2, arXiv:2408.00118); None without.
    window
        A query sees keys closer than this many positions; None for all.
    causal
        Whether a query sees only keys up to its own position.
    sinks
        Learned extra logit of each head in the softmax's sum (gpt-oss); empty without.
    bias
        Whether a position bias is added to the scores (T5).
    pairwise
        Whether that bias is one number for each query and key, and not by distance (particle
        transformers, graphs).
    """

    heads: int
    kv_heads: int
    d_head: int
    d_value: int
    scaling: float
    softcap: float | None = None
    window: int | None = None
    causal: bool = True
    sinks: tuple[float, ...] = ()
    bias: bool = False
    pairwise: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def call_label(module: nn.Module) -> str | None:
    """Return nnsight's label of the last attention call in a module's forward, None without.

    nnsight numbers bindings and calls of a name together, in the order of the source.
    """
    forward = inspect.unwrap(type(module).forward)
    try:
        source = textwrap.dedent(inspect.getsource(forward))
    except (OSError, TypeError):
        return None
    if CALLEE not in source:
        return None
    bound = called = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            bound += sum(isinstance(t, ast.Name) and t.id == CALLEE for t in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            bound += isinstance(node.target, ast.Name) and node.target.id == CALLEE
        elif isinstance(node, ast.Call):
            called += isinstance(node.func, ast.Name) and node.func.id == CALLEE
    return f"{CALLEE}_{bound + called - 1}" if called else None


def read_facts(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> AttentionFacts:
    """Read the facts from one attention call's `(args, kwargs)`."""
    (module, q, k, v, *rest), kwargs = arguments
    mask = rest[0] if rest else kwargs.get("attention_mask")
    scaling = kwargs.get("scaling")
    softcap, window = kwargs.get("softcap"), kwargs.get("sliding_window")
    bias = kwargs.get("position_bias")
    causal, sinks = kwargs.get("is_causal"), kwargs.get("s_aux")
    biased = pairwise = False
    if isinstance(bias, Tensor):
        biased = bias.is_meta or bool(torch.any(bias != 0))
        pairwise = biased and not bias.is_meta and not _is_by_distance(bias[0])
    if isinstance(mask, Tensor) and mask.shape[-2] > 1 and not mask.is_meta:
        causal = hides_the_future(mask)
    elif causal is None:
        causal = getattr(module, "is_causal", True)
    return AttentionFacts(
        heads=q.shape[1],
        kv_heads=k.shape[1],
        d_head=q.shape[-1],
        d_value=v.shape[-1],
        scaling=float(q.shape[-1] ** -0.5 if scaling is None else scaling),
        softcap=None if softcap is None else float(softcap),
        window=None if window is None else int(window),
        causal=bool(causal),
        sinks=() if sinks is None or sinks.is_meta else tuple(sinks.float().flatten().tolist()),
        bias=biased,
        pairwise=pairwise,
    )


def hides_the_future(mask: Tensor) -> bool:
    """Whether a mask `[batch, head, query, key]` keeps the first query from the second key."""
    first_row = mask[0, 0, 0]
    hidden = ~first_row if mask.dtype == torch.bool else first_row < MASKED
    return bool(hidden[1]) and not bool(hidden[0])


def by_distance(bias: Tensor) -> Tensor:
    """Compress a position bias that depends on `key - query` alone.

    From `[head, query, key]` to `[head, 2 * length - 1]`.

    Entry `length - 1 + d` of the result holds distance d. Memory is linear in the length.

    Raises
    ------
    ValueError
        If the bias depends on more than the distance.
    """
    length = bias.shape[-1]
    compact = torch.cat([bias[:, :, 0].flip(-1), bias[:, 0, 1:]], dim=-1)
    rows = torch.linspace(0, length - 1, min(length, 8)).long().tolist()
    for row in rows:
        if not torch.equal(bias[:, row], compact[:, length - 1 - row : 2 * length - 1 - row]):
            raise ValueError(
                "The position bias depends on more than the distance between query and key."
            )
    return compact


def _is_by_distance(bias: Tensor) -> bool:
    if bias.shape[-1] != bias.shape[-2]:
        return False
    try:
        by_distance(bias)
    except ValueError:
        return False
    return True


def read_calls(
    model: Any, places: Mapping[int, Location], inputs: Mapping[str, Any] | Tensor
) -> dict[int, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Trace `inputs` and return `(args, kwargs)` of each layer's attention call."""
    found: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    with torch.no_grad(), LocalEngine().trace(model, inputs) as tracer:
        for layer, place in places.items():
            call = getattr(resolve(model, place.path).source, str(place.call))
            found[layer] = call.inputs
        tracer.stop()
    return found
