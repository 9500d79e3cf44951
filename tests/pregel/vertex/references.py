"""What the algorithms should say, found by the plainest means."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

Triples = list[tuple[int, int, float]]


@st.composite
def graphs(draw: st.DrawFn, most: int = 8) -> tuple[int, Triples]:
    """A small graph: its number of vertices, and weighted edges, loops and doubles included."""
    count = draw(st.integers(1, most))
    end = st.integers(0, count - 1)
    weight = st.integers(0, 6).map(float)
    return count, draw(st.lists(st.tuples(end, end, weight), max_size=3 * most))


def page_rank(count: int, edges: Triples, damping: float, iterations: int) -> list[float]:
    ranks = [1.0 / count] * count
    out = [sum(w for s, _, w in edges if s == vertex) for vertex in range(count)]
    for _ in range(iterations):
        lost = sum(ranks[vertex] for vertex in range(count) if out[vertex] == 0)
        flow = [lost / count] * count
        for source, target, weight in edges:
            if out[source]:
                flow[target] += ranks[source] * weight / out[source]
        ranks = [(1 - damping) / count + damping * inflow for inflow in flow]
    return ranks


def components(count: int, edges: Triples) -> list[int]:
    least = list(range(count))
    for _ in range(count):
        for source, target, _ in edges:
            least[source] = least[target] = min(least[source], least[target])
    return least


def distances(count: int, edges: Triples, sources: set[int]) -> list[float]:
    far = [0.0 if vertex in sources else math.inf for vertex in range(count)]
    for _ in range(count):
        for source, target, weight in edges:
            far[target] = min(far[target], far[source] + weight)
    return far


def isolated_and_edges(count: int, edges: Triples) -> dict[int, list[Any]]:
    """The edges without weights as a mapping that has every vertex."""
    found: dict[int, list[Any]] = {vertex: [] for vertex in range(count)}
    for source, target, _ in edges:
        found[source].append(target)
    return found


def in_order(values: dict[int, Any]) -> list[Any]:
    """The values by the number of their vertex."""
    return [values[vertex] for vertex in sorted(values)]
