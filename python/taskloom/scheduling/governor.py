"""Governs an executor while it runs: how many of its workers are active, and whether it is in time.

An executor that asks for none of this has no governor. One that does is looked at every `interval`
seconds on the timer's thread: what it has finished and what is queued, the processor time that the
process took and, twice a second, what the machine says of its memory.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, final

from taskloom import _taskloom
from taskloom.errors import OptionError
from taskloom.scheduling.adaptive import AdaptiveConcurrency, Decision, Load
from taskloom.scheduling.statistics import Tally

if TYPE_CHECKING:
    from taskloom.scheduling.config import ExecutorConfig
    from taskloom.scheduling.monitor import ResourceSample

__all__ = ["Governor", "LatencyTarget"]

# How many decisions are remembered, and how many changes of the number of workers.
_DECISIONS = 1000
_HISTORY = 256
# By how much rarer an idle executor is looked at, in the end.
_IDLE = 5
# Seconds between two looks at the memory, and at the latencies.
_MEMORY_EVERY = 0.5
_LATENCY_EVERY = 0.25
# The window of the latency target in seconds, and in how many places it begins anew.
SPAN = 10.0
_STEPS = 40
SHARE = 0.99
# The share of what is allowed from which on memory is looked at each time.
_SHORT = 0.8
# The share of the memory from which on workers are taken away, where no limit is given.
_MEMORY_LIMIT = 0.9


class Governed(Protocol):
    """An executor, as far as its governor is concerned."""

    @property
    def is_closed(self) -> bool: ...
    def _tally(self) -> tuple[int, int, int, int, int, int]: ...
    def _set_active(self, count: int) -> None: ...


class Monitor(Protocol):
    """What tells of the machine: a `ResourceMonitor`, or what stands in for it."""

    def sample(self) -> ResourceSample: ...


@final
class LatencyTarget:
    """Whether 99 of 100 tasks of the last ten seconds waited in the queue for `seconds` at most.

    `slide(now)` gives how many tasks began in the window and the seconds that 99 % of them waited
    at most. A queue from which nothing has been taken for longer than the target misses it too,
    whatever was before.

    >>> target = LatencyTarget(0.010, lambda now: (100, 0.002))
    >>> target.look(now=1.0, queued=0, begun=100)
    True
    """

    __slots__ = ("_begun", "_moved", "_slide", "is_met", "p99", "seconds")

    def __init__(self, seconds: float, slide: Callable[[float], tuple[int, float]]) -> None:
        self.seconds = seconds
        self._slide = slide
        self._begun = -1
        self._moved = 0.0
        self.is_met = True
        self.p99 = 0.0

    def look(self, *, now: float, queued: int, begun: int) -> bool:
        """Looks at the window; `begun` is any count that grows as tasks leave the queue."""
        if begun != self._begun or queued == 0:
            self._begun, self._moved = begun, now
        count, self.p99 = self._slide(now)
        stuck = now - self._moved > self.seconds
        self.is_met = not stuck and (count == 0 or self.p99 <= self.seconds)
        return self.is_met


@final
class Governor:
    """Looks at an executor at intervals, and acts on what it sees.

    Parameters
    ----------
    pool
        The executor; it is referred to weakly.
    interval
        Seconds between two looks.
    law
        Chooses the number of active workers; None leaves it as it is.
    monitor
        Tells of processors and memory.
    memory_limit
        Bytes of this process, or as a float a share of the container's or machine's memory, from
        which on the law takes workers away.
    target
        What the latency is held against.
    on_latency_change
        Called as `on_latency_change(is_met)` on a thread of its own whenever that changes.
    clock, cpu_clock
        Give seconds, and seconds of processor time; tests put others there.

    >>> from taskloom import Executor
    >>> with Executor(4) as executor:
    ...     governor = Governor(executor, law=AdaptiveConcurrency(1, 4, start=2))
    ...     governor.tick(), executor.stats().active_workers
    (True, 2)
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_changes",
        "_clock",
        "_cpu_clock",
        "_cpus",
        "_decisions",
        "_finished",
        "_interval",
        "_latency_due",
        "_law",
        "_lock",
        "_memory_due",
        "_memory_limit",
        "_monitor",
        "_on_latency_change",
        "_pool",
        "_target",
        "_tells",
        "pause",
        "reason",
    )

    def __init__(
        self,
        pool: Governed,
        *,
        interval: float = 0.1,
        law: AdaptiveConcurrency | None = None,
        monitor: Monitor | None = None,
        memory_limit: int | float | None = None,
        target: LatencyTarget | None = None,
        on_latency_change: Callable[[bool], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._pool = weakref.ref(pool)
        self._interval = interval if law is not None else max(interval, _LATENCY_EVERY)
        # Seconds until the next look.
        self.pause = self._interval
        self._law = law
        self._monitor = monitor
        self._memory_limit = memory_limit
        self._target = target
        self._on_latency_change = on_latency_change
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._lock = threading.Lock()
        self._tells = _Tells(on_latency_change)
        self._decisions: deque[Decision] = deque(maxlen=_DECISIONS)
        self._changes: deque[Decision] = deque(maxlen=_HISTORY)
        self._cpus = 1.0
        self._begin()

    def _begin(self) -> None:
        self._memory_due = self._latency_due = 0.0
        self._before: tuple[float, float, int] | None = None
        self._finished = 0
        self.reason = ""
        pool = self._pool()
        if self._law is not None and pool is not None:
            pool._set_active(self._law.workers)
            self.reason = f"beginning with {self._law.workers}"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The last decisions, those that left the number of workers as it was included."""
        with self._lock:
            return tuple(self._decisions)

    @property
    def changes(self) -> tuple[Decision, ...]:
        """The last decisions that changed the number of workers."""
        with self._lock:
            return tuple(self._changes)

    @property
    def target(self) -> LatencyTarget | None:
        """What the latency is held against."""
        return self._target

    def start(self) -> None:
        """Has the timer look at the executor from now on, until it is closed and done, or gone."""
        _taskloom._call_later(self.pause, _Turn(weakref.ref(self)))

    def after_fork(self) -> None:
        """In a forked child: begins anew with the fresh pool."""
        self._lock = threading.Lock()
        self._tells = _Tells(self._on_latency_change)
        self._begin()
        self.start()

    def tick(self) -> bool:
        """Looks once; false if there is nothing left to look at."""
        pool = self._pool()
        if pool is None:
            return False
        tally = Tally(*pool._tally())
        if pool.is_closed and tally.working == 0:
            return False
        with self._lock:
            now = self._clock()
            idle = tally.queued == 0 and tally.finished == self._finished
            self._finished = tally.finished
            self.pause = min(self.pause * 2, _IDLE * self._interval) if idle else self._interval
            if idle:
                # What is measured next begins after this.
                self._before = None
            elif self._law is not None:
                self._decide(pool, self._law, tally, now)
            if self._target is not None and now >= self._latency_due:
                self._latency_due = now + _LATENCY_EVERY * 0.9
                self._hold_against(self._target, tally, now)
        return True

    def is_meeting_target(self) -> bool:
        """Whether the latency target is met now."""
        pool, target = self._pool(), self._target
        if pool is None or target is None:
            return True
        with self._lock:
            return self._hold_against(target, Tally(*pool._tally()), self._clock())

    def _hold_against(self, target: LatencyTarget, tally: Tally, now: float) -> bool:
        before = target.is_met
        met = target.look(now=now, queued=tally.queued, begun=tally.finished)
        if met != before:
            self._tells.tell(met)
        return met

    def _decide(self, pool: Governed, law: AdaptiveConcurrency, tally: Tally, now: float) -> None:
        before, cpu = self._before, self._cpu_clock()
        self._before = (now, cpu, tally.finished)
        if before is None or now <= before[0]:
            return
        interval = now - before[0]
        fresh = self._look_at_machine(now)
        decision = law.update(
            Load(
                time=now,
                interval=interval,
                completed=tally.finished - before[2],
                backlog=tally.queued,
                cpu=(cpu - before[1]) / interval,
                cpus=self._cpus,
                memory_share=None if fresh is None else self._memory_share(fresh),
                memory_pressure=None if fresh is None else fresh.memory_pressure,
            )
        )
        self.reason = decision.reason
        self._decisions.append(decision)
        if decision.workers != decision.before:
            self._changes.append(decision)
            pool._set_active(decision.workers)

    def _look_at_machine(self, now: float) -> ResourceSample | None:
        """Samples the machine if it is time to: twice a second, or always while memory is short."""
        if self._monitor is None or now < self._memory_due:
            return None
        sample = self._monitor.sample()
        self._cpus = sample.cpus
        short = (self._memory_share(sample) or 0.0) > _SHORT or (sample.memory_pressure or 0.0) > 0
        self._memory_due = now if short else now + _MEMORY_EVERY
        return sample

    def _memory_share(self, sample: ResourceSample) -> float | None:
        """Memory in use, as a share of what the executor was allowed."""
        limit = self._memory_limit
        if isinstance(limit, int):
            used = sample.process_memory
            return None if used is None else used / limit
        share = sample.memory_share
        return share if share is None or limit is None else share / limit


def govern(
    executor: _taskloom.Pool,
    config: ExecutorConfig,
    on_latency_change: Callable[[bool], object] | None,
) -> Governor:
    """A governor for what the settings ask for, already at work.

    Raises `OptionError` for a callback without a target, `ValueError` for too few workers.
    """
    law = monitor = target = None
    if config.adaptive:
        from taskloom.scheduling.cpus import cpu_count
        from taskloom.scheduling.monitor import ResourceMonitor

        given = config.memory_limit is not None
        most = config.worker_count()
        if config.min_workers > most:
            raise ValueError(
                f"min_workers={config.min_workers} is more than the {most} that max_workers=None "
                "comes to on this machine: name max_workers, too"
            )
        law = AdaptiveConcurrency(
            config.min_workers,
            most,
            start=cpu_count(),
            cpu_target=config.cpu_target,
            # A limit that was given is what the memory share is taken of.
            memory_limit=1.0 if given else _MEMORY_LIMIT,
        )
        monitor = ResourceMonitor()
    if config.target_latency is not None:
        window = _taskloom.LatencyWindow(SPAN, _STEPS)
        reference = weakref.ref(executor)

        def slide(now: float) -> tuple[int, float]:
            pool = reference()
            return (0, 0.0) if pool is None else window.slide(pool, now, SHARE)

        target = LatencyTarget(config.target_latency, slide)
    elif on_latency_change is not None:
        raise OptionError(
            "on_latency_change= has no effect without target_latency=, in seconds: give both"
        )
    governor = Governor(
        executor,
        interval=config.adaptive_interval,
        law=law,
        monitor=monitor,
        memory_limit=config.memory_limit,
        target=target,
        on_latency_change=on_latency_change,
    )
    governor.start()
    return governor


class _Turn:
    """What the timer calls: one look, if the governor is still there, and the next turn."""

    __slots__ = ("_governor",)

    def __init__(self, governor: weakref.ref[Governor]) -> None:
        self._governor = governor

    def __call__(self) -> None:
        governor = self._governor()
        if governor is not None and governor.tick():
            governor.start()


class _Tells:
    """Calls the user's callback with each change in turn, away from the timer's thread."""

    __slots__ = ("_callback", "_changes", "_lock", "_telling")

    def __init__(self, callback: Callable[[bool], object] | None) -> None:
        self._callback = callback
        self._changes: deque[bool] = deque()
        self._lock = threading.Lock()
        self._telling = False

    def tell(self, met: bool) -> None:
        if self._callback is None:
            return
        with self._lock:
            self._changes.append(met)
            if self._telling:
                return
            self._telling = True
        threading.Thread(target=self._tell, name="taskloom-latency", daemon=True).start()

    def _tell(self) -> None:
        while True:
            with self._lock:
                if not self._changes:
                    self._telling = False
                    return
                met = self._changes.popleft()
            if self._callback is not None:
                try:
                    self._callback(met)
                except Exception:
                    import logging

                    logging.getLogger("taskloom").exception("on_latency_change failed")
