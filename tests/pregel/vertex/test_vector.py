"""Vector programs do, for all vertices at once, what vertex programs do one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from taskloom.pregel.vertex import (
    EdgeList,
    SuperstepLimitError,
    VectorProgram,
    VectorStep,
    Vertex,
    VertexProgram,
    run,
)

from .references import Triples, graphs


class Spread(VectorProgram):
    """From vertex 0 outward: each vertex reached passes on the greatest number it has seen."""

    combiner = "max"
    message_type = np.int64

    def initial(self, edges: EdgeList) -> NDArray[Any]:
        return np.where(np.arange(edges.vertex_count) == 0, 100, 0)

    def compute(self, step: VectorStep) -> None:
        news = step.messages > step.values
        step.values[news] = step.messages[news]
        step.send(step.values - 1, mask=(step.values == 100) if step.superstep == 0 else news)
        step.vote_to_halt()


class SpreadByVertex(VertexProgram):
    combiner = "max"

    def initial(self, vertex: Vertex) -> int:
        return 100 if vertex.index == 0 else 0

    def compute(self, vertex: Vertex, messages: list[int]) -> None:
        greatest = max(messages, default=0)
        if greatest > vertex.value or (vertex.superstep == 0 and vertex.value):
            vertex.value = max(vertex.value, greatest)
            vertex.send_to_all(vertex.value - 1)
        vertex.vote_to_halt()


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_both_forms_of_a_program_agree(graph: tuple[int, Triples]) -> None:
    count, triples = graph
    edges = EdgeList([s for s, _, _ in triples], [t for _, t, _ in triples], vertices=count)
    vectors, vertices = run(Spread(), edges), run(SpreadByVertex(), edges)
    assert vectors.values.tolist() == list(vertices.values.values())
    assert (vectors.supersteps, vectors.messages) == (vertices.supersteps, vertices.messages)


class Once(VectorProgram):
    """Sends once, and keeps what came."""

    def compute(self, step: VectorStep) -> None:
        if step.superstep == 0:
            self.send(step)
        else:
            step.values = np.where(step.received, step.messages, -1)
        step.vote_to_halt()

    def send(self, step: VectorStep) -> None:
        step.send(np.arange(step.edges.vertex_count))


def test_messages_are_folded_where_they_meet() -> None:
    assert run(Once(), EdgeList([1, 2, 2], [0, 0, 1])).values.tolist() == [3, 2, -1]


@pytest.mark.parametrize(
    ("fold", "kind", "expected"),
    [
        ("min", np.int32, 1),
        ("max", np.float32, 3),
        ("any", np.bool_, 1),
        ("all", np.bool_, 1),
        (np.multiply, np.float64, 6),
    ],
)
def test_messages_may_be_folded_in_other_ways(fold: Any, kind: Any, expected: int) -> None:
    program = Once()
    program.combiner, program.message_type = fold, kind
    values = run(program, EdgeList([1, 2, 3], [0, 0, 0])).values
    assert values[0] == expected


def test_a_fold_that_arrays_do_not_have_is_refused() -> None:
    program = Once()
    program.combiner = lambda one, other: one
    with pytest.raises(ValueError, match="numpy ufunc"):
        run(program, EdgeList([0], [1]))


def test_a_fold_without_neutral_value_is_refused() -> None:
    program = Once()
    program.combiner = np.arctan2
    with pytest.raises(ValueError, match="neutral"):
        run(program, EdgeList([0], [1]))


def test_only_those_of_the_mask_send() -> None:
    class Some(Once):
        def send(self, step: VectorStep) -> None:
            step.send(7, mask=np.array([False, True, False]))

    assert run(Some(), EdgeList([0, 1, 2], [1, 2, 0])).values.tolist() == [-1, -1, 7]


def test_what_travels_may_depend_on_the_edge() -> None:
    class Along(Once):
        def send(self, step: VectorStep) -> None:
            step.send(10, along=np.add)

    edges = EdgeList([0, 0], [1, 2], [0.5, 0.25], vertices=3)
    assert run(Along(), edges).values.tolist() == [-1, 10.5, 10.25]


def test_edges_without_weights_cannot_be_used_along() -> None:
    class Along(Once):
        def send(self, step: VectorStep) -> None:
            step.send(10, along=np.add)

    with pytest.raises(ValueError, match="have none"):
        run(Along(), EdgeList([0], [1]))


def test_messages_may_go_to_single_vertices() -> None:
    class Direct(Once):
        def send(self, step: VectorStep) -> None:
            step.send_to([2, 2, 0], [1.0, 2.0, 5.0])

    assert run(Direct(), EdgeList([0], [1], vertices=3)).values.tolist() == [5, -1, 3]


def test_several_sends_of_a_superstep_are_folded_together() -> None:
    class Both(Once):
        def send(self, step: VectorStep) -> None:
            step.send(1.0)
            step.send(2.0, mask=np.array([True, False]))
            step.send_to([1], 10.0)

    assert run(Both(), EdgeList([0, 1], [1, 0])).values.tolist() == [1, 13]


def test_a_message_wakes_only_whom_it_reaches() -> None:
    seen = []

    class Wake(VectorProgram):
        def compute(self, step: VectorStep) -> None:
            seen.append(step.active.tolist())
            if step.superstep == 0:
                step.send(0.0, mask=np.array([True, False, False]))
            step.vote_to_halt()

    run(Wake(), EdgeList([0, 1], [1, 2]))
    assert seen == [[True, True, True], [False, True, False]]


def test_vertices_may_halt_one_by_one() -> None:
    seen = []

    class Countdown(VectorProgram):
        def compute(self, step: VectorStep) -> None:
            seen.append(int(step.active.sum()))
            step.vote_to_halt(np.arange(step.edges.vertex_count) == step.superstep)

    run(Countdown(), EdgeList([], [], vertices=3))
    assert seen == [3, 2, 1]


def test_totals_are_seen_one_superstep_later() -> None:
    seen = []

    class Totals(VectorProgram):
        aggregators = {"sum": "sum", "most": "max", "least": np.minimum}  # noqa: RUF012

        def compute(self, step: VectorStep) -> None:
            seen.append([float(step.aggregated(name)) for name in self.aggregators])
            if step.superstep == 0:
                step.aggregate("sum", np.arange(4))
                step.aggregate("sum", 10)
                step.aggregate("most", [3, 9])
                step.aggregate("least", 4)
            if step.superstep == 2:
                step.vote_to_halt()

    run(Totals(), EdgeList([], [], vertices=2))
    nothing = [0.0, float("-inf"), float("inf")]
    assert seen == [nothing, [16.0, 9.0, 4.0], nothing]


def test_an_unknown_total_is_named() -> None:
    class Wrong(VectorProgram):
        def compute(self, step: VectorStep) -> None:
            step.aggregate("sum", 1)

    with pytest.raises(KeyError, match="'sum'"):
        run(Wrong(), EdgeList([0], [1]))


def test_a_program_that_does_not_end_is_stopped() -> None:
    class Restless(VectorProgram):
        def compute(self, step: VectorStep) -> None:
            pass

    with pytest.raises(SuperstepLimitError, match="after 3 supersteps 2 vertices"):
        run(Restless(), EdgeList([0], [1]), max_supersteps=3)


def test_values_of_the_wrong_length_are_refused() -> None:
    class Short(VectorProgram):
        def initial(self, edges: EdgeList) -> NDArray[Any]:
            return np.zeros(1)

    with pytest.raises(ValueError, match=r"Short\.initial returned 1 values for 2 vertices"):
        run(Short(), EdgeList([0], [1]))


def test_a_vector_program_wants_an_edge_list() -> None:
    with pytest.raises(TypeError, match="from_pairs"):
        run(Spread(), [(0, 1)])


def test_an_executor_is_for_vector_programs() -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(TypeError, match="vector programs"):
        run(SpreadByVertex(), [(0, 1)], executor=executor)


class TestEdgeList:
    def test_pairs_of_any_vertices_are_numbered(self) -> None:
        edges = EdgeList.from_pairs([("x", "y", 2), ("y", "z", 3)])
        assert edges.labels == ["x", "y", "z"]
        assert edges.sources.tolist() == [0, 1]
        assert edges.targets.tolist() == [1, 2]
        assert edges.weights is not None
        assert edges.weights.tolist() == [2, 3]

    def test_weights_are_for_all_or_none(self) -> None:
        with pytest.raises(ValueError, match="of 2 edges only 1"):
            EdgeList.from_pairs([("x", "y", 2), ("y", "z")])

    def test_degrees_are_counted(self) -> None:
        edges = EdgeList([0, 0, 2], [1, 1, 0], vertices=4)
        assert edges.out_degrees.tolist() == [2, 0, 1, 0]
        assert edges.in_degrees.tolist() == [1, 2, 0, 0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0, 1], [1]), "2 sources and 1 targets"),
            (([0], [1], [1, 2]), r"1 edges and weights of shape \(2,\)"),
            (([-1], [1]), "negative"),
            (([0.5], [1]), "integers"),
            ((["a"], ["b"]), "from_pairs"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            EdgeList(*arguments)

    def test_vertices_beyond_the_count_are_refused(self) -> None:
        with pytest.raises(ValueError, match="a vertex 5, but only 3"):
            EdgeList([5], [1], vertices=3)
        with pytest.raises(ValueError, match="2 labels for 3"):
            EdgeList([0], [1], vertices=3, labels=["a", "b"])

    def test_a_symmetric_list_has_each_edge_both_ways(self) -> None:
        edges = EdgeList([0], [1], [5], vertices=3).symmetric()
        assert edges.sources.tolist() == [0, 1]
        assert edges.targets.tolist() == [1, 0]
        assert edges.vertex_count == 3

    def test_sparse_matrices_come_and_go(self) -> None:
        sparse = pytest.importorskip("scipy.sparse")
        matrix = sparse.csr_array([[0, 2, 0], [0, 0, 3], [1, 0, 0]])
        edges = EdgeList.from_sparse(matrix)
        assert (edges.to_sparse() != matrix).nnz == 0
        assert EdgeList.from_sparse(matrix, weighted=False).weights is None
        with pytest.raises(ValueError, match="square"):
            EdgeList.from_sparse(sparse.csr_array((2, 3)))
