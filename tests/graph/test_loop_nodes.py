"""Nodes with `place="loop"`: which event loop they run on, and what ends them there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
import taskloom
from taskloom import Executor, Graph


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


async def plus_one(n: int) -> int:
    await taskloom.sleep(0)
    return n + 1


async def forever(entered: threading.Event, left: threading.Event) -> None:
    try:
        entered.set()
        await taskloom.sleep_forever()
    finally:
        left.set()


def test_loop_nodes_run_in_the_background_when_the_caller_has_no_loop(executor: Executor) -> None:
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    g = Graph()
    node = g.options(place="loop").add(where)
    assert executor.run(g)[node] == "taskloom-aio"
    assert executor.options(place="loop").call(where) == "taskloom-aio"


def test_loop_nodes_of_a_started_run_share_the_loop_that_started_it(executor: Executor) -> None:
    async def where() -> asyncio.AbstractEventLoop:
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    g = Graph()
    node = g.options(place="loop").add(where)

    async def main() -> None:
        here = asyncio.get_running_loop()
        assert (await executor.start(g))[node] is here
        assert await executor.options(place="loop").submit(where) is here

    asyncio.run(main())


def test_a_run_that_blocks_a_loop_has_its_loop_nodes_elsewhere(executor: Executor) -> None:
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    g = Graph()
    node = g.options(place="loop").add(where)

    async def main() -> str:
        name: str = executor.run(g)[node]
        return name

    assert asyncio.run(main()) == "taskloom-aio"


def test_a_plain_function_can_be_placed_on_a_loop(executor: Executor) -> None:
    g = Graph()
    node = g.options(place="loop").add(asyncio.get_running_loop)
    assert executor.run(g)[node].is_running()


def test_cancelling_what_was_placed_on_a_loop_cancels_it_there(executor: Executor) -> None:
    entered = threading.Event()
    errors = []

    async def waits() -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            errors.append(error)
            raise

    future: Any = executor.options(place="loop").submit(waits)
    entered.wait()
    future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    assert errors


def test_what_was_placed_on_a_loop_fails_when_that_loop_is_closed(executor: Executor) -> None:
    g = Graph()
    first = g.options(place="loop").add(asyncio.sleep, 0)
    g.options(place="loop", after=[first]).add(asyncio.sleep, 60)

    async def main() -> taskloom.Run:
        return executor.start(g)

    run = asyncio.run(main())
    assert run.wait()
    assert not run.ok
