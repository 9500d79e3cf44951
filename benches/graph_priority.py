"""Makespans by critical path and in the order of registration, on shapes that people run.

The shapes are made from their definitions: tiled Cholesky and LU factorisation with tasks as long
as their counts of operations, the butterflies of a Fourier transform, a Montage-like image mosaic,
and a chain that is longer than everything else and added last. A task sleeps, so that two of them
overlap whatever else the machine does. Simulated figures come from `makespan` below: workers that
cost nothing take the ready task of the least rank.
"""

from __future__ import annotations

import heapq
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import taskloom
from harness import Contender, Workload

#: What one unit of duration takes, in seconds.
UNIT = 0.001


class Job(NamedTuple):
    units: float
    sources: Sequence[int]


class Shape:
    """Jobs in the order of registration; `last` remembers who made a tile last."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.last: dict[tuple[int, int], int] = {}

    def job(self, units: float, sources: Sequence[int] = ()) -> int:
        self.jobs.append(Job(units, sources))
        return len(self.jobs) - 1

    def tile(self, units: float, row: int, column: int, *reads: tuple[int, int]) -> None:
        """A job that updates one tile and reads others."""
        used = [self.last[at] for at in ((row, column), *reads) if at in self.last]
        self.last[row, column] = self.job(units, sorted(set(used)))


def cholesky(tiles: int) -> list[Job]:
    """Right-looking: factor, solve, then update, with a third, one, one and two units of work."""
    shape = Shape()
    for k in range(tiles):
        shape.tile(1, k, k)
        for i in range(k + 1, tiles):
            shape.tile(3, i, k, (k, k))
        for i in range(k + 1, tiles):
            shape.tile(3, i, i, (i, k))
            for j in range(k + 1, i):
                shape.tile(6, i, j, (i, k), (j, k))
    return shape.jobs


def lu(tiles: int) -> list[Job]:
    """Without pivoting: factor, solve row and column, then update."""
    shape = Shape()
    for k in range(tiles):
        shape.tile(2, k, k)
        for i in range(k + 1, tiles):
            shape.tile(3, i, k, (k, k))
            shape.tile(3, k, i, (k, k))
        for i in range(k + 1, tiles):
            for j in range(k + 1, tiles):
                shape.tile(6, i, j, (i, k), (k, j))
    return shape.jobs


def fourier(bits: int) -> list[Job]:
    """The butterflies of a transform of 2**bits blocks."""
    shape = Shape()
    level = [shape.job(1) for _ in range(1 << bits)]
    for stage in range(bits):
        pairs = [sorted((at, at ^ (1 << stage))) for at in range(1 << bits)]
        level = [shape.job(1, [level[one], level[two]]) for one, two in pairs]
    return shape.jobs


def montage(images: int) -> list[Job]:
    """Project, compare neighbours, fit, model, correct each image, then put together."""
    draw, shape = random.Random(7), Shape()
    projected = [shape.job(draw.uniform(2, 4)) for _ in range(images)]
    compared = [
        shape.job(draw.uniform(1, 3), sorted((projected[at], projected[(at + by) % images])))
        for at in range(images)
        for by in (1, 2)
    ]
    model = shape.job(8, [shape.job(5, compared)])
    corrected = [shape.job(draw.uniform(2, 3), sorted((model, image))) for image in projected]
    shape.job(2, [shape.job(10, [shape.job(3, corrected)])])
    return shape.jobs


def chain_last(others: int, length: int) -> list[Job]:
    shape = Shape()
    for _ in range(others):
        shape.job(1)
    last: Sequence[int] = ()
    for _ in range(length):
        last = [shape.job(1, last)]
    return shape.jobs


def graph_of(jobs: list[Job], *, declared: bool) -> taskloom.Graph:
    graph = taskloom.Graph()
    nodes: list[taskloom.Node[None]] = []

    def work(units: float, *_: object) -> None:
        time.sleep(units * UNIT)

    for units, sources in jobs:
        view = graph.options(estimated_duration=units * UNIT) if declared else graph.options()
        nodes.append(view.add(work, units, *[nodes[source] for source in sources]))
    return graph


def makespan(jobs: list[Job], ranks: Sequence[float], workers: int) -> float:
    """List scheduling: whenever a worker is free it takes the ready job of the least rank."""
    waits = [len(job.sources) for job in jobs]
    follow: list[list[int]] = [[] for _ in jobs]
    for index, job in enumerate(jobs):
        for source in job.sources:
            follow[source].append(index)
    ready = [(ranks[index], index) for index, wait in enumerate(waits) if not wait]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, index = heapq.heappop(ready)
            heapq.heappush(running, (now + jobs[index].units, index))
        now, index = heapq.heappop(running)
        for successor in follow[index]:
            waits[successor] -= 1
            if not waits[successor]:
                heapq.heappush(ready, (ranks[successor], successor))
    return now


def measured(jobs: list[Job], *, declared: bool = True) -> Contender:
    """Two orders in turn on two workers; the one in percent of the other."""
    graph = graph_of(jobs, declared=declared)
    plans = [graph.compile(order="auto"), graph.compile(order="registration")]
    with taskloom.Executor(2) as executor:

        def seconds(plan: taskloom.Plan) -> float:
            began = time.perf_counter()
            executor.start(plan).wait()
            return time.perf_counter() - began

        def ratio() -> float:
            ours, theirs = zip(*[map(seconds, plans) for _ in range(3)], strict=True)
            return statistics.median(ours) / statistics.median(theirs) * 100

        yield ratio


def simulated(jobs: list[Job], workers: int) -> Contender:
    priorities = graph_of(jobs, declared=True).compile()._priorities
    ranks = [-priority for priority in priorities]
    registered = list(range(len(jobs)))
    percent = makespan(jobs, ranks, workers) / makespan(jobs, registered, workers) * 100
    yield lambda: percent


def in_full(jobs: list[Job], workers: int) -> Contender:
    """As `simulated`, but each descendant weighs as much as a node of path length."""
    follow: list[list[int]] = [[] for _ in jobs]
    for index, job in enumerate(jobs):
        for source in job.sources:
            follow[source].append(index)
    mean = statistics.mean(job.units for job in jobs)
    length, after = [0.0] * len(jobs), [0] * len(jobs)
    for index in reversed(range(len(jobs))):
        for successor in follow[index]:
            after[index] |= after[successor] | 1 << successor
        longest = max((length[successor] for successor in follow[index]), default=0.0)
        length[index] = jobs[index].units / mean + longest
    ranks = [-(far + below.bit_count()) for far, below in zip(length, after, strict=True)]
    percent = makespan(jobs, ranks, workers) / makespan(jobs, range(len(jobs)), workers) * 100
    yield lambda: percent


def floor(jobs: list[Job], workers: int) -> float:
    """What no order can do better than, in percent of the order of registration."""
    ends: list[float] = []
    for job in jobs:
        ends.append(job.units + max((ends[source] for source in job.sources), default=0.0))
    least = max(*ends, sum(job.units for job in jobs) / workers)
    return least / makespan(jobs, range(len(jobs)), workers) * 100


def compared(name: str, what: str, aim: float, make: Callable[[], list[Job]]) -> Workload:
    workload = Workload(
        f"priority-{name}",
        f"{what}: time by critical path, in % of that in the order of registration (75: a quarter "
        "shorter)",
        unit="%",
        aim=aim,
    )
    workload.contender("2 workers, sleeping tasks")(lambda: measured(make()))
    for workers in (2, 4, 8, 16):
        label = f"{workers} workers, SIMULATED"

        def contender(workers: int = workers) -> Contender:
            return simulated(make(), workers)

        note = f"no order could be below {floor(make(), workers):.1f} %"
        workload.contender(label, note=note)(contender)
    full = workload.contender("8 workers, SIMULATED, descendants in full")
    full(lambda: in_full(make(), 8))
    return workload


by_cholesky = compared("cholesky", "tiled Cholesky, 8 x 8 tiles", 101, lambda: cholesky(8))
by_lu = compared("lu", "tiled LU, 6 x 6 tiles", 101, lambda: lu(6))
by_fourier = compared("fft", "butterflies of 32 blocks", 101, lambda: fourier(5))
by_montage = compared("montage", "a mosaic of 24 images", 101, lambda: montage(24))
by_chain = compared("chain-last", "120 tasks, then a chain of 60", 85, lambda: chain_last(120, 60))


@by_chain.contender("2 workers, no durations declared")
def chain_undeclared() -> Contender:
    yield from measured(chain_last(120, 60), declared=False)
