"""A byte-bounded cache of activations on the device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Cache:
    """Activations by ``(prompt, interventions, site)``; the least recently used leave first.

    Tensors that share storage (q, k and v are often slices of one tensor) are counted once: the
    cache holds at most ``capacity`` bytes of storage, whatever the views of it are.

    Parameters
    ----------
    capacity
        Most bytes to hold. A tensor larger than that is not kept.

    Examples
    --------
    >>> session.cache.bytes <= session.cache.capacity
    True
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError(f"cache_bytes is {capacity}; give 0 (keep nothing) or more")
        self.capacity = int(capacity)
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._storages: dict[int, list[int]] = {}  # address → [bytes, number of entries]
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Bytes of device storage that the cache keeps alive."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> Tensor | None:
        """Return the tensor under ``key`` and mark it as used, or None."""
        with self._lock:
            tensor = self._entries.get(key)
            if tensor is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return tensor

    def put(self, key: Hashable, tensor: Tensor) -> bool:
        """Keep a detached tensor; returns False when it is larger than the whole cache."""
        tensor = tensor.detach()
        size = tensor.untyped_storage().nbytes()
        if size > self.capacity:
            return False
        with self._lock:
            self._drop(key)
            self._entries[key] = tensor
            entry = self._storages.setdefault(_address(tensor), [size, 0])
            if entry[1] == 0:
                self._bytes += size
            entry[1] += 1
            while self._bytes > self.capacity:
                self._drop(next(iter(self._entries)))
        return True

    def clear(self) -> int:
        """Forget everything; returns the bytes released."""
        with self._lock:
            released = self._bytes
            self._entries.clear()
            self._storages.clear()
            self._bytes = 0
        return released

    def summary(self) -> dict[str, Any]:
        """Return entries, bytes, capacity, hits and misses."""
        return {
            "entries": len(self),
            "bytes": self.bytes,
            "capacity": self.capacity,
            "hits": self.hits,
            "misses": self.misses,
        }

    def _drop(self, key: Hashable) -> None:
        tensor = self._entries.pop(key, None)
        if tensor is None:
            return
        address = _address(tensor)
        entry = self._storages[address]
        entry[1] -= 1
        if entry[1] == 0:
            self._bytes -= entry[0]
            del self._storages[address]

    def __repr__(self) -> str:
        return f"Cache({len(self)} tensors, {self.bytes:,} of {self.capacity:,} bytes)"


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() or id(tensor.untyped_storage())
