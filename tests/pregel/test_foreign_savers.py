"""LangGraph's own savers, as they are. Skipped where they are not installed."""

import operator
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import START, Command, Send, StateGraph, interrupt

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def exercise(saver: Any) -> None:
    """Sends, an interrupt, a resume in a graph made anew, history, an update."""
    builder = StateGraph(Log)
    builder.add_node("work", lambda item: {"log": [item]})
    builder.add_node("ask", lambda state: {"log": [interrupt("why")]})
    builder.add_conditional_edges(START, lambda state: [Send("work", "x"), Send("work", "y")])
    builder.add_edge(START, "ask")
    asked = builder.compile(checkpointer=saver).invoke({"log": []}, CONFIG)["__interrupt__"]
    assert [i.value for i in asked] == ["why"]
    graph = builder.compile(checkpointer=saver)
    assert graph.get_state(CONFIG).interrupts == tuple(asked)
    result = graph.invoke(Command(resume={asked[0].id: "because"}), CONFIG, durability="sync")
    assert result == {"log": ["because", "x", "y"]}
    graph.update_state(CONFIG, {"log": ["by hand"]}, as_node="ask")
    sources = [state.metadata["source"] for state in graph.get_state_history(CONFIG)]
    assert sources == ["update", "loop", "loop", "input"]


def test_memory_saver_of_langgraph() -> None:
    module = pytest.importorskip("langgraph.checkpoint.memory")
    exercise(module.InMemorySaver())


def test_sqlite_saver_of_langgraph(tmp_path: Path) -> None:
    module = pytest.importorskip("langgraph.checkpoint.sqlite")
    with module.SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        exercise(saver)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of this test's own."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    # The server refuses to run as root, and its user must be able to reach its files.
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="taskloom-postgres-"))
    if user is not None:
        shutil.chown(folder, user)

    def call(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            text=True,
            user=user,
            cwd=folder,
            **options,
        )

    data = folder / "data"
    made = call("initdb", "-D", data, "-U", "loom", "-A", "trust", "--no-sync", capture_output=True)
    if made.returncode:
        pytest.skip(f"initdb does not run here: {made.stderr.strip().splitlines()[-1]}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = call(
        "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start", **quiet
    )
    try:
        if started.returncode:
            pytest.skip(f"PostgreSQL does not start here: {(folder / 'log').read_text()[-300:]}")
        yield f"postgresql://loom@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop", **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def test_postgres_saver_of_langgraph(postgres: str) -> None:
    module = pytest.importorskip("langgraph.checkpoint.postgres")
    with module.PostgresSaver.from_conn_string(postgres) as saver:
        saver.setup()
        exercise(saver)
