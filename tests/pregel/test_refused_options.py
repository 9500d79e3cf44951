"""Options that do not exist, or make no sense where they stand: each is an error that says so."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from taskloom.errors import OptionError
from taskloom.pregel import (
    START,
    CachePolicy,
    Command,
    InMemoryCache,
    InMemoryStore,
    InvalidUpdateError,
    RetryPolicy,
    Send,
    StateGraph,
    TimeoutPolicy,
    entrypoint,
    task,
)
from taskloom.pregel.checkpoint.memory import InMemorySaver

HERE: Any = {"configurable": {"thread_id": "1"}}


class State(TypedDict):
    x: int


def builder() -> StateGraph:
    graph = StateGraph(State)
    graph.add_node("a", lambda state: {"x": 1})
    graph.add_edge(START, "a")
    return graph


def graph(**options: Any) -> Any:
    return builder().compile(**options)


def branching(to: str) -> Any:
    return builder().add_conditional_edges("a", lambda state: to, {"a": "a"}).compile()


async def wait(state: State) -> State:
    return state


@pytest.mark.parametrize(
    "call",
    [
        lambda: StateGraph(State, bogus=1),
        lambda: builder().add_node("b", wait, bogus=1),
        lambda: builder().add_edge("a", "b", bogus=1),
        lambda: builder().add_conditional_edges("a", str, bogus=1),
        lambda: builder().compile(bogus=1),
        lambda: graph().invoke({"x": 1}, bogus=1),
        lambda: list(graph().stream({"x": 1}, bogus=1)),
        lambda: asyncio.run(graph().ainvoke({"x": 1}, bogus=1)),
        lambda: graph().batch([{"x": 1}], bogus=1),
        lambda: graph(checkpointer=InMemorySaver()).get_state(HERE, bogus=1),
        lambda: graph(checkpointer=InMemorySaver()).update_state(HERE, {"x": 1}, bogus=1),
        lambda: Send("a", 1, bogus=1),
        lambda: Command(bogus=1),
        lambda: RetryPolicy(bogus=1),
        lambda: CachePolicy(bogus=1),
        lambda: TimeoutPolicy(bogus=1),
        lambda: task(bogus=1),
        lambda: entrypoint(bogus=1),
        lambda: InMemorySaver(bogus=1),
        lambda: InMemoryStore(bogus=1),
    ],
)
def test_an_option_that_does_not_exist_is_refused_by_name(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="bogus"):
        call()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: graph().invoke({"x": 1}, {"bogus": 1}), ValueError, "no key 'bogus'"),
        (lambda: graph().with_config(bogus=1), ValueError, "no key 'bogus'"),
        (lambda: graph().invoke({"x": 1}, {"thread_id": 1}), ValueError, "'configurable'"),
        (lambda: graph().invoke({"x": 1}, {"recursion_limit": 0}), ValueError, "recursion_limit"),
        (lambda: graph().invoke({"x": 1}, {"max_concurrency": 0}), ValueError, "max_concurrency"),
        (lambda: graph().invoke({"x": 1}, {"recursion_limit": "9"}), TypeError, "recursion_limit"),
        (lambda: graph().invoke({"x": 1}, {"configurable": 9}), TypeError, "'configurable'"),
        (lambda: builder().add_node("b", wait, retry_policy=9), TypeError, "retry_policy"),
        (
            lambda: branching(to="b").invoke({"x": 1}),
            KeyError,
            "returned 'b'; its path_map has 'a'",
        ),
        (lambda: graph().invoke({"x": 1}, durability="later"), ValueError, "'later'"),
        (lambda: graph().invoke({"x": 1}, version="v9"), ValueError, "'v9'"),
        (lambda: list(graph().stream({"x": 1}, version="v9")), ValueError, "'v9'"),
        (lambda: asyncio.run(graph().ainvoke({"x": 1}, version="v9")), ValueError, "'v9'"),
        (lambda: graph().invoke({"x": 1}, interrupt_before=["b"]), ValueError, "`b` not found"),
        (lambda: graph().invoke({"x": 1}, interrupt_after=["b"]), ValueError, "`b` not found"),
        (lambda: graph(interrupt_before=["b"]), ValueError, "`b` not found"),
        (lambda: graph().invoke({"x": 1}, output_keys="b"), ValueError, "b not in channels"),
        (lambda: graph().batch([{"x": 1}], [{}, {}]), ValueError, "1 inputs, but 2 configs"),
        (lambda: builder().add_node("b", wait, place="moon").compile(), OptionError, "place"),
        (lambda: builder().add_node("b", wait, place="process").compile(), ValueError, "place"),
        (
            lambda: graph(checkpointer=InMemorySaver()).update_state(HERE, {"x": 1}, as_node="b"),
            InvalidUpdateError,
            "Node b does not exist",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    call: Callable[[], Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()


def test_a_cache_policy_without_a_cache_is_warned_about() -> None:
    cached = builder().add_node("b", wait, cache_policy=CachePolicy()).compile()
    with pytest.warns(UserWarning, match="cache policy of node 'b' has no effect"):
        cached.invoke({"x": 1})


def test_a_cache_policy_in_a_subgraph_counts_with_the_cache_around_it() -> None:
    inner = StateGraph(State).add_node("b", lambda state: {"x": 2}, cache_policy=CachePolicy())
    outer = StateGraph(State).add_node("sub", inner.add_edge(START, "b").compile())
    outer.add_edge(START, "sub")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outer.compile(cache=InMemoryCache()).invoke({"x": 1}) == {"x": 2}


def test_an_unknown_option_of_a_node_names_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"StateGraph.add_node has no option 'retries'.*'retry_"):
        builder().add_node("b", wait, retries=3)  # type: ignore[call-arg]


def test_options_under_the_names_of_earlier_releases_count_and_are_warned_about() -> None:
    tries: list[int] = []

    def flaky(state: State) -> State:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError
        return {"x": len(tries)}

    twice = RetryPolicy(max_attempts=3, initial_interval=0)
    with pytest.warns(DeprecationWarning, match="StateGraph: 'input' is called 'input_schema'"):
        old = StateGraph(State, input=State)
    with pytest.warns(DeprecationWarning, match="'config_schema' is called 'context_schema'"):
        old = StateGraph(State, config_schema=State)
    with pytest.warns(DeprecationWarning, match="'retry' is called 'retry_policy' today"):
        old.add_node("flaky", flaky, retry=twice)
    assert old.context_schema is State
    assert old.add_edge(START, "flaky").compile().invoke({"x": 0}) == {"x": 3}

    tries.clear()
    with pytest.warns(DeprecationWarning, match="task: 'retry'"):
        again = task(retry=twice)(flaky)
    with pytest.warns(DeprecationWarning, match="entrypoint: 'config_schema'"):
        flow = entrypoint(config_schema=State)(lambda state: again(state).result())
    assert flow.invoke({"x": 0}) == {"x": 3}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: StateGraph("State"), "a state's schema is"),
        (lambda: StateGraph({"x": int}), "a state's schema is"),
        (lambda: StateGraph(None), "a state's schema is"),
        (lambda: builder().add_node("b", wait, defer="yes"), "defer is True or False"),
        (lambda: builder().add_node("b", wait, cache_policy=60), "cache_policy is a CachePolicy"),
        (lambda: task(cache_policy=60), "cache_policy is a CachePolicy"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_where_it_is_given(
    call: Callable[[], Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("goto", [3, None, ["a", 3]])
def test_a_command_that_goes_to_what_is_no_node_is_refused(goto: Any) -> None:
    graph = StateGraph(State).add_node("a", lambda state: Command(goto=goto)).add_edge(START, "a")
    with pytest.raises(TypeError, match="is a node's name, a Send, or several of these"):
        graph.compile().invoke({"x": 1})


@pytest.mark.parametrize("config", ["thread 1", [], 3])
def test_a_config_that_is_no_dict_is_refused(config: Any) -> None:
    with pytest.raises(TypeError, match="a config is a dict"):
        graph().invoke({"x": 1}, config)
