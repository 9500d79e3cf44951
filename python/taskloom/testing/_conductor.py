"""Lets one task at a time go on, and draws which from a seed.

A plain function cannot be suspended in Python but by stopping its thread. So each task that has
begun has a thread of its own, and exactly one of all these threads, the test's among them, goes on
at any time: it holds the baton. A thread passes the baton on only where it waits. Whoever passes it
draws the next from those who can move, in an order that does not depend on the operating system:
the same seed gives the same interleaving.

Rejected: running other tasks on the stack of the one that waits. What waits below cannot go on
before what runs above has ended, so that two tasks that wait for each other in turn, or sleep for
different times, would hang or end in the wrong order.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from taskloom.errors import Cancelled, TaskloomError
from taskloom.testing._queue import NEVER, Call, CallQueue
from taskloom.testing.clock import VirtualClock

if TYPE_CHECKING:
    from taskloom.scheduling.config import ExecutorConfig

THE_TEST = "the test"
# How many waits of tasks are cancelled at the end; some tasks wait again.
ROUNDS = 10_000


@final
class Deadlock(TaskloomError):
    """Everybody waits for something that nobody is left to do; says who waits for what.

    >>> from taskloom.testing import Deadlock, SeededExecutor
    >>> with SeededExecutor(seed=1) as executor:
    ...     first = executor.submit(lambda: second.result())
    ...     second = executor.submit(lambda: first.result())
    ...     try:
    ...         first.result()
    ...     except Deadlock as error:
    ...         print(str(error).splitlines()[0])
    nothing can move:
    """


class Alarm:
    """Something that happens at a moment of the clock, whoever waits."""

    __slots__ = ("callback", "moment")

    def __init__(self, moment: float, callback: Callable[[], object]) -> None:
        self.moment = moment
        self.callback = callback


class _Strand:
    """One line of execution: the test's own, or a thread that carries tasks."""

    __slots__ = ("baton", "deadline", "is_over", "label", "problem", "reason")

    def __init__(self, label: str) -> None:
        self.baton = threading.Semaphore(0)
        self.label = label
        self.reason = ""
        self.is_over: Callable[[], bool] = bool
        self.deadline = NEVER
        # Raised in the strand when it gets the baton.
        self.problem: BaseException | None = None


