"""Several awaitables at once, on virtual time and in several orders."""

# ruff: noqa: PT018

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import as_completed, current_time, first_completed, gather, sleep

Run = Callable[..., Any]


async def after(seconds: float, value: Any = None) -> Any:
    await sleep(seconds)
    if isinstance(value, BaseException):
        raise value
    return seconds


def test_gather_gives_results_in_order(run: Run) -> None:
    async def main() -> tuple[Any, ...]:
        return await gather(after(2), after(1), after(3))

    assert run(main) == (2, 1, 3)


def test_gather_cancels_the_rest_at_the_first_error(run: Run) -> None:
    async def main() -> float:
        with pytest.raises(ExceptionGroup):
            await gather(after(60), after(1, ValueError()))
        return current_time()

    assert run(main) == 1


def test_first_completed_cancels_the_losers(run: Run) -> None:
    async def main() -> tuple[float, float]:
        return await first_completed(after(60), after(1)), current_time()

    assert run(main) == (1, 1)


def test_first_completed_raises_the_error_of_the_first(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            await first_completed(after(60), after(1, KeyError()))

    run(main)


def test_as_completed_gives_results_as_they_come(run: Run) -> None:
    async def main() -> list[float]:
        async with as_completed([after(3), after(1), after(2)]) as results:
            return [seconds async for seconds in results]

    assert run(main) == [1, 2, 3]


def test_as_completed_runs_no_more_than_its_limit(run: Run) -> None:
    async def main() -> tuple[list[float], float]:
        async with as_completed([after(1) for _ in range(6)], limit=2) as results:
            return [seconds async for seconds in results], current_time()

    assert run(main) == ([1] * 6, 3)


def test_leaving_as_completed_early_cancels_the_rest(run: Run) -> None:
    async def main() -> float:
        async with as_completed([after(60), after(1)]) as results:
            async for _ in results:
                break
        return current_time()

    assert run(main) == 1


def test_timeout_raises_when_time_ran_out(run: Run) -> None:
    async def main() -> float:
        assert await taskloom.timeout(5, after(1)) == 1
        with pytest.raises(TimeoutError):
            await taskloom.timeout(5, after(60))
        return current_time()

    assert run(main) == 6


def test_a_sleep_of_many_takes_no_thread_and_ends_in_order(run: Run) -> None:
    import threading

    async def main() -> list[float]:
        before = threading.active_count()
        async with as_completed([after(n % 100) for n in range(10_000)]) as results:
            got = [seconds async for seconds in results]
        assert threading.active_count() == before
        return got

    if run.__closure__ is not None and run.__closure__[0].cell_contents.param is None:
        got = run(main)
        assert got == sorted(got) and len(got) == 10_000
