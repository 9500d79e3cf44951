"""Page rank, connected components and shortest paths as vertex programs.

Each function takes an `EdgeList` and then runs a vector program and returns an array, or it takes
a mapping or tuples as `run` does, computes vertex by vertex without numpy, and returns a dict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, overload

from taskloom.pregel.vertex.execute import is_edge_list, run
from taskloom.pregel.vertex.program import (
    Adjacency,
    Vertex,
    VertexProgram,
    VertexResult,
    run_vertices,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from taskloom.pregel.vertex.edges import EdgeList


class PageRank(VertexProgram):
    """Page rank, vertex by vertex; see `pagerank`."""

    combiner = "sum"

    def __init__(self, damping: float, iterations: int, tolerance: float) -> None:
        self.damping = damping
        self.iterations = iterations
        self.tolerance = tolerance
        self.aggregators = {"dangling": "sum", "change": "sum"}

    def initial(self, vertex: Vertex) -> float:
        """Return an equal share for every vertex."""
        return 1.0 / vertex.vertex_count

    def compute(self, vertex: Vertex, messages: list[float]) -> None:
        """Take the rank that flows in, and pass it on by the weights of the edges."""
        if vertex.superstep > 0:
            count = vertex.vertex_count
            flow = sum(messages) + vertex.aggregated("dangling") / count
            rank = (1.0 - self.damping) / count + self.damping * flow
            vertex.aggregate("change", abs(rank - vertex.value))
            vertex.value = rank
        settled = vertex.superstep > 1 and vertex.aggregated("change") < self.tolerance
        if settled or vertex.superstep == self.iterations:
            vertex.vote_to_halt()
            return
        total = sum(edge.weight for edge in vertex.edges)
        if total:
            for edge in vertex.edges:
                vertex.send(edge.target, vertex.value * edge.weight / total)
        else:
            vertex.aggregate("dangling", vertex.value)


class ConnectedComponents(VertexProgram):
    """Connected components, vertex by vertex; see `connected_components`."""

    combiner = "min"

    def initial(self, vertex: Vertex) -> int:
        """Return the vertex's own number."""
        return vertex.index

    def compute(self, vertex: Vertex, messages: list[int]) -> None:
        """Take the least number that is known, and tell it to the neighbours if it is news."""
        least = min(messages, default=vertex.value)
        if vertex.superstep == 0 or least < vertex.value:
            vertex.value = min(least, vertex.value)
            vertex.send_to_all(vertex.value)
        vertex.vote_to_halt()


class ShortestPaths(VertexProgram):
    """Distances from a set of sources, vertex by vertex; see `shortest_paths`."""

    combiner = "min"

    def __init__(self, sources: frozenset[Any]) -> None:
        self.sources = sources

    def initial(self, vertex: Vertex) -> float:
        """Return zero for a source; nothing else is known to be reached."""
        _refuse_negative(edge.weight for edge in vertex.edges)
        return 0.0 if vertex.id in self.sources else math.inf

    def compute(self, vertex: Vertex, messages: list[float]) -> None:
        """Take the least distance that is known, and tell it on if it is news."""
        least = min(messages, default=math.inf)
        if least < vertex.value or (vertex.superstep == 0 and vertex.value == 0.0):
            vertex.value = min(least, vertex.value)
            for edge in vertex.edges:
                vertex.send(edge.target, vertex.value + edge.weight)
        vertex.vote_to_halt()


@overload
def pagerank(
    edges: EdgeList,
    *,
    damping: float = ...,
    iterations: int = ...,
    tolerance: float = ...,
    executor: Executor | None = ...,
) -> NDArray[Any]: ...
@overload
def pagerank(
    edges: Adjacency | Iterable[Any],
    *,
    damping: float = ...,
    iterations: int = ...,
    tolerance: float = ...,
    executor: None = ...,
) -> dict[Any, float]: ...
def pagerank(
    edges: EdgeList | Adjacency | Iterable[Any],
    *,
    damping: float = 0.85,
    iterations: int = 100,
    tolerance: float = 1e-6,
    executor: Executor | None = None,
) -> Any:
    """Rank vertices by how much a walk that follows edges at random visits them.

    Brin and Page, "The anatomy of a large-scale hypertextual web search engine", 1998. The rank of
    vertices without outgoing edges is shared among all; edges carry rank in proportion to their
    weights. All ranks together are one.

    Args:
        edges: the graph.
        damping: the probability of following an edge, against starting anywhere.
        iterations: at most so many.
        tolerance: stop once the ranks have changed by less than this in all.
        executor: see `run`.

    Returns:
        The rank of each vertex.

    Raises:
        ValueError: `damping` is not between 0 and 1, or `iterations` is below 1.

    Example:
        >>> ranks = pagerank([("a", "c"), ("b", "c"), ("c", "a")])
        >>> sorted(ranks, key=ranks.get, reverse=True)
        ['c', 'a', 'b']
    """
    if not 0.0 <= damping <= 1.0:
        raise ValueError(f"damping={damping}: it is a probability, between 0 and 1")
    if iterations < 1:
        raise ValueError(f"iterations={iterations}: give 1 or more")
    limit = iterations + 1
    if is_edge_list(edges):
        from taskloom.pregel.vertex.array_algorithms import PageRankVectors

        program = PageRankVectors(damping, iterations, tolerance)
        return run(program, edges, max_supersteps=limit, executor=executor).values
    return run(PageRank(damping, iterations, tolerance), edges, max_supersteps=limit).values


