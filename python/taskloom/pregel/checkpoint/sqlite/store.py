"""The connection to a checkpoint file, its transactions, and what is remembered of the file."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from taskloom.pregel.checkpoint.sqlite.line import Line, Lines
from taskloom.pregel.checkpoint.sqlite.schema import Synchronous, prepare
from taskloom.pregel.checkpoint.sqlite.sweep import read_epoch

_PATIENCE = 60.0  # seconds to wait for another process's transaction


class Store:
    """One connection, used by one thread at a time.

    Args:
        conn: an open connection, or a path.
        synchronous: see `SqliteSaver`.
    """

    def __init__(
        self, conn: sqlite3.Connection | str | os.PathLike[str], synchronous: Synchronous
    ) -> None:
        self.lock = threading.RLock()
        self.lines = Lines()
        self.epoch = -1
        self._changes = -1
        self._in_block = False
        self._synchronous: Synchronous = synchronous
        self._path = None if isinstance(conn, sqlite3.Connection) else os.fspath(conn)
        self._process = os.getpid()
        self._connection = conn if isinstance(conn, sqlite3.Connection) else self._open()
        if self._path is None:
            prepare(self._connection, synchronous)

    def _open(self) -> sqlite3.Connection:
        assert self._path is not None
        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            prepare(connection, self._synchronous)
        except BaseException:
            connection.close()
            raise
        return connection

    def connection(self) -> sqlite3.Connection:
        """Return the connection; in a forked child, one of its own.

        Raises:
            sqlite3.ProgrammingError: the connection came from outside, and this is a forked child,
                which must not use it.
        """
        if self._process != os.getpid():
            if self._path is None or self._path == ":memory:":
                raise sqlite3.ProgrammingError(
                    "a forked child cannot use its parent's SQLite connection: make a saver in the "
                    "child, or give the saver the path of the file instead of a connection"
                )
            self._process = os.getpid()
            self.lock = threading.RLock()
            self._in_block = False
            self.lines.forget()
            # The parent's connection is kept alive on purpose: closing it here would give up the
            # locks that the parent holds on the file.
            self._inherited = self._connection
            self._connection = self._open()
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            if self._process == os.getpid():
                self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block in a transaction: all of it is in the file afterwards, or nothing.

        Blocks nest; the outermost commits.
        """
        with self.lock:
            connection = self.connection()
            outermost = not self._in_block
            if outermost:
                connection.execute("BEGIN IMMEDIATE")
                self._in_block = True
            try:
                if outermost:
                    self._notice_others(connection)
                yield connection
                if outermost:
                    connection.execute("COMMIT")
            except BaseException:
                # What is remembered may have run ahead of what the file now holds.
                self.lines.forget()
                self.epoch = -1
                if outermost and connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if outermost:
                    self._in_block = False

    def _notice_others(self, connection: sqlite3.Connection) -> None:
        """Forget what is remembered if another process has deleted anything."""
        changes = connection.execute("PRAGMA data_version").fetchone()[0]
        if changes != self._changes or self.epoch < 0:
            self._changes = changes
            epoch = read_epoch(connection)
            if epoch != self.epoch:
                self.lines.forget()
                self.epoch = epoch

    def line(self, thread_id: str, namespace: str) -> Line:
        """Return a line, made if there is none; to be called in a transaction."""
        known = self.lines.get(thread_id, namespace)
        if known is not None:
            return known
        key = (thread_id, namespace)
        connection = self._connection
        connection.execute(
            "INSERT OR IGNORE INTO taskloom_line (thread_id, namespace) VALUES (?, ?)", key
        )
        number, root = connection.execute(
            "SELECT line, root_id FROM taskloom_line WHERE thread_id = ? AND namespace = ?", key
        ).fetchone()
        count = connection.execute(
            "SELECT count(*) FROM taskloom_checkpoint WHERE line = ?", (number,)
        ).fetchone()[0]
        return self.lines.add(thread_id, namespace, Line(number, count, root))
