"""A node that its run calls itself is a task like any other: knows itself, is asked to stop."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import Cancelled, Executor, Graph, Retry, RetryTask


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as executor:
        yield executor


def me() -> taskloom.CurrentTask:
    task = taskloom.current_task()
    assert task is not None
    return task


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_node_is_its_own_current_task(executor: Executor, mode: Any) -> None:
    graph = Graph()
    nodes = [graph.options(name=name).add(lambda: (me().name, me().attempt)) for name in "abc"]
    run = executor.run(graph, mode=mode)
    assert [run[node] for node in nodes] == [("a", 1), ("b", 1), ("c", 1)]
    assert taskloom.current_task() is None


def test_a_node_inside_of_a_task_is_the_node_and_then_the_task_again(executor: Executor) -> None:
    def outer() -> list[str]:
        graph = Graph()
        node = graph.options(name="inner").add(lambda: me().name)
        return [me().name, executor.run(graph)[node], me().name]

    future = executor.options(name="outer").submit(outer)
    assert future.result() == ["outer", "inner", "outer"]


def test_a_task_that_a_node_waits_for_is_the_task_and_then_the_node_again() -> None:
    with Executor(1) as executor:  # so that the worker that waits is the one that runs it

        def node() -> list[str]:
            view = executor.options(name="task")
            return [me().name, view.submit(lambda: me().name).result(), me().name]

        graph = Graph()
        outer = graph.options(name="node").add(node)
        assert executor.start(graph)[outer] == ["node", "task", "node"]


def test_a_run_inside_of_a_node_leaves_it_the_node_that_it_was(executor: Executor) -> None:
    def outer() -> list[str]:
        graph = Graph()
        node = graph.options(name="inner").add(lambda: me().name)
        return [me().name, executor.run(graph)[node], me().name]

    graph = Graph()
    node = graph.options(name="outer").add(outer)
    assert executor.run(graph)[node] == ["outer", "inner", "outer"]


def test_a_node_inside_of_a_coroutine_is_the_node(executor: Executor) -> None:
    async def outer() -> str:
        graph = Graph()
        node = graph.options(name="inner").add(lambda: me().name)
        return executor.run(graph)[node]

    assert taskloom.run_coroutine(outer) == "inner"


def test_a_coroutine_inside_of_a_node_is_not_the_node(executor: Executor) -> None:
    async def inner() -> bool:
        task = taskloom.current_task()
        return task is None or task.name != "outer"

    graph = Graph()
    node = graph.options(name="outer").add(taskloom.run_coroutine, inner)
    assert executor.run(graph)[node]


def test_a_node_that_is_tried_again_knows_its_attempt_and_the_error_before(
    executor: Executor,
) -> None:
    seen: list[tuple[int, str]] = []

    def flaky() -> None:
        seen.append((me().attempt, str(me().last_error)))
        if len(seen) < 3:
            raise ValueError(f"number {len(seen)}")

    graph = Graph()
    graph.options(retry=Retry(3)).add(flaky)
    after = graph.add(lambda: me().attempt)
    run = executor.run(graph, mode="serial")
    assert seen == [(1, "None"), (2, "number 1"), (3, "number 2")]
    assert run[after] == 1


def test_a_node_that_asks_for_another_attempt_counts_them(executor: Executor) -> None:
    seen: list[int] = []

    def asks() -> None:
        seen.append(me().attempt)
        if len(seen) < 3:
            raise RetryTask

    graph = Graph()
    graph.add(asks)
    executor.run(graph)
    assert seen == [1, 2, 3]


def test_the_timeout_of_a_run_is_the_deadline_of_its_nodes(executor: Executor) -> None:
    graph = Graph()
    node = graph.add(lambda: (me().deadline, me().time_left))
    before = time.monotonic()
    deadline, left = executor.options(timeout=60).run(graph)[node]
    assert deadline is not None
    assert left is not None
    assert before + 60 <= deadline <= time.monotonic() + 60
    assert 0 < left <= 60
    assert executor.run(graph)[node] == (None, None)


def test_a_running_node_of_a_cancelled_run_is_asked_to_stop(executor: Executor) -> None:
    begun, go = threading.Event(), threading.Event()
    cancelled: list[bool] = []

    def body() -> None:
        assert not me().cancelled
        begun.set()
        go.wait()
        cancelled.append(me().cancelled)
        me().checkpoint()

    graph = Graph()
    node = graph.add(body)
    run = executor.start(graph)
    begun.wait()
    assert run.cancel()
    go.set()
    run.wait()
    assert cancelled == [True]
    assert run.status == run.why(node).status == "cancelled"


def test_a_wait_of_a_node_ends_when_its_run_is_cancelled(executor: Executor) -> None:
    begun = threading.Event()
    sender, receiver = taskloom.Channel[int](1).split()

    def body() -> None:
        begun.set()
        receiver.receive_blocking()

    graph = Graph()
    node = graph.add(body)
    run = executor.start(graph)
    begun.wait()
    run.cancel()
    run.wait()
    sender.close()
    assert run.why(node).status == "cancelled"


def test_the_token_of_a_node_tells_when_its_run_is_cancelled(executor: Executor) -> None:
    begun, told = threading.Event(), threading.Event()

    def body() -> bool:
        me().token.on_cancel(told.set)
        begun.set()
        return told.wait(60)

    graph = Graph()
    node = graph.add(body)
    run = executor.start(graph)
    begun.wait()
    run.cancel()
    run.wait()
    assert run.status == "done"
    assert run[node]


def test_a_token_that_is_asked_for_after_the_cancelling_is_cancelled(executor: Executor) -> None:
    begun, go = threading.Event(), threading.Event()

    def body() -> bool:
        begun.set()
        go.wait()
        return me().token.cancelled

    graph = Graph()
    node = graph.add(body)
    run = executor.start(graph)
    begun.wait()
    run.cancel()
    go.set()
    assert run.wait()
    assert run[node]


def test_cancelling_a_task_cancels_the_run_that_it_has_started(executor: Executor) -> None:
    begun, go = threading.Event(), threading.Event()

    def body() -> None:
        begun.set()
        go.wait()
        taskloom.checkpoint()

    def parent() -> str:
        graph = Graph()
        graph.add(body)
        run = executor.start(graph)
        run.wait()
        return run.status

    future = executor.submit(parent)
    begun.wait()
    assert not future.cancel()
    go.set()
    assert future.result() == "cancelled"


def test_cancelling_a_run_cancels_the_run_that_a_node_of_it_has_started(
    executor: Executor,
) -> None:
    begun, go = threading.Event(), threading.Event()
    inner: list[taskloom.Run] = []

    def body() -> None:
        begun.set()
        go.wait()
        taskloom.checkpoint()

    def parent() -> None:
        graph = Graph()
        graph.add(body)
        inner.append(executor.start(graph))
        inner[0].wait()

    graph = Graph()
    graph.add(parent)
    run = executor.start(graph)
    begun.wait()
    run.cancel()
    go.set()
    run.wait()
    assert inner[0].status == "cancelled"


def test_a_scope_that_a_node_enters_is_what_it_asks(executor: Executor) -> None:
    def body() -> tuple[bool, bool]:
        with taskloom.CancelScope() as scope:
            scope.cancel()
            inside = me().cancelled
            with pytest.raises(Cancelled):
                taskloom.checkpoint()
        return inside, me().cancelled

    graph = Graph()
    node = graph.add(body)
    assert executor.run(graph)[node] == (True, False)


def test_a_node_that_says_how_far_it_is_stands_below_its_run_until_it_has_ended(
    executor: Executor,
) -> None:
    def load() -> str:
        me().progress(1, 4)
        me().progress(2, 4)
        return str(executor.progress())

    graph = Graph()
    during = graph.options(name="load").add(load)
    after = graph.add(lambda _: str(executor.progress()), during)
    run = executor.run(graph.compile(keep=[during, after]))
    assert "  └─ task load [##########          ]  50%" in run[during]
    assert "load" not in run[after]


def test_what_nodes_have_said_is_gone_with_their_run(executor: Executor) -> None:
    from taskloom.current import reporting_nodes

    graph = Graph()
    for _ in range(3):
        graph.add(lambda: me().progress(1))
    executor.run(graph)
    gc.collect()
    assert not list(reporting_nodes)
