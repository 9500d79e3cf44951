"""Retries, timeouts, caches and error handlers of nodes."""

import asyncio
from typing import Any, TypedDict

import pytest
from taskloom.pregel import (
    START,
    CachePolicy,
    Command,
    InMemoryCache,
    NodeError,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    StateGraph,
    TimeoutPolicy,
)
from taskloom.pregel.checkpoint.memory import InMemorySaver

AT_ONCE = {"initial_interval": 0.0, "jitter": False}


class State(TypedDict, total=False):
    x: int
    note: str


def single(action: Any, **options: Any) -> StateGraph:
    builder = StateGraph(State)
    builder.add_node("node", action, **options)
    builder.add_edge(START, "node")
    return builder


class Flaky:
    """Fails so many times with an error, and then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.runs = 0

    def __call__(self, state: State) -> dict:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"x": self.runs}


def test_a_node_is_retried_until_it_succeeds() -> None:
    policy = RetryPolicy(max_attempts=3, **AT_ONCE)
    graph = single(Flaky(ConnectionError(), ConnectionError()), retry_policy=policy).compile()
    assert graph.invoke({}) == {"x": 3}


def test_the_last_failure_is_raised_with_the_task_it_belongs_to() -> None:
    flaky = Flaky(*(ConnectionError(str(i)) for i in range(5)))
    graph = single(flaky, retry_policy=RetryPolicy(max_attempts=2, **AT_ONCE)).compile()
    with pytest.raises(ConnectionError, match="1") as caught:
        graph.invoke({})
    assert flaky.runs == 2
    assert "task with name 'node'" in caught.value.__notes__[0]


def test_of_several_policies_the_first_that_matches_counts() -> None:
    policies = [
        RetryPolicy(max_attempts=1, retry_on=KeyError, **AT_ONCE),
        RetryPolicy(max_attempts=4, retry_on=(OSError, ValueError), **AT_ONCE),
    ]
    assert single(Flaky(ValueError()), retry_policy=policies).compile().invoke({}) == {"x": 2}
    with pytest.raises(KeyError):
        single(Flaky(KeyError()), retry_policy=policies).compile().invoke({})


def test_mistakes_are_not_retried_by_default() -> None:
    flaky = Flaky(TypeError())
    with pytest.raises(TypeError):
        single(flaky, retry_policy=RetryPolicy(**AT_ONCE)).compile().invoke({})
    assert flaky.runs == 1


def test_a_node_knows_which_attempt_it_is() -> None:
    seen = []

    def node(state: State, runtime: Runtime) -> dict:
        assert runtime.execution_info is not None
        seen.append(runtime.execution_info.node_attempt)
        if len(seen) < 3:
            raise ConnectionError
        return {}

    single(node, retry_policy=RetryPolicy(**AT_ONCE)).compile().invoke({"x": 1})
    assert seen == [1, 2, 3]


def test_timeout_of_an_async_node_is_an_error_that_says_which() -> None:
    async def node(state: State) -> dict:
        await asyncio.Event().wait()
        return {}

    graph = single(node, timeout=0.01).compile()
    with pytest.raises(NodeTimeoutError, match="'node' exceeded its run timeout") as caught:
        asyncio.run(graph.ainvoke({"x": 1}))
    assert caught.value.kind == "run"


def test_idle_timeout_is_put_off_by_heartbeats() -> None:
    async def node(state: State, runtime: Runtime) -> dict:
        for _ in range(5):
            await asyncio.sleep(0.02)
            runtime.heartbeat()
        await asyncio.Event().wait()
        return {}

    policy = TimeoutPolicy(idle_timeout=0.08, refresh_on="heartbeat")
    with pytest.raises(NodeTimeoutError) as caught:
        asyncio.run(single(node, timeout=policy).compile().ainvoke({"x": 1}))
    assert caught.value.kind == "idle"
    assert caught.value.elapsed > 0.1


def test_timeout_of_a_sync_node_is_refused() -> None:
    with pytest.raises(ValueError, match="only supported for async nodes"):
        single(lambda state: {}, timeout=1).compile()


def test_cached_node_runs_once_for_equal_input() -> None:
    flaky = Flaky()
    graph = single(flaky, cache_policy=CachePolicy()).compile(cache=InMemoryCache())
    assert graph.invoke({"x": 5}) == graph.invoke({"x": 5}) == {"x": 1}
    assert graph.invoke({"x": 6}) == {"x": 2}
    graph.clear_cache()
    assert graph.invoke({"x": 5}) == {"x": 3}


def test_cached_updates_say_so() -> None:
    graph = single(Flaky(), cache_policy=CachePolicy()).compile(cache=InMemoryCache())
    graph.invoke({"x": 5})
    assert list(graph.stream({"x": 5})) == [{"node": {"x": 1}, "__metadata__": {"cached": True}}]


def test_error_handler_recovers_a_node_that_failed_for_good() -> None:
    def recover(state: State, error: NodeError) -> Command:
        return Command(update={"note": f"{error.node}: {error.error}"}, goto="after")

    builder = single(Flaky(ValueError("bad")), error_handler=recover)
    builder.add_node("after", lambda state: {"x": 9})
    assert builder.compile().invoke({}) == {"x": 9, "note": "node: bad"}


def test_default_error_handler_serves_nodes_without_one() -> None:
    builder = single(Flaky(ValueError("bad")))
    builder.set_node_defaults(error_handler=lambda state, error: {"note": error.node})
    assert builder.compile().invoke({}) == {"note": "node"}


def test_failure_of_a_handler_fails_the_run() -> None:
    def handler(state: State, error: NodeError) -> dict:
        raise LookupError("handler")

    with pytest.raises(LookupError, match="handler"):
        single(Flaky(ValueError("bad")), error_handler=handler).compile().invoke({})


def test_a_handled_failure_is_not_tried_again_on_resume() -> None:
    flaky = Flaky(ValueError("bad"))
    calls = []

    def handler(state: State, error: NodeError) -> dict:
        calls.append(error.node)
        if len(calls) == 1:
            raise LookupError("first")
        return {"note": str(error.error)}

    graph = single(flaky, error_handler=handler).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(LookupError):
        graph.invoke({}, config)
    assert "bad" in graph.invoke(None, config)["note"]
    assert flaky.runs == 1


def test_a_node_with_the_name_of_the_default_error_handler_is_refused() -> None:
    builder = StateGraph(State)
    builder.set_node_defaults(error_handler=lambda state, error: state)
    builder.add_node("__default_error_handler__", lambda state: state)
    builder.add_edge(START, "__default_error_handler__")
    with pytest.raises(ValueError, match="__default_error_handler__"):
        builder.compile()


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_heartbeat_where_nothing_waits_for_it_does_nothing(timeout: float | None) -> None:
    async def beat(state: State, runtime: Runtime[Any]) -> State:
        runtime.heartbeat()
        return {"x": 1}

    builder = StateGraph(State).add_node("beat", beat, timeout=timeout).add_edge(START, "beat")
    assert asyncio.run(builder.compile().ainvoke({"x": 0})) == {"x": 1}
