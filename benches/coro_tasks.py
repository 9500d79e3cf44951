"""Coroutines: spawn and join, giving way, sleeping, and asyncio from the pool."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import taskloom
from harness import Contender, Workload
from taskloom import Scope, yield_now

COUNT = 20_000
ALIVE = 1_000_000
PEER_ALIVE = 100_000

spawn = Workload(
    "coroutine-spawn-join",
    f"a scope spawns {ALIVE:,} empty coroutines, all alive at once, and joins them",
    unit="ns/coroutine",
    aim=300,
)


async def _nothing() -> None:
    pass


def _spawn(count: int) -> Contender:
    async def main() -> None:
        async with Scope() as scope:
            for _ in range(count):
                scope.spawn(_nothing)

    # The coroutine that spawns a million is meant to hold its worker: that is not to be reported.
    logger = logging.getLogger("taskloom")
    was_disabled = logger.disabled
    with taskloom.Executor(1) as executor:
        logger.disabled = True
        try:
            yield lambda: executor.run_coroutine(main)
        finally:
            logger.disabled = was_disabled


@spawn.contender("taskloom", per=ALIVE)
def ours() -> Contender:
    return _spawn(ALIVE)


@spawn.contender("taskloom, 20,000 alive", per=COUNT)
def ours_few() -> Contender:
    return _spawn(COUNT)


@spawn.contender("asyncio.TaskGroup", per=PEER_ALIVE, note="100,000 alive")
def asyncio_group() -> Contender:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(PEER_ALIVE):
                group.create_task(_nothing())

    yield lambda: asyncio.run(main())


@spawn.contender("anyio task group", per=COUNT, note="20,000 alive")
def anyio_group() -> Contender:
    import anyio

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(COUNT):
                group.start_soon(_nothing)

    yield lambda: asyncio.run(main())


@spawn.contender("trio nursery", per=COUNT, note="20,000 alive")
def trio_nursery() -> Contender:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(COUNT):
                nursery.start_soon(_nothing)

    yield lambda: trio.run(main)


give_way = Workload(
    "coroutine-yield",
    f"one coroutine gives way {COUNT:,} times",
    unit="ns/yield",
    aim=120,
)


@give_way.contender("taskloom", per=COUNT)
def ours_yield() -> Contender:
    async def main() -> None:
        for _ in range(COUNT):
            await yield_now()

    with taskloom.Executor(1) as executor:
        yield lambda: executor.run_coroutine(main)


@give_way.contender("asyncio.sleep(0)", per=COUNT)
def asyncio_yield() -> Contender:
    async def main() -> None:
        for _ in range(COUNT):
            await asyncio.sleep(0)

    yield lambda: asyncio.run(main())


@give_way.contender("trio checkpoint", per=COUNT)
def trio_yield() -> Contender:
    import trio

    async def main() -> None:
        for _ in range(COUNT):
            await trio.lowlevel.checkpoint()

    yield lambda: trio.run(main)


bridge = Workload(
    "coroutine-aio",
    "a coroutine on the pool awaits an asyncio coroutine on the background loop and goes on",
    unit="µs/round trip",
    aim=60,
)


@bridge.contender("taskloom.aio", per=500)
def ours_aio() -> Contender:
    async def answer() -> int:
        return 1

    async def main() -> None:
        for _ in range(500):
            await taskloom.aio(answer())

    with taskloom.Executor(1) as executor:
        yield lambda: executor.run_coroutine(main)


@bridge.contender("asyncio.run_coroutine_threadsafe", per=500)
def asyncio_threadsafe() -> Contender:
    from taskloom.scope.aio import aio_loop

    async def answer() -> int:
        return 1

    def run() -> None:
        loop = aio_loop()
        for _ in range(500):
            asyncio.run_coroutine_threadsafe(answer(), loop).result()

    yield run


# Each is measured in a process of its own: memory that another run has freed would not count.
SUSPENDED = 50_000

suspended = Workload(
    "coroutine-suspended",
    f"memory of a coroutine that waits for a channel, of {SUSPENDED:,} in one scope",
    unit="bytes",
    aim=600,
)

_RESIDENT = """
def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096
"""

_OURS = """
import taskloom

sender, receiver = taskloom.Channel(0).split()

async def plain():
    await receiver.receive()

async def limited():
    with taskloom.CancelScope():
        await receiver.receive()

async def main():
    async with taskloom.Scope() as scope:
        before = resident()
        for _ in range(COUNT):
            scope.spawn(WAIT)
        while receiver.stats().tasks_waiting_receive < COUNT:
            await taskloom.sleep(0.01)
        print((resident() - before) / COUNT)
        scope.cancel()

with sender, receiver, taskloom.Executor(1) as executor:
    executor.run_coroutine(main)
"""

_ASYNCIO = """
import asyncio

waiting = 0

async def wait(queue):
    global waiting
    waiting += 1
    await queue.get()

async def main():
    queue = asyncio.Queue()
    before = resident()
    tasks = [asyncio.create_task(wait(queue)) for _ in range(COUNT)]
    while waiting < COUNT:
        await asyncio.sleep(0.01)
    print((resident() - before) / COUNT)
    for task in tasks:
        task.cancel()

asyncio.run(main())
"""

_TRIO = """
import trio

async def main():
    sender, receiver = trio.open_memory_channel(0)
    async with trio.open_nursery() as nursery:
        before = resident()
        for _ in range(COUNT):
            nursery.start_soon(receiver.receive)
        while receiver.statistics().tasks_waiting_receive < COUNT:
            await trio.sleep(0.01)
        print((resident() - before) / COUNT)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def _bytes(program: str, wait: str = "") -> Contender:
    def run() -> float:
        source = _RESIDENT + program.replace("COUNT", str(SUSPENDED)).replace("WAIT", wait)
        output = subprocess.run(
            [sys.executable, "-c", source], check=True, capture_output=True, text=True
        )
        return float(output.stdout)

    yield run


@suspended.contender("taskloom")
def ours_suspended() -> Contender:
    return _bytes(_OURS, "plain")


@suspended.contender("taskloom, each in a cancel scope of its own")
def ours_limited() -> Contender:
    return _bytes(_OURS, "limited")


@suspended.contender("asyncio.Queue")
def asyncio_suspended() -> Contender:
    return _bytes(_ASYNCIO)


@suspended.contender("trio memory channel")
def trio_suspended() -> Contender:
    return _bytes(_TRIO)


turns = Workload(
    "coroutine-two-workers",
    "2 µs of Python between awaits, two workers and one (free-threaded: x1.8)",
    unit="ns/turn",
)

COROUTINES, TURNS = 200, 100


def _turns(workers: int) -> Contender:
    async def work() -> None:
        for _ in range(TURNS):
            total = 0
            for n in range(60):
                total += n
            await yield_now()

    async def main() -> None:
        async with Scope() as scope:
            for _ in range(COROUTINES):
                scope.spawn(work)

    with taskloom.Executor(workers) as executor:
        yield lambda: executor.run_coroutine(main)


@turns.contender("taskloom, two workers", per=COROUTINES * TURNS)
def two_workers() -> Contender:
    return _turns(2)


@turns.contender("taskloom, one worker", per=COROUTINES * TURNS)
def one_worker() -> Contender:
    return _turns(1)
