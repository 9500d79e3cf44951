"""The executor against a model that fits on a page: submits, options, cancels, waits, shutdown.

The one worker is kept busy while the rules submit and cancel, so that what is queued is known, and
let go in `drain`, where every task must run in the model's order and end as the model says.
"""

from __future__ import annotations

import threading
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import taskloom
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from taskloom import Executor

PRIORITIES = strategies.integers(-5, 6)


@dataclass(eq=False)
class Expected:
    """What the model knows of one task."""

    number: int
    priority: int
    fails: bool
    goes_on: bool
    left: int = 0
    state: str = "held"
    followers: list[Expected] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class Model:
    """Priorities in eight bands, each first in, first out; prerequisites; cancelling what waits."""

    def __init__(self) -> None:
        self.tasks: list[Expected] = []
        self.queue: list[Expected] = []

    def submit(self, priority: int, fails: bool, goes_on: bool, after: list[int]) -> None:
        task = Expected(len(self.tasks), max(-3, min(4, priority)), fails, goes_on, len(after))
        self.tasks.append(task)
        for number in after:
            before = self.tasks[number]
            if before.is_over:
                self.follow(before, task)
            else:
                before.followers.append(task)
        self.enqueue_if_free(task)

    def enqueue_if_free(self, task: Expected) -> None:
        if task.left == 0 and task.state == "held":
            task.state = "queued"
            self.queue.append(task)

    def follow(self, before: Expected, task: Expected) -> None:
        if before.state != "done" and not before.goes_on and task.state == "held":
            self.end(task, "cancelled")
        task.left -= 1

    def end(self, task: Expected, state: str) -> None:
        task.state = state
        for follower in task.followers:
            self.follow(task, follower)
            self.enqueue_if_free(follower)

    def cancel(self, number: int) -> bool:
        task = self.tasks[number]
        if task.is_over:
            return task.state == "cancelled"
        if task in self.queue:
            self.queue.remove(task)
        self.end(task, "cancelled")
        return True

    def drain(self) -> list[int]:
        ran: list[int] = []
        while self.queue:
            # Of the most urgent the first: `max` keeps the order of equals.
            task = max(self.queue, key=lambda queued: queued.priority)
            self.queue.remove(task)
            ran.append(task.number)
            self.end(task, "failed" if task.fails else "done")
        return ran


class ExecutorAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.executor = Executor(1, aging=0, max_queue_depth=None)
        self.futures: list[taskloom.Future[int]] = []
        self.ran: list[int] = []
        self.blockers = 0
        self.block()

    def block(self) -> None:
        """Keeps the worker in a call until `gate` opens."""
        self.gate = threading.Event()
        entered = threading.Event()

        def wait(gate: threading.Event = self.gate) -> None:
            entered.set()
            gate.wait()

        self.blocker = self.executor.options(priority=4).submit(wait)
        self.blockers += 1
        entered.wait()

    def run(self, number: int, fails: bool) -> int:
        self.ran.append(number)
        if fails:
            raise ValueError(number)
        return number

    @rule(
        priority=PRIORITIES,
        fails=strategies.booleans(),
        goes_on=strategies.booleans(),
        nested=strategies.booleans(),
        data=strategies.data(),
    )
    def submit(
        self, priority: int, fails: bool, goes_on: bool, nested: bool, data: strategies.DataObject
    ) -> None:
        numbers = strategies.integers(0, max(len(self.futures) - 1, 0))
        after = data.draw(strategies.lists(numbers, unique=True, max_size=3))
        after = after if self.futures else []
        options: dict[str, Any] = {"priority": priority}
        if goes_on:
            options["on_error"] = "continue"
        if after:
            options["after"] = [self.futures[number] for number in after]
        view = self.executor.options(**options)
        if nested:
            view = self.executor.options(priority=0, name="x").options(**options)
        number = len(self.futures)
        self.futures.append(view.submit(self.run, number, fails=fails))
        self.model.submit(priority, fails, goes_on, after)

    @precondition(lambda self: self.futures)
    @rule(data=strategies.data())
    def cancel(self, data: strategies.DataObject) -> None:
        number = data.draw(strategies.integers(0, len(self.futures) - 1))
        assert self.futures[number].cancel() == self.model.cancel(number)

    @rule()
    def drain(self) -> None:
        self.ran.clear()
        self.gate.set()
        self.blocker.result()
        expected = self.model.drain()
        futures.wait(self.futures)  # some are cancelled meanwhile, after others that failed
        assert self.ran == expected
        self.block()

    @invariant()
    def states_agree(self) -> None:
        for future, task in zip(self.futures, self.model.tasks, strict=True):
            assert future.done() == task.is_over
            assert future.cancelled() == (task.state == "cancelled")
            if task.state == "done":
                assert future.result() == task.number
            elif task.state == "failed":
                assert isinstance(future.exception(), ValueError)

    def teardown(self) -> None:
        self.gate.set()
        self.blocker.result()
        self.model.drain()
        report = self.executor.shutdown()
        self.states_agree()
        assert report.abandoned == 0
        assert report.submitted == len(self.futures) + self.blockers


TestExecutorAgainstModel = ExecutorAgainstModel.TestCase
TestExecutorAgainstModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, print_blob=True
)
