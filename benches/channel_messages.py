"""Channel messages: between coroutines, in batches, between threads."""

from __future__ import annotations

import asyncio
import queue
import threading

import taskloom
from harness import Contender, Workload
from taskloom import Channel, Scope, _taskloom

COUNT = 50_000
CAPACITY = 100
BATCH = 64


def _on_one_worker(main: object) -> Contender:
    with taskloom.Executor(1) as executor:
        yield lambda: executor.run_coroutine(main)  # type: ignore[call-overload]


coroutines = Workload(
    "channel-coroutines",
    f"{COUNT:,} messages, one producer, one consumer, capacity {CAPACITY}",
    unit="ns/message",
    aim=200,
)


async def _produce(sender: taskloom.Sender[int]) -> None:
    with sender:
        for n in range(COUNT):
            await sender.send(n)


async def _consume(receiver: taskloom.Receiver[int]) -> None:
    with receiver:
        async for _ in receiver:
            pass


@coroutines.contender("taskloom", per=COUNT)
def ours() -> Contender:
    async def main() -> None:
        sender, receiver = Channel[int](CAPACITY).split()
        async with Scope() as scope:
            scope.spawn(_produce, sender)
            scope.spawn(_consume, receiver)

    yield from _on_one_worker(main)


@coroutines.contender("asyncio.Queue", per=COUNT)
def asyncio_queue() -> Contender:
    async def main() -> None:
        channel: asyncio.Queue[int | None] = asyncio.Queue(CAPACITY)

        async def produce() -> None:
            for n in range(COUNT):
                await channel.put(n)
            await channel.put(None)

        async def consume() -> None:
            while await channel.get() is not None:
                pass

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())

    yield lambda: asyncio.run(main())


@coroutines.contender("anyio memory stream", per=COUNT)
def anyio_stream() -> Contender:
    import anyio

    async def main() -> None:
        send, receive = anyio.create_memory_object_stream[int](CAPACITY)

        async def produce() -> None:
            with send:
                for n in range(COUNT):
                    await send.send(n)

        async def consume() -> None:
            with receive:
                async for _ in receive:
                    pass

        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            group.start_soon(consume)

    yield lambda: asyncio.run(main())


@coroutines.contender("trio memory channel", per=COUNT)
def trio_channel() -> Contender:
    import trio

    async def main() -> None:
        send, receive = trio.open_memory_channel[int](CAPACITY)

        async def produce() -> None:
            async with send:
                for n in range(COUNT):
                    await send.send(n)

        async def consume() -> None:
            async with receive:
                async for _ in receive:
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            nursery.start_soon(consume)

    yield lambda: trio.run(main)


batches = Workload(
    "channel-batches",
    f"{COUNT:,} messages in batches of {BATCH}, capacity {CAPACITY}",
    unit="ns/message",
    aim=50,
)


@batches.contender("taskloom", per=COUNT)
def ours_batched() -> Contender:
    items = list(range(BATCH))

    async def produce(sender: taskloom.Sender[int]) -> None:
        with sender:
            for _ in range(COUNT // BATCH):
                await sender.send_many(items)

    async def consume(receiver: taskloom.Receiver[int]) -> None:
        with receiver:
            try:
                while True:
                    await receiver.receive_many(BATCH)
            except taskloom.errors.EndOfStream:
                pass

    async def main() -> None:
        sender, receiver = Channel[int](CAPACITY).split()
        async with Scope() as scope:
            scope.spawn(produce, sender)
            scope.spawn(consume, receiver)

    yield from _on_one_worker(main)


threads = Workload(
    "channel-threads",
    f"{COUNT:,} messages between two threads, capacity {CAPACITY}",
    unit="ns/message",
    aim=500,
)


@threads.contender("taskloom", per=COUNT)
def ours_threads() -> Contender:
    def run() -> None:
        sender, receiver = Channel[int](CAPACITY).split()

        def produce() -> None:
            with sender:
                for n in range(COUNT):
                    sender.send_blocking(n)

        thread = threading.Thread(target=produce)
        thread.start()
        with receiver:
            for _ in receiver:
                pass
        thread.join()

    yield run


@threads.contender("queue.Queue", per=COUNT)
def stdlib_queue() -> Contender:
    def run() -> None:
        channel: queue.Queue[int | None] = queue.Queue(CAPACITY)

        def produce() -> None:
            for n in range(COUNT):
                channel.put(n)
            channel.put(None)

        thread = threading.Thread(target=produce)
        thread.start()
        while channel.get() is not None:
            pass
        thread.join()

    yield run


local = Workload(
    "channel-one-thread",
    f"{COUNT:,} messages on the loop of one thread, as tests use it",
    unit="ns/message",
)


@local.contender("taskloom", per=COUNT)
def ours_local() -> Contender:
    def run() -> None:
        sender, receiver = Channel[int](CAPACITY).split()
        loop = _taskloom.LocalLoop()
        token = _taskloom.Token()
        for function, end in ((_produce, sender), (_consume, receiver)):
            loop.home.spawn(function, (end,), None, token, None, lambda *_: None, None)
        loop.run()

    yield run
