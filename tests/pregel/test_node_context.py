"""What nodes are told: config, runtime, context; and what they must not see."""

import asyncio
import contextvars
import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import (
    START,
    RunnableConfig,
    Runtime,
    StateGraph,
    StreamWriter,
    get_config,
    get_runtime,
    get_store,
)
from taskloom.pregel.checkpoint.memory import InMemorySaver


class Log(TypedDict):
    log: Annotated[list[Any], operator.add]


def run(node: Any, config: Any = None, given: Any = None, **options: Any) -> list[Any]:
    builder = StateGraph(Log, context_schema=options.pop("context_schema", None))
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(**options).invoke({"log": []}, config, context=given)["log"]


def test_config_names_the_node_and_its_superstep() -> None:
    def node(state: Log, config: RunnableConfig) -> dict:
        metadata = config["metadata"]
        return {"log": [metadata["langgraph_node"], metadata["langgraph_step"]]}

    assert run(node) == ["node", 1]


def test_configurable_reaches_the_node_by_parameter_and_by_function() -> None:
    def node(state: Log, config: RunnableConfig) -> dict:
        return {"log": [config["configurable"]["user"], get_config()["configurable"]["user"]]}

    assert run(node, {"configurable": {"user": "Ada"}}) == ["Ada", "Ada"]


def test_context_is_made_an_instance_of_its_schema() -> None:
    @dataclass
    class Context:
        user: str

    def node(state: Log, runtime: Runtime[Context]) -> dict:
        return {"log": [runtime.context.user, get_runtime(Context).context.user]}

    assert run(node, given={"user": "Ada"}, context_schema=Context) == ["Ada", "Ada"]


def test_writer_and_store_come_by_name() -> None:
    store = object()

    def node(state: Log, *, writer: StreamWriter, store: Any) -> dict:
        writer("ignored when nobody listens")
        return {"log": [store, get_store()]}

    assert run(node, store=store) == [store, store]


def test_runtime_knows_thread_task_and_attempt() -> None:
    def node(state: Log, runtime: Runtime) -> dict:
        info = runtime.execution_info
        assert info is not None
        return {"log": [info.thread_id, info.checkpoint_ns == f"node:{info.task_id}"]}

    config = {"configurable": {"thread_id": 7}}
    assert run(node, config, checkpointer=InMemorySaver()) == ["7", True]


def test_a_graph_called_in_a_node_gets_the_context_and_config_of_the_run() -> None:
    def inner(state: Log, runtime: Runtime, config: RunnableConfig) -> dict:
        return {"log": [runtime.context, config["configurable"]["user"]]}

    builder = StateGraph(Log)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    graph = builder.compile()
    config = {"configurable": {"user": "Ada"}}
    assert run(lambda state: graph.invoke({"log": []}), config, "ctx") == ["ctx", "Ada"]


def test_context_variables_of_the_caller_are_seen_and_not_changed() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    variable.set("caller")

    def node(state: Log) -> dict:
        seen = variable.get()
        variable.set("node")
        return {"log": [seen]}

    assert run(node) == ["caller"]
    assert variable.get() == "caller"


def test_a_parameter_of_the_users_own_is_left_alone() -> None:
    def node(state: Log, config: int = 3) -> dict:
        return {"log": [config]}

    assert run(node) == [3]


def test_functions_that_need_a_node_say_so_outside() -> None:
    for function in (get_config, get_runtime, get_store):
        with pytest.raises(RuntimeError, match=f"{function.__name__}.. called outside"):
            function()


def test_context_and_store_of_a_foreign_runtime_in_the_config_reach_the_node() -> None:
    class Served:
        context = "of the server"
        store = "its store"

    def node(state: Log, runtime: Runtime[str]) -> dict:
        return {"log": [runtime.context, runtime.store]}

    given = {"configurable": {"__pregel_runtime": Served()}}
    assert run(node, given) == ["of the server", "its store"]


def doubled(state: Any, config: RunnableConfig) -> int:
    return state["n"] * config["configurable"]["factor"]


async def tripled(state: Any) -> int:
    return state["n"] * 3


class Parts(TypedDict, total=False):
    n: int
    a: int
    b: int


def parts_graph(**parts: Any) -> Any:
    builder = StateGraph(Parts).add_node("parts", parts).add_edge(START, "parts")
    return builder.compile().with_config({"configurable": {"factor": 2}})


def test_a_dict_as_a_node_gives_its_parts_the_same_input() -> None:
    graph = parts_graph(a=doubled, b=lambda state: state["n"] + 1)
    assert graph.invoke({"n": 4}) == {"n": 4, "a": 8, "b": 5}


def test_a_dict_with_an_async_part_runs_in_async_runs_only() -> None:
    graph = parts_graph(a=doubled, b=tripled)
    assert asyncio.run(graph.ainvoke({"n": 4})) == {"n": 4, "a": 8, "b": 12}
    with pytest.raises(TypeError, match="No synchronous function"):
        graph.invoke({"n": 4})
