"""Whole graphs of typical shapes beside LangGraph: wide state, fan-out to a subgraph, a long chain,
an agent's loop. Figures are of one `invoke`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

from harness import Contender, Workload
from pregel_steps import ours, theirs

SUBJECTS = 20
CHAIN = 200
TURNS = 50
TIMES = 10  # a graph of these is done in less than a millisecond: too short to time by itself

wide = Workload("graph-wide-state", "300 keys, a loop of 20 steps", unit="ms")
nested = Workload("graph-fan-out-subgraph", f"{SUBJECTS} runs of a subgraph with a loop", unit="ms")
chain = Workload("graph-chain", f"{CHAIN} no-op nodes in a row", unit="ms")
agent = Workload("graph-agent-loop", f"{TURNS} turns of model and tool", unit="ms")
agent_stored = Workload("graph-agent-loop-stored", "the same, stored in memory", unit="ms")

Wide = TypedDict("Wide", {f"k{i}": int for i in range(300)})  # type: ignore[misc]


class Overall(TypedDict):
    subjects: list[str]
    jokes: Annotated[list[str], operator.add]


class Joke(TypedDict):
    subject: str
    jokes: list[str]


class Chat(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


def repeated(invoke: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(TIMES):
            invoke()

    return run


def wide_state(kit: SimpleNamespace) -> Contender:
    def work(state: Any) -> Any:
        return {f"k{i}": state[f"k{i}"] + 1 for i in range(0, 300, 10)}

    builder = kit.StateGraph(Wide)
    builder.add_node("one", work)
    builder.add_node("two", work)
    builder.add_edge(kit.START, "one")
    builder.add_edge("one", "two")
    builder.add_conditional_edges("two", lambda s: kit.END if s["k0"] >= 20 else "one")
    graph = builder.compile()
    given = {f"k{i}": 0 for i in range(300)}
    yield repeated(lambda: graph.invoke(given))


def fan_out_to_subgraph(kit: SimpleNamespace) -> Contender:
    inner = kit.StateGraph(Joke)
    inner.add_node("edit", lambda s: {"subject": s["subject"] + "!"})
    inner.add_node("generate", lambda s: {"jokes": ["Joke about " + s["subject"]]})
    inner.add_node("bump", lambda s: {"jokes": [s["jokes"][0] + " a"]})
    inner.add_edge(kit.START, "edit")
    inner.add_edge("edit", "generate")
    inner.add_edge("generate", "bump")
    inner.add_conditional_edges(
        "bump", lambda s: kit.END if s["jokes"][0].endswith(" a" * 10) else "bump"
    )
    builder = kit.StateGraph(Overall)
    builder.add_node("joke", inner.compile())
    builder.add_conditional_edges(
        kit.START, lambda s: [kit.Send("joke", {"subject": x}) for x in s["subjects"]]
    )
    graph = builder.compile()
    given = {"subjects": [f"subject {i}" for i in range(SUBJECTS)]}
    yield repeated(lambda: graph.invoke(given))


def long_chain(kit: SimpleNamespace) -> Contender:
    builder = kit.StateGraph(Chat)
    before = kit.START
    for index in range(CHAIN):
        builder.add_node(f"n{index}", lambda state: None)
        builder.add_edge(before, f"n{index}")
        before = f"n{index}"
    graph = builder.compile()
    config = {"recursion_limit": 10 * CHAIN}
    yield repeated(lambda: graph.invoke({"messages": []}, config))


def agent_loop(kit: SimpleNamespace, *, stored: bool = False) -> Contender:
    def model(state: Any) -> Any:
        calls = len(state["messages"]) < 2 * TURNS
        return {"messages": [{"role": "assistant", "content": "x" * 100, "calls": calls}]}

    def tool(state: Any) -> Any:
        return {"messages": [{"role": "tool", "content": "result" * 10}]}

    builder = kit.StateGraph(Chat)
    builder.add_node("model", model)
    builder.add_node("tool", tool)
    builder.add_edge(kit.START, "model")
    builder.add_edge("tool", "model")
    builder.add_conditional_edges(
        "model", lambda s: "tool" if s["messages"][-1]["calls"] else kit.END
    )

    def run() -> None:
        graph = builder.compile(checkpointer=kit.Saver() if stored else None)
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": 10 * TURNS}
        graph.invoke({"messages": [{"role": "user", "content": "hi"}]}, config)

    yield repeated(run)


@wide.contender("taskloom", per=TIMES)
def wide_ours() -> Contender:
    yield from wide_state(ours())


@wide.contender("LangGraph", per=TIMES)
def wide_theirs() -> Contender:
    yield from wide_state(theirs())


@nested.contender("taskloom", per=TIMES)
def nested_ours() -> Contender:
    yield from fan_out_to_subgraph(ours())


@nested.contender("LangGraph", per=TIMES)
def nested_theirs() -> Contender:
    yield from fan_out_to_subgraph(theirs())


@chain.contender("taskloom", per=TIMES)
def chain_ours() -> Contender:
    yield from long_chain(ours())


@chain.contender("LangGraph", per=TIMES)
def chain_theirs() -> Contender:
    yield from long_chain(theirs())


@agent.contender("taskloom", per=TIMES)
def agent_ours() -> Contender:
    yield from agent_loop(ours())


@agent.contender("LangGraph", per=TIMES)
def agent_theirs() -> Contender:
    yield from agent_loop(theirs())


@agent_stored.contender("taskloom", per=TIMES)
def agent_stored_ours() -> Contender:
    yield from agent_loop(ours(), stored=True)


@agent_stored.contender("LangGraph", per=TIMES)
def agent_stored_theirs() -> Contender:
    yield from agent_loop(theirs(), stored=True)
