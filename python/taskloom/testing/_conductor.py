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

from taskloom import _taskloom
from taskloom._generators import generators_closed_on
from taskloom.errors import Cancelled, TaskloomError
from taskloom.retry import Hands, hands
from taskloom.testing._queue import NEVER, Call, CallQueue, nanoseconds
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


@final
class _Step(Call):
    """One step of a coroutine."""

    __slots__ = ("_index", "_loop")

    def __init__(self, loop: _taskloom.LocalLoop, index: int) -> None:
        super().__init__("a coroutine", 0)
        self._loop = loop
        self._index = index

    def run(self) -> None:
        """Takes the step."""
        with generators_closed_on(self._loop.home, lasting=True):
            self._loop.step(self._index)


class _Strand:
    """One line of execution: the test's own, or a thread that carries tasks."""

    __slots__ = (
        "baton",
        "call",
        "deadline",
        "interrupted",
        "is_over",
        "label",
        "problem",
        "reason",
    )

    def __init__(self, label: str) -> None:
        self.baton = threading.Semaphore(0)
        self.label = label
        self.reason = ""
        self.is_over: Callable[[], bool] = bool
        self.deadline = NEVER
        # Raised in the strand when it gets the baton.
        self.problem: BaseException | None = None
        # What it carries, and whether that is interrupted where it waits.
        self.call: Call | None = None
        self.interrupted = False


@final
class Conductor:
    """The strands of one executor, the calls that wait to be begun, and the choice between them."""

    def __init__(self, seed: int, clock: VirtualClock, config: ExecutorConfig) -> None:
        self.clock = clock
        self.queue = CallQueue(config)
        self._interrupts = config.cancel == "interrupt"
        #: Coroutines go on in steps of this loop, each on whichever thread has the baton.
        self.loop = _taskloom.LocalLoop(virtual_time=True)
        #: Called before each choice: brings on what is ready but was not queued yet.
        self.prepare: Callable[[], object] = bool
        #: What retries draw their jitter from, and how they pause.
        self.hands = Hands(self._jitter, self._sleep_for)
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

    def _jitter(self) -> float:
        return self._random.random()

    def _sleep_for(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def lend_thread(self, on: bool) -> None:
        """Has this thread wait for locks, channels and the like by passing the baton."""
        self.loop.lend_thread(self._blocked if on else None)

    def _blocked(self, is_set: Callable[[], bool], seconds: float | None) -> bool:
        return self.wait(is_set, seconds, "for a lock, a channel or the like")

    def after(self, seconds: float, callback: Callable[[], object]) -> Alarm:
        """As `at`, so many seconds from now."""
        return self.at(self.clock.now() + seconds, callback)

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
        me = self._me()
        self._stop_if_interrupted(me)
        if is_over():
            return True
        me.reason, me.is_over = reason, is_over
        me.deadline = NEVER if timeout is None else self.clock.now() + max(timeout, 0.0)
        self._waiting.append(me)
        self._pass_on(me)
        if me.problem is not None:
            problem, me.problem = me.problem, None
            raise problem
        self._stop_if_interrupted(me)
        return is_over()

    def interrupt(self, future: object) -> None:
        """Raises `Cancelled` in a task that has begun, as it goes on, if the executor does that."""
        if not self._interrupts:
            return
        for strand in (*self._waiting, self._me()):
            if strand.call is not None and strand.call.future is future:
                strand.interrupted = True

    def _stop_if_interrupted(self, me: _Strand) -> None:
        if me.interrupted:
            me.interrupted = False
            raise Cancelled("interrupted")

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
        token = _taskloom.current_token()
        if token is None:
            self.wait(lambda: self.clock.now() >= moment, self._left(moment), f"until {moment}")
            return
        token.check()
        self.wait(lambda: token.cancelled, self._left(moment), f"until {moment}")
        if self.clock.now() < moment:
            token.check()

    def _left(self, moment: float) -> float:
        return moment - self.clock.now()

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

    def _movable(self, but: _Strand | None = None) -> tuple[int, int, list[_Strand]]:
        """How many calls may be begun, how many coroutines and which strands can go on."""
        self._ring()
        now = self.clock.now()
        self.loop.advance(nanoseconds(now))
        self.prepare()
        ready = self.queue.ready()
        strands = [
            strand
            for strand in self._waiting
            if strand is not but and (strand.deadline <= now or strand.is_over())
        ]
        return ready, self.loop.ready(), strands

    def _is_idle(self, but: _Strand) -> bool:
        return not any(self._movable(but))

    def _next(self) -> _Strand | Call:
        while not any(movable := self._movable()):
            if not self._move_clock():
                return self._stuck()
        ready, coroutines, strands = movable
        if not coroutines and not strands:
            return self.queue.pop(self.clock.now(), self.draw)
        # Each is as likely as any other; calls are told apart by a second draw.
        chosen = self._random.randrange(ready + coroutines + len(strands)) - ready
        if ready or coroutines + len(strands) > 1:
            self.choices.append((max(chosen, -1), coroutines + len(strands)))
        if chosen < 0:
            return self.queue.pop(self.clock.now(), self.draw)
        if chosen < coroutines:
            return _Step(self.loop, chosen)
        return strands[chosen - coroutines]

    def _move_clock(self) -> bool:
        """Jumps to the next moment that somebody waits for; False if nobody does."""
        moments = [strand.deadline for strand in self._waiting]
        moments += [alarm.moment for alarm in self._alarms]
        awaited = self.loop.next_moment()
        if awaited is not None:
            moments.append(awaited / 1e9)
        moment = min(moments, default=NEVER)
        if moment == NEVER:
            return False
        self.clock._jump(moment)
        if awaited is not None and moment == awaited / 1e9:
            self.loop.advance(awaited)  # A float may be a little before it.
        return True

    def _stuck(self) -> _Strand:
        """Nothing can move: told to who can do something about it, the test if it waits."""
        first = min(self._waiting, key=lambda strand: strand.label != THE_TEST)
        self.told = True
        first.problem = Deadlock(
            "nothing can move:"
            + "".join(f"\n  {strand.label} waits {strand.reason}" for strand in self._waiting)
            + "".join(f"\n  {call.label} was not begun" for call in self.queue)
            + (f"\n  {live} coroutines wait" if (live := self.loop.live()) else "")
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
        hands.set(self.hands)
        self.lend_thread(True)
        try:
            self._carry_on(me)
        except BaseException as error:
            # A fault of ours, or of a callback that no task is to answer for: the test must hear.
            first = min(self._waiting, key=lambda strand: strand.label != THE_TEST)
            self._waiting.remove(first)
            first.problem = error
            first.baton.release()
        finally:
            self.lend_thread(False)

    def _carry_on(self, me: _Strand) -> None:
        while me.problem is None:
            call = self._given.pop(me)
            me.label, me.call, me.interrupted = call.label, call, False
            call.run()
            me.call = None
            chosen = self._next()
            if isinstance(chosen, Call):
                self._given[me] = chosen
                continue
            self._waiting.remove(chosen)
            self._resting.append(me)
            chosen.baton.release()
            me.baton.acquire()
