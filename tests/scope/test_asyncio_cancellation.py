"""Cancellations of scopes and of asyncio, where they meet in one task."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import taskloom
from taskloom import CancelScope, Scope


def here() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def test_a_scope_reaches_code_that_only_ever_gives_way() -> None:
    async def main() -> bool:
        with CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            while True:
                await asyncio.sleep(0)
        return scope.cancelled_caught

    assert asyncio.run(asyncio.wait_for(main(), 20))


def test_a_childs_future_reaches_code_that_only_ever_gives_way() -> None:
    async def child() -> None:
        while True:
            await asyncio.sleep(0)

    async def main() -> bool:
        async with Scope() as scope:
            future = scope.spawn(child)
            await asyncio.sleep(0)
            future.cancel()
        return future.cancelled()

    assert asyncio.run(asyncio.wait_for(main(), 20))


def test_a_scope_catches_a_cancellation_that_was_raised_in_the_place_of_its_own() -> None:
    async def main() -> tuple[bool, int]:
        with CancelScope() as scope:
            scope.cancel()
            try:
                await taskloom.sleep(0)
            except asyncio.CancelledError:
                raise asyncio.CancelledError from None
        return scope.cancelled_caught, here().cancelling()

    assert asyncio.run(main()) == (True, 0)


def test_a_cancelled_task_that_is_awaited_is_not_taken_for_the_scopes_own() -> None:
    async def main() -> bool:
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        scope = CancelScope()

        async def wait() -> None:
            with scope:
                try:
                    await other
                finally:
                    scope.cancel()

        with pytest.raises(asyncio.CancelledError):
            await wait()
        return scope.cancelled_caught

    assert asyncio.run(main()) is False


def test_asyncios_cancellation_is_not_lost_in_a_scope_that_is_cancelled_in_its_cleanup() -> None:
    async def work() -> None:
        with CancelScope() as scope:
            try:
                await asyncio.sleep(60)
            finally:
                scope.cancel()
                await taskloom.sleep(0)  # which raises in the place of asyncio's
        raise AssertionError("not cancelled")

    async def main() -> bool:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="asyncio.timeout knows CancelledError alone, no subclass"
)
def test_asyncios_timeout_around_a_scope_that_is_cancelled_at_the_same_time_says_so() -> None:
    async def main() -> None:
        async with asyncio.timeout(None) as limit:
            with CancelScope() as scope:
                try:
                    limit.reschedule(asyncio.get_running_loop().time())
                    await asyncio.sleep(60)
                finally:
                    scope.cancel()
                    await taskloom.sleep(0)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


@pytest.mark.parametrize("sleep", [asyncio.sleep, taskloom.sleep])
def test_a_timeout_names_the_cancellation_that_it_comes_from(sleep: Any) -> None:
    async def main() -> None:
        with taskloom.fail_after(0):
            await sleep(60)

    with pytest.raises(TimeoutError) as raised:
        asyncio.run(main())
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
