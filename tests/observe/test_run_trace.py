"""What a traced run knows of its nodes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import taskloom
from taskloom.errors import OptionError


@pytest.fixture
def executor() -> Any:
    with taskloom.Executor(2) as executor:
        yield executor


def by_name(run: taskloom.Run) -> dict[str, Any]:
    return {record.name: record for record in run.trace.records}


def diamond() -> taskloom.Graph:
    g = taskloom.Graph()
    top = g.options(name="top").add(int, "1")
    left = g.options(name="left").add(abs, top)
    right = g.options(name="right").add(abs, top)
    g.options(name="bottom").add(max, left, right)
    return g


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_every_node_has_a_record_that_lies_after_its_sources(executor: Any, mode: Any) -> None:
    trace = executor.run(diamond(), mode=mode, trace=True).trace
    assert {record.name for record in trace.records} == {"top", "left", "right", "bottom"}
    for record in trace.records:
        assert record.end is not None
        assert record.end >= record.start
        for place in record.sources:
            assert trace.records[place].end <= record.start
    assert trace.records[0].start == 0.0
    assert trace.duration == max(record.end for record in trace.records)


def test_a_started_run_is_traced_too(executor: Any) -> None:
    run = executor.start(diamond(), trace=True).result()
    assert len(run.trace) == 4
    assert {record.lane for record in run.trace.records} <= {"worker 0", "worker 1"}


def test_the_lane_says_who_ran_it(executor: Any) -> None:
    record = executor.run(diamond(), mode="serial", trace=True).trace.records[0]
    assert (record.lane, record.worker) == ("caller", None)


def test_a_failure_and_what_it_skips_are_told_apart(executor: Any) -> None:
    g = taskloom.Graph()
    bad = g.options(name="bad").add(int, "x")
    g.options(name="after").add(abs, bad)
    trace = executor.run(g, check=False, trace=True).trace
    assert [(record.name, record.status) for record in trace.records] == [("bad", "failed")]
    assert [(node.name, node.status) for node in trace.left_out] == [("after", "skipped")]


def test_a_live_trace_shows_what_runs(executor: Any) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        go_on.wait()

    g = taskloom.Graph()
    g.options(name="held").add(hold)
    run = executor.start(g, trace=True)
    began.wait()
    (record,) = run.trace.records
    assert (record.status, record.end) == ("running", None)
    go_on.set()
    assert by_name(run.result())["held"].status == "done"


def test_a_cancelled_run_says_when_and_what_never_started(executor: Any) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        go_on.wait()

    g = taskloom.Graph()
    held = g.options(name="held").add(hold)
    never = g.options(name="never").add(int, "1")
    never.after(held)
    run = executor.start(g, trace=True)
    began.wait()
    run.cancel()
    go_on.set()
    run.wait()
    trace = run.trace
    assert trace.stopped is not None
    assert 0 <= trace.stopped <= trace.duration
    assert [(node.name, node.status) for node in trace.left_out] == [("never", "cancelled")]


def test_a_node_that_is_submitted_is_timed_on_its_worker(executor: Any) -> None:
    g = taskloom.Graph()
    g.options(name="limited", timeout=60).add(taskloom.worker_index)
    run = executor.run(g, trace=True)
    (record,) = run.trace.records
    assert record.worker == run["limited"]
    assert record.status == "done"


def test_a_node_in_a_process_is_on_a_lane_of_its_own(executor: Any) -> None:
    g = taskloom.Graph()
    g.options(name="far", place="process").add(abs, -1)
    (record,) = executor.run(g, trace=True).trace.records
    assert (record.lane, record.worker) == ("process", None)
    assert record.end > record.start


def test_the_critical_path_ends_with_what_ended_last(executor: Any) -> None:
    path = executor.run(diamond(), mode="serial", trace=True).trace.critical_path()
    assert [record.name for record in path] == ["top", "right", "bottom"]


def test_a_run_that_is_not_traced_says_how_to_trace_it(executor: Any) -> None:
    with pytest.raises(OptionError, match="trace=True"):
        _ = executor.run(diamond()).trace


def test_events_tell_of_starts_and_ends_in_order(executor: Any) -> None:
    seen: list[Any] = []
    executor.run(diamond(), mode="serial", on_event=seen.append)
    assert [(event.kind, event.node.name) for event in seen[:4]] == [
        ("started", "top"),
        ("finished", "top"),
        ("started", "left"),
        ("finished", "left"),
    ]
    assert [event.time for event in seen] == sorted(event.time for event in seen)


def test_events_tell_of_failures_and_of_what_is_left_out(executor: Any) -> None:
    g = taskloom.Graph()
    bad = g.options(name="bad").add(int, "x")
    g.options(name="after").add(abs, bad)
    seen: list[Any] = []
    executor.run(g, check=False, on_event=seen.append)
    told = [(event.kind, event.node.name, event.status) for event in seen]
    assert told == [
        ("started", "bad", None),
        ("finished", "bad", "failed"),
        ("left_out", "after", None),
    ]


def test_events_of_a_submitted_node_come_too(executor: Any) -> None:
    g = taskloom.Graph()
    g.options(name="limited", timeout=60).add(int, "1")
    seen: list[Any] = []
    executor.run(g, on_event=seen.append)
    assert [(event.kind, event.status) for event in seen] == [
        ("started", None),
        ("finished", "done"),
    ]


def test_an_error_of_the_callback_is_logged_and_the_run_goes_on(
    executor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Any) -> None:
        raise ValueError(event.kind)

    run = executor.run(diamond(), on_event=fail)
    assert run.ok
    assert len(caplog.records) == 8
    assert "on_event failed at node 'top', started" in caplog.text


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_what_is_no_exception_stops_the_run(executor: Any, mode: Any) -> None:
    def stop(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor.run(diamond(), mode=mode, on_event=stop)


def test_a_callback_that_is_none_is_refused(executor: Any) -> None:
    with pytest.raises(OptionError, match="on_event=3 must be callable"):
        executor.run(diamond(), on_event=3)


def test_a_node_held_back_by_a_window_starts_once(executor: Any) -> None:
    g = taskloom.Graph()
    g.options(max_concurrency=1).map(abs, [-1, -2, -3, -4])
    seen: list[Any] = []
    run = executor.run(g, trace=True, on_event=seen.append)
    assert [event.kind for event in seen].count("started") == len(g.nodes)
    assert [event.kind for event in seen].count("finished") == len(g.nodes)
    assert len(run.trace) == len(g.nodes)
