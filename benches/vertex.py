"""Vertex programs on arrays, beside networkx (its scipy road) and plain scipy matrix algebra."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from harness import Contender, Workload
from taskloom.pregel.vertex import EdgeList, connected_components, pagerank, shortest_paths

VERTICES, EDGES = 100_000, 1_000_000
RANDOM = np.random.default_rng(1)
SOURCES = RANDOM.integers(0, VERTICES, EDGES)
TARGETS = RANDOM.integers(0, VERTICES, EDGES)
WEIGHTS = RANDOM.random(EDGES)

ranks = Workload(
    "pagerank",
    "10 iterations of page rank, 100,000 vertices, a million edges, from two arrays",
    unit="s",
    aim=1.0,
)


def ten_iterations() -> None:
    pagerank(EdgeList(SOURCES, TARGETS), iterations=10, tolerance=0.0)


@ranks.contender("taskloom", per=1)
def ours() -> Contender:
    yield ten_iterations


@ranks.contender("scipy, by hand", per=1, note="the same sums as one sparse product an iteration")
def by_hand() -> Contender:
    from scipy import sparse

    def iterate() -> None:
        shape = (VERTICES, VERTICES)
        matrix = sparse.coo_array((np.ones(EDGES), (TARGETS, SOURCES)), shape=shape).tocsr()
        degrees = np.bincount(SOURCES, minlength=VERTICES)
        share = np.where(degrees > 0, 1 / np.maximum(degrees, 1), 0)
        values = np.full(VERTICES, 1 / VERTICES)
        for _ in range(10):
            lost = values[degrees == 0].sum()
            values = 0.15 / VERTICES + 0.85 * (matrix @ (values * share) + lost / VERTICES)

    yield iterate


def networkx_graph() -> object:
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(range(VERTICES))
    graph.add_edges_from(zip(SOURCES.tolist(), TARGETS.tolist(), strict=True))
    return graph


@ranks.contender("networkx", per=1, note="its graph built beforehand; until its ranks settle")
def theirs() -> Contender:
    import networkx
    import scipy  # noqa: F401 - what networkx ranks with

    graph = networkx_graph()
    yield lambda: networkx.pagerank(graph, tol=1e-4)


components = Workload("components", "connected components of the same graph", unit="ms")
paths = Workload("shortest-paths", "distances from one vertex of the same graph", unit="ms")


def contend(workload: Workload, work: Callable[[EdgeList], object]) -> None:
    @workload.contender("taskloom", per=1)
    def taskloom_runs() -> Contender:
        edges = EdgeList(SOURCES, TARGETS, WEIGHTS)
        yield lambda: work(edges)


contend(components, connected_components)
contend(paths, lambda edges: shortest_paths(edges, 0))


@components.contender("scipy.sparse.csgraph", per=1, note="C, a search, no supersteps")
def scipy_components() -> Contender:
    from scipy.sparse import csgraph

    matrix = EdgeList(SOURCES, TARGETS).to_sparse()
    yield lambda: csgraph.connected_components(matrix, directed=False)


@paths.contender("scipy.sparse.csgraph", per=1, note="C, Dijkstra")
def scipy_paths() -> Contender:
    from scipy.sparse import csgraph

    matrix = EdgeList(SOURCES, TARGETS, WEIGHTS).to_sparse()
    yield lambda: csgraph.dijkstra(matrix, indices=0)
