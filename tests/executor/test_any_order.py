"""What holds in any order: the same programmes on the engine, and under many seeded orders."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import pytest
from taskloom import Executor
from taskloom.testing import SeededExecutor, explore

Programme = Callable[[Any], None]
SEEDS = range(150)


def nested_results(executor: Any) -> None:
    def fibonacci(number: int) -> int:
        if number < 2:
            return number
        left, right = executor.submit(fibonacci, number - 1), executor.submit(fibonacci, number - 2)
        return int(left.result() + right.result())

    assert executor.submit(fibonacci, 6).result() == 8


def cancelled_or_run_but_never_both(executor: Any) -> None:
    ran: list[int] = []
    futures = [executor.submit(ran.append, number) for number in range(6)]
    cancelled = {number for number in (1, 3, 5) if futures[number].cancel()}
    concurrent.futures.wait(futures)
    assert sorted([*ran, *cancelled]) == list(range(6))
    assert {n for n, future in enumerate(futures) if future.cancelled()} == cancelled


def every_callback_is_called_once(executor: Any) -> None:
    called: list[int] = []
    futures = [executor.submit(int, number) for number in range(5)]
    for future in futures:
        future.add_done_callback(lambda future: called.append(future.result()))
    assert {future.result() for future in concurrent.futures.as_completed(futures)} == set(range(5))
    executor.shutdown()
    assert sorted(called) == list(range(5))


def first_error_comes_out_of_map_and_the_rest_is_cancelled_or_run(executor: Any) -> None:
    begun: list[int] = []

    def divide(number: int) -> float:
        begun.append(number)
        return 1 / number

    results = executor.map(divide, [2, 1, 0, 4])
    assert [next(results), next(results)] == [0.5, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    executor.shutdown()
    assert set(begun) >= {2, 1, 0}
    assert len(begun) == len(set(begun))


PROGRAMMES = [
    nested_results,
    cancelled_or_run_but_never_both,
    every_callback_is_called_once,
    first_error_comes_out_of_map_and_the_rest_is_cancelled_or_run,
]


@pytest.mark.parametrize("programme", PROGRAMMES)
@pytest.mark.parametrize("max_workers", [1, 3])
def test_holds_on_the_engine(programme: Programme, max_workers: int) -> None:
    for _ in range(20):
        with Executor(max_workers) as executor:
            programme(executor)


@pytest.mark.parametrize("programme", PROGRAMMES)
def test_holds_in_every_seeded_order(programme: Programme) -> None:
    explored = explore(programme, seeds=SEEDS)
    assert explored.interleavings > 1


def test_timeout_of_a_wait_is_over_when_virtual_time_says_so() -> None:
    def programme(executor: SeededExecutor) -> None:
        future = executor.submit(executor.clock.sleep, 10)
        with pytest.raises(TimeoutError):
            future.result(timeout=3)
        assert executor.clock.now() == 3
        assert future.result(timeout=8) is None
        assert executor.clock.now() == 10

    explore(programme, seeds=range(20))


def test_timeout_of_map_counts_from_its_call_in_virtual_time() -> None:
    def programme(executor: SeededExecutor) -> None:
        results = executor.map(executor.clock.sleep, [1, 5], timeout=2)
        assert next(results) is None
        with pytest.raises(TimeoutError):
            next(results)
        assert executor.clock.now() == 2

    explore(programme, seeds=range(20))
