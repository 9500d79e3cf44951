"""The tables of a checkpoint file, and how a connection to it is set up.

A *line* is one namespace of one thread; the other tables name it by its number. Rows of `cell` and
`frame` are never changed, only added and, when nothing refers to them any more, deleted: a patch
needs the exact bytes that it was made upon. Every deletion raises the `epoch`, by which other
processes learn that what they remember of the file may be gone.
"""

from __future__ import annotations

import sqlite3
from typing import Literal, TypeAlias

Synchronous: TypeAlias = Literal["normal", "full"]

_FORMAT = 1

# A step changes a few rows in a few pages, and whole pages go into the log: small ones keep it
# short. Measured: 10 KiB a step, against 18 with pages of 4 KiB. Tables keep their row numbers,
# because rows of a table without them spill into pages of their own from a quarter of a page on.
_PAGE = 2048

# SQLite moves the log into the file, and waits for the disk, when the log has grown so long. By
# default a step in some five hundred would wait, and the file's own pages be written more often.
_LOG_PAGES = 16 * 2**20 // _PAGE

_TABLES = """
CREATE TABLE IF NOT EXISTS taskloom_meta (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taskloom_line (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    root_id TEXT NOT NULL DEFAULT '',
    UNIQUE (thread_id, namespace)
);
CREATE TABLE IF NOT EXISTS taskloom_checkpoint (
    line INTEGER NOT NULL,
    checkpoint_id TEXT NOT NULL,
    parent_id TEXT,
    frame_id TEXT,
    run_id TEXT,
    ts TEXT NOT NULL,
    tag TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (line, checkpoint_id)
);
CREATE TABLE IF NOT EXISTS taskloom_frame (
    line INTEGER NOT NULL,
    frame_id TEXT NOT NULL,
    tag TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (line, frame_id)
);
CREATE TABLE IF NOT EXISTS taskloom_cell (
    line INTEGER NOT NULL,
    cell TEXT NOT NULL,
    version NOT NULL,
    base,
    tag TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (line, cell, version)
);
CREATE TABLE IF NOT EXISTS taskloom_write (
    line INTEGER NOT NULL,
    checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    idx INTEGER NOT NULL,
    task_path TEXT NOT NULL,
    cell TEXT NOT NULL,
    tag TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (line, checkpoint_id, task_id, idx)
);
INSERT OR IGNORE INTO taskloom_meta VALUES ('epoch', 0);
"""

TABLES_OF_A_LINE = ("checkpoint", "frame", "cell", "write")


def prepare(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    """Set a connection up and create the tables that are missing.

    Raises:
        ValueError: the connection or an option will not do, or a newer version made the file.
    """
    if synchronous not in ("normal", "full"):
        raise ValueError(f"synchronous={synchronous!r}: it is 'normal' or 'full'")
    if getattr(connection, "autocommit", None) is False:
        raise ValueError(
            "the saver opens and commits its own transactions: connect with isolation_level=None, "
            "not with autocommit=False"
        )
    connection.execute(f"PRAGMA page_size = {_PAGE}")  # of a new file; an old one keeps its own
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
    row = connection.execute("SELECT value FROM taskloom_meta WHERE name = 'format'").fetchone()
    if row is None:
        connection.execute("INSERT OR IGNORE INTO taskloom_meta VALUES ('format', ?)", (_FORMAT,))
        connection.commit()
    elif row[0] > _FORMAT:
        raise ValueError(
            f"the checkpoint file has format {row[0]}, and this version of taskloom knows formats "
            f"up to {_FORMAT}: use the version that made the file, or a newer one"
        )
