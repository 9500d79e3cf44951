"""What a superstep makes of its writes, plain ones and rare ones in any order."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.pregel import START, InvalidUpdateError, Overwrite, StateGraph
from taskloom.pregel.cells import Cells
from taskloom.pregel.effect import NullTask
from taskloom.pregel.pregel import Pregel


class State(TypedDict):
    plain: int
    log: Annotated[list[int], operator.add]


def compiled() -> Pregel:
    builder = StateGraph(State)
    builder.add_node("work", lambda state: None)
    builder.add_edge(START, "work")
    return builder.compile()


GRAPH = compiled()

logs = st.lists(st.integers(0, 9), max_size=2)
marked = st.builds(lambda log: {"__overwrite__": log}, logs)
written = st.lists(logs | logs | marked, max_size=6)


def folded(writes: list[Any]) -> list[int]:
    """What the cell `log` holds after one superstep; an overwrite is the last word."""
    value: list[int] = []
    for write in writes:
        if isinstance(write, dict):
            return write["__overwrite__"]
        value = value + write
    return value


@settings(deadline=None)
@given(st.lists(written, min_size=1, max_size=3).filter(lambda t: _marks(t) <= 1))
def test_reduced_writes_fold_in_the_order_of_their_tasks(tasks: list[list[Any]]) -> None:
    cells = Cells(GRAPH.program)
    cells.apply([NullTask([("log", w) for w in writes]) for writes in tasks])  # type: ignore[misc]
    assert cells.get("log") == folded([write for writes in tasks for write in writes])


def _marks(tasks: list[list[Any]]) -> int:
    return sum(isinstance(write, dict) for writes in tasks for write in writes)


def test_two_overwrites_in_one_superstep_are_refused() -> None:
    writes: list[Any] = [("log", [1]), ("log", Overwrite([2])), ("log", Overwrite([3]))]
    with pytest.raises(InvalidUpdateError, match="only one Overwrite"):
        Cells(GRAPH.program).apply([NullTask(writes)])  # type: ignore[list-item]


def test_a_dict_with_type_and_value_is_an_ordinary_write_unless_it_says_overwrite() -> None:
    class Messages(TypedDict):
        seen: Annotated[list[Any], lambda old, new: [*old, new]]

    builder = StateGraph(Messages)
    builder.add_node("one", lambda state: {"seen": {"type": "human", "value": "hello"}})
    builder.add_edge(START, "one")
    assert builder.compile().invoke({"seen": 0}) == {
        "seen": [0, {"type": "human", "value": "hello"}]
    }


def test_writes_after_one_to_an_unknown_cell_count() -> None:
    cells = Cells(GRAPH.program)
    updated = cells.apply([NullTask([("nowhere", 1), ("plain", 2)])])  # type: ignore[list-item]
    assert (updated, cells.get("plain")) == (["plain"], 2)


def test_plain_writes_of_two_tasks_to_one_cell_name_both() -> None:
    tasks: list[Any] = [NullTask([("plain", 1)], "first"), NullTask([("plain", 2)], "second")]
    with pytest.raises(InvalidUpdateError, match=r"first.*second"):
        Cells(GRAPH.program).apply(tasks)


def test_a_reducer_that_fails_ends_the_superstep_with_its_error() -> None:
    cells = Cells(GRAPH.program)
    with pytest.raises(TypeError):
        cells.apply([NullTask([("log", 7)])])  # type: ignore[list-item]
