"""Page rank, components and paths agree with plain references, in both forms."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.pregel.vertex import (
    EdgeList,
    connected_components,
    pagerank,
    run,
    shortest_paths,
)
from taskloom.pregel.vertex.algorithms import PageRank, ShortestPaths
from taskloom.pregel.vertex.delivery import Delivery

from . import references
from .references import Triples

EXAMPLES = settings(max_examples=60, deadline=None)
GRAPHS = references.graphs()


def edge_list(count: int, edges: Triples, *, weighted: bool = True) -> EdgeList:
    sources, targets, weights = ([edge[part] for edge in edges] for part in range(3))
    return EdgeList(sources, targets, weights if weighted else None, vertices=count)


@EXAMPLES
@given(GRAPHS, st.floats(0.1, 0.95), st.integers(1, 12))
def test_page_ranks_are_those_of_power_iteration(
    graph: tuple[int, Triples], damping: float, iterations: int
) -> None:
    expected = references.page_rank(*graph, damping, iterations)
    options: dict[str, Any] = {"damping": damping, "iterations": iterations, "tolerance": 0.0}
    arrays = edge_list(*graph)
    assert pagerank(arrays, **options).tolist() == pytest.approx(expected)
    by_vertex = run(PageRank(damping, iterations, 0.0), arrays).values
    assert list(by_vertex.values()) == pytest.approx(expected)


@EXAMPLES
@given(GRAPHS)
def test_components_are_those_of_repeated_merging(graph: tuple[int, Triples]) -> None:
    expected = references.components(*graph)
    assert connected_components(edge_list(*graph)).tolist() == expected
    mapping = references.isolated_and_edges(*graph)
    found = connected_components(mapping)
    assert set(found) == set(mapping)
    groups = {tuple(v for v in found if found[v] == name) for name in set(found.values())}
    wanted = {tuple(v for v in found if expected[v] == least) for least in set(expected)}
    assert groups == wanted


@EXAMPLES
@given(GRAPHS, st.data())
def test_distances_are_those_of_repeated_relaxing(
    graph: tuple[int, Triples], data: st.DataObject
) -> None:
    count, edges = graph
    sources = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    expected = references.distances(count, edges, sources)
    arrays = edge_list(count, edges)
    assert shortest_paths(arrays, sorted(sources)).tolist() == expected
    by_vertex = run(ShortestPaths(frozenset(sources)), arrays).values
    assert list(by_vertex.values()) == expected


@EXAMPLES
@given(GRAPHS)
def test_edges_without_weight_have_length_one(graph: tuple[int, Triples]) -> None:
    count, edges = graph
    expected = references.distances(count, [(s, t, 1.0) for s, t, _ in edges], {0})
    assert shortest_paths(edge_list(*graph, weighted=False), 0).tolist() == expected
    found = shortest_paths(references.isolated_and_edges(*graph), 0)
    assert references.in_order(found) == expected


def test_page_rank_stops_when_ranks_have_settled() -> None:
    ring = EdgeList(np.arange(10), (np.arange(10) + 1) % 10)
    ranks = pagerank(ring)
    assert ranks.tolist() == pytest.approx([0.1] * 10)
    result = run(PageRank(0.85, 100, 1e-9), ring)
    assert result.supersteps < 5


def test_page_ranks_agree_with_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.gnp_random_graph(60, 0.05, seed=4, directed=True)
    ours = pagerank({vertex: list(graph[vertex]) for vertex in graph}, tolerance=1e-9)
    theirs = networkx.pagerank(graph, tol=1e-9 / 60)
    assert ours == pytest.approx(theirs, abs=1e-7)


def test_a_large_graph_agrees_with_matrix_algebra() -> None:
    random = np.random.default_rng(5)
    count = 2_000
    edges = EdgeList(
        random.integers(0, count, 10_000), random.integers(0, count, 10_000), vertices=count
    )
    matrix = np.zeros((count, count))
    np.add.at(matrix, (edges.targets, edges.sources), 1.0)
    degrees = edges.out_degrees
    ranks = np.full(count, 1 / count)
    for _ in range(10):
        flow = matrix @ np.where(degrees > 0, ranks / np.maximum(degrees, 1), 0)
        ranks = 0.15 / count + 0.85 * (flow + ranks[degrees == 0].sum() / count)
    assert pagerank(edges, iterations=10, tolerance=0.0) == pytest.approx(ranks)


def test_an_executor_shares_the_work_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(6)
    edges = EdgeList(
        random.integers(0, 500, 5_000),
        random.integers(0, 400, 5_000),
        random.random(5_000),
        vertices=500,
    )
    alone = (
        pagerank(edges, iterations=5),
        connected_components(edges),
        shortest_paths(edges, [1, 2]),
    )
    monkeypatch.setattr("taskloom.pregel.vertex.delivery._WORTH_SHARING", 0)
    passes = []
    shared_pass = Delivery._shared_pass

    def counted(self: Delivery, *args: Any) -> Any:
        passes.append(args)
        return shared_pass(self, *args)

    monkeypatch.setattr(Delivery, "_shared_pass", counted)
    with ThreadPoolExecutor(3) as executor:
        shared = (
            pagerank(edges, iterations=5, executor=executor),
            connected_components(edges, executor=executor),
            shortest_paths(edges, [1, 2], executor=executor),
        )
    assert len(passes) >= 6
    assert shared[0] == pytest.approx(alone[0])
    assert (shared[1] == alone[1]).all()
    assert (shared[2] == alone[2]).all()


def test_few_senders_reach_the_same_vertices_by_either_road(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(7)
    edges = EdgeList(random.integers(0, 300, 900), random.integers(0, 300, 900), random.random(900))
    by_looking = shortest_paths(edges, 0)
    monkeypatch.setattr("taskloom.pregel.vertex.delivery._PASSES_FOR_A_SORT", 0)
    assert (shortest_paths(edges, 0) == by_looking).all()


def test_a_long_path_is_walked_to_its_end() -> None:
    path = EdgeList(np.arange(300), np.arange(1, 301))
    assert shortest_paths(path, 0).tolist() == list(range(301))
    assert connected_components(path).tolist() == [0] * 301


def test_unreached_vertices_are_infinitely_far() -> None:
    assert shortest_paths({"a": ["b"], "c": []}, "a") == {"a": 0.0, "b": 1.0, "c": math.inf}


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ValueError, match="'z'"):
        shortest_paths({"a": ["b"]}, "z")
    with pytest.raises(ValueError, match="numbered from 0 to 1"):
        shortest_paths(EdgeList([0], [1]), 2)


def test_negative_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"-1\.0"):
        shortest_paths([("a", "b", -1.0)], "a")
    with pytest.raises(ValueError, match="negative"):
        shortest_paths(EdgeList([0], [1], [-1.0]), 0)


@pytest.mark.parametrize("option", [{"damping": 1.5}, {"iterations": 0}])
def test_page_rank_refuses_what_makes_no_sense(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        pagerank({1: [2]}, **option)


def test_an_empty_graph_has_no_ranks() -> None:
    assert pagerank([]) == {}
    assert pagerank(EdgeList([], [])).tolist() == []
    assert connected_components([]) == {}


def test_small_graphs_need_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from taskloom.pregel.vertex import pagerank, connected_components, shortest_paths\n"
        "edges = [('a', 'b'), ('b', 'c')]\n"
        "print(round(sum(pagerank(edges).values()), 6), connected_components(edges)['c'],"
        " shortest_paths(edges, 'a')['c'])\n"
        "try:\n    from taskloom.pregel.vertex import EdgeList\n"
        "except ModuleNotFoundError as error: print('taskloom[vertex]' in str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "a", "2.0", "True"]
