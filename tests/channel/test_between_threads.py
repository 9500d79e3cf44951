"""Channels between threads, and between threads and event loops."""

# ruff: noqa: PT031 - dropping an end and collecting belong together

from __future__ import annotations

import asyncio
import gc
import math
import threading
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Scope
from taskloom.errors import EndOfStream, WouldBlock


def test_threads_share_every_item_once() -> None:
    channel = Channel[int](5)
    with Scope() as scope:
        sums = scope.consume(channel, sum, 2)
        with channel.sender():  # or the channel ends with the first producer, if it is quick
            for first in (0, 500):
                scope.produce(channel, lambda s, f=first: s.send_many_blocking(range(f, f + 500)))
    assert sum(future.result() for future in sums) == sum(range(1000))


def test_a_blocking_receive_gives_up_after_its_timeout() -> None:
    sender, receiver = Channel[int](1).split()
    with sender, receiver:
        with pytest.raises(TimeoutError):
            receiver.receive_blocking(timeout=0.001)
        sender.send_nowait(1)
        assert receiver.receive_blocking(timeout=0) == 1


def test_a_blocking_send_gives_up_after_its_timeout_and_sends_nothing() -> None:
    sender, receiver = Channel[int](0).split()
    with sender, receiver:
        with pytest.raises(TimeoutError):
            sender.send_blocking(1, timeout=0.001)
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()


def test_cancelling_a_scope_ends_a_blocking_receive() -> None:
    sender, receiver = Channel[int](0).split()
    with sender, receiver, Scope() as scope:
        future = scope.spawn(receiver.receive_blocking)
        while receiver.stats().tasks_waiting_receive == 0:
            pass
        scope.cancel()
    assert future.cancelled()


def test_a_blocking_call_on_a_running_event_loop_is_refused() -> None:
    sender, receiver = Channel[int](0).split()

    async def main() -> None:
        receiver.receive_blocking()

    with sender, receiver, pytest.raises(RuntimeError, match="block the event loop"):
        asyncio.run(main())


def test_a_thread_and_an_asyncio_task_talk() -> None:
    to_loop, in_loop = Channel[int](2).split()
    from_loop, out = Channel[int](2).split()

    async def main() -> None:
        with in_loop, from_loop:
            async for n in in_loop:
                await from_loop.send(n + 1)

    with out, Scope() as scope:
        scope.spawn(asyncio.run, main())
        results = scope.spawn(list, out)
        with to_loop:
            to_loop.send_many_blocking(range(100))
    assert results.result() == list(range(1, 101))


def test_an_item_handed_to_a_cancelled_asyncio_task_is_not_lost() -> None:
    async def main() -> int:
        sender, receiver = Channel[int](1).split()
        with sender, receiver:

            async def receive() -> int:
                return await receiver.receive()

            task = asyncio.create_task(receive())
            await asyncio.sleep(0)
            sender.send_nowait(7)  # handed to the task, which has not run yet
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return receiver.receive_nowait()

    assert asyncio.run(main()) == 7


def test_an_end_that_is_dropped_unclosed_warns() -> None:
    sender, receiver = Channel[int](1, name="orders").split()
    with pytest.warns(ResourceWarning, match="unclosed sender of <orders"):
        del sender
        gc.collect()
    with pytest.warns(ResourceWarning, match="unclosed receiver"):
        del receiver
        gc.collect()


def test_the_channel_ends_with_the_last_clone() -> None:
    sender, receiver = Channel[int](1).split()
    twin = sender.clone()
    with receiver:
        sender.close()
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()
        twin.close()
        with pytest.raises(EndOfStream):
            receiver.receive_nowait()


def test_statistics_have_the_names_of_anyio() -> None:
    sender, receiver = Channel[int](3).split()
    with sender, receiver:
        sender.send_nowait(1)
        stats = sender.statistics()
        assert (stats.current_buffer_used, stats.max_buffer_size) == (1, 3)
        assert (stats.open_send_streams, stats.open_receive_streams) == (1, 1)
        assert (stats.tasks_waiting_send, stats.tasks_waiting_receive) == (0, 0)
        assert (stats.sent, stats.received) == (1, 0)


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "3"])
def test_a_wrong_capacity_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"from 0 on, or math\.inf"):
        Channel(wrong)
    assert Channel(math.inf).stats().max_buffer_size == math.inf


def test_a_blocking_select_is_woken_by_a_thread() -> None:
    (send_a, a), (send_b, b) = Channel[str](1).split(), Channel[str](1).split()
    with send_a, send_b, a, b:
        thread = threading.Thread(target=send_b.send_nowait, args=("b",))
        thread.start()
        assert tuple(taskloom.select(a.receive(), b.receive()).wait()) == (1, "b")
        thread.join()


def test_a_select_may_send() -> None:
    (send_a, a), (send_b, b) = Channel[str](0).split(), Channel[str](1).split()
    with send_a, send_b, a, b:
        chosen = taskloom.select(send_a.send("a"), send_b.send("b")).wait()
        assert chosen.index == 1
        assert b.receive_nowait() == "b"


@pytest.mark.soak
def test_ten_million_messages_with_random_cancellations() -> None:
    import random
    import resource

    each, threads = 1_250_000, 8
    channel = Channel[int](64)

    def produce(sender: taskloom.Sender[int]) -> int:
        chance, total = random.Random(), 0
        for n in range(each):
            while True:
                try:
                    sender.send_blocking(n, timeout=0 if chance.random() < 0.01 else None)
                    break
                except TimeoutError:
                    continue
            total += n
        return total

    def consume(receiver: taskloom.Receiver[int]) -> int:
        chance, total = random.Random(), 0
        while True:
            try:
                total += receiver.receive_blocking(timeout=0 if chance.random() < 0.01 else None)
            except TimeoutError:
                continue
            except EndOfStream:
                return total

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Scope(taskloom.Executor(2 * threads)) as scope:
        received = scope.consume(channel, consume, threads)
        sent = scope.produce(channel, produce, threads)
    assert sum(f.result() for f in sent) == sum(f.result() for f in received)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_an_item_is_never_both_sent_and_refused() -> None:
    import random

    channel = Channel[int](4)

    def produce(sender: taskloom.Sender[int]) -> int:
        chance, sent = random.Random(7), 0
        for n in range(3_000):
            try:
                sender.send_blocking(n, timeout=0 if chance.random() < 0.5 else None)
                sent += 1
            except TimeoutError:
                continue
        return sent

    def consume(receiver: taskloom.Receiver[int]) -> int:
        return sum(1 for _ in receiver)

    with taskloom.Executor(4) as executor, Scope(executor) as scope:
        received = scope.consume(channel, consume, 2)
        sent = scope.produce(channel, produce, 2)
    assert sum(f.result() for f in sent) == sum(f.result() for f in received)
