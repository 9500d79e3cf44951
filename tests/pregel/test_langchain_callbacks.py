"""What LangChain's callbacks hear of a run, and what its models say in the `messages` stream."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, TypedDict

import pytest
from taskloom.pregel import (
    START,
    MessagesState,
    RetryPolicy,
    StateGraph,
    TimeoutPolicy,
    entrypoint,
    interrupt,
    task,
)
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.context import current_task


class State(TypedDict, total=False):
    seen: int


def one_node(node: Any, schema: Any = State, **options: Any) -> StateGraph:
    builder = StateGraph(schema)
    builder.add_node("node", node, **options)
    builder.add_edge(START, "node")
    return builder


def test_callbacks_without_langchain_are_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    with pytest.raises(ModuleNotFoundError, match="langchain_core"):
        one_node(lambda state: {}).compile().invoke({}, {"callbacks": [object()]})


class Heard:
    """What a handler was told, in order: the event, the chain's name, its parent's name."""

    def __init__(self) -> None:
        core = pytest.importorskip("langchain_core.callbacks")
        self.log: list[tuple[str, Any, Any]] = []
        names: dict[Any, Any] = {None: None}
        log = self.log

        class Handler(core.BaseCallbackHandler):
            def on_chain_start(
                self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any, **more: Any
            ) -> None:
                names[run_id] = more["name"]
                log.append(("start", more["name"], names[parent_run_id]))

            def on_chain_end(self, outputs: Any, *, run_id: Any, **more: Any) -> None:
                log.append(("end", names[run_id], outputs))

            def on_chain_error(self, error: Any, *, run_id: Any, **more: Any) -> None:
                log.append(("error", names[run_id], type(error)))

        self.handler = Handler()

    @property
    def config(self) -> Any:
        return {"callbacks": [self.handler]}


def test_a_handler_hears_the_run_and_in_it_every_node() -> None:
    heard = Heard()
    one_node(lambda state: {"seen": 1}).compile(name="graph").invoke({"seen": 0}, heard.config)
    assert heard.log == [
        ("start", "graph", None),
        ("start", "node", "graph"),
        ("end", "node", {"seen": 1}),
        ("end", "graph", {"seen": 1}),
    ]


def test_a_handler_hears_an_async_run_as_it_does_a_sync_one() -> None:
    sync, other = Heard(), Heard()

    async def node(state: State) -> State:
        return {"seen": 1}

    one_node(lambda state: {"seen": 1}).compile(name="graph").invoke({"seen": 0}, sync.config)
    graph = one_node(node).compile(name="graph")
    asyncio.run(graph.ainvoke({"seen": 0}, other.config))
    assert other.log == sync.log


def test_a_handler_hears_each_attempt_and_the_failure_of_a_run() -> None:
    heard = Heard()

    def fail(state: State) -> State:
        raise ConnectionError

    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    graph = one_node(fail, retry_policy=policy).compile(name="graph")
    with pytest.raises(ConnectionError):
        graph.invoke({"seen": 0}, heard.config)
    assert heard.log[1:] == [
        ("start", "node", "graph"),
        ("error", "node", ConnectionError),
    ] * 2 + [("error", "graph", ConnectionError)]


def test_a_run_that_stops_to_ask_has_ended_and_not_failed() -> None:
    heard = Heard()
    graph = one_node(lambda state: interrupt("?")).compile(checkpointer=InMemorySaver())
    graph.invoke({"seen": 0}, {**heard.config, "configurable": {"thread_id": "1"}})
    assert heard.log[-1][0] == "end"


def test_subgraphs_and_called_tasks_are_heard_within_what_called_them() -> None:
    heard = Heard()
    inner = one_node(lambda state: {"seen": 2}).compile(name="inner")

    @task
    def call(x: int) -> int:
        return int(inner.invoke({"seen": x})["seen"])

    @entrypoint()
    def outer(x: int) -> int:
        return call(x).result()

    outer.invoke(1, heard.config)
    root = {"LangGraph": None, "outer": "LangGraph"}
    within = {name: around for event, name, around in heard.log if event == "start"}
    assert within == {**root, "call": "outer", "inner": "call", "node": "inner"}


def test_handlers_of_the_graph_and_of_the_call_both_hear() -> None:
    one, two = Heard(), Heard()
    graph = one_node(lambda state: {"seen": 1}).compile().with_config(one.config)
    graph.invoke({"seen": 0}, two.config)
    assert one.log == two.log
    assert len(one.log) == 4


def says(*words: str, **options: Any) -> Any:
    models = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    return models.GenericFakeChatModel(messages=iter([" ".join(words)]), **options)


def answers(model: Any) -> Any:
    return one_node(lambda state: {"messages": model.invoke(state["messages"])}, MessagesState)


def text(chunks: Any) -> list[str]:
    return [message.content for message, _ in chunks]


def test_what_a_model_says_is_streamed_in_pieces_and_not_repeated_whole() -> None:
    graph = answers(says("well", "then")).compile()
    chunks = list(graph.stream({"messages": "hi"}, stream_mode="messages"))
    assert text(chunks) == ["well", " ", "then"]
    assert {metadata["langgraph_node"] for _, metadata in chunks} == {"node"}


def test_what_an_async_model_says_is_streamed_in_pieces() -> None:
    model = says("well", "then")

    async def node(state: MessagesState) -> Any:
        return {"messages": await model.ainvoke(state["messages"])}

    async def read() -> list[Any]:
        graph = one_node(node, MessagesState).compile()
        return [c async for c in graph.astream({"messages": "hi"}, stream_mode="messages")]

    assert text(asyncio.run(read())) == ["well", " ", "then"]


def test_a_model_tagged_nostream_is_left_out_of_the_stream() -> None:
    model = says("well", "then", tags=["nostream"])
    graph = one_node(lambda state: {"seen": len(model.invoke("hi").content)}).compile()
    assert list(graph.stream({"seen": 0}, stream_mode="messages")) == []


@pytest.mark.parametrize(("subgraphs", "pieces"), [(False, []), (True, ["well", " ", "then"])])
def test_what_a_model_in_a_subgraph_says_is_shown_on_request(
    subgraphs: bool, pieces: list[str]
) -> None:
    inner = answers(says("well", "then")).compile()
    graph = one_node(lambda state: {"seen": len(inner.invoke({"messages": "hi"}))}).compile()
    stream = graph.stream({"seen": 0}, stream_mode="messages", subgraphs=subgraphs)
    assert text(chunk[-1] if subgraphs else chunk for chunk in stream) == pieces


def test_a_tag_of_the_model_is_in_the_metadata_of_what_it_says() -> None:
    graph = answers(says("yes", tags=["brief"])).compile()
    ((_, metadata),) = graph.stream({"messages": "hi"}, stream_mode="messages")
    assert metadata["tags"] == ["brief"]


def test_what_a_model_says_puts_an_idle_timeout_off() -> None:
    models = pytest.importorskip("langchain_core.language_models")
    told: list[str] = []

    async def node(state: State) -> State:
        current_task("the test").progress = lambda: told.append("progress")
        await models.FakeListChatModel(responses=["one two"]).ainvoke("hi")
        return {"seen": len(told)}

    limited = one_node(node, timeout=TimeoutPolicy(idle_timeout=60)).compile()
    assert asyncio.run(limited.ainvoke({}))["seen"] > 0
    told.clear()
    capped = one_node(node, timeout=TimeoutPolicy(run_timeout=60)).compile()
    assert asyncio.run(capped.ainvoke({}))["seen"] == 0
