"""Channels between coroutines, on virtual time and in several orders."""

# ruff: noqa: PT012 - what raises is often a whole scope

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Scope, current_time, move_on_after, sleep
from taskloom.errors import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
)

Run = Callable[..., Any]


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_items_come_in_order_and_the_end_after_the_last(run: Run, capacity: int) -> None:
    async def produce(sender: taskloom.Sender[int]) -> None:
        with sender:
            for n in range(100):
                await sender.send(n)

    async def main() -> list[int]:
        sender, receiver = Channel[int](capacity).split()
        async with Scope() as scope:
            scope.spawn(produce, sender)
            with receiver:
                return [n async for n in receiver]

    assert run(main) == list(range(100))


def test_many_producers_and_consumers_share_every_item_once(run: Run) -> None:
    got: list[int] = []

    async def produce(sender: taskloom.Sender[int], first: int) -> None:
        for n in range(first, first + 50):
            await sender.send(n)

    async def consume(receiver: taskloom.Receiver[int]) -> None:
        async for n in receiver:
            got.append(n)
            await taskloom.yield_now()

    async def main() -> None:
        channel = Channel[int](3)
        starts = iter([0, 50, 100])

        async def one(sender: taskloom.Sender[int]) -> None:
            await produce(sender, next(starts))

        async with Scope() as scope:
            scope.consume(channel, consume, 4)
            scope.produce(channel, one, 3)

    run(main)
    assert sorted(got) == list(range(150))


def test_a_full_channel_holds_the_sender_up(run: Run) -> None:
    async def produce(sender: taskloom.Sender[int]) -> float:
        with sender:
            for n in range(3):
                await sender.send(n)
        return current_time()

    async def main() -> float:
        sender, receiver = Channel[int](2).split()
        async with Scope() as scope:
            done = scope.spawn(produce, sender)
            await sleep(5)
            with receiver:
                assert await receiver.receive() == 0
                return await done

    assert run(main) == 5


def test_a_rendezvous_completes_when_the_item_is_taken(run: Run) -> None:
    async def produce(sender: taskloom.Sender[str]) -> float:
        with sender:
            await sender.send("x")
        return current_time()

    async def main() -> float:
        sender, receiver = Channel[str](0).split()
        async with Scope() as scope:
            done = scope.spawn(produce, sender)
            await sleep(3)
            with receiver:
                assert await receiver.receive() == "x"
            return await done

    assert run(main) == 3


def test_a_receive_that_times_out_loses_nothing(run: Run) -> None:
    async def produce(sender: taskloom.Sender[int]) -> None:
        with sender:
            for n in range(20):
                await sleep(1)
                await sender.send(n)

    async def main() -> list[int]:
        got = []
        sender, receiver = Channel[int](0).split()
        async with Scope() as scope:
            scope.spawn(produce, sender)
            with receiver:
                while True:
                    with move_on_after(1):
                        try:
                            got.append(await receiver.receive())
                        except EndOfStream:
                            return got

    assert run(main) == list(range(20))


def test_a_send_that_is_cancelled_sends_nothing(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](0).split()
        with sender, receiver:
            with move_on_after(1):
                await sender.send(1)
            with pytest.raises(WouldBlock):
                receiver.receive_nowait()
            assert receiver.stats().tasks_waiting_send == 0

    run(main)


def test_batches_arrive_in_order_and_no_larger_than_asked(run: Run) -> None:
    async def produce(sender: taskloom.Sender[int]) -> None:
        with sender:
            await sender.send_many(range(50))

    async def main() -> list[int]:
        got: list[int] = []
        sender, receiver = Channel[int](8).split()
        async with Scope() as scope:
            scope.spawn(produce, sender)
            with receiver:
                while True:
                    try:
                        batch = await receiver.receive_many(5)
                    except EndOfStream:
                        return got
                    assert 1 <= len(batch) <= 5
                    got += batch

    assert run(main) == list(range(50))


def test_closing_the_last_receiver_breaks_a_waiting_send(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](0).split()

        async def close() -> None:
            receiver.close()

        with sender:
            async with Scope() as scope:
                scope.spawn(close)
                with pytest.raises(BrokenResourceError):
                    await sender.send(1)

    run(main)


