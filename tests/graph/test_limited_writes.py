"""A node whose time is up keeps what it writes to until its thread has left the call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import taskloom
from taskloom import Executor, Graph, Resources, forward, take, write
from taskloom.errors import GraphError, RunFailed


class Writer:
    """Writes once it is let go, long after its time."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.seen: list[str] = []

    def __call__(self, box: list[str]) -> None:
        self.go_on.wait()
        box.append("written")
        self.seen.append("writer left")

    def look_late(self, box: list[str]) -> None:
        self.go_on.wait()
        self.seen.append(f"{len(box)} in the box")

    def read(self, box: list[str]) -> list[str]:
        self.seen.append("reader")
        return list(box)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    writer.go_on.set()


def until_late(executor: Executor) -> None:
    while not executor._hung():
        time.sleep(0)


def late_after(executor: Executor, graph: Graph, writer: Writer) -> taskloom.Run:
    """A run that is over; the writer was let go when its time was up, which a spare tells of."""
    run = executor.start(graph)
    until_late(executor)
    writer.go_on.set()
    run.wait()
    return run


@pytest.mark.parametrize("limit", [{"timeout": 0.001}, {"deadline": 0.001}])
def test_later_users_wait_for_the_thread_and_not_for_the_timeout(
    writer: Writer, limit: dict[str, float]
) -> None:
    graph = Graph()
    box = graph.add(list[str])
    late = graph.options(on_error="continue", **limit).add(writer, write(box))
    reader = graph.add(writer.read, box)
    graph.options(after=[late]).add(writer.seen.append, "after")
    with Executor(2) as executor:
        run = late_after(executor, graph, writer)
        assert isinstance(run.exceptions()[late], TimeoutError)
    assert writer.seen == ["writer left", "after"]
    assert run.why(reader).status == "skipped"


def test_a_later_writer_waits_for_the_thread_of_a_reader_that_is_late(writer: Writer) -> None:
    graph = Graph()
    box = graph.add(list[str])
    graph.options(timeout=0.001).add(writer.look_late, box)
    graph.add(list.append, write(box), "changed")
    with Executor(2) as executor:
        late_after(executor, graph, writer)
    assert writer.seen == ["0 in the box"]


def test_a_write_within_its_time_is_what_later_users_find(writer: Writer) -> None:
    graph = Graph()
    box = graph.add(list[str])
    graph.options(timeout=600).add(writer, write(box))
    reader = graph.add(writer.read, box)
    writer.go_on.set()
    with Executor(2) as executor:
        assert executor.run(graph)[reader] == ["written"]
    assert writer.seen == ["writer left", "reader"]


def test_what_a_node_with_a_limit_forwards_is_its_value() -> None:
    graph = Graph()
    box = graph.add(list[int])
    filled = graph.options(timeout=600).add(list.append, forward(box), 3)
    with Executor(1) as executor:
        assert executor.run(graph)[filled] == [3]


def test_what_a_node_with_a_limit_takes_is_its_own() -> None:
    graph = Graph()
    box = graph.add(list[int])
    taken = graph.options(timeout=600).add(list, take(box))
    with Executor(1) as executor:
        assert executor.run(graph)[taken] == []


def test_the_default_timeout_of_the_executor_lets_go_of_nothing_either(writer: Writer) -> None:
    graph = Graph()
    box = graph.add(list[str])
    needs = graph.options(resources=Resources(cpu=0.1), on_error="continue")
    late = needs.add(writer, write(box))
    after = graph.options(after=[late]).add(lambda: writer.seen.append("after"))
    with Executor(2, default_timeout=0.001) as executor:
        run = late_after(executor, graph, writer)
        assert run.why(after).status == "done"
    assert writer.seen == ["writer left", "after"]


def test_resources_of_a_late_writer_are_given_back_when_it_has_left(writer: Writer) -> None:
    graph = Graph()
    box = graph.add(list[str])
    view = graph.options(resources=Resources(key=1), timeout=0.001)
    late = view.add(writer, write(box))
    with Executor(2, resources={"key": 1}) as executor:
        run = executor.start(graph)
        until_late(executor)
        other = executor.options(resources=Resources(key=1)).submit(writer.seen.append, "other")
        writer.go_on.set()
        other.result()
        assert isinstance(run.exceptions()[late], TimeoutError)
    assert writer.seen == ["writer left", "other"]


def test_a_writer_that_never_began_ends_with_its_run(writer: Writer) -> None:
    graph = Graph()
    box = graph.add(list[str])
    late = graph.options(timeout=600).add(writer, write(box))
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait()

    with Executor(1) as executor:
        graph.options(after=[box]).add(hold)  # ahead of the writer on the one worker
        run = executor.start(graph)
        begun.wait()
        run.cancel()
        go_on.set()
        run.wait()
        assert run.why(late).status == "cancelled"
    assert writer.seen == []


def test_a_late_writer_fails_its_run_with_the_timeout(writer: Writer) -> None:
    graph = Graph()
    graph.options(timeout=0.001).add(writer, write(graph.add(list[str])))
    with Executor(2) as executor:
        run = late_after(executor, graph, writer)
        with pytest.raises(RunFailed, match="longer than its timeout"):
            run.result()


def test_a_write_that_is_tried_again_after_its_time_is_refused(writer: Writer) -> None:
    graph = Graph()
    view = graph.options(timeout=1.0, retry=2, retry_safe=True)
    view.add(writer, write(graph.add(list[str])))
    with pytest.raises(GraphError, match="tried again when its time is up"):
        graph.compile()
