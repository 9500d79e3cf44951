"""Statistics as text, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterable

from taskloom.scheduling.statistics import ExecutorStats, Latency

__all__ = ["format_seconds", "report"]


def format_seconds(seconds: float) -> str:
    """A span of time with three digits in the unit that fits it.

    >>> format_seconds(0.00001234), format_seconds(0.5), format_seconds(90.0)
    ('12.3 us', '500 ms', '90.0 s')
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        amount = seconds * factor
        if amount >= 0.9995:
            digits = 0 if amount >= 99.95 else 1 if amount >= 9.995 else 2
            return f"{amount:.{digits}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def report(stats: ExecutorStats) -> str:
    """What an executor has done, as lines of text: totals, latencies, and a line for each worker.

    >>> from taskloom.scheduling.statistics import WorkerStats
    >>> workers = (WorkerStats(index=0, done=3),)
    >>> print(report(ExecutorStats(uptime=2.0, submitted=3, workers=workers)))
    3 tasks in 2.00 s: 3 done
    worker  done  failed  stolen  busy
         0     3       0       0     -
    """
    outcomes = {
        "done": stats.done,
        "failed": stats.failed,
        "cancelled": stats.cancelled,
        "timed out": stats.timed_out,
        "dropped": stats.dropped,
        "queued": stats.queued,
        "held for resources": stats.held,
    }
    said = ", ".join(f"{count} {what}" for what, count in outcomes.items() if count) or "none ended"
    lines = [f"{stats.submitted} tasks in {format_seconds(stats.uptime)}: {said}"]
    others = {
        "refused, the queue was full": stats.rejected,
        "submits waited for room": stats.blocked,
        "past their deadline when their turn came": stats.overdue,
    }
    lines += [f"{count} {what}" for what, count in others.items() if count]
    if stats.active_reason:
        lines.append(f"{stats.active_workers} active workers: {stats.active_reason}")
    lines += [
        f"{name:9} {_quantiles(latency)}"
        for name, latency in (("queued", stats.queue_latency), ("executed", stats.execution))
        if latency.count
    ]
    rows = [
        (
            str(worker.index),
            str(worker.done),
            str(worker.failed),
            str(worker.stolen),
            format_seconds(worker.busy) if worker.busy else "-",
        )
        for worker in stats.workers
    ]
    lines += _table([("worker", "done", "failed", "stolen", "busy"), *rows]) if rows else []
    if stats.imbalance > 0.005 and len(rows) > 1:
        lines.append(f"imbalance {stats.imbalance:.1%}")
    return "\n".join(lines)


def _quantiles(latency: Latency) -> str:
    shown = {
        "min": latency.minimum,
        "p50": latency.p50,
        "p99": latency.p99,
        "p99.9": latency.p999,
        "max": latency.maximum,
    }
    return "  ".join(f"{name} {format_seconds(value)}" for name, value in shown.items())


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns set right, as wide as their widest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
