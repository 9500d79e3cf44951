"""How many transactions a run takes, and that none of its writes is lost between two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import END, START, StateGraph
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

from .records import where


def add(one: list[str], other: list[str]) -> list[str]:
    if "bad" in other:
        raise LookupError("bad")
    return one + other


class State(TypedDict):
    log: Annotated[list[str], add]


def chain(*texts: str) -> StateGraph[State]:
    graph = StateGraph(State)
    names = [f"node {number}" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        graph.add_node(name, lambda state, text=text: {"log": [text]})
    for one, other in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, other)
    return graph


CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def saver(tmp_path: Path) -> Any:
    with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
        yield saver


def test_a_superstep_of_one_task_is_one_transaction(saver: SqliteSaver) -> None:
    graph = chain("a", "b", "c").compile(checkpointer=saver)
    statements: list[str] = []
    saver.conn.set_trace_callback(statements.append)
    graph.invoke({"log": []}, CONFIG, durability="sync")
    saver.conn.set_trace_callback(None)
    assert statements.count("COMMIT") <= 5  # the input, what it wrote, three supersteps
    stored = [
        sum(cell == "log" for _, cell, _ in found.pending_writes or [])
        for found in saver.list(where())
    ]
    assert stored == [0, 1, 1, 1, 1]


def test_writes_whose_reducer_fails_are_stored_all_the_same(saver: SqliteSaver) -> None:
    graph = chain("good", "bad").compile(checkpointer=saver)
    with pytest.raises(LookupError):
        graph.invoke({"log": []}, CONFIG, durability="sync")
    found = saver.get_tuple(where())
    assert found is not None
    assert found.checkpoint["channel_values"]["log"] == ["good"]
    assert [value for _, cell, value in found.pending_writes or [] if cell == "log"] == [["bad"]]
