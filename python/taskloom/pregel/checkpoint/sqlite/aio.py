"""The SQLite saver under LangGraph's name for the asynchronous one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskloom.pregel.checkpoint.serde.base import SerializerProtocol
from taskloom.pregel.checkpoint.sqlite.saver import SqliteSaver
from taskloom.pregel.checkpoint.sqlite.schema import Synchronous


class AsyncSqliteSaver(SqliteSaver):
    """A `SqliteSaver` that is opened by `async with`.

    Every `SqliteSaver` has the asynchronous methods: they do their work in a thread, so that the
    event loop does not wait for the disk.
    """

    async def setup(self) -> None:  # type: ignore[override]
        """Do nothing: the tables are made when the saver is."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(  # type: ignore[override]
        cls,
        conn_string: str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        keep_last: int | None = None,
        max_age: float | None = None,
        synchronous: Synchronous = "normal",
    ) -> AsyncIterator[AsyncSqliteSaver]:
        """Open a file, and close it at the end of the block; options as for `SqliteSaver`."""
        saver = cls(
            conn_string,
            serde=serde,
            keep_last=keep_last,
            max_age=max_age,
            synchronous=synchronous,
        )
        try:
            yield saver
        finally:
            saver.close()
