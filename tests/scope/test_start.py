"""`Scope.start`: children that say when they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import TASK_STATUS_IGNORED, Cancelled, CancelScope, Scope, TaskStatus, shield, sleep

Run = Callable[..., Any]


async def serve(port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> str:
    await sleep(1)
    task_status.started(port)
    await sleep(1)
    return "served"


def test_start_returns_what_the_child_is_ready_with_while_the_child_goes_on(run: Run) -> None:
    async def main() -> tuple[int, float, float]:
        async with Scope() as scope:
            port = await scope.start(serve, 80)
            ready = taskloom.current_time()
        return port, ready, taskloom.current_time()

    assert run(main) == (80, 1, 2)


def test_a_child_may_be_ready_with_nothing(run: Run) -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        task_status.started()

    async def main() -> object:
        async with Scope() as scope:
            return await scope.start(child)

    assert run(main) is None


def test_a_function_with_an_ignored_status_can_be_spawned_as_well(run: Run) -> None:
    async def main() -> str:
        async with Scope() as scope:
            future = scope.spawn(serve, 80)
        return future.result()

    assert run(main) == "served"


def test_an_error_before_it_is_ready_is_raised_by_start_and_leaves_the_scope_alone(
    run: Run,
) -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        raise ValueError("no port")

    async def main() -> bool:
        async with Scope() as scope:
            with pytest.raises(ValueError, match="no port"):
                await scope.start(child)
            return scope.cancelled

    assert run(main) is False


def test_an_error_after_it_was_ready_is_the_scopes(run: Run) -> None:
    async def child(*, task_status: TaskStatus[int]) -> None:
        task_status.started(1)
        raise ValueError

    async def main() -> tuple[int, int]:
        value = 0
        with pytest.raises(ExceptionGroup) as caught:
            async with Scope() as scope:
                value = await scope.start(child)
        return value, len(caught.value.exceptions)

    assert run(main) == (1, 1)


def test_a_child_that_ends_without_being_ready_is_an_error_that_names_it(run: Run) -> None:
    async def hasty(*, task_status: TaskStatus[None]) -> None:
        pass

    async def main() -> None:
        async with Scope() as scope:
            with pytest.raises(RuntimeError, match=r"hasty.*without calling"):
                await scope.start(hasty)

    run(main)


def test_being_ready_twice_is_refused(run: Run) -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        with pytest.raises(RuntimeError, match="ready once"):
            task_status.started()

    async def main() -> None:
        async with Scope() as scope:
            await scope.start(child)

    run(main)


def test_cancelling_the_call_cancels_the_child_and_waits_for_its_cleanup(run: Run) -> None:
    log: list[str] = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await sleep(60)
        finally:
            with shield():
                await sleep(1)
                log.append("cleaned up")

    async def main() -> tuple[bool, bool, float]:
        async with Scope() as scope:
            with taskloom.move_on_after(1) as limit:
                await scope.start(child)
            log.append("went on")
            return limit.cancelled_caught, scope.cancelled, taskloom.current_time()

    assert run(main) == (True, False, 2)
    assert log == ["cleaned up", "went on"]
    log.clear()


def test_a_child_that_is_not_ready_does_not_feel_the_scope_only_the_call(run: Run) -> None:
    async def child(*, task_status: TaskStatus[str]) -> None:
        await sleep(1)
        task_status.started("ready")
        with pytest.raises(Cancelled):
            await sleep(0)

    async def main() -> str:
        value = ""
        async with Scope() as outer, Scope() as scope:

            async def start() -> None:
                nonlocal value
                value = await scope.start(child)

            outer.spawn(start)
            await sleep(0.5)
            scope.cancel()
        return value

    assert run(main) == "ready"


def test_being_ready_too_late_does_not_make_it_a_child_of_the_scope(run: Run) -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await sleep(60)
        finally:
            task_status.started()
        raise AssertionError("not reached")

    async def main() -> bool:
        async with Scope() as scope:
            with CancelScope() as around:
                around.cancel()
                await scope.start(child)
            return around.cancelled_caught and not scope.cancelled

    assert run(main)


def test_a_child_that_was_ready_too_late_but_ends_without_an_await_is_what_start_returns(
    run: Run,
) -> None:
    async def child(*, task_status: TaskStatus[str]) -> None:
        task_status.started("ready")

    async def main() -> tuple[Any, bool]:
        async with Scope() as scope:
            with CancelScope() as around:
                around.cancel()
                value = await scope.start(child)
        return value, around.cancelled_caught

    assert run(main) == ("ready", False)


def test_being_ready_twice_is_refused_in_a_cancelled_call_too(run: Run) -> None:
    async def child(*, task_status: TaskStatus[str]) -> None:
        task_status.started("ready")
        with pytest.raises(RuntimeError, match="called before"):
            task_status.started("again")

    async def main() -> Any:
        async with Scope() as scope:
            with CancelScope() as around:
                around.cancel()
                return await scope.start(child)

    assert run(main) == "ready"


def test_a_child_that_was_cancelled_before_it_was_ready_is_an_error_that_says_so() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    async def main() -> None:
        async with Scope() as scope:
            with pytest.raises(RuntimeError, match="child was cancelled without calling"):
                await scope.start(child)

    asyncio.run(main())


def test_a_shield_in_the_child_holds_while_the_call_is_cancelled(run: Run) -> None:
    async def child(*, task_status: TaskStatus[None]) -> str:
        with shield():
            await sleep(5)
        await sleep(0)
        raise AssertionError("not reached")

    async def main() -> float:
        async with Scope() as scope:
            with taskloom.move_on_after(1):
                await scope.start(child)
        return taskloom.current_time()

    assert run(main) == 5


def test_starting_in_a_scope_that_was_left_is_refused(run: Run) -> None:
    async def main() -> None:
        async with Scope() as scope:
            pass
        with pytest.raises(RuntimeError, match="not open"):
            await scope.start(serve, 80)

    run(main)


def test_what_gives_no_coroutine_cannot_be_started(run: Run) -> None:
    def plain(*, task_status: TaskStatus[None]) -> int:
        return 1

    async def main() -> None:
        async with Scope() as scope:
            with pytest.raises(TypeError, match=r"plain\(\) returned 1"):
                await scope.start(plain)  # type: ignore[arg-type]

    run(main)


def test_start_on_asyncio_is_cancelled_by_asyncio_with_its_child() -> None:
    ended = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def starter() -> None:
        async with Scope() as scope:
            await scope.start(child)

    async def main() -> None:
        task = asyncio.create_task(starter())
        while not task._fut_waiter:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == [True]


def test_start_under_trio_obeys_trios_own_limits() -> None:
    trio = pytest.importorskip("trio")

    async def child(*, task_status: TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async def main() -> tuple[bool, int]:
        async with Scope() as scope:
            with trio.move_on_after(0.01) as limit:
                await scope.start(child)
            port = await scope.start(ready_at_once)
        return limit.cancelled_caught, port

    async def ready_at_once(*, task_status: TaskStatus[int]) -> None:
        task_status.started(1)

    assert trio.run(main) == (True, 1)


def test_start_works_on_the_pool() -> None:
    async def child(n: int, *, task_status: TaskStatus[int]) -> int:
        task_status.started(n)
        await sleep(0)
        return n

    async def main() -> list[int]:
        async with Scope() as scope:
            return [await scope.start(child, n) for n in range(100)]

    assert taskloom.run_coroutine(main) == list(range(100))
