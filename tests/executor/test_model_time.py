"""Deadlines, timeouts and a full queue that blocks, against a model of one server on virtual time.

Every task needs the only slot and sleeps in it, so one runs and the others wait in the order of
their submits, whatever the seed. Lengths end on halves, timeouts on wholes and each deadline on a
fraction of its own: no two things happen at the same moment, so there is one right answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from taskloom import Resources
from taskloom.errors import DeadlineMissed
from taskloom.testing import SeededExecutor

BOUND = 3
State = Literal["waiting", "running", "done", "timed out", "missed", "cancelled"]


@dataclass(eq=False)
class Expected:
    """What the model knows of one task."""

    length: float
    timeout: float | None
    deadline: float | None
    state: State = "waiting"
    ends: float = 0.0
    outcome: State = "done"


class Model:
    """One server, first come, first served."""

    def __init__(self, skips: bool) -> None:
        self.skips = skips
        self.now = 0.0
        self.waiting: list[Expected] = []
        self.running: Expected | None = None

    def submit(self, task: Expected) -> None:
        """Waits for room first."""
        while len(self.waiting) == BOUND:
            assert self.running is not None
            self.now = self.running.ends
            self.finish()
        self.waiting.append(task)
        self.begin()

    def begin(self) -> None:
        while self.running is None and self.waiting:
            task = self.waiting.pop(0)
            limit = task.deadline if self.skips else None
            if limit is not None and limit < self.now:
                task.state = "missed"
                continue
            ends: list[tuple[float, State]] = [(self.now + task.length, "done")]
            if task.timeout is not None:
                ends.append((self.now + task.timeout, "timed out"))
            if limit is not None:
                ends.append((limit, "missed"))
            task.state, (task.ends, task.outcome) = "running", min(ends)
            self.running = task

    def finish(self, state: State | None = None) -> None:
        task, self.running = self.running, None
        assert task is not None
        task.state = state or task.outcome
        self.begin()

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.running is not None and self.running.ends <= until:
            self.now = self.running.ends
            self.finish()
        self.now = until

    def cancel(self, task: Expected) -> bool:
        if task is self.running:
            self.finish("cancelled")
            return False  # it was asked to stop, and does where it sleeps
        if task in self.waiting:
            self.waiting.remove(task)
            task.state = "cancelled"
        return task.state == "cancelled"


class TimeAgainstModel(RuleBasedStateMachine):
    @initialize(
        seed=strategies.integers(0, 10_000), overdue=strategies.sampled_from(["skip", "report"])
    )
    def make(self, seed: int, overdue: Any) -> None:
        self.model = Model(overdue == "skip")
        self.executor = SeededExecutor(
            seed, max_queue_depth=BOUND, when_full="block", overdue=overdue, resources={"slot": 1}
        )
        self.executor.__enter__()
        self.tasks: list[Expected] = []
        self.futures: list[Any] = []

    @rule(
        length=strategies.integers(0, 4),
        timeout=strategies.none() | strategies.integers(1, 4),
        deadline=strategies.none() | strategies.integers(0, 8),
    )
    def submit(self, length: int, timeout: int | None, deadline: int | None) -> None:
        number = len(self.tasks) + 1
        options: dict[str, Any] = {"resources": Resources(slot=1), "timeout": timeout}
        due = None
        if deadline is not None:
            options["deadline"] = deadline + number / 4096
            due = self.model.now + options["deadline"]
        task = Expected(length + 0.5, timeout, due)
        self.tasks.append(task)
        view = self.executor.options(**options)
        self.futures.append(view.submit(self.executor.clock.sleep, task.length))
        self.model.submit(task)

    @rule(seconds=strategies.integers(0, 5))
    def advance(self, seconds: int) -> None:
        self.executor.clock.advance(seconds)
        self.model.advance(seconds)

    @precondition(lambda self: self.tasks)
    @rule(data=strategies.data())
    def cancel(self, data: strategies.DataObject) -> None:
        number = data.draw(strategies.integers(0, len(self.tasks) - 1))
        assert self.futures[number].cancel() == self.model.cancel(self.tasks[number])

    @invariant()
    def all_ended_as_they_should_and_when(self) -> None:
        self.executor.run_until_idle()  # who can begin or stop now does
        assert self.executor.clock.now() == self.model.now
        for future, task in zip(self.futures, self.tasks, strict=True):
            assert future.done() == (task.state not in ("waiting", "running"))
            assert future.running() == (task.state == "running")
            assert future.cancelled() == (task.state == "cancelled")
            if task.state == "done":
                assert future.result() is None
            elif task.state == "timed out":
                assert type(future.exception()) is TimeoutError
            elif task.state == "missed":
                assert type(future.exception()) is DeadlineMissed

    def teardown(self) -> None:
        if hasattr(self, "executor"):
            self.executor.__exit__(None, None, None)
            self.model.advance(10_000)
            assert {task.state for task in self.tasks}.isdisjoint({"waiting", "running"})
            assert all(future.done() for future in self.futures)


TestTimeAgainstModel = TimeAgainstModel.TestCase
TestTimeAgainstModel.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, print_blob=True
)
