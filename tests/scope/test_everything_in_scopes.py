"""Trees of scopes that do things drawn at random: nothing outlives its scope or waits for ever.

Which child comes to its end, and which is cancelled first, depends on the machine; that all are
over when their scope is, and that no item of a channel comes twice, does not.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
import taskloom
from taskloom import (
    Channel,
    Event,
    Executor,
    Lock,
    Receiver,
    Scope,
    Sender,
    move_on_after,
    shield,
    sleep,
    yield_now,
)
from taskloom.errors import BrokenResourceError, EndOfStream

# What a producer sends: by what it was drawn, and which of its items it is.
Item = tuple[float, int]


class Failed(Exception):
    pass


def plain(number: int) -> int:
    if number % 17 == 0:
        raise Failed(number)
    if number % 7 == 0:
        taskloom.checkpoint()
    return number


class Program:
    """One tree of scopes and a channel, and what it has come to."""

    def __init__(self, seed: int, pool: Executor) -> None:
        self.draw = random.Random(seed)
        self.pool = pool
        self.lock, self.event = Lock(), Event()
        # Children run side by side: what they change together changes in one step.
        self.at_work: set[object] = set()
        self.received: list[Item] = []

    async def child(self, depth: int, seed: float) -> float:
        draw = random.Random(seed)
        mark = object()
        self.at_work.add(mark)
        try:
            for _ in range(draw.randint(0, 4)):
                await self.step(draw, depth)
            if draw.random() < 0.1:
                raise Failed(seed)
            return seed
        finally:
            self.at_work.remove(mark)

    async def step(self, draw: random.Random, depth: int) -> None:
        match draw.randint(0, 7):
            case 0:
                await sleep(draw.choice([0, 0.0001, 0.001]))
            case 1:
                await yield_now()
            case 2 if depth < 3:
                await self.nest(draw, depth)
            case 3:
                with move_on_after(draw.choice([0.0001, 0.001])):
                    await sleep(0.0005)
            case 4:
                with shield():
                    await sleep(0.0002)
            case 5:
                async with self.lock:
                    await sleep(0)
            case 6:
                self.event.set()
                with move_on_after(0.0005):
                    await Event().wait()
            case _:
                with suppress(Failed):
                    await self.pool.submit(plain, draw.randint(1, 100))

    async def nest(self, draw: random.Random, depth: int) -> None:
        try:
            async with Scope() as scope:
                for _ in range(draw.randint(0, 3)):
                    scope.spawn(self.child, depth + 1, draw.random())
                if draw.random() < 0.2:
                    scope.cancel("drawn")
                elif draw.random() < 0.2:
                    scope.move_on_after(0.0003)
        except* Failed:
            pass

    async def produce(self, sender: Sender[Item], seed: float) -> None:
        draw = random.Random(seed)
        with sender:
            for number in range(draw.randint(0, 20)):
                with move_on_after(0.0005 if draw.random() < 0.3 else 60):
                    try:
                        await sender.send((seed, number))
                    except BrokenResourceError:
                        return

    async def consume(self, receiver: Receiver[Item], seed: float) -> None:
        draw = random.Random(seed)
        with receiver:
            while draw.random() > 0.03:
                with move_on_after(0.001 if draw.random() < 0.3 else 60):
                    try:
                        self.received.append(await receiver.receive())
                    except EndOfStream:
                        return

    async def run(self) -> list[taskloom.Future[Any]]:
        draw = self.draw
        futures: list[taskloom.Future[Any]] = []
        try:
            async with Scope(on_error=draw.choice(["cancel", "continue"])) as scope:
                for _ in range(draw.randint(0, 30)):
                    futures.append(self.spawn_one(scope))
                    if draw.random() < 0.1:
                        draw.choice(futures).cancel()
                channel = Channel[Item](draw.choice([0, 1, 10]))
                senders = [channel.sender() for _ in range(draw.randint(1, 3))]
                receivers = [channel.receiver() for _ in range(draw.randint(1, 3))]
                for sender in senders:
                    futures.append(scope.spawn(self.produce, sender, draw.random()))
                for receiver in receivers:
                    futures.append(scope.spawn(self.consume, receiver, draw.random()))
                if draw.random() < 0.1:
                    scope.cancel("drawn")
                if draw.random() < 0.1:
                    raise Failed("body")
        except* (Failed, TimeoutError):
            pass
        return futures

    def spawn_one(self, scope: Scope) -> taskloom.Future[Any]:
        draw = self.draw
        match draw.randint(0, 3):
            case 0:
                return scope.spawn(plain, draw.randint(1, 100))
            case 1:
                limited = scope.options(timeout=draw.choice([0.0003, 60]))
                return limited.spawn(self.child, 0, draw.random())
            case _:
                return scope.spawn(self.child, 0, draw.random())


def storm(seed: int, host: str) -> None:
    with Executor(random.Random(seed).choice([1, 2, 4])) as pool:
        program = Program(seed, pool)
        on_pool = host == "pool"
        futures = pool.run_coroutine(program.run) if on_pool else asyncio.run(program.run())
    assert not program.at_work
    assert [future for future in futures if not future.done()] == []
    assert len(set(program.received)) == len(program.received)


@pytest.mark.filterwarnings("ignore:.*was dropped:ResourceWarning")
@pytest.mark.parametrize("host", ["pool", "asyncio"])
@pytest.mark.parametrize("first", range(0, 100, 20))
def test_scopes_leave_nothing_behind(host: str, first: int) -> None:
    for seed in range(first, first + 20):
        storm(seed, host)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:.*was dropped:ResourceWarning")
@pytest.mark.parametrize("host", ["pool", "asyncio"])
def test_scopes_leave_nothing_behind_many_times(host: str) -> None:
    for seed in range(100, 5_000):
        try:
            storm(seed, host)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
