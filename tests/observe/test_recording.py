"""Recordings of executors, and the causality that is read out of them."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom.errors import OptionError


@pytest.fixture
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def names(trace: Any) -> list[str]:
    return [record.name for record in trace.records]


def named(trace: Any, name: str) -> Any:
    (found,) = [record for record in trace.records if record.name == name]
    return found


class Tool:
    def method(self) -> None: ...

    def __call__(self) -> None: ...


def function() -> None: ...


def fail() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (function, "function"),
        (functools.partial(function), "function"),
        (Tool().method, "Tool.method"),
        (Tool(), "Tool"),
        ([].clear, "list.clear"),
    ],
)
def test_a_task_is_called_by_what_it_calls(
    executor: taskloom.Executor, call: Any, name: str
) -> None:
    with executor.tracing() as tracing:
        executor.submit(call).result()
    assert names(tracing.trace) == [name]


def test_a_task_with_a_name_is_called_so(executor: taskloom.Executor) -> None:
    with executor.tracing() as tracing:
        executor.options(name="mine").submit(function).result()
    assert names(tracing.trace) == ["mine"]


def test_a_record_says_how_it_ended_where_and_how_long_it_waited(
    executor: taskloom.Executor,
) -> None:
    with executor.tracing() as tracing:
        executor.submit(function).result()
        executor.submit(fail).exception()
    done, failed = tracing.trace.records
    assert (done.status, failed.status) == ("done", "failed")
    assert done.lane == f"worker {done.worker}"
    assert done.queued is not None
    assert done.queued >= 0
    assert done.end is not None
    assert done.end <= failed.start


def test_nothing_outside_of_the_block_is_recorded(executor: taskloom.Executor) -> None:
    executor.submit(function).result()
    with executor.tracing() as tracing:
        executor.submit(Tool()).result()
    executor.submit(function).result()
    assert names(tracing.trace) == ["Tool"]


def test_a_recording_that_goes_on_shows_what_runs(executor: taskloom.Executor) -> None:
    began, go_on = threading.Event(), threading.Event()

    def held() -> None:
        began.set()
        go_on.wait()

    with executor.tracing() as tracing:
        future = executor.submit(held)
        began.wait()
        (record,) = tracing.trace.records
        assert (record.status, record.end) == ("running", None)
        go_on.set()
        future.result()


def test_what_finds_no_room_is_counted_and_the_last_is_kept() -> None:
    with taskloom.Executor(1) as executor, executor.tracing(capacity=4) as tracing:
        for number in range(100):
            executor.options(name=str(number)).submit(function).result()
    assert tracing.trace.dropped > 0
    assert names(tracing.trace)[-1] == "99"
    assert len(tracing.trace) < 100


def test_an_executor_is_recorded_once_at_a_time(executor: taskloom.Executor) -> None:
    with (
        executor.tracing(),
        pytest.raises(RuntimeError, match="recorded already"),
        executor.tracing(),
    ):
        pass
    with executor.tracing() as tracing:
        executor.submit(function).result()
    assert names(tracing.trace) == ["function"]


def test_room_for_nothing_is_refused(executor: taskloom.Executor) -> None:
    with pytest.raises(OptionError, match="capacity=0"):
        executor.tracing(capacity=0)


def test_children_of_a_scope_are_recorded(executor: taskloom.Executor) -> None:
    async def coroutine() -> None:
        await taskloom.sleep(0.0)

    with executor.tracing() as tracing, taskloom.Scope(executor=executor) as scope:
        scope.spawn(function)
        scope.spawn(coroutine)
    called = {name.rpartition(".")[2] for name in names(tracing.trace)}
    assert called == {"function", "coroutine"}


def test_the_steps_of_a_coroutine_are_suspended_but_for_the_last(
    executor: taskloom.Executor,
) -> None:
    sender, receiver = taskloom.Channel[int](0).split()

    async def coroutine() -> None:
        await receiver.receive()

    with (
        sender,
        receiver,
        executor.tracing() as tracing,
        taskloom.Scope(executor=executor) as scope,
    ):
        scope.spawn(coroutine)
        while not receiver.stats().tasks_waiting_receive:
            time.sleep(0)
        sender.send_nowait(1)
    assert [record.status for record in tracing.trace.records] == ["suspended", "done"]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (taskloom.Cancelled("no"), "cancelled")]
)
def test_the_last_step_of_a_coroutine_says_how_it_ended(
    executor: taskloom.Executor, error: BaseException, status: str
) -> None:
    async def coroutine() -> None:
        raise error

    with executor.tracing() as tracing:
        with pytest.raises(type(error)):
            executor.run_coroutine(coroutine)
        assert [record.status for record in tracing.trace.records] == [status]


def test_a_step_is_noted_before_anybody_can_know_of_it(executor: taskloom.Executor) -> None:
    seen: list[str] = []

    async def coroutine() -> None:
        pass

    with executor.tracing(capacity=4) as tracing:
        for _ in range(200):
            executor.run_coroutine(coroutine)
            seen.append(tracing.trace.records[-1].status)
    assert set(seen) == {"done"}


def test_runs_are_part_of_it_nodes_under_their_names_once(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    first = g.options(name="first").add(abs, -1)
    g.options(name="limited", timeout=60).add(abs, first)
    with executor.tracing() as tracing:
        executor.run(g)
    assert names(tracing.trace) == ["first", "limited"]
    assert tracing.trace.records[1].sources == (0,)
    assert [record.name for record in tracing.trace.critical_path()] == ["first", "limited"]


def test_tasks_in_processes_have_a_lane(executor: taskloom.Executor) -> None:
    with executor.tracing() as tracing:
        executor.options(place="process").submit(abs, -1).result()
    record = named(tracing.trace, "abs")
    assert (record.lane, record.worker, record.status) == ("process", None, "done")


def test_who_submitted_whom_is_known(executor: taskloom.Executor) -> None:
    def parent() -> Any:
        return executor.options(name="child").submit(function)

    with executor.tracing() as tracing:
        executor.submit(parent).result().result()
    trace = tracing.trace
    parent_place = names(trace).index(parent.__qualname__)
    assert named(trace, "child").parent == parent_place


def test_who_waited_for_whom_is_known(executor: taskloom.Executor) -> None:
    began = threading.Event()

    def slow() -> None:
        began.set()
        while executor._tally()[5] == 0:  # until a worker is stuck, which is the waiter's
            time.sleep(0)

    def waiter(future: Any) -> None:
        began.wait()
        future.result()

    with executor.tracing() as tracing:
        executor.submit(waiter, executor.submit(slow)).result()
    graph = tracing.causality()
    told = [
        (graph.tasks[a].name.rpartition(".")[2], graph.tasks[b].name.rpartition(".")[2], kind)
        for a, b, kind in graph.causes
    ]
    assert told == [("slow", "waiter", "waited")]


def test_what_comes_after_is_known_and_queued_from_when_it_was_ready() -> None:
    with taskloom.Executor(1, causality=100) as executor:
        first = executor.options(name="first").submit(function)
        executor.options(name="then", after=[first]).submit(function).result()
        graph = executor.causality()
    assert [(graph.tasks[a].name, graph.tasks[b].name) for a, b, _ in graph.causes] == [
        ("first", "then")
    ]
    assert graph.before(1) == frozenset({0})


def test_causality_without_a_recording_says_how_to_have_one(executor: taskloom.Executor) -> None:
    with pytest.raises(RuntimeError, match=r"Executor\(causality=1000\)"):
        executor.causality()


def test_causality_can_be_drawn(executor: taskloom.Executor) -> None:
    def parent() -> Any:
        return executor.options(name="child").submit(function)

    with executor.tracing() as tracing:
        executor.submit(parent).result().result()
    graph = tracing.causality()
    assert "n0 -> n1" in graph.draw("dot")
    assert "n0 -.-> n1" in graph.draw("mermaid")
    assert graph.draw().startswith("<svg")


def test_names_are_known_however_much_was_dropped(executor: taskloom.Executor) -> None:
    with executor.tracing(capacity=4) as tracing:
        for count in (1, 7, 50):
            futures = [executor.submit(function) for _ in range(count)]
            assert [future.result() for future in futures]
            executor.submit(len, "").result()
        for _ in range(100):
            executor.submit(function).result()
    assert tracing.trace.dropped > 0
    assert "function" in names(tracing.trace)
    assert set(names(tracing.trace)) <= {"function", "len"}


def test_many_threads_submit_while_it_is_switched_on_and_off(executor: taskloom.Executor) -> None:
    stop = threading.Event()

    def submit() -> None:
        while not stop.is_set():
            executor.submit(function).result()

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with executor.tracing(capacity=64) as tracing:
                executor.submit(function).result()
            assert set(names(tracing.trace)) == {"function"}
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_names_of_tasks_that_were_dropped_are_let_go_of() -> None:
    with taskloom.Executor(1, causality=16) as executor:

        def wave(first: int, count: int) -> int:
            for number in range(first, first + count):
                executor.options(name=f"task {number}").submit(function).result()
            gc.collect()
            return sys.getallocatedblocks()

        before = wave(0, 3000)
        # Each name that is kept would be a block, and a place in a table.
        assert wave(3000, 12_000) - before < 4000
        assert executor.causality().tasks[-1].name == "task 14999"


def test_threads_that_are_gone_leave_few_rings_behind() -> None:
    with taskloom.Executor(1, causality=16) as executor:
        for _ in range(100):
            thread = threading.Thread(target=lambda: executor.submit(function).result())
            thread.start()
            thread.join()
        tracks, _ = executor._recorded()
        assert len(tracks) < 50
        assert executor.causality().dropped > 0


class Value:
    """Something that a node returns."""


def test_values_of_runs_are_not_kept(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    node = g.options(name="value").add(Value)
    with executor.tracing() as tracing:
        run = executor.run(g)
        value = weakref.ref(run[node])
        del run
        gc.collect()
        assert value() is None
        assert names(tracing.trace) == ["value"]


def test_tasks_in_processes_are_bounded_too(executor: taskloom.Executor) -> None:
    with executor.tracing(capacity=2) as tracing:
        for number in range(5):
            tracing._saw_process(str(number), 0.0, 1.0, "done")
        assert names(tracing.trace) == ["3", "4"]
