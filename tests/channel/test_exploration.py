"""Channels under random cancellations, explored over many seeded orders on virtual time."""

from __future__ import annotations

import random

import pytest
import taskloom
from taskloom import Channel, Scope, move_on_after, sleep
from taskloom.errors import EndOfStream
from taskloom.scope.coroutines import run_seeded

EACH = 30


async def produce(sender: taskloom.Sender[int], first: int, chance: random.Random) -> None:
    with sender:
        for item in range(first, first + EACH):
            while True:
                with move_on_after(chance.choice([0, 0.5, 1, 60])) as limit:
                    await sender.send(item)
                # Only a send that was given up is tried again; one that was served has completed.
                if not limit.cancelled_caught:
                    break
            if chance.random() < 0.3:
                await sleep(chance.random())


async def consume(receiver: taskloom.Receiver[int], got: list[int], chance: random.Random) -> None:
    with receiver:
        while True:
            try:
                with move_on_after(chance.choice([0, 0.5, 1, 60])):
                    if chance.random() < 0.5:
                        got.append(await receiver.receive())
                    else:
                        got.extend(await receiver.receive_many(3))
            except EndOfStream:
                return
            if chance.random() < 0.3:
                await sleep(chance.random())


@pytest.mark.parametrize("capacity", [0, 1, 4])
@pytest.mark.parametrize("seed", range(25))
def test_no_item_is_lost_or_given_twice_in_any_order(capacity: int, seed: int) -> None:
    got: list[int] = []

    async def main() -> None:
        chance = random.Random(seed)
        channel = Channel[int](capacity)
        senders = [channel.sender() for _ in range(3)]
        receivers = [channel.receiver() for _ in range(3)]
        async with Scope() as scope:
            for n, sender in enumerate(senders):
                scope.spawn(produce, sender, n * EACH, chance)
            for receiver in receivers:
                scope.spawn(consume, receiver, got, chance)

    run_seeded(main, seed=seed)
    assert sorted(got) == list(range(3 * EACH))


@pytest.mark.parametrize("seed", range(25))
def test_selects_with_cancellations_take_each_item_once(seed: int) -> None:
    got: list[int] = []

    async def choose(
        a: taskloom.Receiver[int], b: taskloom.Receiver[int], chance: random.Random
    ) -> None:
        ends = [a, b]
        with a, b:
            while ends:
                try:
                    with move_on_after(chance.choice([0, 0.5, 60])):
                        chosen = await taskloom.select(*(end.receive() for end in ends))
                        got.append(chosen.value)
                except EndOfStream as ended:
                    del ends[ended.index or 0]

    async def main() -> None:
        chance = random.Random(seed)
        first, second = Channel[int](0), Channel[int](2)
        senders = [first.sender(), second.sender(), second.sender()]
        async with Scope() as scope:
            for _ in range(2):
                scope.spawn(choose, first.receiver(), second.receiver(), chance)
            for n, sender in enumerate(senders):
                scope.spawn(produce, sender, n * EACH, chance)

    run_seeded(main, seed=seed)
    assert sorted(got) == list(range(3 * EACH))


def test_the_same_seed_gives_the_same_interleaving() -> None:
    def trace(seed: int) -> list[int]:
        order: list[int] = []

        async def note(n: int) -> None:
            for _ in range(3):
                order.append(n)
                await taskloom.yield_now()

        async def main() -> None:
            async with Scope() as scope:
                for n in range(5):
                    scope.spawn(note, n)

        run_seeded(main, seed=seed)
        return order

    assert trace(7) == trace(7)
    assert len({tuple(trace(seed)) for seed in range(10)}) > 5
