"""The SQLite saver: what `put` wrote is in the file when it returns, whatever happens to the
process then.

Each `put` is one transaction of a write-ahead log. What has been committed survives `kill -9`
always, with `synchronous="normal"` too; the setting decides about a loss of power only. Then
"normal" may lose the last steps, but never leaves a broken file, and "full" loses none, for the
price of waiting for the disk in every step.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from taskloom.pregel.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    Config,
    get_checkpoint_id,
    get_checkpoint_metadata,
    passes,
)
from taskloom.pregel.checkpoint.frame import Frame, difference, is_wide, new_frame
from taskloom.pregel.checkpoint.patch import Chain
from taskloom.pregel.checkpoint.retention import Retention, check_strategy
from taskloom.pregel.checkpoint.serde.base import SerializationError, SerializerProtocol
from taskloom.pregel.checkpoint.sqlite.line import Line
from taskloom.pregel.checkpoint.sqlite.rows import delete_checkpoints, read_cell
from taskloom.pregel.checkpoint.sqlite.schema import TABLES_OF_A_LINE, Synchronous
from taskloom.pregel.checkpoint.sqlite.store import Store
from taskloom.pregel.checkpoint.sqlite.sweep import (
    delete_lines,
    raise_epoch,
    sweep_calls,
    sweep_thread,
)

_CHECKPOINT = "INTO taskloom_checkpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_COPIED = {
    "checkpoint": "checkpoint_id, parent_id, frame_id, run_id, ts, tag, body",
    "frame": "frame_id, tag, body",
    "cell": "cell, version, base, tag, value",
    "write": "checkpoint_id, task_id, idx, task_path, cell, tag, value",
}


class SqliteSaver(BaseCheckpointSaver[int]):
    """Keeps checkpoints in a SQLite file, for one machine and any number of its processes.

    Safe to use from several threads. A second process may use the file at the same time; one that
    runs the same thread does so at its own peril, as with every saver. The file grows with what
    changes, not with the number of steps times the size of the state; space that retention or
    deletion frees is used again.

    Args:
        conn: an open connection (made with `check_same_thread=False` if several threads use the
            saver), or the path of the file.
        serde: how values become bytes; by default only classes that are known to hold plain data
            are allowed, see `JsonPlusSerializer`.
        keep_last: keep only so many checkpoints of each namespace, the newest.
        max_age: keep checkpoints only for so many seconds; the newest stays.
        synchronous: "normal" to survive the end of the process at any moment; "full" to survive
            a loss of power in the last steps as well.

    Raises:
        ValueError: an option or the connection will not do.
        sqlite3.Error: by every method, if the file cannot be used.

    Example:
        >>> from taskloom.pregel.checkpoint.base import empty_checkpoint
        >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
        >>> with SqliteSaver.from_conn_string(":memory:") as saver:
        ...     saved = saver.put(config, empty_checkpoint(), {"step": -1}, {})
        ...     saver.get_tuple(config).metadata
        {'step': -1}
    """

    def __init__(
        self,
        conn: sqlite3.Connection | str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        keep_last: int | None = None,
        max_age: float | None = None,
        synchronous: Synchronous = "normal",
    ) -> None:
        super().__init__(serde=serde)
        self._retention = Retention(keep_last=keep_last, max_age=max_age)
        self._store = Store(conn, synchronous)

    @classmethod
    @contextmanager
    def from_conn_string(
        cls,
        conn_string: str | os.PathLike[str],
        *,
        serde: SerializerProtocol | None = None,
        keep_last: int | None = None,
        max_age: float | None = None,
        synchronous: Synchronous = "normal",
    ) -> Iterator[SqliteSaver]:
        """Open a file, and close it at the end of the block.

        Args:
            conn_string: the path, or ":memory:".
            serde: as for the class, like the other options.
            keep_last: see there.
            max_age: see there.
            synchronous: see there.
        """
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

    @property
    def conn(self) -> sqlite3.Connection:
        """The connection."""
        return self._store.connection()

    def setup(self) -> None:
        """Do nothing: the tables are made when the saver is."""

    def close(self) -> None:
        """Close the connection; the saver is of no use after that."""
        self._store.close()

    # -- storing ------------------------------------------------------------------------------

    def put(
        self,
        config: Config,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Config:
        """Store a checkpoint in one transaction; see `BaseCheckpointSaver.put`."""
        where = config["configurable"]
        thread_id, namespace = where["thread_id"], where.get("checkpoint_ns", "")
        known = get_checkpoint_metadata(config, metadata)
        rest = checkpoint.copy()
        contents = rest["channel_values"]
        rest["channel_values"] = {}
        packed = {
            cell: self._dumps(cell, contents[cell]) for cell in new_versions if cell in contents
        }
        root = metadata.get("parents", {}).get("", "") if namespace else ""
        id, parent = checkpoint["id"], where.get("checkpoint_id")
        with self._store.transaction() as connection:
            line = self._store.line(thread_id, namespace)
            if root > line.root:
                connection.execute(
                    "UPDATE taskloom_line SET root_id = ? WHERE line = ?", (root, line.number)
                )
                line.root = root
            self._put_cells(connection, line, packed, new_versions)
            frame_id = None
            if is_wide(rest["channel_versions"], rest["versions_seen"]):
                frame_id = self._narrow(connection, line, rest)
            tag, body = self.serde.dumps_typed([rest, known])
            run_id = known.get("run_id")
            row = (line.number, id, parent, frame_id, run_id, rest["ts"], tag, body)
            try:
                connection.execute(f"INSERT {_CHECKPOINT}", row)
                line.count += 1
            except sqlite3.IntegrityError:
                connection.execute(f"REPLACE {_CHECKPOINT}", row)
            if self._retention:
                self._retire(connection, line, thread_id)
        return _named(thread_id, namespace, id)

    def _dumps(self, cell: str, value: Any) -> tuple[str, bytes]:
        try:
            return self.serde.dumps_typed(value)
        except SerializationError as error:
            error.add_note(f"this was the value of the cell {cell!r}")
            raise

    def _put_cells(
        self,
        connection: sqlite3.Connection,
        line: Line,
        packed: dict[str, tuple[str, bytes]],
        versions: ChannelVersions,
    ) -> None:
        rows: list[tuple[Any, ...]] = []
        for cell, (tag, raw) in packed.items():
            version = versions[cell]
            chain = line.chains.get(cell)
            if chain is None:
                if len(raw) >= 256:
                    line.chains[cell] = Chain(version, tag, raw)
                rows.append((line.number, cell, version, None, tag, raw))
                continue
            base = chain.version
            patch = None if base == version else chain.advance(version, tag, raw)
            if patch is None:
                rows.append((line.number, cell, version, None, tag, raw))
            else:
                rows.append((line.number, cell, version, base, tag, patch.pack()))
        if rows:
            stored = connection.executemany(
                "INSERT OR IGNORE INTO taskloom_cell VALUES (?, ?, ?, ?, ?, ?)", rows
            ).rowcount
            if stored != len(rows):
                # A version was there already and stays as it is: what is remembered of these
                # cells may not be what the file holds.
                for cell in packed:
                    line.chains.pop(cell, None)

    def _narrow(self, connection: sqlite3.Connection, line: Line, rest: Checkpoint) -> str:
        """Reduce the maps of a checkpoint to what differs from a frame; returns the frame's id."""
        versions, seen = rest["channel_versions"], rest["versions_seen"]
        changed = difference(line.frame, versions, seen) if line.frame.id else None
        if changed is None:
            line.frame = new_frame(rest["id"], versions, seen)
            tag, body = self.serde.dumps_typed([versions, seen])
            connection.execute(
                "INSERT OR REPLACE INTO taskloom_frame VALUES (?, ?, ?, ?)",
                (line.number, line.frame.id, tag, body),
            )
            rest["channel_versions"], rest["versions_seen"] = {}, {}
        else:
            rest["channel_versions"], rest["versions_seen"] = changed
        return line.frame.id

    def put_writes(
        self,
        config: Config,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote in one transaction; see `BaseCheckpointSaver.put_writes`."""
        where = config["configurable"]
        kept: list[tuple[Any, ...]] = []
        replaced: list[tuple[Any, ...]] = []
        for index, (cell, value) in enumerate(writes):
            place = WRITES_IDX_MAP.get(cell, index)
            row = (where["checkpoint_id"], task_id, place, task_path, cell)
            (replaced if place < 0 else kept).append((*row, *self._dumps(cell, value)))
        with self._store.transaction() as connection:
            line = self._store.line(where["thread_id"], where.get("checkpoint_ns", ""))
            for how, rows in (("IGNORE", kept), ("REPLACE", replaced)):
                if rows:
                    connection.executemany(
                        f"INSERT OR {how} INTO taskloom_write VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        [(line.number, *row) for row in rows],
                    )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Return a block that is one transaction; see `BaseCheckpointSaver.batch`."""
        with self._store.transaction():
            yield

    # -- reading ------------------------------------------------------------------------------

    def get_tuple(self, config: Config) -> CheckpointTuple | None:
        """Return a checkpoint; see `BaseCheckpointSaver.get_tuple`."""
        where = config["configurable"]
        key = (where["thread_id"], where.get("checkpoint_ns", ""))
        with self._store.lock:
            connection = self._store.connection()
            id = get_checkpoint_id(config)
            if id is None:
                found = connection.execute(
                    "SELECT line, checkpoint_id FROM taskloom_checkpoint JOIN taskloom_line"
                    " USING (line) WHERE thread_id = ? AND namespace = ?"
                    " ORDER BY checkpoint_id DESC LIMIT 1",
                    key,
                ).fetchone()
            else:
                found = connection.execute(
                    "SELECT line, ? FROM taskloom_line WHERE thread_id = ? AND namespace = ?",
                    (id, *key),
                ).fetchone()
            return None if found is None else self._load(connection, (*key, *found))

    def list(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Return checkpoints, newest first; see `BaseCheckpointSaver.list`."""
        query = (
            "SELECT thread_id, namespace, line, checkpoint_id FROM taskloom_checkpoint"
            " JOIN taskloom_line USING (line) WHERE 1"
        )
        given: list[Any] = []
        where = {} if config is None else config["configurable"]
        bound = None if before is None else get_checkpoint_id(before)
        for condition, value in (
            ("thread_id = ?", where.get("thread_id")),
            ("namespace = ?", where.get("checkpoint_ns")),
            ("checkpoint_id = ?", where.get("checkpoint_id")),
            ("checkpoint_id < ?", bound),
        ):
            if value is not None:
                query += f" AND {condition}"
                given.append(value)
        query += " ORDER BY checkpoint_id DESC"
        if limit is not None and not filter:
            query += " LIMIT ?"
            given.append(limit)
        with self._store.lock:
            found = self._store.connection().execute(query, given).fetchall()
        left = len(found) if limit is None else limit
        for row in found:
            if left <= 0:
                return
            with self._store.lock:
                connection = self._store.connection()
                loaded = self._load(connection, row, filter)
            if loaded is not None:
                left -= 1
                yield loaded

    def _load(
        self,
        connection: sqlite3.Connection,
        where: tuple[str, str, int, str],
        filter: dict[str, Any] | None = None,
    ) -> CheckpointTuple | None:
        """Read the checkpoint of a thread, namespace, line and id, if it passes the filter."""
        thread_id, namespace, number, id = where
        row = connection.execute(
            "SELECT parent_id, frame_id, tag, body FROM taskloom_checkpoint"
            " WHERE line = ? AND checkpoint_id = ?",
            (number, id),
        ).fetchone()
        if row is None:
            return None
        parent, frame_id, tag, body = row
        checkpoint, known = self.serde.loads_typed((tag, body))
        if filter and not passes(known, filter):
            return None
        if frame_id is not None:
            frame = self._frame(connection, number, frame_id)
            checkpoint["channel_versions"] = frame.versions | checkpoint["channel_versions"]
            checkpoint["versions_seen"] = frame.seen | checkpoint["versions_seen"]
        contents = checkpoint["channel_values"]
        for cell, version in checkpoint["channel_versions"].items():
            stored = read_cell(connection, number, cell, version)
            if stored is not None:
                contents[cell] = self.serde.loads_typed(stored)
        writes = connection.execute(
            "SELECT task_id, cell, tag, value FROM taskloom_write"
            " WHERE line = ? AND checkpoint_id = ? ORDER BY task_path, task_id, idx",
            (number, id),
        ).fetchall()
        return CheckpointTuple(
            config=_named(thread_id, namespace, id),
            checkpoint=checkpoint,
            metadata=known,
            parent_config=_named(thread_id, namespace, parent) if parent else None,
            pending_writes=[
                (task_id, cell, self.serde.loads_typed((tag, value)))
                for task_id, cell, tag, value in writes
            ],
        )

    def _frame(self, connection: sqlite3.Connection, number: int, frame_id: str) -> Frame:
        row = connection.execute(
            "SELECT tag, body FROM taskloom_frame WHERE line = ? AND frame_id = ?",
            (number, frame_id),
        ).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(
                f"the checkpoint file is damaged: frame {frame_id} of line {number} is missing"
            )
        versions, seen = self.serde.loads_typed(row)
        return Frame(frame_id, versions, seen)

    # -- forgetting ---------------------------------------------------------------------------

    def _retire(self, connection: sqlite3.Connection, line: Line, thread_id: str) -> None:
        """Drop what is not kept any longer, in the transaction of the put."""
        retention = self._retention
        looked_at = max(8, line.count - (retention.keep_last or line.count) + 1)
        oldest = connection.execute(
            "SELECT checkpoint_id, ts FROM taskloom_checkpoint WHERE line = ?"
            " ORDER BY checkpoint_id LIMIT ?",
            (line.number, min(looked_at, line.count)),
        ).fetchall()
        over = retention.excess([ts for _, ts in oldest], line.count)
        if not over:
            return
        delete_checkpoints(connection, [(line.number, id) for id, _ in oldest[:over]])
        line.count -= over
        line.since_sweep += over
        if line.since_sweep >= retention.sweep_interval:
            self._sweep(connection, thread_id, calls=True)

    def _sweep(
        self, connection: sqlite3.Connection, thread_id: str, *, calls: bool = False
    ) -> None:
        if calls:
            sweep_calls(connection, thread_id, self._store.lines)
        sweep_thread(connection, thread_id, self.serde, self._store.lines)
        self._store.epoch = raise_epoch(connection)

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread, in all its namespaces."""
        with self._store.transaction() as connection:
            self._delete_thread(connection, thread_id)

    def _delete_thread(self, connection: sqlite3.Connection, thread_id: str) -> None:
        numbers = connection.execute(
            "SELECT line FROM taskloom_line WHERE thread_id = ?", (thread_id,)
        ).fetchall()
        delete_lines(connection, [number for (number,) in numbers])
        self._store.lines.forget_thread(thread_id)
        self._store.epoch = raise_epoch(connection)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints, and their writes, that these runs made."""
        with self._store.transaction() as connection:
            threads: set[str] = set()
            for run_id in run_ids:
                rows = connection.execute(
                    "SELECT thread_id, line, checkpoint_id FROM taskloom_checkpoint"
                    " JOIN taskloom_line USING (line) WHERE run_id = ?",
                    (run_id,),
                ).fetchall()
                threads.update(row[0] for row in rows)
                delete_checkpoints(connection, [row[1:] for row in rows])
            for thread_id in threads:
                self._sweep(connection, thread_id)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another, replacing what that held."""
        with self._store.transaction() as connection:
            source = connection.execute(
                "SELECT line, namespace, root_id FROM taskloom_line WHERE thread_id = ?",
                (source_thread_id,),
            ).fetchall()
            if not source or source_thread_id == target_thread_id:
                return
            self._delete_thread(connection, target_thread_id)
            for number, namespace, root in source:
                copy = connection.execute(
                    "INSERT INTO taskloom_line (thread_id, namespace, root_id) VALUES (?, ?, ?)",
                    (target_thread_id, namespace, root),
                ).lastrowid
                for table in TABLES_OF_A_LINE:
                    columns = _COPIED[table]
                    connection.execute(
                        f"INSERT INTO taskloom_{table} (line, {columns})"
                        f" SELECT ?, {columns} FROM taskloom_{table} WHERE line = ?",
                        (copy, number),
                    )

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forget old checkpoints; see `BaseCheckpointSaver.prune`."""
        check_strategy(strategy)
        with self._store.transaction() as connection:
            for thread_id in thread_ids:
                if strategy == "delete":
                    self._delete_thread(connection, thread_id)
                    continue
                rows = connection.execute(
                    "SELECT line, checkpoint_id FROM taskloom_checkpoint AS old"
                    " JOIN taskloom_line USING (line) WHERE thread_id = ? AND checkpoint_id <"
                    " (SELECT max(checkpoint_id) FROM taskloom_checkpoint WHERE line = old.line)",
                    (thread_id,),
                ).fetchall()
                delete_checkpoints(connection, rows)
                self._sweep(connection, thread_id)


def _named(thread_id: str, namespace: str, id: str) -> Config:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": id,
        }
    }
