"""The cell whose reducer takes all writes of a superstep in one call."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import START, InvalidUpdateError, Overwrite, RemoveMessage, StateGraph
from taskloom.pregel.channels import DeltaChannel
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.serde.types import DeltaSnapshot
from taskloom.pregel.graph.message import messages_delta_reducer
from taskloom.pregel.missing import MISSING


def merged(held: dict[str, int], writes: list[dict[str, int]]) -> dict[str, int]:
    whole = dict(held)
    for write in writes:
        whole |= write
    return {key: value for key, value in whole.items() if value}


def get_id(message: Any) -> Any:
    return message["id"] if isinstance(message, dict) else message.id


class State(TypedDict):
    files: Annotated[dict[str, int], DeltaChannel(merged)]


def test_all_writes_of_a_superstep_come_in_one_call() -> None:
    calls: list[list[Any]] = []

    def reduce(held: list[int], writes: list[list[int]]) -> list[int]:
        calls.append(writes)
        return held + [item for write in writes for item in write]

    cell = DeltaChannel(reduce)
    cell.update([[1], [2, 3]])
    assert calls == [[[1], [2, 3]]]
    assert cell.get() == [1, 2, 3]


def test_it_begins_with_the_empty_value_of_its_annotations_type_and_is_stored() -> None:
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"files": {"a": 1, "b": 2}})
    builder.add_node("two", lambda state: {"files": {"a": 0, "c": 3}})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    assert graph.invoke({}, config) == {"files": {"b": 2, "c": 3}}
    assert graph.get_state(config).values == {"files": {"b": 2, "c": 3}}


def test_an_overwrite_replaces_the_value_and_two_are_refused() -> None:
    cell = DeltaChannel(merged, dict)
    cell.update([{"a": 1}, Overwrite({"z": 9})])
    assert cell.get() == {"z": 9}
    with pytest.raises(InvalidUpdateError, match="only one Overwrite"):
        cell.update([Overwrite({}), Overwrite({})])


def test_a_copy_changes_independently() -> None:
    cell = DeltaChannel(merged, dict)
    cell.update([{"a": 1}])
    twin = cell.copy()
    twin.get()["b"] = 2
    assert cell.get() == {"a": 1}


def test_a_snapshot_frequency_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        DeltaChannel(merged, snapshot_frequency=0)


def test_replayed_writes_are_reduced_at_once_from_the_last_overwrite_on() -> None:
    calls: list[Any] = []

    def reduce(held: list[int], writes: Sequence[list[int]]) -> list[int]:
        calls.append(list(writes))
        return held + [item for write in writes for item in write]

    cell = DeltaChannel(reduce, list)
    cell.replay_writes(
        [("t", "x", [1]), ("t", "x", Overwrite([7])), ("u", "x", [2]), ("v", "x", [3])]
    )
    assert cell.get() == [7, 2, 3]
    assert calls == [[[2], [3]]]


def test_messages_merge_the_same_in_one_batch_as_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "langchain_core.messages", raising=False)
    first = [
        [{"role": "user", "content": "a", "id": "1"}],
        {"role": "user", "content": "b", "id": "3"},
    ]
    second = [
        [{"role": "user", "content": "A", "id": "1"}],
        {"role": "user", "content": "c", "id": "2"},
        RemoveMessage("2"),
        RemoveMessage("not there"),
    ]
    reduce = messages_delta_reducer
    whole = reduce([], first + second)
    assert whole == reduce(reduce([], first), second)
    assert [message["content"] for message in whole] == ["A", "b"]


def test_a_message_merged_in_a_batch_is_given_an_id() -> None:
    (message,) = messages_delta_reducer([], [("user", "hi")])
    assert get_id(message)


def test_what_replaces_messages_may_have_any_form_of_one() -> None:
    cell = DeltaChannel(messages_delta_reducer)
    cell.update([Overwrite(("hello", ("assistant", "hi")))])
    assert all(get_id(message) for message in cell.get())
    assert len(cell.get()) == 2


def test_it_has_no_checkpoint_of_its_own_but_is_stored() -> None:
    cell = DeltaChannel(merged, dict)
    cell.update([{"a": 1}])
    assert cell.checkpoint() is MISSING
    assert cell.stored() == {"a": 1}


class _DeltaSnapshot:  # LangGraph's has this name
    value = (1, 2)


@pytest.mark.parametrize("wrapped", [_DeltaSnapshot(), DeltaSnapshot((1, 2))])
def test_a_value_that_langgraph_has_wrapped_is_unwrapped(wrapped: Any) -> None:
    assert DeltaChannel(merged).from_checkpoint(wrapped).get() == (1, 2)
