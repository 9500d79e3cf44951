"""Coroutines of a scope that are tried again, or have a limit of time for each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import RetryTask, Scope
from taskloom.errors import OptionError


class Failing:
    """Raises an error until it is called for the n-th time."""

    def __init__(self, n: int, error: BaseException) -> None:
        self.n = n
        self.error = error
        self.calls: list[tuple[Any, ...]] = []

    async def __call__(self, *args: Any) -> int:
        await taskloom.sleep(0)
        self.calls.append(args)
        if len(self.calls) < self.n:
            raise self.error
        return len(self.calls)


def on_the_pool(main: Callable[[], Any]) -> Any:
    g = taskloom.Graph()
    node = g.add(main)
    with taskloom.Executor(1) as executor:
        return executor.run(g, check=False)[node]


def on_trio(main: Callable[[], Any]) -> Any:
    trio = pytest.importorskip("trio")
    return trio.run(main)


RUNNERS = [taskloom.run_coroutine, on_the_pool, lambda main: asyncio.run(main()), on_trio]


@pytest.fixture(params=RUNNERS, ids=["loop", "pool", "asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    runner: Callable[[Callable[[], Any]], Any] = request.param
    return runner


def spawned(run: Any, function: Any, *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with Scope() as scope:
            future = scope.options(**options).spawn(function, *args)
        return future.result()

    return run(main)


def test_a_failed_coroutine_is_called_again_with_its_arguments(run: Any) -> None:
    failing = Failing(3, OSError())
    assert spawned(run, failing, "a", 1, retry=3) == 3
    assert failing.calls == [("a", 1)] * 3


def test_a_coroutine_that_asks_for_another_attempt_gets_it_uncounted(run: Any) -> None:
    assert spawned(run, Failing(5, RetryTask(0.0)), retry=1) == 5


def test_the_last_error_is_the_scopes(run: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        spawned(run, Failing(3, OSError("busy")), retry=2)
    (error,) = caught.value.exceptions
    assert isinstance(error, OSError)
    assert error.__notes__ == ["attempt 2 of 2"]


def test_an_attempt_that_takes_too_long_is_cancelled(run: Any) -> None:
    left: list[int] = []

    async def slow() -> None:
        try:
            await taskloom.sleep_forever()
        finally:
            left.append(1)

    with pytest.raises(ExceptionGroup) as caught:
        spawned(run, slow, timeout=0.001, retry=2)
    assert left == [1, 1]
    assert caught.group_contains(TimeoutError, match="longer than its timeout of 0.001 s")


def test_a_coroutine_in_time_keeps_its_value(run: Any) -> None:
    assert spawned(run, Failing(1, OSError()), timeout=60) == 1


def test_a_cancelled_scope_makes_no_further_attempt() -> None:
    async def main() -> tuple[bool, int]:
        async with Scope() as scope:

            async def fails() -> None:
                scope.cancel()
                calls.append(1)
                raise OSError

            future = scope.options(retry=5).spawn(fails)
        return future.cancelled(), len(calls)

    calls: list[int] = []
    assert taskloom.run_coroutine(main) == (True, 1)


def test_each_attempt_knows_its_number_and_the_error_before() -> None:
    seen: list[tuple[int, BaseException | None]] = []
    error = OSError()

    async def child() -> int:
        task = taskloom.current_task()
        assert task is not None
        return task.attempt

    async def second_time() -> int:
        task = taskloom.current_task()
        assert task is not None
        seen.append((task.attempt, task.last_error))
        if len(seen) < 2:
            raise error
        async with Scope() as scope:
            future = scope.spawn(child)
        return future.result()

    assert spawned(taskloom.run_coroutine, second_time, retry=2) == 1
    assert seen == [(1, None), (2, error)]


def test_the_last_error_is_passed_on_where_it_is_asked_for() -> None:
    async def second_time(error: BaseException | None = None) -> str:
        if error is None:
            raise OSError("busy")
        return str(error)

    retry = taskloom.Retry(2, pass_error="error")
    assert spawned(taskloom.run_coroutine, second_time, retry=retry) == "busy"


def test_other_options_are_for_plain_functions() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        spawned(taskloom.run_coroutine, Failing(1, OSError()), priority=1, retry=2)
    assert caught.group_contains(OptionError, match="^priority: for plain functions only")


def test_without_a_retry_the_request_for_another_attempt_says_what_is_missing() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        spawned(taskloom.run_coroutine, Failing(2, RetryTask()))
    assert caught.group_contains(RetryTask, match=r"scope\.options\(retry=")
