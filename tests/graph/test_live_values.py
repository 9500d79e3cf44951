"""How many values a run keeps alive at a time, and what it allocates."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import taskloom


class Counted:
    """Counts how many of its kind live, and the most that ever lived at once."""

    live = most = 0

    def __init__(self, *_: object) -> None:
        Counted.live += 1
        Counted.most = max(Counted.most, Counted.live)

    def __del__(self) -> None:
        Counted.live -= 1


def peak(run: Callable[[], object]) -> int:
    gc.collect()
    before = Counted.live
    Counted.most = before
    run()
    return Counted.most - before


def reduction(leaves: int) -> taskloom.Graph:
    g = taskloom.Graph()
    level = [g.add(Counted) for _ in range(leaves)]
    while len(level) > 1:
        level = [g.add(Counted, *level[at : at + 2]) for at in range(0, len(level), 2)]
    return g


@pytest.mark.parametrize("leaves", [4, 64, 1024])
def test_a_serial_reduction_keeps_a_value_alive_per_level(leaves: int) -> None:
    plan = reduction(leaves).compile()
    # Of each level one that waits for its neighbour, and the two with what is made of them.
    assert peak(lambda: taskloom.run(plan, mode="serial")) == leaves.bit_length() + 1


def test_a_serial_reduction_with_one_slot_for_each_node_keeps_all_values_alive() -> None:
    plan = reduction(64).compile(slots="one_to_one")
    assert peak(lambda: taskloom.run(plan, mode="serial")) == 127


def test_a_parallel_reduction_keeps_a_few_values_more_for_each_participant() -> None:
    plan = reduction(1024).compile()
    with taskloom.Executor(3) as executor:
        assert peak(lambda: executor.run(plan)) <= 4 * 12


def test_a_chain_keeps_two_values_alive() -> None:
    g = taskloom.Graph()
    node = g.add(Counted)
    for _ in range(1000):
        node = g.add(Counted, node)
    plan = g.compile()
    for mode in ("serial", "parallel"):
        assert peak(lambda mode=mode: taskloom.run(plan, mode=mode)) == 2  # type: ignore[misc]


def nothing(*_: object) -> None:
    return None


@pytest.fixture(params=["serial", "parallel"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_thousand_runs_of_one_plan_allocate_nothing_per_node(mode: Any) -> None:
    g = taskloom.Graph()
    first = g.add(nothing)
    level = [g.add(nothing, first) for _ in range(400)]
    g.add(nothing, *level)
    plan = g.compile()
    with taskloom.Executor(1) as executor:
        for _ in range(20):
            executor.run(plan, mode=mode)
        gc.collect()
        blocks = sys.getallocatedblocks()
        for _ in range(1000):
            executor.run(plan, mode=mode)
        gc.collect()
        # A node that leaves a block behind in each run would show 402,000 times.
        assert sys.getallocatedblocks() - blocks < 400


def test_a_run_takes_no_more_memory_for_more_nodes(mode: Any) -> None:
    def most_used(nodes: int) -> int:
        g = taskloom.Graph()
        node = g.add(nothing)
        for _ in range(nodes - 1):
            node = g.add(nothing, node)
        plan = g.compile()
        with taskloom.Executor(1) as executor:
            executor.run(plan, mode=mode)
            tracemalloc.start()
            for _ in range(5):
                executor.run(plan, mode=mode)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return used

    assert most_used(20_000) < most_used(20) + 4_000
