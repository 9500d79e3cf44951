"""The governor on a virtual clock: what it makes of what it sees, and when it stops looking."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import queue
from typing import Any

import pytest
from taskloom.scheduling.adaptive import AdaptiveConcurrency
from taskloom.scheduling.governor import Governor, LatencyTarget
from taskloom.scheduling.monitor import ResourceSample
from taskloom.testing import VirtualClock

SAMPLE = ResourceSample(time=0.0, interval=1.0, cpus=4.0, process_cpu=1.0)


class Pool:
    """Ends `rate(active)` tasks a second of the virtual clock."""

    def __init__(self, clock: VirtualClock, rate: Any) -> None:
        self.clock = clock
        self.rate = rate
        self.active = 0
        self.finished = 0.0
        self.queued = 100
        self.is_closed = False
        self.working = 1
        self._looked = clock.now()

    def _tally(self) -> tuple[int, int, int, int, int, int]:
        now = self.clock.now()
        self.finished += self.rate(self.active) * (now - self._looked)
        self._looked = now
        return (round(self.finished), self.queued, self.active, self.working, 0, 0)

    def _set_active(self, count: int) -> None:
        self._tally()
        self.active = count


class Monitor:
    """Stands in for the machine: tells what it is set to, and counts how often it was asked."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.asked = 0

    def sample(self) -> ResourceSample:
        self.asked += 1
        return dataclasses.replace(SAMPLE, **self.values)


def govern(clock: VirtualClock, pool: Pool, **options: Any) -> Governor:
    options.setdefault("law", AdaptiveConcurrency(1, 32, start=4))
    options.setdefault("monitor", Monitor())
    return Governor(
        pool, interval=0.1, clock=clock.now, cpu_clock=lambda: clock.now() * 0.1, **options
    )


