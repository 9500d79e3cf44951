"""State graphs inside scopes: on an asyncio loop, in coroutines on the pool, and in plain code."""

from __future__ import annotations

import asyncio
import operator
from concurrent.futures import CancelledError
from threading import Event
from typing import Annotated, Any, TypedDict

import pytest
import taskloom
from taskloom import Scope
from taskloom.pregel import END, START, Send, StateGraph
from taskloom.pregel.checkpoint.memory import InMemorySaver


class State(TypedDict):
    n: int
    seen: Annotated[list[int], operator.add]


def fanned(node: Any, width: int = 4) -> Any:
    builder = StateGraph(State)
    builder.add_node("work", node)
    builder.add_conditional_edges(
        START, lambda state: [Send("work", state["n"] + i) for i in range(width)]
    )
    return builder.compile()


def looped(node: Any, until: int, **options: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("work", node)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda s: END if s["n"] >= until else "work")
    return builder.compile(**options)


def test_graphs_run_side_by_side_in_a_scope_of_plain_code() -> None:
    graph = fanned(lambda n: {"seen": [n]})
    with taskloom.Executor(2) as executor, Scope(executor) as scope:
        futures = [scope.spawn(graph.invoke, {"n": 10 * i}) for i in range(8)]
    assert [future.result()["seen"] for future in futures] == [
        [10 * i + j for j in range(4)] for i in range(8)
    ]


def test_a_coroutine_on_the_pool_spawns_graphs_and_awaits_them() -> None:
    graph = fanned(lambda n: {"seen": [n]})

    async def main() -> list[list[int]]:
        async with Scope() as scope:
            futures = [scope.spawn(graph.invoke, {"n": i}) for i in range(4)]
            return [(await future)["seen"] for future in futures]

    assert taskloom.run_coroutine(main) == [[i, i + 1, i + 2, i + 3] for i in range(4)]


def test_a_coroutine_on_the_pool_reaches_async_nodes_by_the_loop_beside_it() -> None:
    async def node(n: int) -> Any:
        await asyncio.sleep(0)
        return {"seen": [n]}

    async def main() -> Any:
        return await taskloom.aio(fanned(node).ainvoke({"n": 1}))

    assert taskloom.run_coroutine(main)["seen"] == [1, 2, 3, 4]


def test_an_async_graph_in_a_coroutine_on_the_pool_says_what_to_do() -> None:
    async def main() -> Any:
        return await fanned(lambda n: {"seen": [n]}).ainvoke({"n": 1})

    with pytest.raises(RuntimeError) as caught:
        taskloom.run_coroutine(main)
    assert "taskloom.aio(" in "".join(caught.value.__notes__)


def test_async_nodes_run_in_a_scope_on_an_asyncio_loop() -> None:
    together = [asyncio.Event() for _ in range(4)]

    async def node(n: int) -> Any:
        together[n].set()
        for event in together:
            await event.wait()
        return {"seen": [n]}

    async def main() -> Any:
        async with Scope() as scope:
            future = scope.spawn(fanned(node).ainvoke, {"n": 0})
        return future.result()

    assert asyncio.run(main())["seen"] == [0, 1, 2, 3]


def test_a_failing_sibling_cancels_an_async_graph_and_its_nodes() -> None:
    ended: list[str] = []

    async def main() -> None:
        begun = asyncio.Event()

        async def node(n: int) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("node")
                raise

        async def fail() -> None:
            await begun.wait()
            raise LookupError

        async with Scope() as scope:
            scope.spawn(fanned(node, 1).ainvoke, {"n": 0})
            scope.spawn(fail)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert ended == ["node"]


def test_a_cancelled_graph_stops_before_its_next_superstep_and_goes_on_later() -> None:
    begun, go_on = Event(), Event()

    def node(state: State) -> Any:
        begun.set()
        go_on.wait(30)
        return {"n": state["n"] + 1, "seen": [state["n"]]}

    graph = looped(node, 3, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    with taskloom.Executor(1) as executor:
        future = executor.submit(graph.invoke, {"n": 0}, config)
        begun.wait(30)
        future.cancel()
        go_on.set()
        with pytest.raises(CancelledError):
            future.result(30)
    assert graph.get_state(config).values == {"n": 1, "seen": [0]}
    assert graph.invoke(None, config) == {"n": 3, "seen": [0, 1, 2]}
