"""What an executor has measured, as frozen records. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

__all__ = ["ExecutorStats", "Latency", "ShutdownReport", "Timing", "WorkerStats"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a task was submitted, began and ended, by `time.monotonic()`, and on which worker.

    What has not happened yet is None; so is everything but `submitted` for a task that never ran.

    >>> Timing(submitted=10.0, started=10.5, finished=12.0, worker=3).execution
    1.5
    """

    submitted: float
    started: float | None = None
    finished: float | None = None
    worker: int | None = None

    @property
    def queue_latency(self) -> float | None:
        """Seconds between submission and start."""
        return None if self.started is None else self.started - self.submitted

    @property
    def execution(self) -> float | None:
        """Seconds between start and end."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How some span of time was distributed: quantiles within one percent, the rest exact.

    `p999` is the time that 999 of 1,000 stayed below. All are 0 when `count` is.

    >>> Latency(count=2, total=0.5, minimum=0.1, p50=0.1, p99=0.4, p999=0.4, maximum=0.4).mean
    0.25
    """

    count: int = 0
    total: float = 0.0
    minimum: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    maximum: float = 0.0

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return self.total / self.count if self.count else 0.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownReport:
    """What became of everything that was submitted, as of the return of a shutdown.

    Tasks in worker processes are not counted.

    >>> ShutdownReport(finished=3, cancelled=2).submitted
    5
    """

    finished: int = 0
    """Tasks that ran to an end: returned, raised, or left after their time was up."""
    cancelled: int = 0
    """Tasks that were cancelled before or while they ran."""
    abandoned: int = 0
    """Tasks that were not over when the shutdown returned: still running, or still queued."""

    @property
    def submitted(self) -> int:
        """All of them."""
        return self.finished + self.cancelled + self.abandoned


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """What one worker has done.

    >>> WorkerStats(index=0, done=3, failed=1).finished
    4
    """

    index: int
    submitted: int = 0
    """Tasks submitted by tasks that ran here."""
    done: int = 0
    """Tasks that returned."""
    failed: int = 0
    """Tasks that raised."""
    cancelled: int = 0
    """Tasks that were cancelled before or while they ran."""
    timed_out: int = 0
    """Tasks whose time was up."""
    overdue: int = 0
    """Tasks that were past their deadline when their turn came."""
    stolen: int = 0
    """Tasks taken from other workers."""
    steal_attempts: int = 0
    """Looks into the queues of other workers."""
    busy: float = 0.0
    """Seconds spent in tasks; 0 without `timing`."""

    @property
    def finished(self) -> int:
        """Tasks that came to an end here, however they did."""
        return self.done + self.failed + self.cancelled + self.timed_out


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStats:
    """What an executor has done since it was made.

    The numbers add up once it is idle: everything submitted was finished or dropped.

    >>> stats = ExecutorStats(workers=(WorkerStats(index=0, done=3), WorkerStats(index=1, done=1)))
    >>> stats.done, stats.imbalance
    (4, 0.5)
    """

    uptime: float = 0.0
    """Seconds since the executor was made."""
    submitted: int = 0
    """Tasks accepted, from outside and from tasks."""
    rejected: int = 0
    """Tasks refused because the queue was full."""
    dropped: int = 0
    """Queued tasks given up to make room for others."""
    blocked: int = 0
    """Submits that waited for room."""
    queued: int = 0
    """Tasks that wait now."""
    held: int = 0
    """Tasks that wait for resources now."""
    active_workers: int = 0
    """How many workers may run tasks now."""
    active_reason: str = ""
    """Why that many."""
    emptied: int = 0
    """Queued tasks cancelled by a shutdown."""
    workers: tuple[WorkerStats, ...] = ()
    """What each worker has done, by index."""
    queue_latency: Latency = Latency()
    """Between submission and start; without `timing` empty."""
    execution: Latency = Latency()
    """Between start and end; without `timing` empty."""

    @property
    def done(self) -> int:
        """Tasks that returned."""
        return sum(worker.done for worker in self.workers)

    @property
    def failed(self) -> int:
        """Tasks that raised."""
        return sum(worker.failed for worker in self.workers)

    @property
    def cancelled(self) -> int:
        """Tasks that were cancelled before or while they ran."""
        return self.emptied + sum(worker.cancelled for worker in self.workers)

    @property
    def timed_out(self) -> int:
        """Tasks whose time was up."""
        return sum(worker.timed_out for worker in self.workers)

    @property
    def overdue(self) -> int:
        """Tasks that were past their deadline when their turn came."""
        return sum(worker.overdue for worker in self.workers)

    @property
    def stolen(self) -> int:
        """Tasks that a worker took from another."""
        return sum(worker.stolen for worker in self.workers)

    @property
    def steal_attempts(self) -> int:
        """Looks into the queues of other workers."""
        return sum(worker.steal_attempts for worker in self.workers)

    @property
    def finished(self) -> int:
        """Tasks that came to an end, however they did."""
        return self.emptied + sum(worker.finished for worker in self.workers)

    @property
    def imbalance(self) -> float:
        """By what share the busiest worker was above the mean; 0 when all did the same.

        By the time spent in tasks where `timing` is on, else by the number of tasks.
        """
        loads = [worker.busy for worker in self.workers]
        if not any(loads):
            loads = [float(worker.finished) for worker in self.workers]
        total = sum(loads)
        return max(loads) * len(loads) / total - 1 if total else 0.0


_Span: TypeAlias = tuple[int, float, float, float, float, float, float]
_Reading: TypeAlias = tuple[
    dict[str, int], list[tuple[dict[str, int], float]], tuple[_Span, _Span], int
]


def executor_stats(
    reading: _Reading, *, uptime: float, queued: int, held: int, max_workers: int
) -> ExecutorStats:
    """The record made of what a native pool has counted."""
    arrivals, workers, (in_queue, ran), threads = reading
    return ExecutorStats(
        uptime=uptime,
        submitted=arrivals["submitted"],
        rejected=arrivals["rejected"],
        dropped=arrivals["dropped"],
        blocked=arrivals["blocked"],
        emptied=arrivals["cancelled"],
        queued=queued,
        held=held,
        active_workers=threads,
        active_reason=f"{threads} of {max_workers} were needed so far",
        workers=tuple(
            WorkerStats(index=index, busy=busy, **counts)
            for index, (counts, busy) in enumerate(workers)
            if index < max_workers or any(counts.values())
        ),
        queue_latency=_latency(in_queue),
        execution=_latency(ran),
    )


def _latency(span: _Span) -> Latency:
    count, total, minimum, p50, p99, p999, maximum = span
    return Latency(
        count=count, total=total, minimum=minimum, p50=p50, p99=p99, p999=p999, maximum=maximum
    )
