"""Check that the arrays and the description of an attention result fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(arrays: Mapping[str, Any], meta: dict[str, Any]) -> None:
    """Check shapes and lengths; number the layers from 0 where `meta` does not.

    Raises
    ------
    ValueError
        If something does not fit; says what.
    """
    if "pattern" in arrays:
        shape = tuple(arrays["pattern"].shape)
        if len(shape) != 4:
            raise ValueError(f"pattern has dims [layer, head, query, key], not shape {shape}")
        layers, heads, queries, positions = shape
    elif "q" in arrays and "k" in arrays:
        q, k = tuple(arrays["q"].shape), tuple(arrays["k"].shape)
        if len(q) != 4 or len(k) != 4 or q[0] != k[0] or q[3] != k[3] or q[1] % k[1]:
            raise ValueError(
                "q [layer, head, position, d_head] and k [layer, kv_head, position, d_head] do "
                f"not fit: {q}, {k}"
            )
        layers, heads, queries, positions = *q[:3], k[2]
    else:
        raise ValueError("attention needs the arrays q and k, or pattern")
    if len(meta.get("tokens", ())) != positions:
        raise ValueError(f"{len(meta.get('tokens', ()))} tokens for {positions} keys")
    if len(meta.get("query_tokens", range(queries))) != queries:
        raise ValueError(f"{len(meta['query_tokens'])} query_tokens for {queries} queries")
    norm = arrays.get("value_norm")
    if norm is not None and tuple(norm.shape) != (layers, heads, positions):
        raise ValueError(f"value_norm is [layer, head, key], not {tuple(norm.shape)}")
    meta.setdefault("layers", list(range(layers)))
    if len(meta["layers"]) != layers:
        raise ValueError(f"{len(meta['layers'])} layer numbers for {layers} layers")
