"""Async generators that are dropped before their end: their cleanup is awaited where they ran."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
import taskloom
from taskloom import Executor, sleep

Run = Callable[..., Any]


async def numbers(closed: taskloom.Event) -> AsyncGenerator[int]:
    try:
        for n in range(10):
            await sleep(0)
            yield n
    finally:
        await sleep(0)
        closed.set()


async def take_three(closed: taskloom.Event) -> None:
    async for n in numbers(closed):
        if n == 2:
            break


def test_a_dropped_generator_is_closed_though_its_cleanup_awaits(run: Run) -> None:
    async def main() -> bool:
        closed = taskloom.Event()
        await take_three(closed)
        gc.collect()
        await sleep(1)
        return closed.is_set()

    assert run(main)


def test_a_generator_dropped_at_the_end_is_closed_before_the_loop_ends(run: Run) -> None:
    closed = taskloom.Event()
    run(take_three, closed)
    assert closed.is_set()


def test_a_generator_dropped_on_the_pool_is_closed_there() -> None:
    closed = taskloom.Event()
    taskloom.run_coroutine(take_three, closed)
    closed.wait_blocking(timeout=20)


def test_an_executor_that_is_left_has_closed_its_generators() -> None:
    closed = taskloom.Event()
    with Executor(2) as executor:
        executor.run_coroutine(take_three, closed)
    assert closed.is_set()


def test_an_error_in_a_generators_cleanup_is_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            await sleep(0)
            raise ValueError("in cleanup")

    async def main() -> None:
        async for _ in fails():
            break

    with caplog.at_level(logging.ERROR, logger="taskloom"):
        run(main)
        gc.collect()
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["in cleanup"]


def test_a_generator_that_outlives_its_loop_is_told_to_end_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: unraisable.append(found.exc_value))

    async def main() -> AsyncGenerator[int]:
        generator = numbers(taskloom.Event())
        await anext(generator)
        return generator

    kept = [run(main)]
    kept.clear()
    gc.collect()
    assert ["aclosing" in str(error) for error in unraisable] == [True]


def test_a_run_leaves_the_hooks_of_its_thread_as_they_were(run: Run) -> None:
    before = sys.get_asyncgen_hooks()

    async def main() -> None:
        pass

    run(main)
    assert sys.get_asyncgen_hooks() == before


def test_asyncio_on_a_worker_closes_its_own_generators() -> None:
    log = []

    async def items() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main() -> None:
        async for _ in items():
            break
        gc.collect()
        await asyncio.sleep(0.001)

    with Executor(1) as executor:
        executor.submit(asyncio.run, main()).result()
    assert log == ["closed"]
