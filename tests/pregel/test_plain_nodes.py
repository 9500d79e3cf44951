"""Nodes that are no more than functions of the state, one in a superstep or many side by side."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import END, START, RetryPolicy, Send, StateGraph, get_config
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.errors import NodeError
from taskloom.pregel.types import Command


class Found(TypedDict):
    found: Annotated[list[Any], operator.add]


def fanned(work: Any, inputs: list[Any], **options: Any) -> Any:
    builder = StateGraph(Found)
    builder.add_node("work", work, **options)
    builder.add_conditional_edges(START, lambda state: [Send("work", given) for given in inputs])
    return builder


def test_each_of_many_plain_nodes_is_asked_about_itself() -> None:
    def work(given: int) -> dict[str, list[Any]]:
        return {"found": [(given, get_config()["metadata"]["langgraph_path"][1])]}

    graph = fanned(work, [3, 4, 5]).compile()

    assert graph.invoke({"found": []}) == {"found": [(3, 0), (4, 1), (5, 2)]}


def test_a_plain_node_in_the_middle_of_many_is_retried() -> None:
    tried: list[int] = []

    def work(given: int) -> dict[str, list[int]]:
        tried.append(given)
        if given == 2 and tried.count(2) < 3:
            raise ConnectionError("busy")
        return {"found": [given]}

    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    graph = fanned(work, [1, 2, 3], retry_policy=policy).compile()

    assert graph.invoke({"found": []}) == {"found": [1, 2, 3]}
    assert tried.count(2) == 3


def test_what_a_failed_attempt_wrote_is_dropped() -> None:
    failed: list[Any] = []

    def branch(state: Found) -> str:
        if 2 in state["found"] and not failed:
            failed.append(state)
            raise ConnectionError("busy")
        return END

    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    builder = fanned(lambda given: {"found": [given]}, [1, 2, 3], retry_policy=policy)
    builder.add_conditional_edges("work", branch)

    assert builder.compile().invoke({"found": []}) == {"found": [1, 2, 3]}
    assert len(failed) == 1


def test_the_error_of_one_of_many_plain_nodes_ends_the_run_and_says_which_it_was() -> None:
    def work(given: int) -> dict[str, list[float]]:
        return {"found": [1 / given]}

    with pytest.raises(ZeroDivisionError) as caught:
        fanned(work, [1, 0, 2]).compile().invoke({"found": []})

    assert any("task with name 'work'" in note for note in caught.value.__notes__)


def test_a_handler_of_one_of_many_plain_nodes_writes_after_them() -> None:
    def work(given: int) -> dict[str, list[float]]:
        return {"found": [4 // given]}

    def handle(given: int, error: NodeError) -> dict[str, list[Any]]:
        return {"found": [type(error.error).__name__]}

    graph = fanned(work, [1, 0, 2], error_handler=handle).compile()

    assert sorted(graph.invoke({"found": []})["found"], key=str) == [2, 4, "ZeroDivisionError"]


def test_plain_nodes_may_return_nothing_a_command_or_what_the_state_does_not_have() -> None:
    def work(given: int) -> Any:
        returned: list[Any] = [
            None,
            Command(update={"found": ["command"]}),
            {"found": ["dict"], "unknown": 1},
        ]
        return returned[given]

    graph = fanned(work, [0, 1, 2]).compile()

    assert graph.invoke({"found": []}) == {"found": ["command", "dict"]}


def test_nodes_beside_sends_are_applied_before_them() -> None:
    def fan(state: Found) -> list[Any]:
        return [Send("work", 2), "first", Send("work", 3)]

    builder = StateGraph(Found)
    builder.add_node("work", lambda given: {"found": [given]})
    builder.add_node("first", lambda state: {"found": [1]})
    builder.add_conditional_edges(START, fan)

    assert builder.compile().invoke({"found": []}) == {"found": [1, 2, 3]}


def test_a_plain_node_whose_dict_changes_afterwards_has_written_what_it_returned() -> None:
    kept: dict[str, list[int]] = {"found": [1]}

    def first(state: Found) -> dict[str, list[int]]:
        return kept

    def branch(state: Found) -> str:
        kept["found"] = [7]
        return "second"

    builder = StateGraph(Found)
    builder.add_node("first", first)
    builder.add_node("second", lambda state: {"found": [2]})
    builder.add_edge(START, "first")
    builder.add_conditional_edges("first", branch)

    assert builder.compile().invoke({"found": []}) == {"found": [1, 2]}


def test_a_stored_step_shares_no_state_with_the_values_that_a_program_changes_later() -> None:
    kept: list[int] = [1]

    def first(state: Found) -> dict[str, list[int]]:
        return {"found": kept}

    def second(state: Found) -> dict[str, list[int]]:
        kept.append(7)
        return {"found": [2]}

    builder = StateGraph(Found).add_node(first).add_node(second)
    builder.add_edge(START, "first").add_edge("first", "second")
    graph = builder.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}

    graph.invoke({"found": []}, thread)

    stored = {step.metadata["step"]: step for step in graph.get_state_history(thread)}
    assert stored[1].values == {"found": [1]}
    assert stored[2].values == {"found": [1, 2]}
    assert [task.result for task in stored[0].tasks] == [{"found": [1]}]


def test_the_writes_of_a_stored_step_are_found_under_the_id_that_the_task_has() -> None:
    ids: list[str] = []

    def work(state: Found) -> dict[str, list[int]]:
        ids.append(get_config()["configurable"]["__pregel_task_id"])
        return {"found": [len(ids)]}

    def quiet(state: Found) -> dict[str, list[int]]:
        return {"found": [0]}

    builder = StateGraph(Found).add_node(work).add_node(quiet)
    builder.add_edge(START, "work").add_edge("work", "quiet")
    saver = InMemorySaver()
    graph = builder.compile(checkpointer=saver)
    thread: Any = {"configurable": {"thread_id": "1"}}

    graph.invoke({"found": []}, thread)

    by_step = {found.metadata["step"]: found for found in saver.list(thread)}
    writes = by_step[0].pending_writes or []
    assert {tid for tid, _, _ in writes} == set(ids)
    snapshots = {step.metadata["step"]: step for step in graph.get_state_history(thread)}
    quiet_writes = by_step[1].pending_writes or []
    assert {tid for tid, _, _ in quiet_writes} == {task.id for task in snapshots[1].tasks}
