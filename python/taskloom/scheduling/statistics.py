"""What an executor has measured, as frozen records. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, final

if TYPE_CHECKING:
    from taskloom.scheduling.adaptive import Decision
    from taskloom.scheduling.shutdown import Outside

__all__ = ["Ends", "ExecutorStats", "Latency", "Timing", "WorkerStats"]


class Tally(NamedTuple):
    """What a native pool counts at one moment."""

    finished: int
    """Tasks that have ended."""
    queued: int
    """Tasks that wait."""
    active: int
    """Workers that may take tasks."""
    working: int
    """Workers that are there, spares included."""
    parked: int
    """Workers that are there and may take none."""
    blocked: int
    """Workers that are stuck in a task."""


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
class Ends:
    """How tasks came to an end.

    >>> Ends(done=3, failed=1).finished
    4
    """

    done: int = 0
    """Tasks that returned."""
    failed: int = 0
    """Tasks that raised."""
    cancelled: int = 0
    """Tasks that were cancelled before or while they ran."""
    timed_out: int = 0
    """Tasks whose time was up."""

    @property
    def finished(self) -> int:
        """All of them."""
        return self.done + self.failed + self.cancelled + self.timed_out


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

    The numbers add up: everything submitted is finished, dropped, queued, held, with a process, or
    running. While others submit and finish tasks each number is one that it had a moment ago, and
    the sum may be off by as many. Nodes of a run count as tasks if they were submitted, as those
    with a place or a timeout are. Where a retry with a timeout makes attempts into tasks of their
    own, the attempts count.

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
    """Tasks that wait for a worker now."""
    queued_by_band: tuple[int, ...] = (0,) * 8
    """How many of them are in each band, from priority 4 down to -3."""
    held: int = 0
    """Tasks that wait for prerequisites or resources now."""
    in_processes: int = 0
    """Tasks that run in worker processes, or wait for one, now."""
    active_workers: int = 0
    """How many workers may take tasks now."""
    active_reason: str = ""
    """Why that many."""
    started_workers: int = 0
    """How many workers there are now, those that stand in for others included."""
    parked_workers: int = 0
    """How many more are there and take no tasks."""
    blocked_workers: int = 0
    """How many of them wait inside a task, or are in one whose time is up."""
    decisions: tuple[Decision, ...] = ()
    """The last 1,000 decisions of `adaptive` on that, each with what was measured and why."""
    changes: tuple[Decision, ...] = ()
    """The last 256 of all those that changed it."""
    elsewhere: Ends = Ends()
    """Tasks that ended on no worker: in a process, or before they got to a worker."""
    workers: tuple[WorkerStats, ...] = ()
    """What each worker has done, by index."""
    queue_latency: Latency = Latency()
    """Between submission and start; without `timing` empty."""
    execution: Latency = Latency()
    """Between start and end; without `timing` empty."""

    @property
    def done(self) -> int:
        """Tasks that returned."""
        return self.elsewhere.done + sum(worker.done for worker in self.workers)

    @property
    def failed(self) -> int:
        """Tasks that raised."""
        return self.elsewhere.failed + sum(worker.failed for worker in self.workers)

    @property
    def cancelled(self) -> int:
        """Tasks that were cancelled before or while they ran."""
        return self.elsewhere.cancelled + sum(worker.cancelled for worker in self.workers)

    @property
    def timed_out(self) -> int:
        """Tasks whose time was up."""
        return self.elsewhere.timed_out + sum(worker.timed_out for worker in self.workers)

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
        return self.elsewhere.finished + sum(worker.finished for worker in self.workers)

    @property
    def running(self) -> int:
        """Tasks that workers are in now."""
        waiting = self.queued + self.held + self.in_processes
        return max(0, self.submitted - self.finished - self.dropped - waiting)

    @property
    def loads(self) -> tuple[float, ...]:
        """What share of the executor's life each worker has spent in tasks; 0 without `timing`."""
        return tuple(worker.busy / self.uptime if self.uptime else 0.0 for worker in self.workers)

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
    dict[str, int], list[tuple[dict[str, int], float]], tuple[_Span, _Span], list[int]
]


def executor_stats(
    reading: _Reading,
    tally: Tally,
    outside: Outside,
    *,
    uptime: float,
    decisions: tuple[Decision, ...],
    changes: tuple[Decision, ...],
    reason: str,
) -> ExecutorStats:
    """The record made of what a native pool has counted, and the desk beside it."""
    arrivals, workers, (in_queue, ran), depths = reading
    accepted, held, elsewhere, ends = outside
    return ExecutorStats(
        uptime=uptime,
        submitted=arrivals["submitted"] + accepted,
        rejected=arrivals["rejected"],
        dropped=arrivals["dropped"],
        blocked=arrivals["blocked"],
        queued=sum(depths),
        queued_by_band=tuple(depths),
        held=held,
        in_processes=elsewhere,
        active_workers=tally.active,
        active_reason=reason,
        started_workers=tally.working,
        parked_workers=tally.parked,
        blocked_workers=tally.blocked,
        decisions=decisions,
        changes=changes,
        elsewhere=Ends(
            done=arrivals["done"] + ends.get("done", 0),
            failed=arrivals["failed"] + ends.get("failed", 0),
            cancelled=arrivals["cancelled"] + ends.get("cancelled", 0),
            timed_out=ends.get("timed_out", 0),
        ),
        workers=tuple(
            WorkerStats(index=index, busy=busy, **counts)
            for index, (counts, busy) in enumerate(workers)
            if index < tally.active or any(counts.values())
        ),
        queue_latency=_latency(in_queue),
        execution=_latency(ran),
    )


def _latency(span: _Span) -> Latency:
    count, total, minimum, p50, p99, p999, maximum = span
    return Latency(
        count=count, total=total, minimum=minimum, p50=p50, p99=p99, p999=p999, maximum=maximum
    )
