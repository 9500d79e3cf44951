"""Which graph a node's function calls is found in its code, without calling it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypedDict

import pytest
from taskloom.pregel import START, StateGraph
from taskloom.pregel.callee import find_subgraph


class State(TypedDict):
    n: int


def graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("leaf", lambda state: state)
    builder.add_edge(START, "leaf")
    return builder.compile()


GRAPH = graph()
HOLDER = SimpleNamespace(inner=SimpleNamespace(graph=GRAPH))


def by_global(state: Any) -> Any:
    return GRAPH.invoke(state)


def by_attributes(state: Any) -> Any:
    return HOLDER.inner.graph.invoke(state)


def in_an_inner_function(state: Any) -> Any:
    def inner() -> Any:
        return HOLDER.inner.graph.invoke(state)

    return inner()


@pytest.mark.parametrize("node", [by_global, by_attributes, in_an_inner_function])
def test_a_graph_that_the_code_names_is_found(node: Any) -> None:
    assert find_subgraph(node) is GRAPH


def test_a_graph_that_is_captured_is_found() -> None:
    captured = graph()
    holder = SimpleNamespace(graph=captured)
    assert find_subgraph(lambda state: captured.invoke(state, {})) is captured
    assert find_subgraph(lambda state: holder.graph.invoke(state, {})) is captured


def test_a_graph_that_only_lies_beside_what_the_code_names_is_not_found() -> None:
    holder = SimpleNamespace(graph=graph(), other=1)
    assert find_subgraph(lambda state: holder.other) is None