@final
class Conductor:
    """The strands of one executor, the calls that wait to be begun, and the choice between them."""

    def __init__(self, seed: int, clock: VirtualClock, config: ExecutorConfig) -> None:
        self.clock = clock
        self.queue = CallQueue(config)
        self._alarms: list[Alarm] = []
        clock._wait = self._sleep
        # Whether somebody was told that nothing can move.
        self.told = False
        # Which of how many was chosen, each time that there was a choice.
        self.choices: list[tuple[int, int]] = []
        self._random = random.Random(seed)
        self._waiting: list[_Strand] = []
        self._resting: list[_Strand] = []
        self._given: dict[_Strand, Call] = {}
        self._local = threading.local()
        self._carriers = 0

    @property
    def in_task(self) -> bool:
        """Whether a task asks, not the test."""
        return self._me().label != THE_TEST

    def at(self, moment: float, callback: Callable[[], object]) -> Alarm:
        """Has `callback` called when the clock is there, until it is forgotten."""
        alarm = Alarm(moment, callback)
        self._alarms.append(alarm)
        return alarm

    def forget(self, alarm: Alarm | None) -> None:
        """The alarm is not needed any more."""
        if alarm in self._alarms:
            self._alarms.remove(alarm)

    def _ring(self) -> None:
        """Calls what is due by now, in the order of moments, then of setting."""
        now = self.clock.now()
        while due := [alarm for alarm in self._alarms if alarm.moment <= now]:
            first = min(due, key=lambda alarm: alarm.moment)
            self._alarms.remove(first)
            first.callback()

    def wait(self, is_over: Callable[[], bool], timeout: float | None, reason: str) -> bool:
        """Lets others go on until `is_over` says so; False if `timeout` seconds passed first."""
        if is_over():
            return True
        me = self._me()
        me.reason, me.is_over = reason, is_over
        me.deadline = NEVER if timeout is None else self.clock.now() + max(timeout, 0.0)
        self._waiting.append(me)
        self._pass_on(me)
        if me.problem is not None:
            problem, me.problem = me.problem, None
            raise problem
        return is_over()

    def run_until_idle(self) -> None:
        """Lets everybody go on until all that is left waits for the clock or for the test."""
        me = self._me()
        if me.label != THE_TEST:
            raise RuntimeError(f"{me.label} cannot wait until all are idle: it is one of them")
        me.reason = "for the others to come to rest"
        me.is_over, me.deadline = lambda: self._is_idle(me), NEVER
        self._waiting.append(me)
        self._pass_on(me)

    def abandon(self) -> None:
        """Ends the strands that wait: the tasks on them are cancelled."""
        for _ in range(ROUNDS):
            others = [strand for strand in self._waiting if strand is not self._me()]
            if not others:
                break
            others[0].problem = Cancelled("the test is over, and this task was still waiting")
            others[0].is_over = lambda: True
            self.run_until_idle()
        for strand in self._resting:
            strand.problem = Cancelled()
            strand.baton.release()
        self._resting.clear()

    def _sleep(self, moment: float) -> None:
        self.wait(lambda: self.clock.now() >= moment, moment - self.clock.now(), f"until {moment}")

    def _me(self) -> _Strand:
        strand: _Strand | None = getattr(self._local, "strand", None)
        if strand is None:
            strand = self._local.strand = _Strand(THE_TEST)
        return strand

    def draw(self, count: int) -> int:
        """One of so many, by the seed; noted as a choice."""
        chosen = self._random.randrange(count)
        self.choices.append((chosen, count))
        return chosen

    def _movable(self, but: _Strand | None = None) -> tuple[int, list[_Strand]]:
        """How many calls may be begun, and the strands that can go on."""
        self._ring()
        now = self.clock.now()
        ready = self.queue.ready()
        return ready, [
            strand
            for strand in self._waiting
            if strand is not but and (strand.deadline <= now or strand.is_over())
        ]

    def _is_idle(self, but: _Strand) -> bool:
        ready, strands = self._movable(but)
        return not ready and not strands

    def _next(self) -> _Strand | Call:
        ready, strands = self._movable()
        while not ready and not strands:
            moments = [strand.deadline for strand in self._waiting]
            moment = min((*moments, *(alarm.moment for alarm in self._alarms)), default=NEVER)
            if moment == NEVER:
                return self._stuck()
            self.clock._jump(moment)
            ready, strands = self._movable()
        if strands:
            # Each call and each strand is as likely as any other.
            chosen = self._random.randrange(ready + len(strands))
            if ready or len(strands) > 1:
                self.choices.append((max(chosen - ready, -1), len(strands)))
            if chosen >= ready:
                return strands[chosen - ready]
        return self.queue.pop(self.clock.now(), self.draw)

    def _stuck(self) -> _Strand:
        """Nothing can move: told to who can do something about it, the test if it waits."""
        first = min(self._waiting, key=lambda strand: strand.label != THE_TEST)
        self.told = True
        first.problem = Deadlock(
            "nothing can move:"
            + "".join(f"\n  {strand.label} waits {strand.reason}" for strand in self._waiting)
            + "".join(f"\n  {call.label} was not begun" for call in self.queue)
        )
        return first

    def _pass_on(self, me: _Strand) -> None:
        """Gives the baton to the next one and comes back when `me` has it again."""
        chosen = self._next()
        if isinstance(chosen, Call):
            if self._resting:
                carrier = self._resting.pop()
                self._given[carrier] = chosen
                carrier.baton.release()
            else:
                self._start(chosen)
        else:
            self._waiting.remove(chosen)
            if chosen is me:
                return
            chosen.baton.release()
        me.baton.acquire()

    def _start(self, call: Call) -> None:
        carrier = _Strand("")
        self._carriers += 1
        self._given[carrier] = call
        name = f"taskloom.testing_{self._carriers}"
        threading.Thread(target=self._carry, args=(carrier,), name=name, daemon=True).start()

    def _carry(self, me: _Strand) -> None:
        """What a thread does that carries tasks, one after the other."""
        self._local.strand = me
        while me.problem is None:
            call = self._given.pop(me)
            me.label = call.label
            call.run()
            chosen = self._next()
            if isinstance(chosen, Call):
                self._given[me] = chosen
                continue
            self._waiting.remove(chosen)
            self._resting.append(me)
            chosen.baton.release()
            me.baton.acquire()
