"""What users of anyio's memory object streams and trio's memory channels rely on, by behaviour."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Cancelled, CancelScope, Channel, Receiver, Scope, Sender, sleep
from taskloom.errors import BrokenResourceError, ClosedResourceError, EndOfStream, WouldBlock

Run = Callable[..., Any]


def test_statistics_say_who_is_there_and_who_waits(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[str](1).split()
        seen = sender.statistics()
        assert (seen.max_buffer_size, seen.current_buffer_used) == (1, 0)
        assert (seen.open_send_streams, seen.open_receive_streams) == (1, 1)
        with sender.clone(), receiver.clone():
            seen = receiver.statistics()
            assert (seen.open_send_streams, seen.open_receive_streams) == (2, 2)
        async with Scope() as scope:
            for item in "abc":
                scope.spawn(sender.send, item)
            await sleep(1)
            seen = sender.statistics()
            assert (seen.current_buffer_used, seen.tasks_waiting_send) == (1, 2)
            assert sorted([await receiver.receive() for _ in range(3)]) == ["a", "b", "c"]
            scope.spawn(receiver.receive)
            await sleep(1)
            assert receiver.statistics().tasks_waiting_receive == 1
            sender.send_nowait("d")
        sender.close()
        receiver.close()
        assert sender.statistics().open_send_streams == 0

    run(main)


def test_a_channel_without_bound_takes_any_number() -> None:
    sender, receiver = Channel[int](math.inf).split()
    with sender, receiver:
        for n in range(1000):
            sender.send_nowait(n)
        assert receiver.receive_nowait() == 0


def test_a_closed_end_refuses_everything_but_closing() -> None:
    sender, receiver = Channel[int](1).split()
    sender.close()
    receiver.close()
    for call in (
        sender.clone,
        receiver.clone,
        receiver.receive_nowait,
        lambda: sender.send_nowait(1),
    ):
        with pytest.raises(ClosedResourceError):
            call()


def test_awaiting_on_a_closed_end_raises(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](1).split()
        sender.close()
        with pytest.raises(ClosedResourceError):
            await sender.send(1)
        receiver.close()
        with pytest.raises(ClosedResourceError):
            await receiver.receive()

    run(main)


def test_what_was_sent_before_the_end_is_received_before_it(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](2).split()
        with receiver:
            with sender:
                sender.send_nowait(1)
                await sender.send(2)
            assert receiver.receive_nowait() == 1
            assert await receiver.receive() == 2
            with pytest.raises(EndOfStream):
                receiver.receive_nowait()
            with pytest.raises(EndOfStream):
                await receiver.receive()
            assert [item async for item in receiver] == []

    run(main)


def test_a_receive_in_a_cancelled_scope_takes_nothing(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[str](1).split()
        with sender, receiver:
            sender.send_nowait("x")
            with CancelScope() as scope:
                scope.cancel()
                await receiver.receive()
            assert scope.cancelled_caught
            assert receiver.receive_nowait() == "x"

    run(main)


def test_a_send_in_a_cancelled_scope_sends_nothing(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[str](1).split()
        with sender, receiver:
            with CancelScope() as scope:
                scope.cancel()
                await sender.send("x")
            assert scope.cancelled_caught
            with pytest.raises(WouldBlock):
                receiver.receive_nowait()

    run(main)


def test_an_item_handed_over_as_its_receiver_is_cancelled_is_received_or_still_there(
    run: Run,
) -> None:
    async def main() -> None:
        sender, receiver = Channel[str](0).split()
        got: list[str] = []

        async def take(scope: CancelScope) -> None:
            with scope:
                got.append(await receiver.receive())

        with sender, receiver:
            async with Scope() as scope:
                cancel_scope = CancelScope()
                scope.spawn(take, cancel_scope)
                await sleep(1)
                sender.send_nowait("x")
                cancel_scope.cancel()
            assert got == ["x"]

    run(main)


def test_a_send_to_a_receiver_that_was_cancelled_does_not_count_as_received(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[str](0).split()
        with sender, receiver:
            async with Scope() as scope:
                future = scope.spawn(Receiver.receive, receiver)
                await sleep(1)
                future.cancel()
                await sleep(1)
                with pytest.raises(WouldBlock):
                    sender.send_nowait("x")

    run(main)


def test_closing_a_receiver_wakes_the_senders_that_wait(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](0).split()

        async def send() -> None:
            with pytest.raises(BrokenResourceError):
                await sender.send(1)

        with sender:
            async with Scope() as scope:
                scope.spawn(send)
                scope.spawn(send)
                await sleep(1)
                receiver.close()

    run(main)


def test_closing_one_of_two_receivers_lets_the_sender_wait_on(run: Run) -> None:
    async def main() -> str:
        sender, receiver = Channel[str](0).split()
        twin = receiver.clone()
        async with Scope() as scope:
            scope.spawn(Sender.send, sender, "x")
            await sleep(1)
            receiver.close()
            item = await twin.receive()
        sender.close()
        twin.close()
        return item

    assert run(main) == "x"


def test_a_closed_receiver_ends_its_own_iteration_with_an_error(run: Run) -> None:
    async def main() -> None:
        sender, receiver = Channel[int](2).split()
        with sender:
            sender.send_nowait(1)
            sender.send_nowait(2)
            with pytest.raises(ClosedResourceError):  # noqa: PT012
                async for _item in receiver:
                    receiver.close()

    run(main)


def test_waiting_senders_are_served_in_their_order(run: Run) -> None:
    async def main() -> list[int]:
        sender, receiver = Channel[int](0).split()
        with sender, receiver:
            async with Scope() as scope:
                for n in range(5):
                    scope.spawn(Sender.send, sender, n)
                    await sleep(1)
                return [await receiver.receive() for _ in range(5)]

    assert run(main) == [0, 1, 2, 3, 4]


def test_a_cancelled_sender_leaves_the_line(run: Run) -> None:
    async def main() -> list[str]:
        sender, receiver = Channel[str](0).split()
        with sender, receiver:
            async with Scope() as scope:
                scope.spawn(Sender.send, sender, "a")
                await sleep(1)
                second = scope.spawn(Sender.send, sender, "b")
                await sleep(1)
                scope.spawn(Sender.send, sender, "c")
                await sleep(1)
                second.cancel()
                await sleep(1)
                assert sender.statistics().tasks_waiting_send == 2
                return [await receiver.receive(), await receiver.receive()]

    assert run(main) == ["a", "c"]


def test_an_item_that_raises_in_the_consumer_closes_its_end(run: Run) -> None:
    async def main() -> None:
        channel = Channel[int](1)

        async def consume(receiver: Receiver[int]) -> None:
            await receiver.receive()
            raise ValueError("bad item")

        async def produce(sender: Sender[int]) -> None:
            with pytest.raises((BrokenResourceError, Cancelled)):  # noqa: PT012
                while True:
                    await sender.send(1)

        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
            async with Scope() as scope:
                scope.consume(channel, consume)
                scope.produce(channel, produce)
        assert caught.group_contains(ValueError)

    run(main)


def test_closing_a_sender_ends_the_sends_that_wait_at_it_and_no_others(run: Run) -> None:
    async def main() -> tuple[str, int]:
        sender, receiver = Channel[int](0).split()
        other = sender.clone()
        with receiver, other:

            async def send() -> str:
                with pytest.raises(ClosedResourceError):
                    await sender.send(1)
                return "closed"

            async with Scope() as scope:
                closed = scope.spawn(send)
                scope.spawn(other.send, 2)
                await sleep(1)
                sender.close()
                received = await receiver.receive()
        return closed.result(), received

    assert run(main) == ("closed", 2)


def test_closing_a_receiver_ends_the_receives_that_wait_at_it_and_no_others(run: Run) -> None:
    async def main() -> tuple[str, int]:
        sender, receiver = Channel[int](0).split()
        other = receiver.clone()
        with sender, other:

            async def receive() -> str:
                with pytest.raises(ClosedResourceError):
                    await receiver.receive()
                return "closed"

            async with Scope() as scope:
                closed = scope.spawn(receive)
                open_one = scope.spawn(other.receive)
                await sleep(1)
                receiver.close()
                await sender.send(2)
        return closed.result(), open_one.result()

    assert run(main) == ("closed", 2)


def test_closing_an_end_ends_a_select_that_waits_at_it(run: Run) -> None:
    async def main() -> int:
        (sender, receiver), (to_full, full) = Channel[int](0).split(), Channel[int](0).split()
        with sender, full, to_full:
            async with Scope() as scope:

                async def close() -> None:
                    await sleep(1)
                    receiver.close()

                scope.spawn(close)
                with pytest.raises(ClosedResourceError) as caught:
                    await taskloom.select(to_full.send(1), receiver.receive())
        return int(caught.value.index)  # type: ignore[attr-defined]

    assert run(main) == 1


def test_a_select_of_a_closed_end_is_refused() -> None:
    sender, receiver = Channel[int](1).split()
    sender.close()
    receiver.close()
    with pytest.raises(ClosedResourceError, match="sender"):
        taskloom.select(sender.send(1))
    with pytest.raises(ClosedResourceError, match="receiver"):
        taskloom.select(receiver.receive())


def test_closing_an_end_ends_a_thread_that_blocks_at_it() -> None:
    sender, receiver = Channel[int](0).split()

    def receive() -> type[BaseException] | None:
        try:
            receiver.receive_blocking()
        except BaseException as error:
            return type(error)
        return None

    with sender, Scope() as scope:
        future = scope.spawn(receive)
        while not sender.stats().tasks_waiting_receive:
            taskloom.checkpoint()
        receiver.close()
    assert future.result() is ClosedResourceError
