"""Supersteps of state graphs beside LangGraph: bare, stored in memory and in a file, fanned out.

The graphs of both are written alike; only the imports differ.
"""

from __future__ import annotations

import operator
from itertools import count
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

from harness import Contender, Unavailable, Workload

STEPS = 1_000
WIDTH = 100
TIMES = 10
FILED = 500
FILED_THEIRS = 50

step = Workload("superstep", "a superstep of a two-node loop", unit="µs/step", aim=4.0)
stored = Workload(
    "superstep-memory", "the same, each step stored in memory", unit="µs/step", aim=10.0
)
filed = Workload(
    "superstep-sqlite",
    "the same, each step in a SQLite file before the next begins",
    unit="µs/step",
    aim=120.0,
)
fanned = Workload("superstep-fan-out", f"{WIDTH} sends in one superstep", unit="µs/node", aim=2.0)


class Count(TypedDict):
    n: int


class Found(TypedDict):
    found: Annotated[list[int], operator.add]


def ours() -> SimpleNamespace:
    from taskloom import pregel
    from taskloom.pregel.checkpoint.memory import InMemorySaver

    return SimpleNamespace(
        StateGraph=pregel.StateGraph,
        START=pregel.START,
        END=pregel.END,
        Send=pregel.Send,
        Saver=InMemorySaver,
    )


def theirs() -> SimpleNamespace:
    try:
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.graph import END, START, StateGraph
        from langgraph.types import Send
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from None
    return SimpleNamespace(
        StateGraph=StateGraph, START=START, END=END, Send=Send, Saver=InMemorySaver
    )


def bump(state: Any) -> Any:
    return {"n": state["n"] + 1}


def two_nodes(kit: SimpleNamespace, steps: int = STEPS, **options: Any) -> Any:
    builder = kit.StateGraph(Count)
    builder.add_node("a", bump)
    builder.add_node("b", bump)
    builder.add_edge(kit.START, "a")
    builder.add_edge("a", "b")
    builder.add_conditional_edges("b", lambda s: kit.END if s["n"] >= steps else "a")
    return builder.compile(**options)


def looping(kit: SimpleNamespace) -> Contender:
    graph = two_nodes(kit)
    config = {"recursion_limit": 10 * STEPS}
    yield lambda: graph.invoke({"n": 0}, config)


def storing(kit: SimpleNamespace) -> Contender:
    def run() -> None:
        graph = two_nodes(kit, checkpointer=kit.Saver())
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": 10 * STEPS}
        graph.invoke({"n": 0}, config)

    yield run


def filing(kit: SimpleNamespace, savers: Any, steps: int) -> Contender:
    with TemporaryDirectory() as folder, savers.from_conn_string(f"{folder}/threads") as saver:
        graph = two_nodes(kit, steps, checkpointer=saver)
        rounds = count()

        def run() -> None:
            thread = {"thread_id": str(next(rounds))}
            config = {"configurable": thread, "recursion_limit": 10 * steps}
            graph.invoke({"n": 0}, config, durability="sync")

        yield run


def fanning(kit: SimpleNamespace) -> Contender:
    builder = kit.StateGraph(Found)
    builder.add_node("work", lambda item: {"found": [item]})
    builder.add_conditional_edges(
        kit.START, lambda state: [kit.Send("work", i) for i in range(WIDTH)]
    )
    graph = builder.compile()

    def run() -> None:
        for _ in range(TIMES):
            graph.invoke({"found": []})

    yield run


@step.contender("taskloom", per=STEPS)
def step_ours() -> Contender:
    yield from looping(ours())


@step.contender("LangGraph", per=STEPS)
def step_theirs() -> Contender:
    yield from looping(theirs())


@stored.contender("taskloom", per=STEPS)
def stored_ours() -> Contender:
    yield from storing(ours())


@stored.contender("LangGraph", per=STEPS)
def stored_theirs() -> Contender:
    yield from storing(theirs())


@filed.contender("taskloom", per=FILED, note="survives kill -9")
def filed_ours() -> Contender:
    from taskloom.pregel.checkpoint.sqlite import SqliteSaver

    yield from filing(ours(), SqliteSaver, FILED)


@filed.contender("LangGraph", per=FILED_THEIRS, note="in its default setting, which syncs")
def filed_theirs() -> Contender:
    kit = theirs()
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from None
    yield from filing(kit, SqliteSaver, FILED_THEIRS)


@fanned.contender("taskloom", per=WIDTH * TIMES)
def fanned_ours() -> Contender:
    yield from fanning(ours())


@fanned.contender("LangGraph", per=WIDTH * TIMES)
def fanned_theirs() -> Contender:
    yield from fanning(theirs())