@overload
def connected_components(edges: EdgeList, *, executor: Executor | None = ...) -> NDArray[Any]: ...
@overload
def connected_components(
    edges: Adjacency | Iterable[Any], *, executor: None = ...
) -> dict[Any, Any]: ...
def connected_components(
    edges: EdgeList | Adjacency | Iterable[Any], *, executor: Executor | None = None
) -> Any:
    """Find which vertices are connected, whatever the direction of the edges.

    Takes about as many supersteps as the longest of the shortest paths has edges.

    Args:
        edges: the graph.
        executor: see `run`.

    Returns:
        For each vertex the first vertex of its component.

    Example:
        >>> connected_components([("a", "b"), ("c", "b"), ("x", "y")])
        {'a': 'a', 'b': 'a', 'c': 'a', 'x': 'x', 'y': 'x'}
    """
    if is_edge_list(edges):
        from taskloom.pregel.vertex.array_algorithms import ConnectedComponentsVectors

        both_ways = edges.symmetric()
        program = ConnectedComponentsVectors()
        limit = both_ways.vertex_count + 1
        return run(program, both_ways, max_supersteps=limit, executor=executor).values
    result = _run_both_ways(edges)
    names = list(result.values)
    return {vertex: names[least] for vertex, least in result.values.items()}


def _run_both_ways(edges: Any) -> VertexResult:
    adjacency: dict[Any, list[Any]] = {}
    if isinstance(edges, Mapping):
        pairs = [(source, target) for source, targets in edges.items() for target in targets]
        # In the order in which the engine would number them.
        for source, targets in edges.items():
            for vertex in (source, *targets):
                adjacency.setdefault(vertex, [])
    else:
        pairs = [(source, target) for source, target, *_ in edges]
    for source, target in pairs:
        adjacency.setdefault(source, []).append(target)
        adjacency.setdefault(target, []).append(source)
    return run_vertices(
        ConnectedComponents(), adjacency, max_supersteps=len(adjacency) + 1, vertices=adjacency
    )


@overload
def shortest_paths(
    edges: EdgeList, sources: Any, *, executor: Executor | None = ...
) -> NDArray[Any]: ...
@overload
def shortest_paths(
    edges: Adjacency | Iterable[Any], sources: Any, *, executor: None = ...
) -> dict[Any, float]: ...
def shortest_paths(
    edges: EdgeList | Adjacency | Iterable[Any],
    sources: Any,
    *,
    executor: Executor | None = None,
) -> Any:
    """Find how far each vertex is from the nearest of some sources, along the edges.

    Args:
        edges: the graph; edges without weight have length one.
        sources: a vertex, or a list, set or array of vertices.
        executor: see `run`.

    Returns:
        The distance of each vertex; infinity for one that cannot be reached.

    Raises:
        ValueError: a weight is negative, or a source is no vertex of the graph.

    Example:
        >>> shortest_paths([("a", "b", 2.0), ("b", "c", 2.0), ("a", "c", 5.0)], "a")
        {'a': 0.0, 'b': 2.0, 'c': 4.0}
    """
    if is_edge_list(edges):
        from taskloom.pregel.vertex.array_algorithms import ShortestPathsVectors

        limit = edges.vertex_count + 1
        vectors = ShortestPathsVectors(sources)
        return run(vectors, edges, max_supersteps=limit, executor=executor).values
    many = isinstance(sources, (list, set, frozenset))
    wanted = frozenset(sources if many else (sources,))
    values: dict[Any, float] = run(ShortestPaths(wanted), edges).values
    if unknown := wanted - values.keys():
        raise ValueError(f"no vertex of the graph: {', '.join(sorted(map(repr, unknown)))}")
    return values


def _refuse_negative(weights: Iterable[float]) -> None:
    for weight in weights:
        if not weight >= 0:
            raise ValueError(f"there is an edge of weight {weight}: lengths are zero or more")
