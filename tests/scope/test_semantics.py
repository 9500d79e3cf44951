"""What trio and anyio promise of nurseries, cancel scopes and memory streams, held here too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
import trio
from taskloom import Cancelled, CancelScope, Channel, Scope, current_time, move_on_after, sleep
from taskloom.errors import BrokenResourceError, EndOfStream, WouldBlock

Run = Callable[..., Any]

# Nurseries


def test_a_started_task_runs_only_after_its_spawner_waits(run: Run) -> None:
    async def main() -> list[str]:
        log = []

        async def child() -> None:
            log.append("child")

        async with Scope() as scope:
            scope.spawn(child)
            log.append("body")
        return log

    assert run(main) == ["body", "child"]


def test_errors_of_nested_scopes_come_as_nested_groups(run: Run) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def inner() -> None:
        async with Scope(on_error="continue") as scope:
            scope.spawn(fail, KeyError("inner"))
            scope.spawn(fail, ValueError("inner"))

    async def main() -> None:
        async with Scope(on_error="continue") as scope:
            scope.spawn(inner)
            scope.spawn(fail, TypeError("outer"))

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    flat = [leaf for e in caught.value.exceptions for leaf in getattr(e, "exceptions", [e])]
    assert {type(e) for e in flat} == {KeyError, ValueError, TypeError}


def test_the_groups_of_a_scope_can_be_caught_by_type(run: Run) -> None:
    async def main() -> list[str]:
        caught = []
        try:
            async with Scope() as scope:
                scope.spawn(failing)
                await sleep(60)
        except* ValueError:
            caught.append("ValueError")
        return caught

    async def failing() -> None:
        raise ValueError

    assert run(main) == ["ValueError"]


def test_cancelling_before_entering_cancels_at_the_first_await(run: Run) -> None:
    async def main() -> list[str]:
        log = []
        scope = CancelScope()
        scope.cancel()
        with scope:
            log.append("entered")
            await sleep(0)
            log.append("not reached")
        return log

    assert run(main) == ["entered"]


def test_a_task_spawned_in_a_cancelled_scope_runs_to_its_first_await(run: Run) -> None:
    async def main() -> list[str]:
        log = []

        async def child() -> None:
            log.append("started")
            await sleep(0)
            log.append("not reached")

        async with Scope() as scope:
            scope.cancel()
            scope.spawn(child)
        return log

    assert run(main) == ["started"]


def test_a_base_exception_of_a_child_comes_out(run: Run) -> None:
    async def child() -> None:
        raise SystemExit(3)

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(child)

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main)
    assert isinstance(caught.value.exceptions[0], SystemExit)


def test_cancelled_passes_except_exception(run: Run) -> None:
    async def main() -> bool:
        with CancelScope() as scope:
            scope.cancel()
            try:
                await sleep(1)
            except Exception:
                pytest.fail("Cancelled is no Exception")
        return scope.cancelled_caught

    assert run(main)


def test_swallowing_cancelled_does_not_stop_the_cancellation(run: Run) -> None:
    async def main() -> int:
        attempts = 0
        with CancelScope() as scope:
            scope.cancel()
            while attempts < 5:
                attempts += 1
                try:
                    await sleep(1)
                except Cancelled:
                    if attempts == 5:
                        raise
        return attempts

    assert run(main) == 5


def test_a_scope_that_ends_in_time_is_not_cancelled(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        with move_on_after(5) as scope:
            await sleep(1)
        await sleep(10)
        return scope.cancel_called, scope.cancelled_caught

    assert run(main) == (False, False)


def test_a_deadline_in_the_past_cancels_at_the_first_await(run: Run) -> None:
    async def main() -> bool:
        with CancelScope(deadline=-1) as scope:
            await sleep(0)
        return scope.cancelled_caught

    assert run(main)


def test_a_shielded_scope_still_obeys_its_own_deadline(run: Run) -> None:
    async def main() -> tuple[bool, float]:
        with CancelScope() as outer:
            outer.cancel()
            with move_on_after(2, shield=True) as inner:
                await sleep(60)
            assert inner.cancelled_caught
            await sleep(60)
        return outer.cancelled_caught, current_time()

    assert run(main) == (True, 2)


def test_an_error_in_cleanup_replaces_the_cancellation(run: Run) -> None:
    async def main() -> None:
        with CancelScope() as scope:
            scope.cancel()
            try:
                await sleep(1)
            finally:
                raise KeyError("cleanup")

    with pytest.raises(KeyError, match="cleanup"):
        run(main)


def test_a_cancelled_error_beside_others_is_taken_out_of_the_group(run: Run) -> None:
    async def stubborn() -> None:
        try:
            await sleep(60)
        except Cancelled:
            raise ValueError("on the way out") from None

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(stubborn)
            scope.spawn(sleep_long)
            await sleep(1)
            scope.cancel()

    async def sleep_long() -> None:
        await sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [type(e) for e in caught.value.exceptions] == [ValueError]


def test_async_generators_are_closed_in_their_scope(run: Run) -> None:
    log = []

    async def numbers() -> Any:
        try:
            for n in range(10):
                await sleep(0)
                yield n
        finally:
            await sleep(0)
            log.append("closed")

    async def main() -> None:
        from contextlib import aclosing

        async with aclosing(numbers()) as source:
            async for n in source:
                if n == 3:
                    break

    run(main)
    assert log == ["closed"]


def test_a_scope_reused_is_refused(run: Run) -> None:
    async def main() -> None:
        scope = Scope()
        async with scope:
            pass
        with pytest.raises(RuntimeError, match="a Scope can be entered once"):
            async with scope:
                pass

    run(main)


def test_a_scope_entered_in_itself_is_refused_and_goes_on(run: Run) -> None:
    async def main() -> str:
        async def child() -> str:
            return "ran"

        async with Scope() as scope:
            with pytest.raises(RuntimeError, match="a Scope can be entered once"):
                async with scope:
                    pass
            future = scope.spawn(child)
        return future.result()

    assert run(main) == "ran"
    assert trio.run(main) == "ran"


# Memory streams


def test_receive_nowait_takes_from_a_waiting_sender(run: Run) -> None:
    async def main() -> str:
        send, receive = Channel[str](0).split()
        with send, receive:
            async with Scope() as scope:
                scope.spawn(send_one, send, "hello")
                await sleep(1)
                return receive.receive_nowait()

    async def send_one(send: taskloom.Sender[str], item: str) -> None:
        await send.send(item)

    assert run(main) == "hello"


def test_send_nowait_gives_to_a_waiting_receiver_beyond_the_capacity(run: Run) -> None:
    async def main() -> str:
        send, receive = Channel[str](0).split()
        with send, receive:
            async with Scope() as scope:
                future = scope.spawn(receive_one, receive)
                await sleep(1)
                send.send_nowait("hello")
                with pytest.raises(WouldBlock):
                    send.send_nowait("again")
        return future.result()

    async def receive_one(receive: taskloom.Receiver[str]) -> str:
        return await receive.receive()

    assert run(main) == "hello"


def test_a_clone_keeps_the_channel_open(run: Run) -> None:
    async def main() -> None:
        send, receive = Channel[int](1).split()
        twin = receive.clone()
        receive.close()
        with send, twin:
            await send.send(1)
            assert await twin.receive() == 1

    run(main)


def test_a_receiver_that_waits_is_told_of_the_end(run: Run) -> None:
    async def main() -> float:
        send, receive = Channel[int](1).split()

        async def close_later() -> None:
            await sleep(3)
            send.close()

        with receive:
            async with Scope() as scope:
                scope.spawn(close_later)
                with pytest.raises(EndOfStream):
                    await receive.receive()
        return current_time()

    assert run(main) == 3


def test_sending_after_the_last_receiver_left_raises_at_once(run: Run) -> None:
    async def main() -> None:
        send, receive = Channel[int](5).split()
        receive.close()
        with send:
            with pytest.raises(BrokenResourceError):
                send.send_nowait(1)
            with pytest.raises(BrokenResourceError):
                await send.send(1)

    run(main)


def test_cancelling_one_of_several_receivers_leaves_the_order_of_the_others(run: Run) -> None:
    async def main() -> dict[int, int]:
        send, receive = Channel[int](0).split()
        got: dict[int, int] = {}

        async def receive_one(n: int) -> None:
            got[n] = await receive.receive()

        with send, receive:
            async with Scope() as scope:
                futures = []
                for n in range(3):
                    futures.append(scope.spawn(receive_one, n))
                    await sleep(1)
                futures[0].cancel()
                await sleep(1)
                await send.send(1)
                await send.send(2)
        return got

    assert run(main) == {1: 1, 2: 2}


def test_ends_can_be_closed_asynchronously_too(run: Run) -> None:
    async def main() -> None:
        send, receive = Channel[int](1).split()
        async with send as same:
            assert same is send
        assert send.closed
        await receive.aclose()
        assert receive.closed

    run(main)


def test_closing_twice_is_allowed(run: Run) -> None:
    async def main() -> None:
        send, receive = Channel[int](1).split()
        for _ in range(2):
            send.close()
            receive.close()

    run(main)


def test_closed_ends_do_not_warn(run: Run, recwarn: pytest.WarningsRecorder) -> None:
    async def main() -> None:
        send, receive = Channel[int](1).split()
        with send, receive:
            pass

    run(main)
    gc.collect()
    assert not [w for w in recwarn if w.category is ResourceWarning]
