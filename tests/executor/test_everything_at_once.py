"""Threads that submit with random options, cancel, wait and shut down: nothing is left behind.

Which task ends how depends on the machine; that each ends, and is counted once, does not.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future as StandardFuture
from typing import Any

import pytest
import taskloom
from taskloom import Executor, Limit, Resources
from taskloom.errors import QueueFull

LIMIT = Limit("two at once", 2)


class Failed(Exception):
    pass


def work(number: int) -> int:
    if number % 7 == 0:
        raise Failed(number)
    task = taskloom.current_task()
    if number % 5 == 0 and task is not None:
        task.checkpoint()
    return number


async def coroutine(number: int) -> int:
    await taskloom.sleep(0.0001 * (number % 3))
    return work(number)


def nested(pool: Executor, number: int) -> int:
    return pool.submit(work, number).result()


def settings(draw: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "max_workers": draw.choice([1, 2, 4]),
        "max_queue_depth": draw.choice([None, 5, 50, 1000]),
        "when_full": draw.choice(["block", "reject", "drop_oldest", "drop_lowest"]),
        "timing": draw.random() < 0.5,
    }
    rarely = {"work_stealing": False, "adaptive": True, "target_latency": 0.01}
    return chosen | {name: value for name, value in rarely.items() if draw.random() < 0.3}


def options(draw: random.Random, before: list[StandardFuture[Any]]) -> dict[str, Any]:
    possible: dict[str, Callable[[], Any]] = {
        "priority": lambda: draw.randint(-5, 5),
        "deadline": lambda: draw.choice([0.0005, 0.01, 60]),
        "timeout": lambda: draw.choice([0.0002, 0.01, 60]),
        "retry": lambda: draw.randint(1, 3),
        "resources": lambda: draw.choice([Resources(cpu=0.5), Resources(LIMIT)]),
        "after": lambda: draw.sample(before, min(len(before), 2)),
    }
    return {name: value() for name, value in possible.items() if draw.random() < 0.15}


class Submitter(threading.Thread):
    """Submits, and cancels now and then what it has submitted."""

    def __init__(self, pool: Executor, seed: float) -> None:
        super().__init__()
        self.pool = pool
        self.draw = random.Random(seed)
        self.futures: list[StandardFuture[Any]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for _ in range(self.draw.choice([20, 150])):
                self.submit_one()
        except RuntimeError as error:
            if "after shutdown" not in str(error):
                self.error = error
        except BaseException as error:
            self.error = error

    def submit_one(self) -> None:
        draw, pool = self.draw, self.pool
        view = pool.options(**options(draw, self.futures))
        number = draw.randint(1, 1000)
        try:
            match draw.choice(["plain", "plain", "options", "options", "nested", "coroutine"]):
                case "plain":
                    future = pool.submit(work, number)
                case "nested":
                    future = pool.submit(nested, pool, number)
                case "coroutine":
                    future = view.options(place="loop").submit(coroutine, number)
                case _:
                    future = view.submit(work, number)
        except QueueFull:
            return
        self.futures.append(future)
        if draw.random() < 0.15:
            draw.choice(self.futures).cancel()


def storm(seed: int) -> None:
    draw = random.Random(seed)
    pool = Executor(**settings(draw))
    submitters = [Submitter(pool, draw.random()) for _ in range(draw.choice([1, 2, 3]))]
    closes_early = draw.random() < 0.2
    for submitter in submitters:
        submitter.start()
    if not closes_early:
        for submitter in submitters:
            submitter.join()
    report = pool.shutdown(drain=draw.random() < 0.7)
    for submitter in submitters:
        submitter.join()
        assert submitter.error is None
    futures = [future for submitter in submitters for future in submitter.futures]
    assert [future for future in futures if not future.done()] == []
    if not closes_early:
        stats = pool.stats()
        assert report.abandoned == 0
        assert report.submitted == stats.submitted >= len(futures)
        assert stats.running == stats.queued == stats.held == 0


@pytest.mark.parametrize("seed", range(60))
def test_every_task_has_ended_and_is_counted_once(seed: int) -> None:
    storm(seed)


@pytest.mark.soak
def test_every_task_has_ended_and_is_counted_once_many_times() -> None:
    for seed in range(60, 5_000):
        try:
            storm(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
