"""Coroutines: spawn and join, giving way, sleeping, and asyncio from the pool."""

from __future__ import annotations

import asyncio

import taskloom
from harness import Contender, Workload
from taskloom import Scope

COUNT = 20_000

spawn = Workload(
    "coroutine-spawn-join",
    f"a scope spawns {COUNT:,} empty coroutines and joins them",
    unit="ns/coroutine",
    aim=300,
)


async def _nothing() -> None:
    pass


@spawn.contender("taskloom", per=COUNT)
def ours() -> Contender:
    async def main() -> None:
        async with Scope() as scope:
            for _ in range(COUNT):
                scope.spawn(_nothing)

    with taskloom.Executor(1) as executor:
        yield lambda: executor.run_coroutine(main)


@spawn.contender("asyncio.TaskGroup", per=COUNT)
def asyncio_group() -> Contender:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(COUNT):
                group.create_task(_nothing())

    yield lambda: asyncio.run(main())


@spawn.contender("anyio task group", per=COUNT)
def anyio_group() -> Contender:
    import anyio

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(COUNT):
                group.start_soon(_nothing)

    yield lambda: asyncio.run(main())


@spawn.contender("trio nursery", per=COUNT)
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
            await taskloom.yield_now()

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


suspended = Workload(
    "coroutine-suspended",
    "memory of a coroutine that waits for a channel, of 20,000 in one scope",
    unit="bytes",
    aim=600,
)


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


@suspended.contender("taskloom")
def ours_suspended() -> Contender:
    def run() -> float:
        sender, receiver = taskloom.Channel[int](0).split()

        async def wait() -> None:
            with taskloom.CancelScope():
                await receiver.receive()

        async def main() -> float:
            async with Scope() as scope:
                before = _resident()
                for _ in range(COUNT):
                    scope.spawn(wait)
                while receiver.stats().tasks_waiting_receive < COUNT:
                    await taskloom.yield_now()
                used = _resident() - before
                scope.cancel()
            return used / COUNT

        with sender, receiver, taskloom.Executor(1) as executor:
            return executor.run_coroutine(main)

    yield run
