"""A cache in a SQLite file, which outlives the process."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from taskloom.pregel.cache.base import BaseCache, FullKey, Namespace
from taskloom.pregel.checkpoint.serde.base import SerializerProtocol

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cached (
    ns TEXT, key TEXT, expiry REAL, tag TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (ns, key)
) WITHOUT ROWID
"""


@final
class SqliteCache(BaseCache[Any]):
    """Keeps what tasks wrote in one file. Safe to use from several threads and processes.

    Args:
        path: the file, or ":memory:".
        serde: how values become bytes; by default as in checkpoints.

    Raises:
        ModuleNotFoundError: ormsgpack, which the default serializer needs, is not installed.

    Example:
        >>> from taskloom.pregel.cache.sqlite import SqliteCache
        >>> with SqliteCache(path=":memory:") as cache:
        ...     cache.set({(("node",), "key"): ([("x", 1)], None)})
        ...     found = cache.get([(("node",), "key")])
        >>> found[(("node",), "key")]
        [('x', 1)]
    """

    def __init__(self, *, path: str | Path, serde: SerializerProtocol | None = None) -> None:
        if serde is None:
            from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

            serde = JsonPlusSerializer()
        self.serde = serde
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)

    def __enter__(self) -> SqliteCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """The values of those of `keys` that are there and have not expired."""
        now = time.time()
        found: dict[FullKey, Any] = {}
        for ns, key in keys:
            with self._lock:
                row = self._connection.execute(
                    "SELECT expiry, tag, value FROM cached WHERE ns = ? AND key = ?",
                    (json.dumps(ns), key),
                ).fetchone()
            if row is not None and (row[0] is None or now < row[0]):
                found[(ns, key)] = self.serde.loads_typed((row[1], row[2]))
        return found

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep values; each comes with the seconds that it lives, or None for ever."""
        now = time.time()
        rows = [
            (
                json.dumps(ns),
                key,
                None if ttl is None else now + ttl,
                *self.serde.dumps_typed(value),
            )
            for (ns, key), (value, ttl) in pairs.items()
        ]
        with self._lock:
            self._connection.executemany(
                "INSERT OR REPLACE INTO cached VALUES (?, ?, ?, ?, ?)", rows
            )
            self._connection.execute("DELETE FROM cached WHERE expiry <= ?", (now,))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget the values of `namespaces`, or all."""
        with self._lock:
            if namespaces is None:
                self._connection.execute("DELETE FROM cached")
            else:
                self._connection.executemany(
                    "DELETE FROM cached WHERE ns = ?", [(json.dumps(ns),) for ns in namespaces]
                )

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """As `get`, in a thread."""
        return await asyncio.to_thread(self.get, keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """As `set`, in a thread."""
        await asyncio.to_thread(self.set, pairs)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """As `clear`, in a thread."""
        await asyncio.to_thread(self.clear, namespaces)
