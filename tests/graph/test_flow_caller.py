"""Nodes with place="caller" run on the thread that called, in order; workers run the others."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom.errors import GraphError, OptionError, RunFailed

MODES: list[Any] = ["serial", "parallel"]


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(3) as executor:
        yield executor


def here(*_: object) -> int:
    return threading.get_ident()


def fail(*_: object) -> None:
    raise ValueError("on purpose")


def mixed(count: int) -> tuple[taskloom.Graph, list[Any], Any]:
    """Chains of a node anywhere, a node for the caller, and a node anywhere again."""
    g = taskloom.Graph()
    callers = []
    ends = []
    for _ in range(count):
        caller = g.options(place="caller").add(here, g.add(here))
        callers.append(caller)
        ends.append(g.add(here, caller))
    return g, callers, g.add(len, ends)


@pytest.mark.parametrize("mode", MODES)
def test_they_run_on_the_thread_that_calls_run(executor: taskloom.Executor, mode: Any) -> None:
    g, callers, total = mixed(200)
    plan = g.compile(keep=callers)
    for _ in range(5):
        run = executor.run(plan, mode=mode)
        assert {run[node] for node in callers} == {here()}
        assert run[total] == 200


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="the nodes wait for each other: a calling thread that gets the other one first hangs",
)
def test_others_run_on_workers_meanwhile() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def worker() -> None:
        assert inside.wait(60)
        go_on.set()

    def caller() -> bool:
        inside.set()
        return go_on.wait(60)

    g = taskloom.Graph()
    node = g.options(place="caller").add(caller)
    g.add(worker)
    with taskloom.Executor(1) as executor:
        assert executor.run(g)[node] is True


def test_they_run_in_the_plans_order() -> None:
    """A worker finds them ready while the caller is busy: it is left all of them."""
    order: list[int] = []
    busy, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert go_on.wait(60)

    def release(_: object) -> None:
        go_on.set()

    g = taskloom.Graph()
    g.options(place="caller").add(hold)
    start = g.add(busy.wait, 60)
    waiting = [g.options(place="caller").add(order.append, n).after(start) for n in range(20)]
    g.add(release, g.add(int).after(start))
    assert len(waiting) == 20
    with taskloom.Executor(1) as executor:
        executor.run(g)
    assert order == list(range(20))


def test_under_start_they_wait_for_the_starting_thread_to_wait(
    executor: taskloom.Executor,
) -> None:
    g, callers, total = mixed(50)
    plan = g.compile(keep=callers)
    run = executor.start(plan)
    seen: list[bool] = []
    other = threading.Thread(target=lambda: seen.append(run.wait(0.0)))
    other.start()
    other.join()
    assert seen == [False]
    assert not run.done()
    assert run.result()[total] == 50
    assert {run[node] for node in callers} == {here()}


def test_a_wait_with_a_timeout_runs_them_too() -> None:
    release = threading.Event()
    g = taskloom.Graph()
    first = g.options(place="caller").add(here)
    last = g.add(release.wait, 60).after(first)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        assert not run.wait(0.01)
        assert not run.done()
        release.set()
        assert run.wait(60)
        assert (run[first], run[last]) == (here(), True)


def test_an_event_loop_runs_them_in_its_turns(executor: taskloom.Executor) -> None:
    g, callers, total = mixed(20)
    plan = g.compile(keep=callers)

    async def main() -> None:
        run = await executor.start(plan)
        assert run[total] == 20
        assert {run[node] for node in callers} == {here()}

    asyncio.run(main())


def test_the_caller_may_be_a_worker(executor: taskloom.Executor) -> None:
    g, callers, _ = mixed(30)
    plan = g.compile(keep=callers)

    def run_there() -> bool:
        run = executor.run(plan)
        started = executor.start(plan).result()
        return {run[node] for node in callers} | {started[node] for node in callers} == {here()}

    futures = [executor.submit(run_there) for _ in range(6)]
    assert [future.result(60) for future in futures] == [True] * 6


def test_a_shutdown_waits_on_the_thread_that_has_to() -> None:
    g, callers, total = mixed(20)
    plan = g.compile(keep=callers)
    with taskloom.Executor(2) as executor:
        run = executor.start(plan)
    assert run.done()
    assert run[total] == 20


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_of_one_skips_what_depends_on_it(executor: taskloom.Executor, mode: Any) -> None:
    g = taskloom.Graph()
    bad = g.options(place="caller").add(fail, g.add(int))
    child = g.options(place="caller").add(str, bad)
    other = g.options(place="caller").add(here, g.add(int))
    with pytest.raises(RunFailed) as caught:
        executor.run(g, mode=mode)
    run = caught.value.run
    assert run is not None
    assert [run.why(node).status for node in (bad, child, other)] == ["failed", "skipped", "done"]


def test_a_cancelled_run_does_not_wait_for_its_caller() -> None:
    g = taskloom.Graph()
    node = g.options(place="caller").add(here)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        canceller = threading.Thread(target=run.cancel)
        canceller.start()
        canceller.join()
        waited = executor.submit(run.wait, 60)
        assert waited.result(60)
    assert (run.status, run.why(node).status) == ("cancelled", "cancelled")


def test_a_run_that_fails_for_good_gives_them_up() -> None:
    started = threading.Event()
    g = taskloom.Graph()
    node = g.options(place="caller").add(here)
    g.options(on_error="cancel_run").add(fail, g.add(started.wait, 60))
    with taskloom.Executor(2) as executor:
        run = executor.start(g)
        started.set()
        assert executor.submit(run.wait, 60).result(60)
    assert run.why(node).status == "cancelled"
    assert len(run.exceptions()) == 1


def test_an_interrupt_in_one_stops_the_run() -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    g = taskloom.Graph()
    node = g.options(place="caller").add(interrupt, g.add(int))
    last = g.options(place="caller").add(here, node)
    with taskloom.Executor(2) as executor:
        with pytest.raises(KeyboardInterrupt):
            executor.run(g)
        run = executor.run(g, check=False)
    assert run.why(last).status in ("skipped", "cancelled")


def test_one_may_spawn_a_graph(executor: taskloom.Executor) -> None:
    def spawn() -> taskloom.Spawn:
        g = taskloom.Graph()
        return taskloom.Spawn(g, g.add(int, "7"))

    g = taskloom.Graph()
    node = g.options(place="caller").add(spawn)
    last = g.options(place="caller").add(here, node)
    plan = g.compile(keep=[node])
    for run in (executor.run(plan), executor.start(plan).result()):
        assert (run[node], run[last]) == (7, here())


def test_what_cannot_be_is_refused(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    g.options(place="caller").add(here)
    with pytest.raises(OptionError, match="some have place='caller'"):
        executor.start(g, mode="serial")
    with pytest.raises(OptionError, match="does not go with place='caller'"):
        g.options(place="caller", timeout=3).add(here)
    with pytest.raises(GraphError, match="has no thread that called run"):
        taskloom.Spawn(g)
