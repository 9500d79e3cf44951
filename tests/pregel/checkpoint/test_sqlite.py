"""What only the SQLite saver has to do: live in a file, with other users of it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from taskloom.pregel.checkpoint.sqlite import SqliteSaver
from taskloom.pregel.checkpoint.sqlite.aio import AsyncSqliteSaver

from .records import Writer, where


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.sqlite"


def values(saver: SqliteSaver, thread_id: str = "t") -> Any:
    found = saver.get_tuple(where(thread_id))
    return None if found is None else found.checkpoint["channel_values"]


def rows(saver: SqliteSaver, table: str) -> int:
    count: int = saver.conn.execute(f"SELECT count(*) FROM taskloom_{table}").fetchone()[0]
    return count


def test_a_closed_file_is_opened_where_it_ended(path: Path) -> None:
    text = ["x" * 300]
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        for number in range(5):
            text.append(f"line {number}")
            writer.put(text=text)
    with SqliteSaver.from_conn_string(path) as saver:
        assert values(saver) == {"text": text}
        writer.saver = saver
        writer.put(text=[*text, "more"])
        assert values(saver) == {"text": [*text, "more"]}
        assert len(list(saver.list(where()))) == 6


def test_an_open_connection_will_do(path: Path) -> None:
    connection = sqlite3.connect(path, check_same_thread=False)
    saver = SqliteSaver(connection)
    Writer(saver).put(a=[1])
    assert values(saver) == {"a": [1]}
    assert not connection.in_transaction
    saver.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="connections have no autocommit before 3.12")
def test_a_connection_that_opens_transactions_itself_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path, autocommit=False)
    with pytest.raises(ValueError, match="isolation_level=None"):
        SqliteSaver(connection)
    connection.close()


def test_an_unknown_way_to_sync_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="'normal' or 'full'"):
        SqliteSaver(path, synchronous="off")  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "level"), [("normal", 1), ("full", 2)])
def test_the_file_is_synced_as_asked(path: Path, option: Any, level: int) -> None:
    with SqliteSaver.from_conn_string(path, synchronous=option) as saver:
        assert saver.conn.execute("PRAGMA synchronous").fetchone() == (level,)
        assert saver.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_of_a_newer_format_is_left_alone(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        saver.conn.execute("UPDATE taskloom_meta SET value = 99 WHERE name = 'format'")
    with pytest.raises(ValueError, match="format 99"):
        SqliteSaver(path)


def test_a_missing_piece_of_a_value_is_reported(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        writer.put(a=["x" * 400])
        writer.put(a=["x" * 400, 1])
        saver.conn.execute("DELETE FROM taskloom_cell WHERE base IS NULL")
        with pytest.raises(sqlite3.DatabaseError, match="damaged"):
            saver.get_tuple(where())


def test_a_put_that_fails_midway_leaves_the_file_as_it_was(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        writer.put(a=["x" * 400])
        before = values(saver), writer.config, dict(writer.versions)
        saver.conn.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON taskloom_checkpoint"
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        with pytest.raises(sqlite3.Error):
            writer.put(a=["x" * 400, 1])
        saver.conn.execute("DROP TRIGGER refuse")
        assert values(saver) == before[0]
        writer.config, writer.versions = before[1:]
        writer.put(a=["x" * 400, 2])
        assert values(saver) == {"a": ["x" * 400, 2]}


def test_a_batch_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        config = writer.put(a=["x" * 400])

        def store_and_fail() -> None:
            with saver.batch():
                saver.put_writes(config, [("a", 1)], "task")
                writer.put(a=["x" * 400, 1])
                raise LookupError

        with pytest.raises(LookupError):
            store_and_fail()
        found = saver.get_tuple(where("t"))
        assert found is not None
        assert found.config == config
        assert found.pending_writes == []


def test_a_batch_is_seen_by_others_when_it_ends(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as one, SqliteSaver.from_conn_string(path) as two:
        with one.batch():
            Writer(one).put(a=1)
            assert values(two) is None
        assert values(two) == {"a": 1}


def test_another_process_may_delete_a_thread_between_steps(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as one, SqliteSaver.from_conn_string(path) as two:
        writer = Writer(one)
        wide = {f"cell_{number}": number for number in range(40)}
        writer.put(a=["x" * 400], **wide)
        writer.put(a=["x" * 400, 1])
        two.delete_thread("t")
        writer.put(a=["x" * 400, 2], **wide)
        assert values(two) == {"a": ["x" * 400, 2], **wide}


def test_another_process_may_sweep_between_steps(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as one, SqliteSaver.from_conn_string(path) as two:
        writer = Writer(one)
        writer.put(a=["x" * 400])
        first = writer.config, dict(writer.versions)
        writer.put(a=["y" * 400])
        two.prune(["t"])
        writer.config, writer.versions = first
        writer.put(a=["x" * 400, 2])
        assert values(two) == {"a": ["x" * 400, 2]}


def test_two_savers_take_turns_on_one_thread(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as one, SqliteSaver.from_conn_string(path) as two:
        writer = Writer(one)
        text = ["x" * 400]
        for number in range(10):
            text.append(str(number))
            writer.saver = (one, two)[number % 2]
            writer.put(text=text)
            assert values((two, one)[number % 2]) == {"text": text}


def test_deletion_leaves_no_rows(path: Path) -> None:
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        for number in range(5):
            config = writer.put(**{f"cell_{n}": ["x" * 300, number] for n in range(40)})
            saver.put_writes(config, [("a", 1)], "task")
        saver.delete_thread("t")
        assert [rows(saver, t) for t in ("line", "checkpoint", "frame", "cell", "write")] == [0] * 5


def test_retention_bounds_the_rows_of_the_file(path: Path) -> None:
    with SqliteSaver.from_conn_string(path, keep_last=2) as saver:
        writer = Writer(saver)
        for number in range(300):
            config = writer.put(a=["x" * 300, number], b=number)
            saver.put_writes(config, [("a", 1)], "task")
        assert rows(saver, "checkpoint") == 2
        assert rows(saver, "write") <= 2
        assert rows(saver, "cell") < 500
        assert values(saver) == {"a": ["x" * 300, 299], "b": 299}


def file_size(path: Path, cells: int, steps: int) -> int:
    """Size of a file after steps that each change one of many cells and add to a list."""
    with SqliteSaver.from_conn_string(path) as saver:
        writer = Writer(saver)
        items: list[str] = []
        writer.put(items=items, **{f"cell_{number}": "x" * 50 for number in range(cells)})
        for number in range(steps):
            items.append(f"message number {number} " + "y" * 40)
            writer.put(items=items, **{f"cell_{number % cells}": f"{number}" + "x" * 50})
    return path.stat().st_size


def test_the_file_grows_with_what_changed_and_not_with_the_state(tmp_path: Path) -> None:
    narrow = file_size(tmp_path / "narrow", cells=10, steps=600)
    wide = file_size(tmp_path / "wide", cells=100, steps=600)
    assert narrow < 600 * 1500
    assert wide < 2 * narrow


def test_a_longer_thread_costs_no_more_for_each_step(tmp_path: Path) -> None:
    short = file_size(tmp_path / "short", cells=10, steps=300)
    long = file_size(tmp_path / "long", cells=10, steps=1200)
    assert long < 4 * short * 1.3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_the_file_anew(path: Path) -> None:
    code = (
        "import os, sys\n"
        "from taskloom.pregel.checkpoint.base import empty_checkpoint\n"
        "from taskloom.pregel.checkpoint.sqlite import SqliteSaver\n"
        "def put(step):\n"
        "    config = {'configurable': {'thread_id': 't'}}\n"
        "    saver.put(config, empty_checkpoint(), {'step': step}, {})\n"
        "def steps():\n"
        "    return [found.metadata['step'] for found in saver.list(None)]\n"
        "saver = SqliteSaver(sys.argv[1])\n"
        "put(1)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    put(2)\n"
        "    os._exit(len(steps()))\n"
        "seen_by_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "put(3)\n"
        "print(seen_by_child, sorted(steps()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 [1, 2, 3]\n"


def test_the_asynchronous_saver_is_opened_by_async_with(path: Path) -> None:
    async def main() -> None:
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            await saver.setup()
            Writer(saver).put(a=[1])
            found = await saver.aget_tuple(where())
            assert found is not None
            assert found.checkpoint["channel_values"] == {"a": [1]}

    asyncio.run(main())
