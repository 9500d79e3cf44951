"""Reading and deleting rows that belong together."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from taskloom.pregel.checkpoint.patch import Patch


def delete_checkpoints(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Delete the checkpoints, and their writes, named by `(line, id)`."""
    for table in ("checkpoint", "write"):
        connection.executemany(
            f"DELETE FROM taskloom_{table} WHERE line = ? AND checkpoint_id = ?", rows
        )


def read_cell(
    connection: sqlite3.Connection, number: int, cell: str, version: Any
) -> tuple[str, bytes] | None:
    """Return the bytes of a version of a cell, put together from its patches."""
    query = "SELECT base, tag, value FROM taskloom_cell WHERE line = ? AND cell = ? AND version = ?"
    row = connection.execute(query, (number, cell, version)).fetchone()
    if row is None:
        return None
    base, tag, raw = row
    patches: list[Patch] = []
    while base is not None:
        patches.append(Patch.unpack(raw))
        row = connection.execute(query, (number, cell, base)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(
                f"the checkpoint file is damaged: version {base} of cell {cell!r} of line {number}"
                " is missing, and a later one is a patch upon it"
            )
        base, _, raw = row
    for patch in reversed(patches):
        raw = patch.apply(raw)
    return tag, raw
