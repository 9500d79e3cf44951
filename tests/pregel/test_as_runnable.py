"""A graph as LangChain's `Runnable`: events, logs, maps and pipes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, TypedDict

import pytest
from taskloom.pregel import END, START, StateGraph


class State(TypedDict):
    n: int


def counting(to: int) -> Any:
    builder = StateGraph(State)
    builder.add_node("count", lambda state: {"n": state["n"] + 1})
    builder.add_edge(START, "count")

    def choose(state: State) -> str:
        return END if state["n"] >= to else "count"

    builder.add_conditional_edges("count", choose, ["count", END])
    return builder.compile(name="counting")


@pytest.fixture
def runnables() -> Any:
    return pytest.importorskip("langchain_core.runnables")


@pytest.mark.parametrize(
    "ask", [lambda graph: graph.as_runnable(), lambda graph: graph.map(), lambda graph: graph | str]
)
def test_without_langchain_the_error_names_it(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskloom.pregel import runnable

    runnable._runnable_class.cache_clear()
    monkeypatch.setitem(sys.modules, "langchain_core.runnables", None)
    with pytest.raises(ModuleNotFoundError, match="langchain_core"):
        ask(counting(1))


def test_it_does_what_the_graph_does(runnables: Any) -> None:
    made = counting(2).as_runnable()
    assert isinstance(made, runnables.Runnable)
    assert made.invoke({"n": 0}) == {"n": 2}
    assert asyncio.run(made.ainvoke({"n": 0})) == {"n": 2}
    assert list(made.stream({"n": 0})) == [{"count": {"n": 1}}, {"count": {"n": 2}}]


def test_a_graph_is_mapped_over_a_list(runnables: Any) -> None:
    assert counting(2).map().invoke([{"n": 0}, {"n": 5}]) == [{"n": 2}, {"n": 6}]


def test_a_graph_is_piped_on_both_sides(runnables: Any) -> None:
    chain = (lambda n: {"n": n}) | counting(2) | (lambda state: state["n"] * 10)
    assert chain.invoke(0) == 20
    assert counting(2).pipe(lambda state: state["n"]).invoke({"n": 0}) == 2


def collected(events: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [event async for event in events]

    return asyncio.run(read())


def test_events_tell_of_the_graph_its_nodes_and_their_output(runnables: Any) -> None:
    events = collected(counting(1).astream_events({"n": 0}, version="v2"))
    told = [(e["event"], e["name"]) for e in events if e["name"] in ("counting", "count")]
    assert told == [
        ("on_chain_start", "counting"),
        ("on_chain_start", "count"),
        ("on_chain_stream", "count"),
        ("on_chain_end", "count"),
        ("on_chain_stream", "counting"),
        ("on_chain_end", "counting"),
    ]
    assert events[-1]["data"]["output"] == {"n": 1}


def test_events_do_not_bring_langchains_limit_of_supersteps(runnables: Any) -> None:
    events = collected(counting(40).astream_events({"n": 0}, version="v2"))
    assert events[-1]["data"]["output"] == {"n": 40}


def test_a_log_ends_with_the_output(runnables: Any) -> None:
    patches = collected(counting(1).astream_log({"n": 0}))
    total = patches[0]
    for patch in patches[1:]:
        total += patch
    assert total.state["final_output"] == {"count": {"n": 1}}


def test_it_is_drawn_as_langchain_draws(runnables: Any) -> None:
    drawn = counting(1).as_runnable().get_graph()
    assert [(edge.source, edge.target, edge.conditional) for edge in drawn.edges] == [
        ("__start__", "count", False),
        ("count", "__end__", True),
        ("count", "count", True),
    ]


@pytest.mark.parametrize("styles", [True, False])
def test_our_mermaid_text_is_langchains(runnables: Any, styles: bool) -> None:
    inner = counting(1).builder
    inner.add_node("[odd] (name)", lambda state: state, defer=True, metadata={"a": ["<b>", 1]})
    inner.add_conditional_edges("count", lambda state: END, {"one 2 3 4 5 6 7 8 9 10": END})
    outer = StateGraph(State)
    outer.add_node("_in_", inner.compile(interrupt_before="*"))
    outer.add_node("last", lambda state: state)
    outer.add_edge(START, "_in_")
    outer.add_edge("_in_", "last")
    graph = outer.compile()
    for xray in (True, False):
        ours = graph.get_graph(xray=xray)
        assert ours.draw_mermaid(with_styles=styles) == ours.as_langchain().draw_mermaid(
            with_styles=styles
        )


def test_langchains_drawing_shows_where_a_run_stops(runnables: Any) -> None:
    builder = StateGraph(State)
    builder.add_node("ask", lambda state: state)
    builder.add_edge(START, "ask")
    graph = builder.compile(interrupt_before=["ask"], interrupt_after=["ask"])
    drawn = graph.as_runnable().get_graph()
    assert drawn.nodes["ask"].metadata == {"__interrupt": "before,after"}


def test_a_timeout_is_refused_for_a_runnable_that_awaits_a_sync_function_in_a_thread(
    runnables: Any,
) -> None:
    sync = runnables.RunnableLambda(lambda state: state)
    awaited = runnables.RunnableLambda(lambda state: state, afunc=counted)
    for node in (sync, sync.with_config(tags=["x"]), sync | awaited):
        builder = StateGraph(State).add_node("node", node, timeout=1).add_edge(START, "node")
        with pytest.raises(ValueError, match="only supported for async nodes"):
            builder.compile()
    StateGraph(State).add_node("node", awaited, timeout=1).add_edge(START, "node").compile()


async def counted(state: State) -> State:
    return state
