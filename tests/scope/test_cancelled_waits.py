"""A cancelled wait is served no more: what it waited for goes to the next, or stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import (
    CancelScope,
    CapacityLimiter,
    Channel,
    Condition,
    Lock,
    Scope,
    Semaphore,
    move_on_after,
    shield,
    sleep,
)

Run = Callable[..., Any]


def test_an_item_sent_after_a_receiver_was_cancelled_is_not_handed_to_it(run: Run) -> None:
    async def main() -> str:
        sender, receiver = Channel[str](1).split()
        with sender, receiver:
            async with Scope() as scope:
                with CancelScope() as limit:
                    scope.spawn(cancel_then_send, limit, sender)
                    await receiver.receive()
                assert limit.cancelled_caught
            return receiver.receive_nowait()

    async def cancel_then_send(limit: CancelScope, sender: taskloom.Sender[str]) -> None:
        await sleep(1)
        limit.cancel()
        sender.send_nowait("item")

    assert run(main) == "item"


def test_an_item_sent_before_the_receiver_was_cancelled_is_received(run: Run) -> None:
    async def main() -> str:
        sender, receiver = Channel[str](0).split()
        with sender, receiver:
            async with Scope() as scope:
                with CancelScope() as limit:
                    scope.spawn(send_then_cancel, limit, sender)
                    return await receiver.receive()
        raise AssertionError("not reached")

    async def send_then_cancel(limit: CancelScope, sender: taskloom.Sender[str]) -> None:
        await sleep(1)
        sender.send_nowait("item")
        limit.cancel()

    assert run(main) == "item"


def test_an_item_of_a_cancelled_sender_is_not_received(run: Run) -> None:
    async def main() -> list[str]:
        sender, receiver = Channel[str](0).split()
        with sender, receiver:
            async with Scope() as scope:
                cancelled = scope.spawn(sender.send, "cancelled")
                await sleep(1)
                scope.spawn(sender.send, "sent")
                await sleep(1)
                cancelled.cancel()
                return [receiver.receive_nowait()]

    assert run(main) == ["sent"]


@pytest.mark.parametrize("make", [Lock, lambda: Semaphore(1), lambda: CapacityLimiter(1)])
def test_a_release_after_the_next_in_line_was_cancelled_passes_it_over(
    run: Run, make: Callable[[], Any]
) -> None:
    async def main() -> list[str]:
        one_at_a_time, log = make(), list[str]()

        async def use(name: str) -> None:
            async with one_at_a_time:
                log.append(name)

        await one_at_a_time.acquire()
        async with Scope() as scope:
            first = scope.spawn(use, "first")
            await sleep(1)
            scope.spawn(use, "second")
            await sleep(1)
            first.cancel()
            one_at_a_time.release()
        await one_at_a_time.acquire()
        return log

    assert run(main) == ["second"]


def test_a_notification_after_its_first_waiter_was_cancelled_goes_to_the_next(run: Run) -> None:
    async def main() -> list[str]:
        condition, log = Condition(), list[str]()

        async def wait(name: str) -> None:
            async with condition:
                await condition.wait()
                log.append(name)

        async with Scope() as scope:
            first = scope.spawn(wait, "first")
            await sleep(1)
            scope.spawn(wait, "second")
            await sleep(1)
            async with condition:
                first.cancel()
                condition.notify()
        return log

    assert run(main) == ["second"]


def test_a_cancelled_wait_in_a_shield_is_served(run: Run) -> None:
    async def main() -> str:
        sender, receiver = Channel[str](0).split()
        with sender, receiver:
            async with Scope() as scope:
                with CancelScope() as limit:
                    scope.spawn(cancel_then_send, limit, sender)
                    with shield():
                        return await receiver.receive()
        raise AssertionError("not reached")

    async def cancel_then_send(limit: CancelScope, sender: taskloom.Sender[str]) -> None:
        await sleep(1)
        limit.cancel()
        await sender.send("item")

    assert run(main) == "item"


def test_who_was_cancelled_once_is_served_in_a_later_wait(run: Run) -> None:
    async def main() -> int:
        sender, receiver = Channel[int](0).split()
        with sender, receiver:
            with move_on_after(1):
                await receiver.receive()
            async with Scope() as scope:
                scope.spawn(sender.send, 1)
                return await receiver.receive()

    assert run(main) == 1
