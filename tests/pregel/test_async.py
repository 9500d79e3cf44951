"""The same graphs on an event loop."""

import asyncio
import operator
from contextlib import aclosing
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import START, Command, Send, StateGraph, get_stream_writer, interrupt
from taskloom.pregel.checkpoint.memory import InMemorySaver

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def graph_of(*nodes: Any, **options: Any):
    builder = StateGraph(Log)
    for node in nodes:
        builder.add_node(node)
        builder.add_edge(START, node.__name__)
    return builder.compile(**options)


async def a(state: Log) -> dict:
    await asyncio.sleep(0)
    return {"log": ["a"]}


def b(state: Log) -> dict:
    return {"log": ["b"]}


def test_async_and_sync_nodes_run_in_one_superstep() -> None:
    assert asyncio.run(graph_of(a, b).ainvoke({"log": []})) == {"log": ["a", "b"]}


def test_async_nodes_run_side_by_side() -> None:
    async def main() -> Any:
        meeting = asyncio.Barrier(2)

        async def one(state: Log) -> dict:
            await meeting.wait()
            return {"log": ["one"]}

        async def two(state: Log) -> dict:
            await meeting.wait()
            return {"log": ["two"]}

        return await graph_of(one, two).ainvoke({"log": []})

    assert asyncio.run(main()) == {"log": ["one", "two"]}


def test_an_async_node_in_a_sync_run_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="ainvoke"):
        graph_of(a).invoke({"log": []})


def test_async_branches_and_sends() -> None:
    async def fan_out(state: Log) -> list[Send]:
        return [Send("work", str(i)) for i in range(3)]

    async def work(item: str) -> dict:
        return {"log": [item]}

    builder = StateGraph(Log)
    builder.add_node(work)
    builder.add_conditional_edges(START, fan_out)
    assert asyncio.run(builder.compile().ainvoke({"log": []})) == {"log": ["0", "1", "2"]}


def test_interrupt_and_resume_on_a_loop() -> None:
    async def ask(state: Log) -> dict:
        return {"log": [interrupt("why")]}

    async def main() -> Any:
        graph = graph_of(ask, checkpointer=InMemorySaver())
        first = await graph.ainvoke({"log": []}, CONFIG)
        state = await graph.aget_state(CONFIG)
        assert state.interrupts == tuple(first["__interrupt__"])
        await graph.aupdate_state(CONFIG, {"log": ["by hand"]}, as_node="__start__")
        history = [s.metadata["source"] async for s in graph.aget_state_history(CONFIG)]
        assert history[0] == "update"
        return await graph.ainvoke(None, CONFIG)

    assert asyncio.run(main())["__interrupt__"][0].value == "why"


def test_astream_shows_custom_chunks_while_the_node_runs() -> None:
    async def main() -> list[Any]:
        seen = asyncio.Event()

        async def node(state: Log) -> dict:
            get_stream_writer()("half")
            await asyncio.wait_for(seen.wait(), 30)
            return {"log": ["done"]}

        shown = []
        async for chunk in graph_of(node).astream({"log": []}, stream_mode=["custom", "updates"]):
            shown.append(chunk)
            seen.set()
        return shown

    assert asyncio.run(main()) == [("custom", "half"), ("updates", {"node": {"log": ["done"]}})]


def test_leaving_an_async_stream_cancels_what_runs() -> None:
    async def main() -> list[str]:
        events = []

        async def slow(state: Log) -> dict:
            try:
                await asyncio.Event().wait()
            finally:
                events.append("cancelled")
            return {}

        async with aclosing(graph_of(a, slow).astream({"log": []})) as stream:
            async for _ in stream:
                break
        return events

    assert asyncio.run(main()) == ["cancelled"]


def test_failure_of_one_node_cancels_its_siblings() -> None:
    async def main() -> list[str]:
        events = []

        async def slow(state: Log) -> dict:
            try:
                await asyncio.Event().wait()
            finally:
                events.append("cancelled")
            return {}

        async def bad(state: Log) -> dict:
            await asyncio.sleep(0)
            raise KeyError("bad")

        with pytest.raises(KeyError):
            await graph_of(bad, slow).ainvoke({"log": []})
        return events

    assert asyncio.run(main()) == ["cancelled"]


def test_abatch_returns_outputs_in_order() -> None:
    inputs = [{"log": [str(i)]} for i in range(5)]
    outputs = asyncio.run(graph_of(a).abatch(inputs, {"max_concurrency": 2}))
    assert outputs == [{"log": [str(i), "a"]} for i in range(5)]


def test_async_subgraph_and_command_to_its_parent() -> None:
    async def leave(state: Log) -> Command:
        return Command(graph=Command.PARENT, goto="b", update={"log": ["up"]})

    outer = StateGraph(Log)
    outer.add_node("sub", graph_of(leave))
    outer.add_node(b)
    outer.add_edge(START, "sub")
    assert asyncio.run(outer.compile().ainvoke({"log": []})) == {"log": ["up", "b"]}
