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
from typing import final

from taskloom.errors import Cancelled, TaskloomError
from taskloom.testing.clock import VirtualClock

NEVER = float("inf")
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


class Call:
    """Something that can be begun: its name in messages, and how urgent it is.

    `deadline` is a moment of the clock. Priorities are told apart as the real executor does it: in
    eight bands, from 4 to -3.
    """

    __slots__ = ("deadline", "label", "priority")

    def __init__(self, label: str, priority: int, *, deadline: float = float("inf")) -> None:
        self.label = label
        self.priority = max(-3, min(4, priority))
        self.deadline = deadline

    def is_ready(self) -> bool:
        """Whether it may be begun now."""
        return True

    def run(self) -> None:
        """Does all of it."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Gives it up before it was begun."""
        raise NotImplementedError


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

    def __init__(self, seed: int, clock: VirtualClock, *, late_first: bool = True) -> None:
        self.clock = clock
        # Whether a call whose deadline has passed goes before all others.
        self._late_first = late_first
        self._alarms: list[Alarm] = []
        clock._wait = self._sleep
        # Whether somebody was told that nothing can move.
        self.told = False
        # Which of how many was chosen, each time that there was a choice.
        self.choices: list[tuple[int, int]] = []
        self._random = random.Random(seed)
        self._queue: list[Call] = []
        self._waiting: list[_Strand] = []
        self._resting: list[_Strand] = []
        self._given: dict[_Strand, Call] = {}
        self._local = threading.local()
        self._carriers = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def add(self, call: Call) -> None:
        """Queues a call."""
        self._queue.append(call)

    @property
    def in_task(self) -> bool:
        """Whether a task asks, not the test."""
        return self._me().label != THE_TEST

    def oldest(self) -> Call:
        """Of the queued calls the one that waits longest."""
        return self._queue[0]

    def least_urgent(self) -> Call:
        """Of the queued calls the newest one of the lowest priority."""
        return min(reversed(self._queue), key=lambda call: call.priority)

    def remove(self, call: Call) -> None:
        """Takes one call away that was not begun."""
        self._queue.remove(call)

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

    def take_queued(self) -> list[Call]:
        """Takes away what was not begun."""
        calls, self._queue = self._queue, []
        return calls

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

    def _candidates(self, but: _Strand | None = None) -> list[_Strand | Call]:
        self._ring()
        now = self.clock.now()

        def rank(call: Call) -> tuple[bool, int, float]:
            in_time = not (self._late_first and call.deadline < now)
            return in_time, -call.priority if in_time else 0, call.deadline

        ready = [(rank(call), call) for call in self._queue if call.is_ready()]
        first = min((found for found, _ in ready), default=None)
        movable: list[_Strand | Call] = [call for found, call in ready if found == first]
        movable += [
            strand
            for strand in self._waiting
            if strand is not but and (strand.deadline <= now or strand.is_over())
        ]
        return movable

    def _is_idle(self, but: _Strand) -> bool:
        return not self._candidates(but)

    def _next(self) -> _Strand | Call:
        while not (candidates := self._candidates()):
            moments = [strand.deadline for strand in self._waiting]
            moment = min((*moments, *(alarm.moment for alarm in self._alarms)), default=NEVER)
            if moment == NEVER:
                # Told to who can do something about it: whoever began to wait first, the test.
                first = min(self._waiting, key=lambda strand: strand.label != THE_TEST)
                self.told = True
                first.problem = Deadlock(
                    "nothing can move:"
                    + "".join(f"\n  {s.label} waits {s.reason}" for s in self._waiting)
                    + "".join(f"\n  {call.label} was not begun" for call in self._queue)
                )
                return first
            self.clock._jump(moment)
        chosen = 0
        if len(candidates) > 1:
            chosen = self._random.randrange(len(candidates))
            self.choices.append((chosen, len(candidates)))
        return candidates[chosen]

    def _pass_on(self, me: _Strand) -> None:
        """Gives the baton to the next one and comes back when `me` has it again."""
        chosen = self._next()
        if isinstance(chosen, Call):
            self._queue.remove(chosen)
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
                self._queue.remove(chosen)
                self._given[me] = chosen
                continue
            self._waiting.remove(chosen)
            self._resting.append(me)
            chosen.baton.release()
            me.baton.acquire()
