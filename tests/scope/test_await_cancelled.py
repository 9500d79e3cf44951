"""Awaiting what was cancelled together with whoever awaits it."""

from __future__ import annotations

import asyncio

import pytest
from taskloom import Cancelled, CancelScope, Executor


async def await_own_child(pool: Executor, seen: list[type[BaseException]]) -> None:
    with CancelScope() as scope:
        scope.cancel()
        try:
            await pool.submit(int)
        except BaseException as error:
            seen.append(type(error))
            raise


async def await_what_is_done(pool: Executor, seen: list[type[BaseException]]) -> None:
    future = pool.submit(int)
    assert await future == 0
    with CancelScope() as scope:
        scope.cancel()
        try:
            await future
        except BaseException as error:
            seen.append(type(error))
            raise


@pytest.mark.parametrize("host", ["pool", "asyncio"])
@pytest.mark.parametrize("program", [await_own_child, await_what_is_done])
def test_a_cancelled_coroutine_hears_of_its_own_cancellation(host: str, program: object) -> None:
    assert callable(program)
    seen: list[type[BaseException]] = []
    with Executor(1) as pool:
        if host == "pool":
            pool.run_coroutine(program, pool, seen)
        else:
            asyncio.run(program(pool, seen))
    assert len(seen) == 1
    assert issubclass(seen[0], Cancelled)
