"""What is begun at an end that is being closed: done before, or refused, never left waiting."""

# ruff: noqa: PT031 - what warns belongs with what is awaited

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom import Channel, Receiver, Sender
from taskloom.errors import ClosedResourceError

Run = Callable[..., Any]
Ends = tuple[Sender[int], Receiver[int]]
Told = list[type[BaseException]]

SENDS: list[Callable[[Sender[int]], Any]] = [
    lambda sender: sender.send(1),
    lambda sender: sender.send_many([1, 2]),
    lambda sender: taskloom.select(sender.send(1)),
]
RECEIVES: list[Callable[[Receiver[int]], Any]] = [
    lambda receiver: receiver.receive(),
    lambda receiver: receiver.receive_many(2),
    lambda receiver: receiver.__anext__(),
    lambda receiver: taskloom.select(receiver.receive()),
]


@pytest.mark.parametrize("begin", SENDS)
@pytest.mark.parametrize("capacity", [0, 1])
def test_a_send_whose_end_was_closed_before_it_is_awaited_is_refused(
    run: Run, begin: Callable[[Sender[int]], Any], capacity: int
) -> None:
    async def main() -> int:
        channel = Channel[int](capacity)
        sender, receiver = channel.split()
        with channel.sender(), receiver:
            begun = begin(sender)
            sender.close()
            with pytest.raises(ClosedResourceError, match="this sender is closed"):
                await begun
            return channel.stats().current_buffer_used

    assert run(main) == 0


@pytest.mark.parametrize("begin", RECEIVES)
def test_a_receive_whose_end_was_closed_before_it_is_awaited_is_refused(
    run: Run, begin: Callable[[Receiver[int]], Any]
) -> None:
    async def main() -> int:
        channel = Channel[int](1)
        sender, receiver = channel.split()
        with sender, channel.receiver():
            sender.send_nowait(1)
            begun = begin(receiver)
            receiver.close()
            with pytest.raises(ClosedResourceError, match="this receiver is closed"):
                await begun
            return channel.stats().current_buffer_used

    assert run(main) == 1


def test_an_end_lives_as_long_as_what_was_begun_at_it(run: Run) -> None:
    async def main() -> int:
        channel = Channel[int](1)
        with channel.sender() as sender:
            sender.send_nowait(1)
            with pytest.warns(ResourceWarning, match="unclosed receiver"):
                item = await channel.receiver().receive()
                gc.collect()
            return item

    assert run(main) == 1


def test_items_that_close_their_sender_as_they_are_made_are_refused() -> None:
    channel = Channel[int](4)
    sender, receiver = channel.split()

    def items() -> Iterator[int]:
        yield 1
        sender.close()

    with channel.sender(), receiver:
        with pytest.raises(ClosedResourceError):
            sender.send_many_blocking(items())
        assert channel.stats().current_buffer_used == 0


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_a_thread_that_comes_to_an_end_as_it_is_closed_does_not_stay_there(side: str) -> None:
    for _ in range(50):
        channel = Channel[int](0)
        sender, receiver = channel.split()
        told: Told = []

        def wait(ends: Ends = (sender, receiver), told: Told = told) -> None:
            try:
                if side == "sender":
                    ends[0].send_blocking(1, timeout=60)
                else:
                    ends[1].receive_blocking(timeout=60)
            except BaseException as error:
                told.append(type(error))

        with channel.sender(), channel.receiver(), sender, receiver:
            thread = threading.Thread(target=wait)
            thread.start()
            (sender if side == "sender" else receiver).close()
            thread.join()
        assert told == [ClosedResourceError]
