"""Several inputs at once: who runs them, and when those who help are let go."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Annotated, Any, TypedDict

import pytest
import taskloom
from taskloom.pregel import END, START, StateGraph


class State(TypedDict):
    log: Annotated[list[str], operator.add]


class Observed(Future[Any]):
    """A future that says when somebody waits for it or cancels it."""

    def __init__(self, real: Any, asked: threading.Event) -> None:
        super().__init__()
        self.real = real
        self.asked = asked

    def cancel(self) -> bool:
        cancelled: bool = self.real.cancel()
        self.asked.set()
        return cancelled

    def result(self, timeout: float | None = None) -> Any:
        self.asked.set()
        return self.real.result(timeout)


class Observing(Executor):
    """Runs calls on a taskloom executor and hands out observed futures."""

    def __init__(self, asked: threading.Event) -> None:
        self.real = taskloom.Executor(max_workers=1)
        self.asked = asked

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Observed(self.real.submit(call, *args, **kwargs), self.asked)


class Never(Executor):
    """Takes calls and begins none of them."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def two_steps(first: Callable[[State], State], executor: Executor) -> Any:
    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("second", lambda state: {"log": ["second"]})
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile(executor=executor)


def test_a_batch_lets_helpers_finish_when_the_caller_is_out_of_work() -> None:
    caller = threading.get_ident()
    helping, asked = threading.Event(), threading.Event()

    def first(state: State) -> State:
        if threading.get_ident() == caller:
            assert helping.wait(20)
        else:
            helping.set()
            assert asked.wait(20)
        return {"log": ["first"]}

    executor = Observing(asked)
    with executor.real:
        outcome = two_steps(first, executor).batch([{"log": ["a"]}, {"log": ["b"]}])
    assert outcome == [{"log": [name, "first", "second"]} for name in "ab"]


def test_a_batch_does_not_wait_for_helpers_that_have_not_begun() -> None:
    graph = two_steps(lambda state: {"log": ["first"]}, Never())
    assert len(graph.batch([{"log": []}] * 3)) == 3


def test_a_batch_whose_caller_is_stopped_starts_no_further_input() -> None:
    seen: list[str] = []

    def first(state: State) -> State:
        seen.extend(state["log"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two_steps(first, Never()).batch([{"log": ["a"]}, {"log": ["b"]}])
    assert seen == ["a"]
