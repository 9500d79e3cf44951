"""Producers, consumers and pipelines: when channels end, and how much is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from taskloom import Channel, Receiver, Scope, Sender, sleep, stage

Run = Callable[..., Any]


def test_a_producer_that_ends_before_the_next_has_begun_does_not_end_the_channel(
    run: Run,
) -> None:
    async def main() -> list[int]:
        channel = Channel[int](0)
        began = []

        async def produce(sender: Sender[int]) -> None:
            began.append(len(began))
            await sleep(10 * began[-1])
            await sender.send(len(began))

        async def consume(receiver: Receiver[int]) -> list[int]:
            return [item async for item in receiver]

        async with Scope() as scope:
            (received,) = scope.consume(channel, consume)
            scope.produce(channel, produce, 3)
        return sorted(received.result())

    assert len(run(main)) == 3


def test_ends_of_producers_and_consumers_are_counted_before_any_of_them_runs(run: Run) -> None:
    async def main() -> tuple[int, int]:
        channel = Channel[int](1)

        async def produce(sender: Sender[int]) -> None:
            await sleep(1)

        async def consume(receiver: Receiver[int]) -> None:
            async for _ in receiver:
                pass

        async with Scope() as scope:
            scope.produce(channel, produce, 3)
            scope.consume(channel, consume, 2)
            stats = channel.stats()
        return stats.open_send_streams, stats.open_receive_streams

    assert run(main) == (3, 2)


def test_a_producer_that_fails_closes_its_end(run: Run) -> None:
    async def main() -> int:
        channel = Channel[int](1)

        async def produce(sender: Sender[int]) -> None:
            raise ValueError

        with pytest.raises(ExceptionGroup):
            async with Scope() as scope:
                scope.produce(channel, produce, 2)
        return channel.stats().open_send_streams

    assert run(main) == 0


@pytest.mark.parametrize("ordered", [False, True])
def test_a_pipeline_reads_no_further_than_its_bounds_allow(run: Run, ordered: bool) -> None:
    async def main() -> int:
        read = []

        def source() -> Any:
            for n in range(1_000):
                read.append(n)
                yield n

        async def keep(n: int) -> int:
            await sleep(0)
            return n

        async with Scope() as scope:
            parts = [stage(keep, 2, ordered=ordered, capacity=2) for _ in range(2)]
            with scope.pipeline(source(), *parts) as results:
                await results.receive()
                await sleep(100)
                scope.cancel()
        return len(read)

    assert run(main) < 30


def test_every_item_leaves_a_pipeline_once(run: Run) -> None:
    async def main() -> list[int]:
        async def add(n: int) -> int:
            await sleep(n % 3)
            return n + 1

        async with Scope() as scope:
            with scope.pipeline(range(50), stage(add, 4), stage(add, 2)) as results:
                return [n async for n in results]

    assert sorted(run(main)) == [n + 2 for n in range(50)]


def test_plain_functions_in_a_stage_run_on_threads() -> None:
    import threading

    with Scope() as scope:
        one = stage(lambda _: threading.get_ident(), 2)
        with scope.pipeline(range(8), one) as results:
            threads = set(results)
    assert threading.get_ident() not in threads
