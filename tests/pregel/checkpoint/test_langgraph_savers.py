"""LangGraph's own savers serve our graphs as they are: its memory, SQLite and PostgreSQL savers.

They come with the dependency group `conformance`. For PostgreSQL a server is started in a folder
of the test's own, if the machine has one.
"""

from __future__ import annotations

import asyncio
import importlib
import operator
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import END, START, StateGraph
from taskloom.pregel.types import Command, Send, interrupt


@dataclass
class Note:
    text: str


class State(TypedDict):
    notes: Annotated[list[Note], operator.add]
    answer: str


def program() -> StateGraph[State]:
    def fan_out(state: State) -> list[Send]:
        return [Send("write", {"text": text}) for text in ("one", "two")]

    def write(given: dict[str, str]) -> dict[str, Any]:
        return {"notes": [Note(given["text"])]}

    def ask(state: State) -> dict[str, Any]:
        return {"answer": interrupt({"notes": len(state["notes"])})}

    graph = StateGraph(State)
    graph.add_node("write", write)
    graph.add_node("ask", ask)
    graph.add_conditional_edges(START, fan_out, ["write"])
    graph.add_edge("write", "ask")
    graph.add_edge("ask", END)
    return graph


def config(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


NOTES = [Note("one"), Note("two")]


def needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"install the dependency group 'conformance': {error}")


@contextmanager
def their_memory(folder: Path) -> Iterator[Any]:
    yield needed("langgraph.checkpoint.memory").InMemorySaver()


@contextmanager
def their_sqlite(folder: Path) -> Iterator[Any]:
    module = needed("langgraph.checkpoint.sqlite")
    with module.SqliteSaver.from_conn_string(str(folder / "theirs.sqlite")) as saver:
        yield saver


@contextmanager
def their_postgres(folder: Path) -> Iterator[Any]:
    module = needed("langgraph.checkpoint.postgres")
    with server() as address, module.PostgresSaver.from_conn_string(address) as saver:
        saver.setup()
        yield saver


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(versions[-1]) if versions else None
    if found is None:
        pytest.skip(f"there is no PostgreSQL server here to start ({name} is missing)")
    return found


@contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL server on a socket in a folder of its own; its address."""
    # Not pytest's folder: its path is too long for a socket, and closed to other users.
    with tempfile.TemporaryDirectory(prefix="taskloom-", ignore_cleanup_errors=True) as name:
        yield from serve(Path(name))


def serve(folder: Path) -> Iterator[str]:
    data, log = folder / "data", folder / "log"
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        import pwd

        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user 'nobody'")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def call(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, **who
        )
        if done.returncode != 0:
            pytest.skip(f"PostgreSQL cannot be started here: {done.stdout}{done.stderr}")

    control = tool("pg_ctl")
    call(tool("initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses='' -c fsync=off -k {folder}"
    call(control, "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        subprocess.run(
            [control, "-D", str(data), "-m", "immediate", "stop"],
            cwd=folder,
            capture_output=True,
            check=False,
            **who,
        )


@pytest.fixture(params=[their_memory, their_sqlite, their_postgres])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    make: Callable[[Path], Any] = request.param
    with make(tmp_path) as saver:
        yield saver


def test_a_thread_is_interrupted_resumed_and_looked_back_upon(saver: Any) -> None:
    graph = program().compile(checkpointer=saver)
    stopped = graph.invoke({"notes": [], "answer": ""}, config("1"))
    assert stopped["__interrupt__"][0].value == {"notes": 2}
    assert graph.get_state(config("1")).next == ("ask",)

    again = program().compile(checkpointer=saver)  # as another process would
    done = again.invoke(Command(resume="yes"), config("1"))
    assert done == {"notes": NOTES, "answer": "yes"}

    history = list(again.get_state_history(config("1")))
    assert [len(state.values.get("notes", ())) for state in history] == [2, 2, 0, 0]
    branch = again.update_state(history[1].config, {"answer": "by hand"}, as_node="ask")
    assert again.get_state(branch).values == {"notes": NOTES, "answer": "by hand"}
    assert again.get_state(history[0].config).values["answer"] == "yes"


def test_threads_are_apart_and_can_be_deleted(saver: Any) -> None:
    graph = program().compile(checkpointer=saver)
    for thread_id in ("1", "2"):
        graph.invoke({"notes": [], "answer": ""}, config(thread_id))
    saver.delete_thread("1")
    assert graph.get_state(config("1")).values == {}
    assert graph.get_state(config("2")).values["notes"] == NOTES


def test_their_asynchronous_memory_saver_serves_asynchronous_runs() -> None:
    saver = needed("langgraph.checkpoint.memory").InMemorySaver()

    async def main() -> Any:
        graph = program().compile(checkpointer=saver)
        await graph.ainvoke({"notes": [], "answer": ""}, config("1"))
        return await graph.ainvoke(Command(resume="yes"), config("1"))

    assert asyncio.run(main()) == {"notes": NOTES, "answer": "yes"}


def test_their_asynchronous_sqlite_saver_serves_asynchronous_runs(tmp_path: Path) -> None:
    module = needed("langgraph.checkpoint.sqlite.aio")

    async def main() -> Any:
        async with module.AsyncSqliteSaver.from_conn_string(str(tmp_path / "file")) as saver:
            graph = program().compile(checkpointer=saver)
            await graph.ainvoke({"notes": [], "answer": ""}, config("1"))
            return await graph.ainvoke(Command(resume="yes"), config("1"))

    assert asyncio.run(main()) == {"notes": NOTES, "answer": "yes"}
