"""Scopes on asyncio, and asyncio code from taskloom's coroutines; what holds on trio likewise."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, NoReturn

import pytest
import taskloom
from taskloom import (
    Cancelled,
    CancelScope,
    Channel,
    Scope,
    aio,
    move_on_after,
    sleep,
)


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_scope_on_an_asyncio_loop_keeps_coroutines_there_and_functions_off_it() -> None:
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async def main() -> tuple[int, int]:
        async with Scope() as scope:
            coroutine = scope.spawn(where)
            function = scope.spawn(threading.get_ident)
        return coroutine.result(), function.result()

    coroutine, function = asyncio.run(main())
    assert coroutine == threading.get_ident() != function


def test_cancelling_a_scope_reaches_asyncio_code_and_leaves_no_trace() -> None:
    async def main() -> tuple[bool, int]:
        async with Scope() as scope:
            child = scope.spawn(forever)
            await asyncio.sleep(0)
            scope.cancel()
            await forever()
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return child.cancelled(), task.cancelling()

    assert asyncio.run(main()) == (True, 0)


def test_a_deadline_reaches_asyncio_code() -> None:
    async def main() -> bool:
        with move_on_after(0.01) as scope:
            await forever()
        return scope.cancelled_caught

    assert asyncio.run(main())


def test_a_deadline_reaches_our_own_awaits_on_an_asyncio_loop() -> None:
    async def main() -> bool:
        sender, receiver = Channel[int](0).split()
        with sender, receiver, move_on_after(0.01) as scope:
            await receiver.receive()
        return scope.cancelled_caught

    assert asyncio.run(main())


def test_an_asyncio_cancellation_cancels_the_children_and_goes_on() -> None:
    ended = []

    async def child() -> None:
        try:
            await forever()
        finally:
            ended.append("child")

    async def scoped() -> None:
        async with Scope() as scope:
            scope.spawn(child)

    async def main() -> None:
        task = asyncio.create_task(scoped())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["child"]


def test_an_error_in_a_child_on_asyncio_comes_out_as_a_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("mine")

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(fail)
            await forever()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [repr(e) for e in caught.value.exceptions] == ["ValueError('mine')"]


def test_aio_runs_asyncio_code_and_gives_its_result_or_error() -> None:
    async def work(n: int) -> int:
        await asyncio.sleep(0)
        return 10 // n

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await aio(work(0))
        return await aio(work(2))

    assert taskloom.run_coroutine(main) == 5


def test_cancelling_the_caller_of_aio_cancels_the_asyncio_code_and_waits_for_it() -> None:
    log = []

    async def work() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned")

    async def main() -> None:
        with move_on_after(0.01):
            await aio(work())
        assert log == ["cleaned"]

    taskloom.run_coroutine(main)


def test_an_asyncio_future_can_be_awaited_directly() -> None:
    async def make() -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, future.set_result, "done")
        return future

    async def main() -> str:
        return await (await aio(make()))

    assert taskloom.run_coroutine(main) == "done"


def test_cancelling_ends_a_direct_wait_for_an_asyncio_future() -> None:
    async def make() -> asyncio.Future[str]:
        return asyncio.get_running_loop().create_future()

    async def main() -> bool:
        future = await aio(make())
        with move_on_after(0.01) as scope:
            await future
        return scope.cancelled_caught

    assert taskloom.run_coroutine(main)


def test_code_that_needs_a_running_loop_is_told_what_to_do() -> None:
    async def main() -> None:
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError) as caught:
        taskloom.run_coroutine(main)
    assert any("taskloom.aio" in note for note in caught.value.__notes__)


def test_a_taskloom_future_can_be_awaited_in_asyncio() -> None:
    async def main() -> int:
        async with Scope() as scope:
            return await scope.spawn(pow, 2, 5)

    assert asyncio.run(main()) == 32


def test_ctrl_c_cancels_waits_for_cleanup_and_is_raised() -> None:
    import _thread

    log = []

    async def main() -> None:
        try:
            _thread.interrupt_main()
            await sleep(60)
        except Cancelled as cancelled:
            log.append(str(cancelled))
            raise

    with pytest.raises(KeyboardInterrupt):
        taskloom.run_coroutine(main)
    assert log in ([], ["interrupted by KeyboardInterrupt"])


def test_ctrl_c_before_the_wait_has_begun_leaves_no_coroutine_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = []

    def interrupted(**_: object) -> NoReturn:
        monkeypatch.undo()
        raise KeyboardInterrupt

    async def main() -> None:
        try:
            await sleep(60)
        except Cancelled as cancelled:
            log.append(str(cancelled))
            raise

    monkeypatch.setattr("taskloom.scope.coroutines.CancelScope", interrupted)
    with pytest.raises(KeyboardInterrupt):
        taskloom.run_coroutine(main)
    assert log == ["interrupted by KeyboardInterrupt"]


def test_our_awaits_raise_our_cancelled_on_asyncio_which_is_asyncios_too() -> None:
    async def main() -> BaseException | None:
        with CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel, "enough")
            try:
                await taskloom.sleep_forever()
            except BaseException as error:
                return error
        return None

    error = asyncio.run(main())
    assert isinstance(error, Cancelled)
    assert isinstance(error, asyncio.CancelledError)
    assert repr(error) == "Cancelled('enough')"


def test_an_asyncio_task_that_our_await_cancels_counts_as_cancelled() -> None:
    async def main() -> tuple[bool, bool]:
        with CancelScope() as scope:
            task = asyncio.create_task(taskloom.sleep_forever())
            await asyncio.sleep(0)
            scope.cancel()
            await asyncio.wait([task])
        return task.cancelled(), scope.cancelled_caught

    assert asyncio.run(main()) == (True, True)


def test_a_cancelled_scope_around_asyncios_task_group_catches_what_comes_out() -> None:
    async def main() -> tuple[bool, int]:
        with CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(taskloom.sleep_forever())
                await asyncio.sleep(0)
                scope.cancel()
        task = asyncio.current_task()
        assert task is not None
        return scope.cancelled_caught, task.cancelling()

    assert asyncio.run(main()) == (True, 0)


def test_an_outer_scope_catches_what_asyncio_code_in_an_inner_one_was_cancelled_by() -> None:
    async def main() -> tuple[bool, bool, int]:
        with CancelScope() as outer:
            asyncio.get_running_loop().call_soon(outer.cancel)
            with CancelScope(), move_on_after(60) as inner:
                await forever()
        task = asyncio.current_task()
        assert task is not None
        return outer.cancelled_caught, inner.cancelled_caught, task.cancelling()

    assert asyncio.run(main()) == (True, False, 0)


@pytest.mark.parametrize("give_way", [taskloom.yield_now, lambda: sleep(0)])
@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_giving_way_lets_others_run_on_a_foreign_loop(host: str, give_way: Any) -> None:
    module = pytest.importorskip(host)

    async def main() -> bool:
        ran = []

        async def other() -> None:
            ran.append(True)

        async with Scope() as scope:
            scope.spawn(other)
            while not ran:
                await give_way()
        return True

    assert asyncio.run(main()) if host == "asyncio" else module.run(main)


@pytest.mark.parametrize("host", ["asyncio", "trio"])
@pytest.mark.parametrize("started", [False, True])
def test_a_childs_future_cancels_it_on_a_foreign_loop(host: str, started: bool) -> None:
    module = pytest.importorskip(host)
    log = []

    async def child() -> None:
        try:
            await taskloom.sleep_forever()
        except BaseException:
            log.append("cancelled")
            raise

    async def main() -> bool:
        async with Scope() as scope:
            future = scope.spawn(child)
            while started and not future.running():
                await taskloom.yield_now()
            at_once = future.cancel()
        assert at_once is not started
        return future.cancelled()

    assert asyncio.run(main()) if host == "asyncio" else module.run(main)
    assert log == ["cancelled"] * started


def test_a_shield_raised_late_keeps_asyncio_code_going() -> None:
    async def main() -> list[str]:
        log = []
        with CancelScope() as outer, CancelScope() as inner:
            outer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await forever()
            inner.shield = True
            await asyncio.sleep(0.001)
            log.append("shielded")
            inner.shield = False
            with pytest.raises(asyncio.CancelledError):
                await forever()
            log.append("lifted")
        task = asyncio.current_task()
        assert task is not None
        return [*log, f"{outer.cancelled_caught} {task.cancelling()}"]

    assert asyncio.run(main()) == ["shielded", "lifted", "False 0"]


def test_a_cancellation_of_asyncios_beside_a_scopes_comes_at_the_next_await() -> None:
    async def main() -> tuple[bool, bool]:
        task = asyncio.current_task()
        assert task is not None
        with CancelScope() as scope:
            scope.cancel()
            task.cancel()
            await sleep(0)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return scope.cancelled_caught, True
        return scope.cancelled_caught, False

    assert asyncio.run(main()) == (True, True)


def test_a_cancellation_of_asyncios_beside_errors_of_children_comes_at_the_next_await() -> None:
    async def work(log: list[object]) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError

        task = asyncio.current_task()
        assert task is not None
        try:
            async with Scope() as scope:
                scope.spawn(fail)
                asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.sleep(60)
        except* ValueError:
            log.append(task.cancelling())
        await asyncio.sleep(60)

    async def main() -> list[object]:
        log: list[object] = []
        task = asyncio.create_task(work(log))
        await asyncio.wait([task])
        return [*log, task.cancelled()]

    assert asyncio.run(main()) == [1, True]


def test_a_cancellation_of_asyncios_that_comes_out_of_a_scope_comes_once() -> None:
    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(asyncio.CancelledError):  # noqa: PT012 - leaving raises it
            async with Scope() as scope:
                scope.spawn(taskloom.sleep_forever)
                task.cancel()
        await asyncio.sleep(0)  # is not cancelled again
        return task.cancelling()

    assert asyncio.run(main()) == 1
