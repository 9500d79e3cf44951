"""Deleting what no checkpoint of a line refers to any more."""

from __future__ import annotations

import sqlite3
from typing import Any

from taskloom.pregel.checkpoint.retention import is_call_namespace
from taskloom.pregel.checkpoint.serde.base import SerializerProtocol
from taskloom.pregel.checkpoint.sqlite.line import Line, Lines
from taskloom.pregel.checkpoint.sqlite.schema import TABLES_OF_A_LINE


def raise_epoch(connection: sqlite3.Connection) -> int:
    """Tell other processes that rows were deleted; returns the new epoch."""
    connection.execute("UPDATE taskloom_meta SET value = value + 1 WHERE name = 'epoch'")
    return read_epoch(connection)


def read_epoch(connection: sqlite3.Connection) -> int:
    """Return how often rows were deleted."""
    query = "SELECT value FROM taskloom_meta WHERE name = 'epoch'"
    epoch: int = connection.execute(query).fetchone()[0]
    return epoch


def delete_lines(connection: sqlite3.Connection, numbers: list[int]) -> None:
    """Delete lines with all that they hold."""
    rows = [(number,) for number in numbers]
    for table in TABLES_OF_A_LINE:
        connection.executemany(f"DELETE FROM taskloom_{table} WHERE line = ?", rows)
    connection.executemany("DELETE FROM taskloom_line WHERE line = ?", rows)


def sweep_calls(connection: sqlite3.Connection, thread_id: str, lines: Lines) -> None:
    """Delete the subgraph calls that belong to checkpoints which are no longer there."""
    oldest = connection.execute(
        "SELECT min(checkpoint_id) FROM taskloom_checkpoint JOIN taskloom_line USING (line)"
        " WHERE thread_id = ? AND namespace = ''",
        (thread_id,),
    ).fetchone()[0]
    found = connection.execute(
        "SELECT line, namespace FROM taskloom_line"
        " WHERE thread_id = ? AND root_id > '' AND root_id < ?",
        (thread_id, oldest),
    ).fetchall()
    over = [number for number, namespace in found if is_call_namespace(namespace)]
    if over:
        delete_lines(connection, over)
        lines.forget_thread(thread_id)


def sweep_thread(
    connection: sqlite3.Connection, thread_id: str, serde: SerializerProtocol, lines: Lines
) -> None:
    """Delete the cells and frames of a thread that no checkpoint refers to.

    The rows of checkpoints and writes that are no longer kept must be deleted already.
    """
    query = "SELECT line FROM taskloom_line WHERE thread_id = ?"
    for (number,) in connection.execute(query, (thread_id,)).fetchall():
        _sweep_line(connection, number, serde, lines.numbered(number))


def _sweep_line(
    connection: sqlite3.Connection, number: int, serde: SerializerProtocol, line: Line | None
) -> None:
    frames: dict[str, dict[str, Any]] = {}
    alive: set[tuple[str, Any]] = set()
    rows = connection.execute(
        "SELECT frame_id, tag, body FROM taskloom_checkpoint WHERE line = ?", (number,)
    ).fetchall()
    for frame_id, tag, body in rows:
        versions = serde.loads_typed((tag, body))[0]["channel_versions"]
        if frame_id is not None:
            if frame_id not in frames:
                frames[frame_id] = _frame_versions(connection, number, frame_id, serde)
            versions = frames[frame_id] | versions
        alive.update(versions.items())
    bases = {
        (cell, version): base
        for cell, version, base in connection.execute(
            "SELECT cell, version, base FROM taskloom_cell WHERE line = ?", (number,)
        )
    }
    for cell, version in tuple(alive):
        # What a patch was made upon lives as long as the patch.
        base = bases.get((cell, version))
        while base is not None and (cell, base) not in alive:
            alive.add((cell, base))
            base = bases.get((cell, base))
    connection.executemany(
        "DELETE FROM taskloom_cell WHERE line = ? AND cell = ? AND version = ?",
        [(number, cell, version) for cell, version in bases if (cell, version) not in alive],
    )
    connection.executemany(
        "DELETE FROM taskloom_frame WHERE line = ? AND frame_id = ?",
        [
            (number, frame_id)
            for (frame_id,) in connection.execute(
                "SELECT frame_id FROM taskloom_frame WHERE line = ?", (number,)
            ).fetchall()
            if frame_id not in frames
        ],
    )
    if line is not None:
        line.since_sweep = 0
        line.count = len(rows)
        if line.frame.id not in frames:
            line.frame = line.frame._replace(id="", versions={}, seen={})
        for cell in [c for c, chain in line.chains.items() if (c, chain.version) not in alive]:
            del line.chains[cell]


def _frame_versions(
    connection: sqlite3.Connection, number: int, frame_id: str, serde: SerializerProtocol
) -> dict[str, Any]:
    row = connection.execute(
        "SELECT tag, body FROM taskloom_frame WHERE line = ? AND frame_id = ?", (number, frame_id)
    ).fetchone()
    versions: dict[str, Any] = serde.loads_typed(tuple(row))[0]
    return versions
