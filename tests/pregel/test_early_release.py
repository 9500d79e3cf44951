"""Nodes that start as soon as what they read is settled."""

import asyncio
import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.pregel import START, Command, GraphRecursionError, InvalidUpdateError, StateGraph
from taskloom.pregel.checkpoint.memory import InMemorySaver


class Left(TypedDict, total=False):
    left: Annotated[list[str], operator.add]


class Right(TypedDict, total=False):
    right: Annotated[list[str], operator.add]


class Both(Left, Right):
    total: int


def two_branches(slow: Any) -> StateGraph:
    """slow -> after_slow on the left; quick -> after_quick on the right."""

    def after_slow(state: Left) -> Left:
        return {"left": ["after slow"]}

    def quick(state: Right) -> Right:
        return {"right": ["quick"]}

    def after_quick(state: Right) -> Right:
        return {"right": [f"after {state['right'][-1]}"]}

    builder = StateGraph(Both)
    builder.add_node("slow", slow, input_schema=Left, writes=["left"])
    for node in (after_slow, quick, after_quick):
        builder.add_node(node)
    builder.add_edge(START, "slow")
    builder.add_edge(START, "quick")
    builder.add_edge("slow", "after_slow")
    builder.add_edge("quick", "after_quick")
    return builder


def test_a_slow_sibling_does_not_hold_an_unrelated_branch() -> None:
    branch_done = threading.Event()

    def slow(state: Left) -> Left:
        assert branch_done.wait(30), "the other branch waited for this one"
        return {"left": ["slow"]}

    builder = two_branches(slow)
    builder.add_node("last", lambda state: branch_done.set(), input_schema=Right, writes=[])
    builder.add_edge("after_quick", "last")
    result = builder.compile(early_release=True).invoke({})
    assert result == {"left": ["slow", "after slow"], "right": ["quick", "after quick"]}


def test_async_nodes_are_released_early_too() -> None:
    async def main() -> Any:
        branch_done = asyncio.Event()

        async def slow(state: Left) -> Left:
            await asyncio.wait_for(branch_done.wait(), 30)
            return {"left": ["slow"]}

        async def last(state: Right) -> Right:
            branch_done.set()
            return {}

        builder = two_branches(slow)
        builder.add_node(last)
        builder.add_edge("after_quick", "last")
        return await builder.compile(early_release=True).ainvoke({})

    assert asyncio.run(main())["left"] == ["slow", "after slow"]


class Log(TypedDict):
    a: Annotated[list[str], operator.add]
    b: Annotated[list[str], operator.add]
    c: Annotated[list[str], operator.add]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], list[Any]]:
    """Random acyclic graphs: for each node what it reads and writes, and the edges."""
    count = draw(st.integers(1, 7))
    cells = st.sampled_from("abc")
    nodes = [(f"n{i}", draw(cells), draw(cells)) for i in range(count)]
    edges: list[Any] = [(START, "n0")]
    for i in range(1, count):
        earlier = [f"n{j}" for j in range(i)]
        starts = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=3, unique=True))
        if draw(st.booleans()):
            edges.append((starts, f"n{i}"))
        else:
            edges += [(start, f"n{i}") for start in starts]
    return nodes, edges


@settings(deadline=None)
@given(graphs())
def test_results_are_those_of_supersteps(graph: Any) -> None:
    nodes, edges = graph
    builder = StateGraph(Log)
    for name, reads, writes in nodes:

        def node(state: Any, name: str = name, reads: str = reads, writes: str = writes) -> Any:
            return {writes: [f"{name} saw {len(state[reads])}"]}

        schema = TypedDict(f"Reads{reads}", {reads: Log.__annotations__[reads]})
        builder.add_node(name, node, input_schema=schema, writes=[writes])
    for start, end in edges:
        builder.add_edge(start, end)
    given: Any = {"a": [], "b": [], "c": []}
    plain = builder.compile().invoke(given)
    assert builder.compile(early_release=True).invoke(given) == plain


def refused(builder: StateGraph, message: str, **options: Any) -> None:
    with pytest.raises(ValueError, match=message):
        builder.compile(early_release=True, **options)


def test_what_depends_on_the_state_is_refused() -> None:
    refused(two_branches(print).add_edge("after_slow", "slow"), "without cycles")
    refused(two_branches(print).add_conditional_edges("quick", lambda s: "slow"), "static edges")
    refused(two_branches(print).add_node("d", print, defer=True), "cannot defer 'd'")
    refused(two_branches(print), "nothing|no supersteps", checkpointer=InMemorySaver())


def test_a_write_that_was_not_declared_is_an_error() -> None:
    graph = two_branches(lambda state: {"right": ["mine"]}).compile(early_release=True)
    with pytest.raises(InvalidUpdateError, match="'right', which it does not declare"):
        graph.invoke({})


def test_a_command_that_goes_elsewhere_is_an_error() -> None:
    graph = two_branches(lambda state: Command(goto="after_quick")).compile(early_release=True)
    with pytest.raises(InvalidUpdateError, match="decided where to go"):
        graph.invoke({})


def test_the_recursion_limit_counts_supersteps() -> None:
    graph = two_branches(lambda state: {}).compile(early_release=True)
    with pytest.raises(GraphRecursionError, match="less than the 2 supersteps"):
        graph.invoke({}, {"recursion_limit": 1})
