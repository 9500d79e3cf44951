"""What a cache of nodes' results is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

Namespace = tuple[str, ...]
Value = TypeVar("Value")
FullKey = tuple[Namespace, str]


class BaseCache(ABC, Generic[Value]):
    """Keeps what tasks wrote, by namespace and key. LangGraph's caches will do as well.

    Args:
        serde: turns values into bytes, for caches that need that.
    """

    def __init__(self, *, serde: Any = None) -> None:
        self.serde = serde

    @abstractmethod
    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Value]:
        """The values of those of `keys` that are there and have not expired."""

    @abstractmethod
    def set(self, pairs: Mapping[FullKey, tuple[Value, int | None]]) -> None:
        """Keep values; each comes with the seconds that it lives, or None for ever."""

    @abstractmethod
    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget the values of `namespaces`, or all."""

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Value]:
        """As `get`."""
        return self.get(keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Value, int | None]]) -> None:
        """As `set`."""
        self.set(pairs)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """As `clear`."""
        self.clear(namespaces)
