"""How evenly irregular tasks fall on two workers; they release the GIL."""

from __future__ import annotations

import hashlib
import random
import time
from collections import defaultdict
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import get_ident

import taskloom
from harness import Contender, Workload

TASKS = 1_500
BLOCK = bytes(1 << 12)


def sizes() -> list[int]:
    """How many blocks each task hashes: from 1 to 100, mostly few (a Pareto distribution)."""
    choose = random.Random(7)
    return [min(100, int(choose.paretovariate(1.2))) for _ in range(TASKS)]


imbalance = Workload(
    "load-imbalance",
    f"{TASKS:,} irregular tasks that release the GIL, 2 workers: the busiest above the mean",
    unit="%",
    aim=5,
)


def spread(busy: dict[int, float]) -> float:
    """Per cent by which the busiest worker is above the mean."""
    return 100 * (max(busy.values()) * 2 / sum(busy.values()) - 1)


def sample(executor: Executor) -> float:
    busy: dict[int, float] = defaultdict(float)

    def task(blocks: int) -> None:
        began = time.perf_counter()
        hashlib.sha256(BLOCK * blocks)
        busy[get_ident()] += time.perf_counter() - began

    for future in [executor.submit(task, blocks) for blocks in sizes()]:
        future.result()
    return spread(busy)


@imbalance.contender("taskloom")
def ours() -> Contender:
    with taskloom.Executor(2) as executor:
        yield lambda: sample(executor)


@imbalance.contender("ThreadPoolExecutor")
def threads() -> Contender:
    with ThreadPoolExecutor(2) as executor:
        yield lambda: sample(executor)
