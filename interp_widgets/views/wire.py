"""Arrays and requests on the wire between a view and the browser.

Inside a payload an array is ``{"$buffer": i, "dtype": name, "shape": [...]}`` with its
bytes in ``buffers[i]``: C order, little endian, ``float16``, ``float32``, ``int32`` or ``uint8``
with ``scale`` and ``offset``. The browser decodes it by copying (js/src/core/wire.ts). The bytes of
a file are ``{"$buffer": i, "dtype": "bytes"}``.

>>> message, buffers = pack({"values": Array(weights, "float16"), "top": 0.9})
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from interp_widgets.results.base import to_numpy

Dtype = Literal["float16", "float32", "int32", "uint8"]

NAN_CODE = 255
"""The uint8 code that stands for NaN; numbers use the codes 0 to 254."""

_NUMPY = {"float16": "<f2", "float32": "<f4", "int32": "<i4"}
_HALF_MAX = 65504.0


@dataclass(frozen=True)
class Array:
    """An array in a payload, with the dtype it travels in.

    Parameters
    ----------
    values
        A torch tensor on any device (bfloat16 too) or a numpy array of any dtype and order.
    dtype
        ``"float32"`` (default) is exact enough for every read-out; ``"float16"`` halves the bytes
        and gives way to float32 where the range does not fit; ``"uint8"`` is for overviews: 254
        steps between the smallest and largest finite value, infinities clipped.

    Examples
    --------
    >>> return {"pattern": Array(pattern, "float16")}
    """

    values: Any
    dtype: Dtype = "float32"


def pack(payload: Any) -> tuple[Any, list[bytes]]:
    """Return the payload as plain JSON and the buffers that its arrays went into.

    NaN and infinity outside of arrays become None: JSON has neither.

    Raises
    ------
    TypeError
        For an object that has no place in a message.
    """
    buffers: list[bytes] = []
    return _plain(payload, buffers), buffers


def unpack(payload: Any, buffers: list[bytes]) -> Any:
    """Undo :func:`pack`: every descriptor becomes a numpy array."""
    if isinstance(payload, list):
        return [unpack(item, buffers) for item in payload]
    if isinstance(payload, dict):
        if "$buffer" in payload:
            return _decode(payload, bytes(buffers[payload["$buffer"]]))
        return {key: unpack(value, buffers) for key, value in payload.items()}
    return payload


def _plain(value: Any, buffers: list[bytes]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _plain(value.item(), buffers)
    if isinstance(value, dict):
        return {str(key): _plain(item, buffers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, buffers) for item in value]
    if isinstance(value, Array):
        return _encode(value, buffers)
    if isinstance(value, bytes):
        buffers.append(value)
        return {"$buffer": len(buffers) - 1, "dtype": "bytes"}
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        return _encode(Array(value), buffers)
    raise TypeError(f"a message cannot carry {type(value).__name__}: {value!r:.60}")


def _encode(array: Array, buffers: list[bytes]) -> dict[str, Any]:
    values = to_numpy(array.values)
    described: dict[str, Any] = {"dtype": array.dtype, "shape": list(values.shape)}
    dtype = array.dtype
    if values.dtype.kind == "c":
        raise TypeError("complex arrays cannot be shown: take the absolute value or the real part")
    if dtype == "float16" and _exceeds(values):
        dtype = described["dtype"] = "float32"
    if dtype == "uint8":
        codes, scale, offset = quantise(values)
        described |= {"scale": scale, "offset": offset, "nan": NAN_CODE}
        data = codes.tobytes()
    elif dtype == "int32":
        if values.size and (values.max() > 2**31 - 1 or values.min() < -(2**31)):
            raise TypeError("the array does not fit into int32")
        data = np.ascontiguousarray(values, dtype="<i4").tobytes()
    else:
        data = np.ascontiguousarray(values, dtype=_NUMPY[dtype]).tobytes()
    described["$buffer"] = len(buffers)
    buffers.append(data)
    return described


def _exceeds(values: np.ndarray) -> bool:
    if values.dtype == np.float16 or not values.size:
        return False
    finite = np.abs(values[np.isfinite(values)]) if values.dtype.kind == "f" else np.abs(values)
    if not finite.size:
        return False
    largest = float(finite.max())
    return largest > _HALF_MAX or 0.0 < largest < 1e-4


def quantise(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return uint8 codes with ``value ≈ code * scale + offset``; NaN becomes :data:`NAN_CODE`."""
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scale = (high - low) / (NAN_CODE - 1) or 1.0
    missing = np.isnan(values)
    steps = np.rint((np.clip(np.where(missing, low, values), low, high) - low) / scale)
    codes = np.where(missing, NAN_CODE, steps).astype(np.uint8)
    return codes, scale, low


def _decode(described: dict[str, Any], data: bytes) -> Any:
    if described["dtype"] == "bytes":
        return data
    shape = described["shape"]
    if described["dtype"] != "uint8":
        return np.frombuffer(data, dtype=_NUMPY[described["dtype"]]).reshape(shape)
    codes = np.frombuffer(data, dtype=np.uint8).reshape(shape)
    values = codes * described.get("scale", 1.0) + described.get("offset", 0.0)
    return np.where(codes == described.get("nan", -1), np.nan, values)


def error_payload(error: BaseException) -> dict[str, str]:
    """Format an exception for the view: what was wrong, and what to do if the error says it."""
    message = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        message = f"missing {message}"
    return {
        "message": message,
        "hint": str(getattr(error, "hint", "") or ""),
        "type": type(error).__name__,
    }