def run(governor: Governor, clock: VirtualClock, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        clock.advance(0.1)
        assert governor.tick()


def test_more_workers_become_active_while_tasks_wait() -> None:
    clock = VirtualClock()
    pool = Pool(clock, lambda active: active * 100)
    governor = govern(clock, pool)
    assert pool.active == 4
    run(governor, clock, 3)
    assert pool.active == 32


def test_each_change_is_told_with_its_time_and_what_was_measured() -> None:
    clock = VirtualClock(start=50)
    pool = Pool(clock, lambda active: active * 100)
    governor = govern(clock, pool)
    run(governor, clock, 1)
    first = governor.changes[0]
    assert (first.before, first.workers) == (4, 16)
    assert first.time == pytest.approx(50.2)
    assert first.load.throughput == pytest.approx(400)
    assert first.reason.startswith("trying more: the processors have room for")


def test_each_decision_is_told_also_where_it_changed_nothing() -> None:
    clock = VirtualClock()
    pool = Pool(clock, lambda active: 1000)
    governor = govern(clock, pool)
    looks = 60
    run(governor, clock, looks * 0.1)
    decisions = governor.decisions
    # All but the first look, which has nothing to compare with.
    assert len(decisions) == looks - 1
    assert governor.changes == tuple(one for one in decisions if one.workers != one.before)
    assert decisions[-1].reason == governor.reason == "nothing has changed"
    for before, after in itertools.pairwise(decisions):
        assert after.before == before.workers


def test_changes_are_remembered_within_a_bound() -> None:
    clock = VirtualClock()
    monitor = Monitor(memory_limit=100, memory_used=99)
    pool = Pool(clock, lambda active: active * 100)
    governor = govern(
        clock, pool, monitor=monitor, law=AdaptiveConcurrency(1, 10_000, start=10_000)
    )
    for _ in range(2_000):
        run(governor, clock, 0.5)
        pool._set_active(10_000)
        governor._law.workers = 10_000  # type: ignore[union-attr]
    assert len(governor.changes) == 256
    assert len(governor.decisions) == 1000


def test_memory_is_looked_at_twice_a_second() -> None:
    clock = VirtualClock()
    monitor = Monitor()
    pool = Pool(clock, lambda active: 100)
    governor = govern(clock, pool, monitor=monitor)
    run(governor, clock, 10)
    assert 18 <= monitor.asked <= 21


def test_pressure_of_memory_takes_workers_away() -> None:
    clock = VirtualClock()
    monitor = Monitor(memory_limit=1000, memory_used=100)
    pool = Pool(clock, lambda active: active * 100)
    governor = govern(clock, pool, monitor=monitor)
    run(governor, clock, 3)
    monitor.values["memory_used"] = 990
    run(governor, clock, 0.6)
    assert pool.active < 32


def test_limit_in_bytes_is_of_this_process() -> None:
    clock = VirtualClock()
    monitor = Monitor(memory_limit=10**12, memory_used=1, process_memory=2000)
    pool = Pool(clock, lambda active: active * 100)
    law = AdaptiveConcurrency(1, 32, start=32, memory_limit=1.0)
    governor = govern(clock, pool, monitor=monitor, law=law, memory_limit=1000)
    run(governor, clock, 0.2)
    assert pool.active == 16


def test_limit_as_a_share_is_of_all_memory() -> None:
    clock = VirtualClock()
    monitor = Monitor(memory_limit=1000, memory_used=600, process_memory=1)
    pool = Pool(clock, lambda active: active * 100)
    law = AdaptiveConcurrency(1, 32, start=32, memory_limit=1.0)
    governor = govern(clock, pool, monitor=monitor, law=law, memory_limit=0.5)
    run(governor, clock, 0.2)
    assert pool.active == 26


def test_governor_stops_when_its_executor_is_done() -> None:
    clock = VirtualClock()
    pool = Pool(clock, lambda active: 100)
    governor = govern(clock, pool)
    pool.is_closed = True
    assert governor.tick()
    pool.working = 0
    assert not governor.tick()


def test_governor_stops_when_its_executor_is_gone() -> None:
    clock = VirtualClock()
    governor = govern(clock, Pool(clock, lambda active: 100))
    gc.collect()
    assert not governor.tick()


def test_idle_executor_is_looked_at_less_often_and_not_judged() -> None:
    clock = VirtualClock()
    monitor = Monitor()
    pool = Pool(clock, lambda active: 0)
    pool.queued = 0
    governor = govern(clock, pool, monitor=monitor)
    run(governor, clock, 3)
    assert governor.pause == 0.5
    assert monitor.asked == 0
    pool.queued = 1
    run(governor, clock, 0.2)
    assert governor.pause == 0.1
    assert monitor.asked == 1


class Queue:
    """Latencies as they would be in the window."""

    def __init__(self) -> None:
        self.p99 = 0.001
        self.count = 10

    def slide(self, now: float) -> tuple[int, float]:
        return self.count, self.p99


def test_target_is_missed_while_the_slowest_hundredth_waits_longer() -> None:
    waits = Queue()
    target = LatencyTarget(0.010, waits.slide)
    assert target.look(now=0.0, queued=1, begun=1)
    waits.p99 = 0.020
    assert not target.look(now=0.1, queued=1, begun=2)
    waits.p99 = 0.009
    assert target.look(now=0.2, queued=1, begun=3)


def test_target_is_missed_when_nothing_leaves_the_queue() -> None:
    target = LatencyTarget(0.5, Queue().slide)
    assert target.look(now=0.0, queued=3, begun=7)
    assert target.look(now=0.5, queued=3, begun=7)
    assert not target.look(now=0.6, queued=3, begun=7)
    assert target.look(now=0.7, queued=3, begun=8)


def test_idle_executor_meets_its_target() -> None:
    waits = Queue()
    waits.count = waits.p99 = 0
    target = LatencyTarget(0.5, waits.slide)
    assert target.look(now=0.0, queued=0, begun=0)
    assert target.look(now=100.0, queued=0, begun=0)


def test_each_change_of_the_target_is_told_once_and_in_order() -> None:
    clock, waits, told = VirtualClock(), Queue(), queue.SimpleQueue[bool]()
    pool = Pool(clock, lambda active: 100)
    governor = govern(
        clock,
        pool,
        law=None,
        target=LatencyTarget(0.010, waits.slide),
        on_latency_change=told.put,
    )
    run(governor, clock, 1)
    waits.p99 = 1.0
    run(governor, clock, 1)
    assert not governor.is_meeting_target()
    waits.p99 = 0.0
    run(governor, clock, 1)
    assert [told.get(timeout=30), told.get(timeout=30)] == [False, True]
    assert told.empty()


def test_callback_that_fails_is_logged_and_the_next_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, waits, told = VirtualClock(), Queue(), queue.SimpleQueue[bool]()

    def tell(met: bool) -> None:
        told.put(met)
        raise ValueError(met)

    pool = Pool(clock, lambda active: 100)
    governor = govern(
        clock, pool, law=None, target=LatencyTarget(0.01, waits.slide), on_latency_change=tell
    )
    for waits.p99 in (1.0, 0.0):
        run(governor, clock, 1)
    assert [told.get(timeout=30), told.get(timeout=30)] == [False, True]
    assert "on_latency_change failed" in caplog.text
