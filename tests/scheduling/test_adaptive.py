"""The law on simulated loads: what it decides, interval by interval, without any clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from taskloom.scheduling.adaptive import AdaptiveConcurrency, Load

CPUS = 4.0
MAXIMUM = 64
Phase = Callable[[int], tuple[float, float, float]]


def computing(workers: int) -> tuple[float, float, float]:
    """Tasks a second, processors busy, memory share: 10 ms of computing, and switching costs."""
    busy = min(float(workers), CPUS)
    crowding = 1 + 0.02 * max(0.0, workers - CPUS)
    return busy / 0.010 / crowding, busy, 0.3


def waiting(workers: int) -> tuple[float, float, float]:
    """50 ms of waiting and 0.5 ms of computing."""
    rate = min(workers / 0.0505, CPUS / 0.0005)
    return rate, rate * 0.0005, 0.3


def mixed(workers: int) -> tuple[float, float, float]:
    """30 ms of waiting and 10 ms of computing: 16 workers keep 4 processors busy."""
    rate = min(workers / 0.040, CPUS / 0.010)
    return rate, rate * 0.010, 0.3


def memory_hungry(workers: int) -> tuple[float, float, float]:
    """20 ms of waiting; each holds 8 % of the memory, and beyond 100 % everything swaps."""
    share = 0.1 + 0.08 * workers
    rate = workers / 0.020 / (1.0 if share < 1.0 else 8.0)
    return rate, rate * 0.001, share


def shared_service(workers: int) -> tuple[float, float, float]:
    """A remote service that 10 callers saturate and that suffers from more."""
    rate = min(workers, 10) / 0.020 / (1 + 0.05 * max(0, workers - 10))
    return rate, rate * 0.0002, 0.3


ALLOWED = {
    computing: MAXIMUM,
    waiting: MAXIMUM,
    mixed: MAXIMUM,
    memory_hungry: 9,
    shared_service: MAXIMUM,
}


def best_of(phase: Phase) -> float:
    return max(phase(count)[0] for count in range(1, ALLOWED[phase] + 1))


def run_phase(
    law: AdaptiveConcurrency, phase: Phase, intervals: int, noise: float, seed: int = 1
) -> list[float]:
    """The throughput of each interval."""
    random_ = random.Random(seed)
    rates = []
    for _ in range(intervals):
        rate, cpu, memory = phase(law.workers)
        wobble = random_.uniform(1 - noise, 1 + noise)
        rates.append(rate * wobble)
        law.update(
            Load(
                interval=0.1,
                completed=round(rates[-1] * 0.1),
                backlog=100,
                cpu=cpu * wobble,
                cpus=CPUS,
                memory_share=memory,
            )
        )
    return rates


@pytest.mark.parametrize("phase", list(ALLOWED), ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("start", [1, 4, 64])
def test_every_kind_of_load_ends_near_its_best_count(phase: Phase, start: int) -> None:
    law = AdaptiveConcurrency(1, MAXIMUM, start=start)
    rates = run_phase(law, phase, 100, noise=0.01)
    assert sum(rates[20:]) / 80 >= 0.95 * best_of(phase)


@pytest.mark.parametrize("seed", range(10))
def test_a_load_that_changes_phase_is_followed(seed: int) -> None:
    phases = [computing, waiting, mixed, memory_hungry, computing, shared_service, waiting]
    law = AdaptiveConcurrency(1, MAXIMUM, start=4)
    fixed_default = 8
    achieved = best = default = 0.0
    for number, phase in enumerate(phases):
        rates = run_phase(law, phase, 150, noise=0.02, seed=seed * 100 + number)
        achieved += sum(rates) / best_of(phase)
        default += len(rates) * phase(fixed_default)[0] / best_of(phase)
        best += len(rates)
        assert sum(rates) >= 0.9 * len(rates) * best_of(phase), f"{phase.__name__}"
    assert achieved >= 0.95 * best
    assert achieved >= 1.2 * default


def test_of_equally_fast_counts_the_lowest_is_held() -> None:
    law = AdaptiveConcurrency(1, MAXIMUM, start=32)
    run_phase(law, mixed, 60, noise=0.0)
    assert 14 <= law.workers <= 18


def test_computing_is_not_given_more_workers_than_processors() -> None:
    law = AdaptiveConcurrency(1, MAXIMUM, start=64)
    run_phase(law, computing, 30, noise=0.0)
    assert law.workers == 4


def test_memory_pressure_takes_workers_away_at_once() -> None:
    law = AdaptiveConcurrency(1, 64, start=40)
    pressed = Load(interval=0.1, completed=5, backlog=9, cpu=1.0, cpus=4.0, memory_share=0.99)
    decision = law.update(pressed)
    assert decision.workers == 36
    assert decision.reason.startswith("memory presses: 99%")


def test_stalls_for_memory_count_as_pressure() -> None:
    law = AdaptiveConcurrency(1, 64, start=40)
    load = Load(interval=0.1, completed=5, backlog=9, cpu=1.0, cpus=4.0, memory_pressure=0.5)
    assert law.update(load).workers == 30


def test_pressure_never_takes_the_last_worker() -> None:
    law = AdaptiveConcurrency(2, 64, start=3)
    load = Load(interval=0.1, completed=5, backlog=9, cpu=1.0, cpus=4.0, memory_share=5.0)
    assert [law.update(load).workers for _ in range(3)] == [2, 2, 2]


def test_nothing_is_decided_while_nothing_is_queued() -> None:
    law = AdaptiveConcurrency(1, 64, start=7)
    idle = Load(interval=0.1, completed=3, backlog=0, cpu=0.1, cpus=4.0)
    assert {law.update(idle).workers for _ in range(50)} == {7}


def test_a_change_is_given_time_to_take_effect() -> None:
    law = AdaptiveConcurrency(1, 64, start=2, warm_up=2)
    load = Load(interval=0.1, completed=40, backlog=9, cpu=0.1, cpus=4.0)
    faster = replace(load, completed=160)
    decisions = [law.update(load), *(law.update(faster) for _ in range(3))]
    assert [decision.workers for decision in decisions] == [8, 8, 8, 32]


def test_a_change_is_given_as_long_as_a_task_takes() -> None:
    law = AdaptiveConcurrency(1, 64, start=8)
    slow = Load(interval=0.1, completed=4, backlog=9, cpu=0.1, cpus=4.0)
    pressed = replace(slow, memory_share=0.95)
    reasons = [law.update(load).reason for load in (pressed, slow, slow, slow)]
    assert reasons[1:3] == ["waiting for the change to take effect"] * 2
    assert reasons[3] == "measuring: 4 tasks have ended"


def test_few_ended_tasks_are_pooled_over_intervals() -> None:
    law = AdaptiveConcurrency(1, 64, start=2)
    few = Load(interval=0.1, completed=10, backlog=9, cpu=0.1, cpus=4.0)
    assert [law.update(few).workers for _ in range(3)] == [2, 2, 8]


def test_no_more_workers_are_tried_than_memory_has_room_for() -> None:
    law = AdaptiveConcurrency(1, 64, start=4)
    load = Load(interval=0.1, completed=90, backlog=9, cpu=0.1, cpus=4.0, memory_share=0.6)
    assert law.update(load).workers == 6


def test_pressure_that_idle_workers_do_not_make_takes_none_away() -> None:
    law = AdaptiveConcurrency(1, 64, start=40)
    idle = Load(interval=0.1, completed=0, backlog=0, cpu=0.0, cpus=4.0, memory_share=0.99)
    assert {law.update(idle).workers for _ in range(20)} == {40}


def test_memory_that_is_free_again_is_used_at_once() -> None:
    law = AdaptiveConcurrency(1, 64, start=20)
    load = Load(interval=0.1, completed=90, backlog=9, cpu=0.1, cpus=4.0)
    assert law.update(replace(load, memory_share=0.95)).workers == 18
    counts = [law.update(replace(load, memory_share=0.1)).workers for _ in range(10)]
    assert max(counts) > 30


def test_an_interval_in_which_nobody_looked_at_memory_says_nothing_of_it() -> None:
    law = AdaptiveConcurrency(1, 64, start=20)
    load = Load(interval=0.1, completed=90, backlog=9, cpu=0.1, cpus=4.0)
    law.update(replace(load, memory_share=0.95))
    counts = [law.update(load).workers for _ in range(100)]
    assert max(counts) <= 18


def test_workers_that_wait_are_taken_away_in_small_steps() -> None:
    law = AdaptiveConcurrency(1, 32, start=32)
    load = Load(interval=0.1, completed=900, backlog=9, cpu=0.1, cpus=4.0)
    assert law.update(load).workers == 24


def test_every_decision_is_kept_with_its_reason() -> None:
    law = AdaptiveConcurrency(1, 64, start=2, history=10)
    run_phase(law, waiting, 30, noise=0.0)
    assert len(law.decisions) == 10
    assert all(decision.reason for decision in law.decisions)
    assert law.decisions[-1].workers == law.workers


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="minimum <= maximum: 5, 4"):
        AdaptiveConcurrency(5, 4)
