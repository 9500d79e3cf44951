"""A cache in this process's memory."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, final

from taskloom.pregel.cache.base import BaseCache, FullKey, Namespace


@final
class InMemoryCache(BaseCache[Any]):
    """Keeps copies of what tasks wrote; they end with the process.

    Example:
        >>> from taskloom.pregel import InMemoryCache
        >>> cache = InMemoryCache()
        >>> cache.set({(("node",), "key"): ([("x", 1)], None)})
        >>> assert cache.get([(("node",), "key")]) == {(("node",), "key"): [("x", 1)]}
    """

    def __init__(self) -> None:
        self._kept: dict[Namespace, dict[str, tuple[Any, float | None]]] = {}
        self._lock = threading.Lock()

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """The values of those of `keys` that are there and have not expired."""
        now = time.monotonic()
        found: dict[FullKey, Any] = {}
        with self._lock:
            for ns, key in keys:
                kept = self._kept.get(ns, {})
                if key not in kept:
                    continue
                value, expiry = kept[key]
                if expiry is not None and now >= expiry:
                    del kept[key]
                else:
                    found[(ns, key)] = value
        return {key: copy.deepcopy(value) for key, value in found.items()}

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep values; each comes with the seconds that it lives, or None for ever."""
        now = time.monotonic()
        for (ns, key), (value, ttl) in pairs.items():
            entry = (copy.deepcopy(value), None if ttl is None else now + ttl)
            with self._lock:
                self._kept.setdefault(ns, {})[key] = entry

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget the values of `namespaces`, or all."""
        with self._lock:
            if namespaces is None:
                self._kept.clear()
                return
            for ns in namespaces:
                self._kept.pop(ns, None)
