"""Windows: of the nodes added through a view, so many run at once; as one ends the next starts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom


@pytest.fixture
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(4) as made:
        yield made


class Gate:
    """Counts who is inside; everyone waits there until let out."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.inside: set[int] = set()
        self.most = 0
        self.out: set[int] = set()
        self.entered: list[int] = []

    def visit(self, number: int) -> int:
        with self.condition:
            self.inside.add(number)
            self.entered.append(number)
            self.most = max(self.most, len(self.inside))
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: number in self.out, 30)
            self.inside.discard(number)
        return number

    def wait_inside(self, *numbers: int) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: self.inside == set(numbers), 30), self.inside

    def let_out(self, *numbers: int) -> None:
        with self.condition:
            self.out.update(numbers)
            self.condition.notify_all()


def test_the_next_starts_as_soon_as_any_is_done(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    g.options(max_concurrency=2).map(gate.visit, range(5))
    run = executor.start(g)
    gate.wait_inside(0, 1)
    gate.let_out(1)
    gate.wait_inside(0, 2)  # though 0, which came first, goes on
    gate.let_out(2)
    gate.wait_inside(0, 3)
    gate.let_out(0, 3, 4)
    run.result()
    assert gate.most == 2


def test_a_window_does_not_hold_up_other_nodes(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    g.options(max_concurrency=1).map(gate.visit, range(3))
    g.add(gate.let_out, 0, 1, 2)
    assert executor.run(g).ok
    assert (gate.most, gate.entered) == (1, [0, 1, 2])


@pytest.mark.parametrize("workers", [1, 3])
def test_values_are_those_without_a_window(workers: int) -> None:
    g = taskloom.Graph()
    view = g.options(max_concurrency=2)
    total = view.reduce(lambda a, b: a + b, view.map(lambda n: n * n, range(200)))
    with taskloom.Executor(workers) as executor:
        for _ in range(20):
            assert executor.run(g)[total] == sum(n * n for n in range(200))
            assert executor.start(g).result()[total] == sum(n * n for n in range(200))
        assert executor.run(g, mode="serial")[total] == sum(n * n for n in range(200))


def test_each_run_has_windows_of_its_own(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    slot = g.resource("number")
    g.options(max_concurrency=1).add(gate.visit, slot)
    plan = g.compile()
    runs = [executor.start(plan, context=taskloom.Context(number=n)) for n in range(2)]
    gate.wait_inside(0, 1)
    gate.let_out(0, 1)
    assert all(run.result() for run in runs)


def test_a_cancelled_run_ends_though_nodes_wait_for_their_window(
    executor: taskloom.Executor,
) -> None:
    gate = Gate()
    g = taskloom.Graph()
    group = g.options(max_concurrency=1).map(gate.visit, range(50))
    run = executor.start(g)
    gate.wait_inside(0)
    run.cancel()
    gate.let_out(0)
    assert run.wait(30)
    assert [run.why(node).status for node in group] == ["done"] + ["cancelled"] * 49


def test_a_failure_that_cancels_the_run_ends_it(executor: taskloom.Executor) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    g = taskloom.Graph()
    view = g.options(max_concurrency=2, on_error="cancel_run")
    view.map(fail, range(100))
    run = executor.run(g, check=False)
    assert run.status == "failed"


def test_a_failed_node_leaves_its_window(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    group = g.options(max_concurrency=1).map(int, ["x", "1", "y", "2"])
    run = executor.run(g, check=False)
    assert [run.why(node).status for node in group] == ["failed", "done"] * 2


def test_nodes_that_take_values_keep_to_the_window(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    lists = g.map(list, ["abc"] * 30)
    taken = g.options(max_concurrency=1).map("".join, taskloom.take(lists))
    run = executor.run(g)
    assert [run[node] for node in taken] == ["abc"] * 30


def test_submitted_nodes_keep_to_the_window(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    g.options(max_concurrency=1, timeout=60).map(gate.visit, range(3))
    run = executor.start(g)
    for number in range(3):
        gate.wait_inside(number)
        gate.let_out(number)
    run.result()
    assert gate.most == 1


def test_several_views_have_windows_of_their_own(executor: taskloom.Executor) -> None:
    gate = Gate()
    g = taskloom.Graph()
    first: Any = g.options(max_concurrency=1)
    first.options(priority=1).map(gate.visit, range(2))
    g.options(max_concurrency=1).map(gate.visit, range(10, 12))
    run = executor.start(g)
    gate.wait_inside(0, 10)
    gate.let_out(0)
    gate.wait_inside(1, 10)
    gate.let_out(1, 10, 11)
    run.result()


@pytest.mark.parametrize("seed", range(12))
def test_runs_with_windows_always_end(seed: int) -> None:
    draw = random.Random(seed)

    def work(*_: Any) -> int:
        time.sleep(0)  # lets others in
        return 1

    def fail(*_: Any) -> int:
        raise ValueError

    g = taskloom.Graph()
    views = [g.options(max_concurrency=draw.randint(1, 3)) for _ in range(3)]
    made: list[taskloom.Node[int]] = []
    for _ in range(120):
        view: Any = draw.choice([g, *views])
        if draw.random() < 0.1:
            view = view.options(timeout=60)
        function = fail if draw.random() < 0.05 else work
        sources = draw.sample(made, min(len(made), draw.randint(0, 2)))
        made.append(view.add(function, *sources))
    plan = g.compile()
    with taskloom.Executor(3) as executor:
        for turn in range(6):
            run = executor.start(plan)
            if turn % 2:
                run.cancel()
            assert run.wait(60)
            run.exceptions()
            statuses = {run.why(node).status for node in made}
            assert statuses <= {"done", "failed", "skipped", "cancelled"}
            executor.run(plan, check=False).exceptions()
