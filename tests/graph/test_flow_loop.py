"""Loops: the body's result comes back as its argument, within a bound."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch
from taskloom.errors import LoopLimitError

MODES: list[Any] = ["serial", "parallel"]


def increment(state: int) -> int:
    return state + 1


@pytest.mark.parametrize("mode", MODES)
def test_without_a_condition_there_are_exactly_that_many_iterations(mode: Any) -> None:
    g = taskloom.Graph()
    last = g.add(str, g.loop(increment, g.add(int, "5"), max_iterations=3))
    assert taskloom.run(g, mode=mode)[last] == "8"


def test_until_is_asked_after_each_iteration() -> None:
    g = taskloom.Graph()
    node = g.loop(increment, 0, until=lambda state: state >= 0, max_iterations=9)
    assert taskloom.run(g)[node] == 1


def test_while_is_asked_before_each_iteration() -> None:
    g = taskloom.Graph()
    none = g.loop(increment, 9, while_=lambda state: state < 3, max_iterations=9)
    some = g.loop(increment, 0, while_=lambda state: state < 3, max_iterations=9)
    exact = g.loop(increment, 0, while_=lambda state: state < 3, max_iterations=3)
    run = taskloom.run(g)
    assert (run[none], run[some], run[exact]) == (9, 3, 3)


@pytest.mark.parametrize("condition", ["until", "while_"])
def test_a_loop_that_is_not_over_by_its_bound_fails_with_its_state(condition: str) -> None:
    g = taskloom.Graph()
    rule: dict[str, Any] = {condition: lambda state: condition == "while_"}
    node = g.loop(increment, 0, max_iterations=4, **rule)
    error = taskloom.run(g, check=False).exceptions()[node]
    assert isinstance(error, LoopLimitError)
    assert error.state == 4


def test_an_iteration_may_end_the_branch() -> None:
    def body(state: int) -> int:
        if state == 2:
            raise AbortBranch(state)
        return state + 1

    g = taskloom.Graph()
    node = g.loop(body, 0, max_iterations=9)
    run = taskloom.run(g)
    assert (run[node], run.why(node).status) == (2, "ended")


def test_a_stopped_run_starts_no_further_iteration() -> None:
    started, release = threading.Event(), threading.Event()
    states: list[int] = []

    def body(state: int) -> int:
        states.append(state)
        started.set()
        assert release.wait(60)
        return state + 1

    g = taskloom.Graph()
    node = g.loop(body, 0, max_iterations=1000)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        assert started.wait(60)
        run.cancel()
        release.set()
        assert run.wait(60)
    assert states == [0]
    assert run.why(node).status == "cancelled"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"max_iterations": -1}, ValueError),
        ({"max_iterations": 1.5}, TypeError),
        ({"max_iterations": 1, "until": bool, "while_": bool}, TypeError),
    ],
)
def test_what_makes_no_loop_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        taskloom.Graph().loop(increment, 0, **wrong)


async def increment_later(state: int) -> int:
    await taskloom.sleep(0)
    return state + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"place": "loop"}, {"timeout": 60}])
def test_the_body_of_a_loop_may_be_a_coroutine_function(mode: Any, options: dict[str, Any]) -> None:
    g = taskloom.Graph()
    view = g.options(**options)
    exact = view.loop(increment_later, 0, max_iterations=3)
    until = view.loop(increment_later, 0, until=lambda state: state > 4, max_iterations=9)
    while_ = view.loop(increment_later, 0, while_=lambda state: state < 7, max_iterations=9)
    run = taskloom.run(g, mode=mode)
    assert (run[exact], run[until], run[while_]) == (3, 5, 7)


def test_the_conditions_of_a_loop_may_be_coroutine_functions() -> None:
    async def above_four(state: int) -> bool:
        await taskloom.sleep(0)
        return state > 4

    async def below_seven(state: int) -> bool:
        await taskloom.sleep(0)
        return state < 7

    g = taskloom.Graph()
    until = g.loop(increment, 0, until=above_four, max_iterations=9)
    while_ = g.loop(increment_later, 0, while_=below_seven, max_iterations=9)
    run = taskloom.run(g)
    assert (run[until], run[while_]) == (5, 7)


def test_a_loop_of_coroutines_that_is_not_over_by_its_bound_fails_with_its_state() -> None:
    g = taskloom.Graph()
    node = g.loop(increment_later, 0, until=lambda _: False, max_iterations=4)
    error = taskloom.run(g, check=False).exceptions()[node]
    assert isinstance(error, LoopLimitError)
    assert error.state == 4


def test_a_stopped_run_starts_no_further_iteration_of_coroutines() -> None:
    started, release = threading.Event(), threading.Event()
    states: list[int] = []

    async def body(state: int) -> int:
        states.append(state)
        started.set()
        assert release.wait(60)
        return state + 1

    g = taskloom.Graph()
    node = g.loop(body, 0, max_iterations=1000)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        assert started.wait(60)
        run.cancel()
        release.set()
        run.wait()
    assert states == [0]
    assert run.why(node).status == "cancelled"


def test_a_spawn_from_an_iteration_of_a_loop_of_coroutines_is_refused() -> None:
    async def body(state: int) -> taskloom.Spawn:
        g = taskloom.Graph()
        return taskloom.Spawn(g, g.add(increment, state))

    g = taskloom.Graph()
    node = g.loop(body, 0, max_iterations=3)
    error = taskloom.run(g, check=False).exceptions()[node]
    assert "return it from a plain function" in str(error)
