"""Nodes with limits, resources or a place are submitted to the executor, and end as others do."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom

Mode = Any
MODES = ["serial", "parallel"]


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def double(x: int) -> int:
    return 2 * x


def fail(*_: object) -> None:
    raise ValueError("on purpose")


@pytest.mark.parametrize("mode", MODES)
def test_a_deferred_node_passes_values_on(executor: taskloom.Executor, mode: Mode) -> None:
    g = taskloom.Graph()
    limited = g.options(timeout=60)
    first = g.add(int, "1")
    second = limited.add(double, first)
    third = limited.add(lambda x, *, y: (x, y), [second], y={"k": first})
    last = g.add(list, third)
    for _ in range(3):
        assert executor.run(g, mode=mode)[last] == [[2], {"k": 1}]
        assert executor.start(g, mode=mode)[last] == [[2], {"k": 1}]


@pytest.mark.parametrize("mode", MODES)
def test_a_deferred_failure_skips_what_depends_on_it(
    executor: taskloom.Executor, mode: Mode
) -> None:
    g = taskloom.Graph()
    bad = g.options(timeout=60, name="bad").add(fail)
    child = g.add(str, bad)
    other = g.add(int, "7")
    run = executor.run(g, mode=mode, check=False)
    assert isinstance(run.exceptions()[bad], ValueError)
    assert "in node 'bad'" in run.exceptions()[bad].__notes__
    assert [run.why(node).status for node in (bad, child, other)] == ["failed", "skipped", "done"]


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_takes_too_long_fails_with_a_timeout(
    executor: taskloom.Executor, mode: Mode
) -> None:
    release = threading.Event()
    g = taskloom.Graph()
    slow = g.options(timeout=0.01).add(release.wait, 60)
    child = g.add(str, slow)
    run = executor.run(g, mode=mode, check=False)
    release.set()
    assert isinstance(run.exceptions()[slow], TimeoutError)
    assert run.why(child).status == "skipped"


@pytest.mark.parametrize("mode", MODES)
def test_a_deferred_node_is_tried_again(executor: taskloom.Executor, mode: Mode) -> None:
    answers = iter([ValueError(1), "done"])

    def flaky() -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    g = taskloom.Graph()
    node = g.options(timeout=60, retry=2).add(flaky)
    assert executor.run(g, mode=mode)[node] == "done"


@pytest.mark.parametrize("mode", MODES)
def test_a_node_runs_in_another_process(executor: taskloom.Executor, mode: Mode) -> None:
    g = taskloom.Graph()
    here = g.add(os.getpid)
    there = g.options(place="process").add(os.getpid)
    value = g.options(place="process").add(pow, g.add(int, "2"), 10)
    run = executor.run(g, mode=mode)
    assert run[here] == os.getpid()
    assert run[there] != os.getpid()
    assert run[value] == 1024


def test_cancelling_a_run_cancels_deferred_nodes_that_are_queued() -> None:
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert release.wait(60)

    g = taskloom.Graph()
    holding = g.add(hold)
    queued = g.options(timeout=60).add(int).after(g.add(int))
    with taskloom.Executor(1) as executor:
        blocker = executor.submit(hold)
        assert started.wait(60)
        started.clear()
        run = executor.start(g)
        run.cancel()
        release.set()
        assert run.wait(60)
        blocker.result(60)
    assert run.status == "cancelled"
    assert run.why(queued).status == "cancelled"
    assert run.why(holding).status in ("done", "cancelled")


def test_a_process_node_keeps_no_thread_of_the_run_waiting() -> None:
    g = taskloom.Graph()
    remote = [g.options(place="process").add(double, n) for n in range(8)]
    total = g.add(sum, remote)
    with taskloom.Executor(1) as executor:
        assert executor.start(g)[total] == 56


@pytest.mark.parametrize("when_full", ["reject", "drop_oldest", "drop_lowest"])
def test_a_full_queue_neither_refuses_nor_drops_nodes(when_full: Any) -> None:
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert release.wait(60)

    g = taskloom.Graph()
    nodes = [g.options(timeout=60).add(double, n) for n in range(10)]
    nodes += [
        g.options(resources=taskloom.Resources(cpu=0.01), priority=-3).add(double, n)
        for n in range(10, 15)
    ]
    total = g.add(sum, nodes)
    with taskloom.Executor(1, max_queue_depth=2, when_full=when_full) as executor:
        blocker = executor.submit(hold)
        assert started.wait(60)
        starter = threading.Thread(target=lambda: runs.append(executor.run(g)))
        runs: list[taskloom.Run] = []
        starter.start()
        while executor.queue_depth < 10:
            pass
        for _ in range(20):
            with contextlib.suppress(taskloom.errors.QueueFull):
                executor.submit(int)
        release.set()
        starter.join(60)
        blocker.result(60)
        assert runs[0][total] == sum(2 * n for n in range(15))


@pytest.mark.parametrize("options", [{"timeout": 60}, {"place": "process"}, {"retry_safe": True}])
def test_a_run_that_goes_on_when_the_executor_closes_still_submits_its_nodes(
    options: dict[str, Any],
) -> None:
    started, release = threading.Event(), threading.Event()

    def hold() -> int:
        started.set()
        assert release.wait(60)
        return 21

    if "retry_safe" in options:
        options = {**options, "timeout": 60, "retry": 2}
    g = taskloom.Graph()
    late = g.options(**options).add(double, g.add(hold))
    executor = taskloom.Executor(1)
    run = executor.start(g)
    assert started.wait(60)
    executor.shutdown(wait=False)
    release.set()
    assert run.result(60)[late] == 42