def test_a_select_takes_the_first_that_is_ready_and_only_that(run: Run) -> None:
    async def main() -> None:
        (send_a, a), (send_b, b) = Channel[str](1).split(), Channel[str](1).split()
        with send_a, send_b, a, b:

            async def later() -> None:
                await sleep(1)
                await send_b.send("b")

            async with Scope() as scope:
                scope.spawn(later)
                index, value = await taskloom.select(a.receive(), b.receive())
            assert (index, value) == (1, "b")
            send_a.send_nowait("a")
            assert a.receive_nowait() == "a"

    run(main)


def test_a_select_says_which_channel_ended(run: Run) -> None:
    async def main() -> int | None:
        (send_a, a), (send_b, b) = Channel[str](1).split(), Channel[str](1).split()
        with send_a, a, b:
            send_b.close()
            with pytest.raises(EndOfStream) as caught:
                await taskloom.select(a.receive(), b.receive())
            return caught.value.index

    assert run(main) == 1


def test_a_coroutine_that_never_waits_still_lets_others_run(run: Run) -> None:
    turns: list[str] = []

    async def busy() -> None:
        sender, receiver = Channel[int](1).split()
        with sender, receiver:
            for _ in range(5_000):
                await sender.send(1)
                await receiver.receive()
        turns.append("busy")

    async def other() -> None:
        turns.append("other")

    async def main() -> None:
        async with Scope() as scope:
            scope.spawn(busy)
            scope.spawn(other)

    run(main)
    assert turns == ["other", "busy"]


def test_pipelines_keep_order_where_asked(run: Run) -> None:
    async def slow_first(n: int) -> int:
        await sleep(10 - n)
        return n

    async def main(ordered: bool) -> list[int]:
        async with Scope() as scope:
            with scope.pipeline(
                range(5), taskloom.stage(slow_first, 5, ordered=ordered)
            ) as results:
                return [n async for n in results]

    assert run(main, True) == [0, 1, 2, 3, 4]
    assert run(main, False) == [4, 3, 2, 1, 0]


def test_an_error_in_a_stage_stops_the_pipeline(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with Scope() as scope:
                with scope.pipeline(["1", "x"], taskloom.stage(int, 2)) as results:
                    async for _ in results:
                        pass
        assert any(isinstance(e, ValueError) for e in caught.value.exceptions)

    run(main)


def test_items_left_in_a_dropped_channel_are_freed(run: Run) -> None:
    class Item:
        pass

    async def main() -> None:
        sender, receiver = Channel[Any](2).split()
        item = Item()
        gone = weakref.ref(item)
        sender.send_nowait([item, sender])  # a cycle through the channel
        sender.close()
        receiver.close()
        del sender, receiver, item
        gc.collect()
        assert gone() is None

    run(main)


def test_an_end_may_not_be_used_after_it_was_closed(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](1).split()
        sender.close()
        receiver.close()
        with pytest.raises(ClosedResourceError, match="sender is closed"):
            await sender.send(1)
        with pytest.raises(ClosedResourceError, match="receiver is closed"):
            await receiver.receive()
        with pytest.raises(ClosedResourceError):
            sender.clone()

    run(main)


def test_an_item_may_be_named() -> None:
    async def main() -> int:
        sender, receiver = Channel[int](1).split()
        with sender, receiver:
            await sender.send(item=1)
            with pytest.raises(TypeError, match="send\\(item\\)"):
                sender.send(1, item=2)  # type: ignore[call-arg, misc]
            with pytest.raises(TypeError, match="send\\(item\\)"):
                sender.send(thing=2)  # type: ignore[call-arg]
            return await receiver.receive()

    assert taskloom.run_coroutine(main) == 1


def test_an_await_that_goes_on_is_not_awaited_a_second_time() -> None:
    async def main() -> None:
        sender, receiver = Channel[int](1).split()
        with sender, receiver:
            receiving = receiver.receive()
            sender.send_nowait(1)
            assert await receiving == 1
            with pytest.raises(RuntimeError, match="awaited before"):
                await receiving

    taskloom.run_coroutine(main)
