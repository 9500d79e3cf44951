"""Vertex programs that are stored as they go, and stopped between supersteps."""

from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
import taskloom
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.sqlite import SqliteSaver
from taskloom.pregel.vertex import Vertex, VertexProgram, run

CONFIG = {"configurable": {"thread_id": "ring"}}
SIZE = 12
RING = {n: [(n + 1) % SIZE] for n in range(SIZE)}


class Broken(Exception):
    """Raised by a program on purpose."""


class Around(VertexProgram):
    """Passes the smallest number around the ring; may break down in one superstep."""

    combiner = "min"
    aggregators: ClassVar = {"sent": "sum"}

    def __init__(self, breaks_at: int = -1) -> None:
        self.breaks_at = breaks_at
        self.first: int | None = None

    def initial(self, vertex: Vertex) -> int:
        return int(vertex.id) + 5

    def compute(self, vertex: Vertex, messages: list[Any]) -> None:
        if self.first is None:
            self.first = vertex.superstep
        if vertex.superstep == self.breaks_at:
            raise Broken
        if vertex.superstep == 0 or messages[0] < vertex.value:
            vertex.value = min([vertex.value, *messages])
            vertex.aggregate("sent", 1)
            vertex.send_to_all(vertex.value)
        vertex.vote_to_halt()


@pytest.mark.parametrize("every", [1, 3, 5])
def test_a_run_that_broke_down_goes_on_where_it_was_stored(tmp_path: Path, every: int) -> None:
    undisturbed = run(Around(), RING)
    with SqliteSaver.from_conn_string(tmp_path / "file") as saver, pytest.raises(Broken):
        run(Around(7), RING, checkpointer=saver, config=CONFIG, checkpoint_every=every)
    again = Around()
    with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
        result = run(again, RING, checkpointer=saver, config=CONFIG, checkpoint_every=every)
    assert result == undisturbed
    assert again.first == 7 - 7 % every


def test_a_run_that_is_over_returns_its_result_again() -> None:
    saver = InMemorySaver()
    first = run(Around(), RING, checkpointer=saver, config=CONFIG)
    again = Around()
    assert run(again, RING, checkpointer=saver, config=CONFIG) == first
    assert again.first is None


def test_a_thread_of_another_graph_is_refused() -> None:
    saver = InMemorySaver()
    run(Around(), RING, checkpointer=saver, config=CONFIG)
    with pytest.raises(ValueError, match=r"12 vertices and 12 edges.*thread_id"):
        run(Around(), {0: [1], 1: [0]}, checkpointer=saver, config=CONFIG)


def test_a_checkpointer_needs_a_thread_and_a_positive_interval() -> None:
    with pytest.raises(ValueError, match="thread_id"):
        run(Around(), RING, checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        run(Around(), RING, checkpointer=InMemorySaver(), config=CONFIG, checkpoint_every=0)


def test_a_vector_program_goes_on_where_it_was_stored() -> None:
    np = pytest.importorskip("numpy")
    from taskloom.pregel.vertex import EdgeList, VectorProgram

    class Least(VectorProgram):
        combiner = "min"
        aggregators: ClassVar = {"news": "sum"}

        def __init__(self, breaks_at: int = -1) -> None:
            self.breaks_at = breaks_at
            self.first: int | None = None

        def initial(self, edges: Any) -> Any:
            return np.arange(edges.vertex_count) + 5.0

        def compute(self, step: Any) -> None:
            if self.first is None:
                self.first = step.superstep
            if step.superstep == self.breaks_at:
                raise Broken
            news = step.messages < step.values
            step.values[news] = step.messages[news]
            step.aggregate("news", news)
            step.send(step.values, mask=None if step.superstep == 0 else news)
            step.vote_to_halt()

    ring = EdgeList(list(RING), [targets[0] for targets in RING.values()])
    undisturbed = run(Least(), ring)
    saver = InMemorySaver()
    with pytest.raises(Broken):
        run(Least(8), ring, checkpointer=saver, config=CONFIG, checkpoint_every=3)
    again = Least()
    result = run(again, ring, checkpointer=saver, config=CONFIG, checkpoint_every=3)
    assert again.first == 6
    assert result.values.tolist() == undisturbed.values.tolist()
    assert (result.supersteps, result.messages) == (undisturbed.supersteps, undisturbed.messages)
    assert result.aggregated == undisturbed.aggregated


class Forever(VertexProgram):
    """Never halts; says when it has begun, and counts its supersteps."""

    def __init__(self, begun: Event, go_on: Event) -> None:
        self.begun, self.go_on = begun, go_on
        self.supersteps = 0

    def compute(self, vertex: Vertex, messages: list[Any]) -> None:
        self.supersteps += 1
        self.begun.set()
        self.go_on.wait(30)


def test_a_run_in_a_task_that_is_cancelled_stops_before_the_next_superstep() -> None:
    begun, go_on = Event(), Event()
    program = Forever(begun, go_on)
    with taskloom.Executor(1) as executor:
        future = executor.submit(run, program, {"a": []})
        begun.wait(30)
        future.cancel()
        go_on.set()
        with pytest.raises(CancelledError):
            future.result(30)
    assert program.supersteps == 1


def test_a_run_in_a_task_that_times_out_stops_before_the_next_superstep() -> None:
    begun, go_on = Event(), Event()
    program = Forever(begun, go_on)
    with taskloom.Executor(1) as executor:
        future = executor.options(timeout=0.05).submit(run, program, {"a": []})
        with pytest.raises(TimeoutError):
            future.result(30)
        go_on.set()
    assert program.supersteps <= 1
