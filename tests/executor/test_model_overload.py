"""A bounded executor against a model: what a full queue refuses or gives up, and that it adds up.

The one worker is kept busy while the rules submit and cancel, so that the queue is known, and let
go in `drain`. After every step the states of all futures and the statistics are the model's.
"""

from __future__ import annotations

import concurrent.futures
import threading
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from taskloom import Executor, Resources
from taskloom.errors import QueueFull

BOUND = 4
Policy = Literal["reject", "drop_oldest", "drop_lowest"]


@dataclass(eq=False)
class Expected:
    """What the model knows of one task."""

    band: int
    needs: bool
    state: str = "queued"


class Overloaded(RuleBasedStateMachine):
    """Eight bands, each first in, first out; a bound; a gate that nothing with needs gets through.

    Tasks with needs are held as long as the gate is closed, since the blocker has all there is.
    """

    policy: Policy

    @initialize(policy=strategies.sampled_from(["reject", "drop_oldest", "drop_lowest"]))
    def make(self, policy: Policy) -> None:
        self.policy = policy
        self.executor = Executor(
            1, aging=0, max_queue_depth=BOUND, when_full=policy, resources={"key": 1}
        )
        self.futures: list[Any] = []
        self.tasks: list[Expected] = []
        self.queue: list[Expected] = []
        self.held: list[Expected] = []
        self.rejected = self.blockers = 0
        self.ran: list[int] = []
        self.block()

    def block(self) -> None:
        self.gate = threading.Event()
        entered = threading.Event()

        def wait(gate: threading.Event = self.gate) -> None:
            entered.set()
            gate.wait()

        key = Resources(key=1)
        self.blocker = self.executor.options(priority=4, resources=key).submit(wait)
        self.blockers += 1
        entered.wait()

    @rule(priority=strategies.integers(-4, 5), needs=strategies.sampled_from([False, False, True]))
    def submit(self, priority: int, needs: bool) -> None:
        number = len(self.futures)
        options: dict[str, Any] = {"priority": priority}
        if needs:
            options["resources"] = Resources(key=1)
        task = Expected(4 - max(-3, min(4, priority)), needs)
        try:
            future = self.executor.options(**options).submit(self.ran.append, number)
        except QueueFull:
            assert not self.accepts(task)
            self.rejected += 1
            return
        assert self.accepts(task)
        self.futures.append(future)
        self.tasks.append(task)

    def accepts(self, task: Expected) -> bool:
        """Brings the task into the model; False if it is refused."""
        if len(self.queue) + len(self.held) >= BOUND:
            if self.policy == "reject":
                return False
            victim = self.victim(task)
            if victim is None:
                task.state = "dropped"
                return True
            self.queue.remove(victim)
            victim.state = "dropped"
        (self.held if task.needs else self.queue).append(task)
        return True

    def victim(self, task: Expected) -> Expected | None:
        """Who goes for a new one: what is held cannot."""
        if self.policy == "drop_oldest" or not self.queue:
            return self.queue[0] if self.queue else None
        lowest = max(queued.band for queued in self.queue)
        if lowest < task.band:
            return None
        return [queued for queued in self.queue if queued.band == lowest][-1]

    @precondition(lambda self: self.futures)
    @rule(data=strategies.data())
    def cancel(self, data: strategies.DataObject) -> None:
        number = data.draw(strategies.integers(0, len(self.futures) - 1))
        task = self.tasks[number]
        assert self.futures[number].cancel() == (task.state in ("queued", "cancelled"))
        if task.state == "queued":
            task.state = "cancelled"
            (self.held if task.needs else self.queue).remove(task)

    @rule()
    def drain(self) -> None:
        self.ran.clear()
        self.gate.set()
        self.blocker.result()
        concurrent.futures.wait(self.futures)
        free = sorted(self.queue, key=lambda task: task.band)
        assert [self.tasks[number] for number in self.ran if not self.tasks[number].needs] == free
        assert {number for number in self.ran if self.tasks[number].needs} == {
            self.tasks.index(task) for task in self.held
        }
        for task in (*self.queue, *self.held):
            task.state = "done"
        self.queue, self.held = [], []
        self.block()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "policy"):
            return
        states = [task.state for task in self.tasks]
        for future, state in zip(self.futures, states, strict=True):
            assert future.done() == (state != "queued")
            assert future.cancelled() == (state == "cancelled")
            if state == "dropped":
                assert isinstance(future.exception(), QueueFull)
        stats = self.executor.stats()
        assert stats.rejected == self.rejected
        assert stats.dropped == states.count("dropped")
        assert stats.submitted == len(self.tasks) + self.blockers
        assert stats.held == len(self.held)

    def teardown(self) -> None:
        if not hasattr(self, "policy"):
            return
        self.gate.set()
        report = self.executor.shutdown()
        stats = self.executor.stats()
        states = [task.state for task in self.tasks]
        assert report.dropped == states.count("dropped")
        assert report.cancelled == states.count("cancelled")
        assert report.abandoned == 0
        assert report.submitted == stats.submitted == len(self.tasks) + self.blockers
        assert stats.queued == stats.held == stats.running == 0


def test_bounded_executor_does_what_the_model_says() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Overloaded,
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None, print_blob=True),
    )
