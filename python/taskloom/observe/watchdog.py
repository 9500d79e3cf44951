"""The watchdog: finds executors that get nowhere while there is work, and says who waits for whom.

It looks at an executor now and then. Progress is a task that started or ended, a node of a run that
ended, or a task that said how far it is. When there was none for some seconds, three things are
told apart:

- *deadlock*: work is queued or waited for, and every worker is idle or waits itself;
- *stall*: tasks are queued, and no worker has finished or reported anything;
- *hung*: the time of a task is up, and its thread has not left it.

Beside that it looks at who waits for whom: coroutines and threads for locks, limiters and futures.
Waits that lead back to where they began are a deadlock, whatever else goes on. A lock that is
waited for while its holder waits for something else itself is a stall. Those who wait for an item,
an event or a semaphore, which anybody may bring about, are named and not judged.

A long task with nothing queued behind it is none of these. Each episode is told of once.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Self, final

from taskloom import _taskloom, _waits
from taskloom.errors import OptionError
from taskloom.observe.hung import HungTasks
from taskloom.observe.stall import Stall, WorkerStack, stacks_of
from taskloom.observe.waiting import (
    Waiting,
    knotted,
    name_of,
    waits_for_futures,
    waits_for_others,
)

__all__ = ["Stall", "Waiting", "Watchdog", "WorkerStack"]

#: How many findings are kept.
KEPT = 16


class _State(NamedTuple):
    """What a look at an executor saw."""

    started: int
    ended: int
    nodes: int
    reports: int
    queued: int
    held: int
    #: Workers that are in a task and do not wait there; tasks that run in processes.
    at_work: int
    waiting: int
    runs: int
    #: Whether time alone will bring things on: a rate limit, say.
    timed: bool

    @property
    def progress(self) -> tuple[int, int, int, int]:
        return (self.started, self.ended, self.nodes, self.reports)


@final
class Watchdog:
    """Watches one executor; `Executor(watchdog=5.0)` makes and starts one.

    Parameters
    ----------
    executor
        What to watch. It is not kept alive.
    seconds
        How long nothing may happen while there is work; also how long a task may go on after its
        time is up.
    on_stall
        Called with each `Stall`, beside the log and `stalls`. Its errors are logged.
    clock
        What tells the time, in seconds.

    Errors
    ------
    `OptionError` if `seconds` is not above 0.

    Example
    -------
    >>> from taskloom import Executor
    >>> from taskloom.observe.watchdog import Watchdog
    >>> with Executor(1) as executor, Watchdog(executor, seconds=5.0) as watchdog:
    ...     executor.submit(pow, 2, 10).result(), watchdog.stalls
    (1024, ())
    """

    _running = False

    def __init__(
        self,
        executor: Any,
        *,
        seconds: float,
        on_stall: Callable[[Stall], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not seconds > 0:
            raise OptionError(f"seconds={seconds!r} must be above 0")
        self._executor = weakref.ref(executor)
        self._seconds = seconds
        self._on_stall = on_stall
        self._clock = clock
        self._found: deque[Stall] = deque(maxlen=KEPT)
        self._last: tuple[Any, ...] | None = None
        self._since = clock()
        self._told = False
        self._hung = HungTasks()
        self._told_waits: frozenset[int] = frozenset()

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """What was found so far, the last ones."""
        return tuple(self._found.copy())

    def start(self) -> None:
        """Looks from now on, four times in `seconds`, until `stop()` or the executor is gone."""
        if not self._running:
            self._running = True
            _waits.watch(True)
            _arm(weakref.ref(self), self._seconds / 4)

    def stop(self) -> None:
        """Looks no more."""
        if self._running:
            self._running = False
            _waits.watch(False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def __del__(self) -> None:
        self.stop()

    def _after_fork(self) -> None:
        """In a forked child, where the timer starts anew."""
        if self._running:
            self._last = None
            _arm(weakref.ref(self), self._seconds / 4)

    def check(self) -> Stall | None:
        """Looks once, and tells of what it finds.

        >>> from taskloom import Executor
        >>> from taskloom.observe.watchdog import Watchdog
        >>> with Executor(1) as executor:
        ...     print(Watchdog(executor, seconds=5.0).check())
        None
        """
        executor = self._executor()
        if executor is None:
            return None
        now = self._clock()
        for hung in self._hung.find(executor, self._seconds):
            self._tell(hung)
        found = self._check_waits(executor)
        if found is not None:
            return found
        state = _look(executor)
        if state.progress != self._last:
            self._last, self._since, self._told = state.progress, now, False
            return None
        kind = _kind(state)
        if kind is None:
            # An idle stretch is none: it begins when work is there that gets nowhere.
            self._since = now
            return None
        if self._told or now - self._since < self._seconds:
            return None
        self._told = True
        return self._tell(
            Stall(
                kind,
                now - self._since,
                state.queued,
                state.held,
                None,
                tuple(_waits_of(executor)),
                tuple(stacks_of(executor._threads)),
            )
        )

    def _check_waits(self, executor: Any) -> Stall | None:
        knot = knotted(executor, self._seconds)
        if knot is None:
            self._told_waits = frozenset()
            return None
        if knot.numbers <= self._told_waits:
            return None
        self._told_waits |= knot.numbers
        return self._tell(Stall(knot.kind, knot.seconds, 0, 0, None, knot.waits, ()))

    def _tell(self, stall: Stall) -> Stall:
        self._found.append(stall)
        logger = logging.getLogger("taskloom")
        logger.warning("%s", stall)
        if self._on_stall is not None:
            try:
                self._on_stall(stall)
            except Exception:
                logger.exception("on_stall failed")
        return stall

    def __repr__(self) -> str:
        return f"<watchdog, {self._seconds:g} s, {len(self._found)} found>"


def _arm(watchdog: weakref.ref[Watchdog], interval: float) -> None:
    def look() -> None:
        alive = watchdog()
        if alive is None or not alive._running or alive._executor() is None:
            return
        try:
            alive.check()
        finally:
            _arm(watchdog, interval)

    _taskloom._call_later(interval, look)


def _kind(state: _State) -> Literal["deadlock", "stall"] | None:
    if state.at_work:
        return "stall" if state.queued else None
    if state.timed:
        return None
    work = state.queued + state.held + state.waiting + state.runs
    return "deadlock" if work else None


def _look(executor: Any) -> _State:
    stats = executor.stats()
    _ended, _queued, _active, threads, parked, blocked = executor._tally()
    live = dict(executor._live)
    runs = [(run, caller) for seen, caller in live.items() if (run := seen()) is not None]
    waiting_threads = {thread for _, thread, _, _ in _taskloom._waits()}
    callers = sum(
        caller is not None and not run._caller_sleeps() and caller not in waiting_threads
        for run, caller in runs
    )
    return _State(
        started=stats.submitted - stats.queued - stats.held,
        ended=stats.finished,
        nodes=sum(run._progress()[0] for run, _ in runs),
        reports=_taskloom._reports(),
        queued=stats.queued,
        held=stats.held,
        at_work=max(threads - parked - executor._idle() - blocked, 0)
        + stats.in_processes
        + callers,
        # A worker that is stuck in a task whose time is up does not wait for anything: it is hung.
        waiting=max(blocked - len(executor._hung()), 0),
        runs=len(live),
        timed=executor._desk.waits_for_time,
    )


def _waits_of(executor: Any) -> Iterator[Waiting]:
    yield from waits_for_futures()
    yield from waits_for_others()
    for future, prerequisites, needs in executor._desk.waiting():
        for prerequisite in prerequisites:
            yield Waiting(name_of(future), name_of(prerequisite), None)
        if not prerequisites:
            yield Waiting(name_of(future), f"resources: {needs}", None)
