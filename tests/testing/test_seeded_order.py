"""A seeded executor starts tasks in the order of the engine's own queue: lead, aging, bands."""

from __future__ import annotations

import pytest
from taskloom.testing import SeededExecutor, explore

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deadline_draws_its_task_forward_as_it_nears(seed: int) -> None:
    done: list[str] = []
    with SeededExecutor(seed, deadline_lead=10.0) as executor:
        executor.options(priority=-3, deadline=100).submit(done.append, "drawn")
        executor.options(priority=1).submit(done.append, "urgent")
        executor.submit(done.append, "ordinary")
        executor.clock._jump(96)  # 4 of 10 s are left: band 7 counts as band 3
        executor.run_until_idle()
    assert done == ["drawn", "urgent", "ordinary"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_far_deadline_leaves_its_task_in_its_band(seed: int) -> None:
    done: list[str] = []
    with SeededExecutor(seed, deadline_lead=10.0) as executor:
        executor.options(priority=-3, deadline=100).submit(done.append, "far")
        executor.submit(done.append, "ordinary")
        executor.clock._jump(89)
        executor.run_until_idle()
    assert done == ["ordinary", "far"]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_so_many_starts_the_one_that_waits_longest_goes_first(seed: int) -> None:
    done: list[str] = []
    with SeededExecutor(seed, aging=4) as executor:
        executor.options(priority=-3).submit(done.append, "low")
        high = executor.options(priority=4)
        for _ in range(8):
            high.submit(done.append, "high")
    assert done.index("low") == 3


def test_nothing_ages_where_that_is_switched_off() -> None:
    done: list[str] = []
    with SeededExecutor(1, aging=0) as executor:
        executor.options(priority=-3).submit(done.append, "low")
        executor.options(priority=4).submit(done.append, "high")
        for _ in range(100):
            executor.submit(done.append, "middle")
    assert done[0] == "high"
    assert done[-1] == "low"


def test_no_task_starves_under_any_seed() -> None:
    def programme(executor: SeededExecutor) -> None:
        left = 40
        done: list[str] = []

        def again() -> None:
            nonlocal left
            done.append("high")
            left -= 1
            if left > 0:
                executor.options(priority=4).submit(again)

        executor.options(priority=-3).submit(done.append, "low")
        for _ in range(3):
            executor.options(priority=4).submit(again)
        executor.run_until_idle()
        assert done.index("low") == 7

    assert explore(programme, seeds=range(200), aging=8).interleavings > 100


def test_a_full_queue_gives_up_the_oldest_of_all_bands() -> None:
    with SeededExecutor(1, max_queue_depth=2, when_full="drop_oldest") as executor:
        oldest = executor.options(priority=4).submit(int)
        executor.submit(int)
        executor.submit(int)
        assert oldest.exception() is not None
