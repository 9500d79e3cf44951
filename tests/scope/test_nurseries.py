"""What users of trio's nurseries and anyio's task groups rely on, by behaviour."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Cancelled, CancelScope, Channel, Executor, Scope, current_time, sleep

Run = Callable[..., Any]


def test_native_methods_can_be_spawned_as_coroutine_functions(run: Run) -> None:
    async def main() -> int:
        sender, receiver = Channel[int](0).split()
        with sender, receiver:
            async with Scope() as scope:
                scope.spawn(sender.send, 1)
                scope.spawn(sleep, 1)
                received = scope.spawn(receiver.receive)
        return received.result()

    assert run(main) == 1


def test_a_child_may_say_that_it_is_ready_before_it_goes_on(run: Run) -> None:
    async def service(ready: taskloom.Event, log: list[str]) -> None:
        await sleep(1)
        log.append("ready")
        ready.set()
        await taskloom.sleep_forever()

    async def main() -> list[str]:
        log: list[str] = []
        ready = taskloom.Event()
        async with Scope() as scope:
            scope.spawn(service, ready, log)
            await ready.wait()
            log.append("used")
            scope.cancel()
        return log

    assert run(main) == ["ready", "used"]


def test_all_errors_of_a_scope_are_in_its_group_in_their_order(run: Run) -> None:
    async def fail(after: float, error: Exception) -> None:
        try:
            await sleep(after)
        finally:
            raise error

    async def main() -> list[type]:
        try:
            async with Scope() as scope:
                scope.spawn(fail, 1, ValueError())
                scope.spawn(fail, 60, KeyError())
                await sleep(60)
        except ExceptionGroup as group:
            return [type(error) for error in group.exceptions]
        return []

    assert run(main) == [ValueError, KeyError]


def test_an_error_in_the_cleanup_of_a_sibling_shows_what_it_was_cleaning_up(run: Run) -> None:
    async def fail() -> None:
        raise ValueError

    async def cleanup_fails() -> None:
        try:
            await sleep(60)
        finally:
            raise KeyError

    async def main() -> BaseException | None:
        try:
            async with Scope() as scope:
                scope.spawn(cleanup_fails)
                await sleep(1)
                scope.spawn(fail)
        except ExceptionGroup as group:
            return group.exceptions[1].__context__
        return None

    assert isinstance(run(main), Cancelled)


def test_the_reason_of_a_cancellation_is_what_cancelled_says(run: Run) -> None:
    async def main() -> str:
        async with Scope() as scope:
            scope.cancel("enough")
            try:
                await sleep(1)
            except Cancelled as error:
                return str(error)
        return ""

    assert run(main) == "enough"


def test_a_scope_cancelled_inside_one_that_was_cancelled_lets_the_outer_catch(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        with CancelScope() as outer:
            with CancelScope() as inner:
                inner.cancel()
                outer.cancel()
                await sleep(1)
            raise AssertionError("not reached")
        return outer.cancelled_caught, inner.cancelled_caught

    assert run(main) == (True, False)


def test_a_scope_without_an_await_catches_nothing(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        with CancelScope() as scope:
            scope.cancel()
        return scope.cancel_called, scope.cancelled_caught

    assert run(main) == (True, False)


def test_a_shield_holds_off_the_deadline_around_it(run: Run) -> None:
    async def main() -> tuple[bool, float]:
        start = current_time()
        with taskloom.move_on_after(1) as scope:
            with taskloom.shield():
                await sleep(3)
            await sleep(60)
        return scope.cancelled_caught, round(current_time() - start)

    assert run(main) == (True, 3)


def test_the_inner_of_two_deadlines_ends_only_its_own_scope(run: Run) -> None:
    async def main() -> tuple[bool, bool, float]:
        start = current_time()
        with taskloom.move_on_after(5) as outer:
            with taskloom.move_on_after(1) as inner:
                await sleep(60)
            await sleep(2)
        return outer.cancelled_caught, inner.cancelled_caught, round(current_time() - start)

    assert run(main) == (False, True, 3)


def test_no_limit_at_all_is_an_infinite_deadline(run: Run) -> None:
    async def main() -> float:
        with taskloom.move_on_after(None) as scope:
            await sleep(1)
        return scope.deadline

    assert run(main) == math.inf


def test_a_child_feels_the_cancellation_of_the_scope_it_was_spawned_in_not_of_its_spawner(
    run: Run,
) -> None:
    async def child() -> str:
        await sleep(2)
        return "done"

    async def main() -> str:
        async with Scope() as scope:
            with CancelScope() as around:
                future = scope.spawn(child)
                around.cancel()
        return future.result()

    assert run(main) == "done"


def test_a_child_that_swallows_its_cancellation_is_waited_for_all_the_same(run: Run) -> None:
    async def stubborn(log: list[str]) -> None:
        for _ in range(3):
            try:
                await sleep(60)
            except Cancelled:
                log.append("again")

    async def main() -> list[str]:
        log: list[str] = []
        async with Scope() as scope:
            scope.spawn(stubborn, log)
            await sleep(1)
            scope.cancel()
        return log

    assert run(main) == ["again"] * 3


def test_leaving_waits_for_the_thread_of_a_function_that_ran_out_of_time() -> None:
    entered, release = threading.Event(), threading.Event()
    left: list[bool] = []

    def hangs() -> None:
        entered.set()
        release.wait()
        left.append(True)

    with (  # noqa: PT012
        pytest.raises(ExceptionGroup) as caught,
        Executor(1) as executor,
        Scope(executor) as scope,
    ):
        future = scope.options(timeout=0.01).spawn(hangs)
        assert isinstance(future.exception(), TimeoutError)
        entered.wait()
        while scope._live > 1:  # the scope hears of the future's end after those who wait for it
            time.sleep(0)
        release.set()
    assert left
    assert caught.group_contains(TimeoutError)


def test_leaving_does_not_wait_for_an_abandoned_function_that_ran_out_of_time() -> None:
    entered, release = threading.Event(), threading.Event()

    def hangs() -> str:
        entered.set()
        release.wait()
        return "late"

    with Executor(1) as executor:
        with Scope(executor) as scope:
            scope.options(timeout=60, abandon=True).spawn(hangs)
            entered.wait()
        release.set()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_scopes_and_channels_work_in_anyios_programs(backend: str) -> None:
    anyio = pytest.importorskip("anyio")

    async def child(sender: taskloom.Sender[int], n: int) -> None:
        await anyio.sleep(0)
        await sender.send(n)

    async def main() -> list[int]:
        sender, receiver = Channel[int](0).split()
        with sender, receiver:
            async with anyio.create_task_group() as group, Scope() as scope:
                for n in range(3):
                    scope.spawn(child, sender, n)
                group.start_soon(child, sender, 3)
                return sorted([await receiver.receive() for _ in range(4)])

    assert anyio.run(main, backend=backend) == [0, 1, 2, 3]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_anyio_group_cancels_the_scopes_inside_it(backend: str) -> None:
    anyio = pytest.importorskip("anyio")

    async def main() -> tuple[bool, bool]:
        cleaned = False

        async def child() -> None:
            nonlocal cleaned
            try:
                await anyio.sleep(60)
            finally:
                cleaned = True

        with anyio.move_on_after(0.01) as limit:
            async with Scope() as scope:
                scope.spawn(child)
        return limit.cancelled_caught, cleaned

    assert anyio.run(main, backend=backend) == (True, True)


def test_the_background_loop_is_uvloops_if_that_is_installed() -> None:
    if importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")

    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__

    async def main() -> str:
        return await taskloom.aio(loop())

    assert taskloom.run_coroutine(main).startswith("uvloop")
