"""Supersteps, messages, aggregators and halting of programs that compute vertex by vertex."""

from __future__ import annotations

from typing import Any

import pytest
from taskloom.pregel.vertex import (
    SuperstepLimitError,
    Vertex,
    VertexProgram,
    run,
)


class Recorder(VertexProgram):
    """Keeps for each vertex the messages of every superstep it took part in."""

    def initial(self, vertex: Vertex) -> Any:
        return []

    def compute(self, vertex: Vertex, messages: list[Any]) -> None:
        vertex.value.append((vertex.superstep, sorted(messages)))
        self.act(vertex, messages)

    def act(self, vertex: Vertex, messages: list[Any]) -> None:
        if vertex.superstep == 0:
            vertex.send_to_all(vertex.id)
        vertex.vote_to_halt()


def test_messages_arrive_in_the_next_superstep() -> None:
    values = run(Recorder(), {"a": ["b", "c"], "b": ["c"]}).values
    assert values == {
        "a": [(0, [])],
        "b": [(0, []), (1, ["a"])],
        "c": [(0, []), (1, ["a", "b"])],
    }


def test_a_combiner_folds_the_messages_to_one_vertex() -> None:
    class Sum(Recorder):
        combiner = "sum"

    values = run(Sum(), {1: [9], 2: [9], 3: [9]}).values
    assert values[9] == [(0, []), (1, [6])]


def test_a_combiner_may_be_a_function() -> None:
    class Longest(Recorder):
        combiner = staticmethod(lambda one, other: max(one, other, key=len))

    values = run(Longest(), {"a": ["z"], "bbb": ["z"], "cc": ["z"]}).values
    assert values["z"] == [(0, []), (1, ["bbb"])]


def test_an_unknown_combiner_is_refused() -> None:
    class Wrong(Recorder):
        combiner = "product"  # type: ignore[assignment]

    with pytest.raises(ValueError, match="'product'"):
        run(Wrong(), {1: [2]})


def test_a_vertex_that_does_not_halt_takes_part_again() -> None:
    class Twice(Recorder):
        def act(self, vertex: Vertex, messages: list[Any]) -> None:
            if vertex.superstep == 1:
                vertex.vote_to_halt()

    assert run(Twice(), {"a": []}).values == {"a": [(0, []), (1, [])]}


def test_a_message_wakes_a_halted_vertex() -> None:
    class PingPong(Recorder):
        def act(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.vote_to_halt()
            if vertex.superstep < 3 and (messages or vertex.id == "a"):
                vertex.send_to_all(vertex.superstep)

    values = run(PingPong(), {"a": ["b"], "b": ["a"]}).values
    assert values == {"a": [(0, []), (2, [1])], "b": [(0, []), (1, [0]), (3, [2])]}


def test_a_message_may_go_to_any_vertex() -> None:
    class Direct(Recorder):
        def act(self, vertex: Vertex, messages: list[Any]) -> None:
            if vertex.superstep == 0 and vertex.id == "a":
                vertex.send("c", "hello")
            vertex.vote_to_halt()

    assert run(Direct(), {"a": [], "b": [], "c": []}).values["c"][-1] == (1, ["hello"])


def test_a_message_to_nobody_is_an_error() -> None:
    class Lost(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.send("nobody", 1)

    with pytest.raises(KeyError, match="'nobody'"):
        run(Lost(), {"a": []})


def test_totals_are_seen_one_superstep_later() -> None:
    class Totals(VertexProgram):
        aggregators = {"sum": "sum", "least": "min", "all": "all"}  # noqa: RUF012

        def initial(self, vertex: Vertex) -> Any:
            return []

        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.value.append([vertex.aggregated(name) for name in self.aggregators])
            if vertex.superstep == 0:
                vertex.aggregate("sum", vertex.id)
                vertex.aggregate("least", vertex.id)
                vertex.aggregate("all", vertex.id > 2)
            if vertex.superstep == 2:
                vertex.vote_to_halt()

    nothing = [0, float("inf"), True]
    result = run(Totals(), {2: [], 3: [], 4: []})
    assert result.values == {key: [nothing, [9, 2, False], nothing] for key in (2, 3, 4)}
    assert result.aggregated == {"sum": 0, "least": float("inf"), "all": True}


def test_an_unknown_total_is_named() -> None:
    class Wrong(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.aggregate("sum", 1)

    with pytest.raises(KeyError, match="'sum'"):
        run(Wrong(), {1: []})


def test_vertices_are_numbered_in_the_order_in_which_edges_name_them() -> None:
    class Number(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.value = vertex.index
            vertex.vote_to_halt()

    assert run(Number(), [("x", "a"), ("b", "x")]).values == {"x": 0, "a": 1, "b": 2}


def test_weights_come_with_the_edges() -> None:
    class Weights(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            vertex.value = [tuple(edge) for edge in vertex.edges]
            vertex.vote_to_halt()

    expected = {(0, 0): [((0, 1), 2.5)], (0, 1): []}
    assert run(Weights(), {(0, 0): {(0, 1): 2.5}}).values == expected
    assert run(Weights(), [((0, 0), (0, 1), 2.5)]).values == expected


def test_a_program_that_does_not_end_is_stopped_and_told_why() -> None:
    class Restless(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            pass

    with pytest.raises(SuperstepLimitError, match="after 5 supersteps 2 vertices"):
        run(Restless(), {1: [2]}, max_supersteps=5)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_supersteps=0"):
        run(Recorder(), {}, max_supersteps=0)


def test_supersteps_and_messages_are_counted() -> None:
    result = run(Recorder(), {"a": ["b", "c"], "b": ["c"]})
    assert (result.supersteps, result.messages) == (2, 3)


def test_an_error_in_compute_is_raised_as_it_is() -> None:
    class Broken(VertexProgram):
        def compute(self, vertex: Vertex, messages: list[Any]) -> None:
            raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run(Broken(), {1: []})
