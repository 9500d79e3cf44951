"""Messages between coroutines while others cancel them at random: minutes, so only when asked."""

from __future__ import annotations

import random
import resource

import pytest
from taskloom import CancelScope, Channel, Executor, Receiver, Scope, sleep
from taskloom.errors import EndOfStream

SIDES = 8
EACH = 1_250_000


@pytest.mark.soak
def test_ten_million_messages_between_coroutines_that_are_cancelled_at_random() -> None:
    channel = Channel[int](64)
    limits: list[CancelScope | None] = [None] * (2 * SIDES)

    async def produce(place: int) -> int:
        total = n = 0
        with channel.sender() as sender:
            while n < EACH:
                with CancelScope() as limits[place]:
                    while n < EACH:
                        await sender.send(n)  # counted without another await, so if it was sent
                        total, n = total + n, n + 1
        return total

    async def consume(place: int, receiver: Receiver[int]) -> tuple[int, int]:
        total = count = 0
        with receiver:
            while True:
                try:
                    with CancelScope() as limits[place]:
                        while True:
                            total += await receiver.receive()
                            count += 1
                except EndOfStream:
                    return total, count

    async def cancel_some() -> None:
        chance = random.Random(1)
        while True:
            await sleep(0.0005)
            limit = chance.choice(limits)
            if limit is not None:
                limit.cancel()

    async def main() -> None:
        receivers = [channel.receiver() for _ in range(SIDES)]
        async with Scope() as around:
            around.spawn(cancel_some)
            async with Scope() as scope:
                consumed = [scope.spawn(consume, SIDES + k, r) for k, r in enumerate(receivers)]
                with channel.sender():
                    async with Scope() as producers:
                        produced = [producers.spawn(produce, k) for k in range(SIDES)]
            around.cancel()
        received = [future.result() for future in consumed]
        assert sum(total for total, _ in received) == sum(future.result() for future in produced)
        assert sum(count for _, count in received) == SIDES * EACH

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Executor(4) as executor:
        executor.run_coroutine(main)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
