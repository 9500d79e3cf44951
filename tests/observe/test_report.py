from __future__ import annotations

import pytest
from taskloom.observe.report import format_seconds, report
from taskloom.scheduling.statistics import ExecutorStats, Latency, Timing, WorkerStats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (4.2e-8, "42 ns"),
        (9.9996e-7, "1.00 us"),
        (1.5e-6, "1.50 us"),
        (0.0123, "12.3 ms"),
        (0.99949, "999 ms"),
        (0.9996, "1.00 s"),
        (3600.0, "3600 s"),
    ],
)
def test_spans_have_three_digits_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_report_says_everything_that_happened_and_nothing_that_did_not() -> None:
    stats = ExecutorStats(
        uptime=10.0,
        submitted=12,
        rejected=2,
        active_workers=2,
        active_reason="every worker pays",
        workers=(
            WorkerStats(index=0, done=8, busy=6.0),
            WorkerStats(index=1, failed=1, timed_out=1, stolen=4, busy=2.0),
        ),
        dropped=2,
        queue_latency=Latency(
            count=10, total=1.0, minimum=0.01, p50=0.1, p99=0.2, p999=0.2, maximum=0.21
        ),
    )
    assert report(stats).splitlines() == [
        "12 tasks in 10.0 s: 8 done, 1 failed, 1 timed out, 2 dropped",
        "2 refused, the queue was full",
        "2 active workers: every worker pays",
        "queued    min 10.0 ms  p50 100 ms  p99 200 ms  p99.9 200 ms  max 210 ms",
        "worker  done  failed  stolen    busy",
        "     0     8       0       0  6.00 s",
        "     1     0       1       4  2.00 s",
        "imbalance 50.0%",
    ]


def test_imbalance_goes_by_tasks_without_times() -> None:
    workers = (WorkerStats(index=0, done=3), WorkerStats(index=1, cancelled=1))
    assert ExecutorStats(workers=workers).imbalance == 0.5
    assert ExecutorStats(workers=(WorkerStats(index=0),)).imbalance == 0.0


def test_a_task_that_never_ran_has_no_latencies() -> None:
    timing = Timing(submitted=1.0)
    assert (timing.queue_latency, timing.execution) == (None, None)
    assert Timing(submitted=1.0, started=1.25).queue_latency == 0.25
