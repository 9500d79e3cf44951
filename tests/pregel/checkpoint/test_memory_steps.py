"""The memory saver takes a superstep at once, and nobody can tell from what is stored."""

from __future__ import annotations

import gc
import operator
import tracemalloc
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import END, START, StateGraph
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    n: int
    log: Annotated[list[dict[str, int]], operator.add]


def loop(until: int) -> StateGraph[State]:
    graph = StateGraph(State)
    graph.add_node("work", lambda state: {"n": state["n"] + 1, "log": [{"n": state["n"]}]})
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda state: END if state["n"] >= until else "work")
    return graph


class Watching(InMemorySaver):
    """Overrides what the engine stores by, so that it is called for everything."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        self.seen.append(task_id)
        super().put_writes(config, writes, task_id, task_path)


def history(saver: Any) -> list[Any]:
    graph = loop(3).compile(checkpointer=saver)
    graph.invoke({"n": 0, "log": []}, CONFIG)
    return [
        (
            found.values,
            found.next,
            found.metadata,
            [(task.name, task.path, task.result, task.error) for task in found.tasks],
        )
        for found in graph.get_state_history(CONFIG)
    ]


def test_the_history_is_that_of_savers_which_take_checkpoint_and_writes_apart() -> None:
    with SqliteSaver.from_conn_string(":memory:") as file:
        assert history(InMemorySaver()) == history(Watching()) == history(file)


def test_a_saver_that_overrides_put_writes_is_asked_for_each_task() -> None:
    saver = Watching()
    history(saver)
    assert len(set(saver.seen)) == 4  # the input's node and three supersteps


def test_writes_lie_under_the_id_that_the_task_sees() -> None:
    ids: list[str] = []

    def work(state: State, runtime: Any) -> Any:
        ids.append(runtime.execution_info.task_id)
        return {"n": 1}

    saver = InMemorySaver()
    for node in (work, lambda state: {"n": 1}):
        graph = StateGraph(State)
        graph.add_node("work", node)
        graph.add_edge(START, "work")
        graph.compile(checkpointer=saver).invoke({"n": 0, "log": []}, CONFIG)
    stored = [
        {task for task, cell, _ in found.pending_writes or [] if cell == "n"}
        for found in saver.list(CONFIG)
    ]
    assert ids[0] in set().union(*stored)


def test_writes_of_another_task_join_those_that_came_with_a_superstep() -> None:
    saver = InMemorySaver()
    loop(1).compile(checkpointer=saver).invoke({"n": 0, "log": []}, CONFIG)
    _, before, *_ = saver.list(CONFIG)
    saver.put_writes(before.config, [("n", 7)], "another", "~z")
    again = saver.get_tuple(before.config)
    assert again is not None
    assert [(cell, value) for _, cell, value in again.pending_writes or []] == [
        *((cell, value) for _, cell, value in before.pending_writes or []),
        ("n", 7),
    ]


def test_changing_a_value_after_its_superstep_does_not_change_the_past() -> None:
    kept: list[list[dict[str, int]]] = []

    def first(state: State) -> Any:
        kept.append([{"n": 0}])
        return {"log": kept[0]}

    def second(state: State) -> Any:
        kept[0][0]["n"] = 99
        return {"n": 1}

    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    compiled = graph.compile(checkpointer=InMemorySaver())
    compiled.invoke({"n": 0, "log": []}, CONFIG)
    _, middle, *_ = compiled.get_state_history(CONFIG)
    assert middle.values["log"] == [{"n": 0}]


def test_a_copied_thread_has_the_writes_too() -> None:
    saver = InMemorySaver()
    loop(2).compile(checkpointer=saver).invoke({"n": 0, "log": []}, CONFIG)
    saver.copy_thread("t", "u")
    writes = [
        [f.pending_writes for f in saver.list({"configurable": {"thread_id": t}})] for t in "tu"
    ]
    assert writes[0] == writes[1]


class Wide(TypedDict):
    n: int
    text: str


@pytest.mark.parametrize("steps", [2_000])
def test_a_long_thread_grows_with_what_changed_not_with_the_state(steps: int) -> None:
    def grown(size: int) -> int:
        graph = StateGraph(Wide)
        graph.add_node("work", lambda state: {"n": state["n"] + 1})
        graph.add_edge(START, "work")
        graph.add_conditional_edges("work", lambda state: END if state["n"] >= steps else "work")
        saver = InMemorySaver()
        compiled = graph.compile(checkpointer=saver)
        gc.collect()
        tracemalloc.start()
        compiled.invoke({"n": 0, "text": "x" * size}, {**CONFIG, "recursion_limit": steps + 10})
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert saver.get_tuple(CONFIG) is not None
        return held

    small, large = grown(10), grown(100_000)
    assert large - small < 400_000  # a few copies of the text, not two thousand
    assert small / steps < 2_500  # bytes a superstep
