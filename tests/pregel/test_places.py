"""Nodes with a priority, resources or a place of their own."""

import operator
import os
from typing import Annotated, Any, TypedDict

import pytest
import taskloom
from taskloom.pregel import START, StateGraph


class Log(TypedDict):
    log: Annotated[list[Any], operator.add]


def pid(state: Log) -> dict[str, Any]:
    return {"log": [os.getpid()]}


def graph_of(*nodes: tuple[str, Any, dict[str, Any]], **options: Any) -> Any:
    builder = StateGraph(Log)
    for name, action, given in nodes:
        builder.add_node(name, action, **given)
        builder.add_edge(START, name)
    return builder.compile(**options)


def test_a_node_can_run_in_a_process() -> None:
    with taskloom.Executor(2) as executor:
        graph = graph_of(("away", pid, {"place": "process"}), executor=executor)
        assert graph.invoke({"log": []})["log"] != [os.getpid()]


def test_more_urgent_nodes_of_a_superstep_begin_first() -> None:
    begun = []

    def begin(name: str) -> Any:
        return lambda state: begun.append(name)

    graph = graph_of(
        ("a", begin("a"), {}),
        ("b", begin("b"), {"priority": 2}),
        ("c", begin("c"), {"priority": -1}),
    )
    graph.invoke({"log": []}, {"max_concurrency": 1})
    assert begun == ["b", "a", "c"]


def test_a_node_waits_for_its_resources_and_runs() -> None:
    with taskloom.Executor(2) as executor:
        needs = taskloom.Resources(cpu=0.5)
        graph = graph_of(("a", pid, {"resources": needs}), executor=executor)
        assert graph.invoke({"log": []})["log"] == [os.getpid()]


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(TypeError, match="place"):
        graph_of(("a", pid, {"place": "moon"}))


def test_an_async_node_has_no_place_of_its_own() -> None:
    async def node(state: Log) -> dict[str, Any]:
        return {}

    with pytest.raises(ValueError, match="runs on the event loop"):
        graph_of(("a", node, {"place": "process"}))
