"""RetryTask, AbortBranch and AbortRun direct the flow, and are no failure."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch, AbortRun, RetryTask
from taskloom.errors import RunAborted, RunFailed

Mode = Any
MODES = ["serial", "parallel"]


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def end(*_: object) -> None:
    raise AbortBranch("enough")


def abort(*_: object) -> None:
    raise AbortRun("too large")


def fail(*_: object) -> None:
    raise ValueError("on purpose")


@pytest.mark.parametrize("mode", MODES)
def test_abort_branch_skips_dependants_quietly(executor: taskloom.Executor, mode: Mode) -> None:
    g = taskloom.Graph()
    ended = g.options(name="ended").add(end)
    child = g.options(name="child").add(str, ended)
    later = g.add(int).after(child)
    other = g.add(int, "7")
    run = executor.run(g, mode=mode)
    assert (run.ok, run.status) == (True, "done")
    assert run[ended] == "enough"
    assert run[other] == 7
    statuses = [run.why(node).status for node in (ended, child, later, other)]
    assert statuses == ["ended", "skipped", "skipped", "done"]
    assert str(run.why(later)) == (
        "node 'int#2' was skipped, because of 'child', because of 'ended', which ended its branch"
    )
    with pytest.raises(concurrent.futures.CancelledError, match="which ended its branch"):
        run[child]
    assert run.exceptions() == {}


@pytest.mark.parametrize("mode", MODES)
def test_after_abort_branch_with_continue_what_only_comes_after_runs(mode: Mode) -> None:
    g = taskloom.Graph()
    ended = g.options(on_error="continue").add(end)
    later = g.add(int, "7").after(ended)
    assert taskloom.run(g, mode=mode)[later] == 7


@pytest.mark.parametrize("mode", MODES)
def test_a_failure_beside_an_ended_branch_fails_the_run(mode: Mode) -> None:
    g = taskloom.Graph()
    ended, bad = g.add(end), g.add(fail)
    with pytest.raises(RunFailed, match="1 of 2 nodes failed") as caught:
        taskloom.run(g, mode=mode)
    assert caught.value.run is not None
    assert caught.value.run.why(ended).status == "ended"
    assert list(caught.value.run.exceptions()) == [bad]


@pytest.mark.parametrize("mode", MODES)
def test_abort_run_starts_nothing_more(executor: taskloom.Executor, mode: Mode) -> None:
    g = taskloom.Graph()
    first = g.add(int, "1")
    aborting = g.options(name="check").add(abort, first)
    child = g.add(str, aborting)
    later = g.add(int).after(g.add(int).after(child))
    with pytest.raises(RunAborted, match="node 'check' aborted the run: too large") as caught:
        executor.run(g, mode=mode)
    run = caught.value.run
    assert run is not None
    assert (run.ok, run.status) == (False, "aborted")
    assert run.why(aborting).status == "aborted"
    assert run.why(later).status in ("skipped", "cancelled")
    assert run.exceptions() == {}
    assert executor.run(g, mode=mode, check=False).status == "aborted"


def test_what_was_not_reached_when_a_run_aborts_is_cancelled() -> None:
    g = taskloom.Graph()
    g.add(abort)
    other = g.add(int, "7")
    run = taskloom.run(g, mode="serial", check=False)
    assert run.why(other).status == "cancelled"


def test_failures_before_an_abort_are_its_cause() -> None:
    g = taskloom.Graph()
    g.add(fail)
    g.add(abort)
    with pytest.raises(RunAborted) as caught:
        taskloom.run(g, mode="serial")
    assert isinstance(caught.value.__cause__, RunFailed)
    assert [str(error) for error in caught.value.__cause__.exceptions] == ["on purpose"]


def test_abort_run_cancels_deferred_nodes(executor: taskloom.Executor) -> None:
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert release.wait(60)

    g = taskloom.Graph()
    g.add(abort)
    with taskloom.Executor(1) as single:
        blocker = single.submit(hold)
        assert started.wait(60)
        queued = g.options(timeout=60).add(int)
        run = single.start(g)
        release.set()
        assert run.wait(60)
        blocker.result(60)
    assert run.status == "aborted"
    assert run.why(queued).status in ("cancelled", "done")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("raised", [AbortBranch, AbortRun])
def test_deferred_nodes_direct_the_flow_too(
    executor: taskloom.Executor, mode: Mode, raised: type[BaseException]
) -> None:
    def ask() -> None:
        raise raised("asked")

    g = taskloom.Graph()
    node = g.options(timeout=60).add(ask)
    child = g.add(str, node)
    run = executor.run(g, mode=mode, check=False)
    assert run.status == ("done" if raised is AbortBranch else "aborted")
    assert run.why(node).status == ("ended" if raised is AbortBranch else "aborted")
    assert run.why(child).status in ("skipped", "cancelled")


def end_elsewhere() -> None:
    raise AbortBranch("there")


def test_a_process_node_ends_its_branch(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    node = g.options(place="process").add(end_elsewhere)
    child = g.add(str, node)
    run = executor.run(g)
    assert (run.ok, run[node], run.why(child).status) == (True, "there", "skipped")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["plain", "container", "keyword", "deferred"])
def test_retry_task_calls_again_with_the_same_arguments(
    executor: taskloom.Executor, mode: Mode, how: str
) -> None:
    seen: list[object] = []

    def picky(value: Any, *, extra: int = 0) -> object:
        seen.append((value, extra))
        if len(seen) < 3:
            raise RetryTask
        return value

    g = taskloom.Graph()
    source = g.add(int, "5")
    if how == "plain":
        node = g.add(picky, source)
    elif how == "container":
        node = g.add(picky, [source])
    elif how == "keyword":
        node = g.add(picky, source, extra=source)
    else:
        node = g.options(timeout=60).add(picky, source)
    executor.run(g, mode=mode)[node]
    assert len(seen) == 3
    assert len({str(item) for item in seen}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_retry_task_does_not_count_against_the_attempts(
    executor: taskloom.Executor, mode: Mode
) -> None:
    steps = iter([RetryTask(), ValueError(1), RetryTask(), RetryTask(), "done"])

    def flaky() -> object:
        step = next(steps)
        if isinstance(step, BaseException):
            raise step
        return step

    g = taskloom.Graph()
    node = g.options(retry=2).add(flaky)
    assert executor.run(g, mode=mode)[node] == "done"


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_asked_again_may_still_fail_or_end(mode: Mode) -> None:
    for last in (ValueError, AbortBranch):
        steps: Iterator[type[BaseException]] = iter([RetryTask, RetryTask, last])

        def ask(steps: Iterator[type[BaseException]] = steps) -> None:
            raise next(steps)

        g = taskloom.Graph()
        node = g.add(ask)
        run = taskloom.run(g, mode=mode, check=False)
        assert run.why(node).status == ("failed" if last is ValueError else "ended")
        run.exceptions()


def test_a_taker_cannot_ask_again() -> None:
    def ask(value: list[int]) -> None:
        raise RetryTask

    g = taskloom.Graph()
    node = g.add(ask, taskloom.take(g.add(list)))
    run = taskloom.run(g, check=False)
    assert "has taken its argument" in str(run.exceptions()[node])


def test_cancelling_a_run_ends_the_pause_of_a_node() -> None:
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        raise RetryTask(delay=3600)

    g = taskloom.Graph()
    node = g.add(ask)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        assert asked.wait(60)
        run.cancel()
        assert run.wait(60)
    assert (run.status, run.why(node).status) == ("cancelled", "cancelled")


def test_a_pause_keeps_no_worker_from_other_work() -> None:
    asked, release = threading.Event(), threading.Event()

    def ask() -> None:
        if not release.is_set():
            asked.set()
            raise RetryTask(delay=0.01)

    g = taskloom.Graph()
    g.add(ask)
    with taskloom.Executor(1) as executor:
        run = executor.start(g)
        assert asked.wait(60)
        executor.submit(release.set).result(60)
        run.result(60)


def test_a_plan_that_was_directed_runs_again() -> None:
    steps = iter([AbortBranch(), "x", AbortRun(), "y"])

    def ask() -> object:
        step = next(steps)
        if isinstance(step, BaseException):
            raise step
        return step

    g = taskloom.Graph()
    last = g.add(str, g.add(ask))
    plan = g.compile()
    statuses = [taskloom.run(plan, check=False).why(last).status for _ in range(4)]
    assert statuses[0::2] == ["skipped", "skipped"]
    assert statuses[1::2] == ["done", "done"]


def test_signals_of_a_dropped_run_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    g = taskloom.Graph()
    g.add(end)
    g.add(abort)
    taskloom.run(g, mode="serial", check=False)
    gc.collect()
    assert not caplog.text


def test_a_wrong_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="must be seconds, 0 or more"):
        RetryTask(delay=-1)
