"""Page rank, connected components and shortest paths as vector programs; see `algorithms`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskloom.pregel.vertex.edges import EdgeList
from taskloom.pregel.vertex.vector import VectorProgram, VectorStep


class PageRankVectors(VectorProgram):
    """Page rank on arrays; see `algorithms.pagerank`."""

    combiner = "sum"
    aggregators = {"dangling": "sum", "change": "sum"}  # noqa: RUF012 - never changed

    def __init__(self, damping: float, iterations: int, tolerance: float) -> None:
        self.damping = damping
        self.iterations = iterations
        self.tolerance = tolerance
        self._share: NDArray[Any] = np.empty(0)
        self._dangling: NDArray[Any] = np.empty(0)

    def initial(self, edges: EdgeList) -> NDArray[Any]:
        """Return an equal share for every vertex."""
        count = edges.vertex_count
        total = np.bincount(edges.sources, weights=edges.weights, minlength=count)
        self._dangling = np.flatnonzero(total == 0)
        with np.errstate(divide="ignore"):
            self._share = np.where(total == 0, 0.0, 1.0 / total)
        return np.full(count, 1.0 / max(count, 1))

    def compute(self, step: VectorStep) -> None:
        """Take the rank that flows in, and pass it on by the weights of the edges."""
        if step.superstep > 0:
            count = step.edges.vertex_count
            everyone = (1.0 - self.damping) + self.damping * step.aggregated("dangling")
            ranks = step.messages * self.damping
            ranks += everyone / count
            step.aggregate("change", np.abs(ranks - step.values).sum())
            step.values = ranks
        settled = step.superstep > 1 and step.aggregated("change") < self.tolerance
        if settled or step.superstep == self.iterations:
            step.vote_to_halt()
            return
        along = None if step.edges.weights is None else np.multiply
        step.send(step.values * self._share, along=along)
        step.aggregate("dangling", step.values[self._dangling].sum())


class ConnectedComponentsVectors(VectorProgram):
    """Connected components on arrays, over edges both ways; see `algorithms`."""

    combiner = "min"
    message_type = np.intp

    def initial(self, edges: EdgeList) -> NDArray[Any]:
        """Return each vertex's own number."""
        return np.arange(edges.vertex_count, dtype=np.intp)

    def compute(self, step: VectorStep) -> None:
        """Take the least number that is known, and tell it to the neighbours if it is news."""
        news = step.messages < step.values
        step.values[news] = step.messages[news]
        step.send(step.values, mask=None if step.superstep == 0 else news)
        step.vote_to_halt()


class ShortestPathsVectors(VectorProgram):
    """Distances from a set of sources on arrays; see `algorithms.shortest_paths`."""

    combiner = "min"

    def __init__(self, sources: ArrayLike) -> None:
        self.sources = np.atleast_1d(np.asarray(sources))

    def initial(self, edges: EdgeList) -> NDArray[Any]:
        """Return zero for the sources; nothing else is known to be reached."""
        if edges.weights is not None and not (edges.weights >= 0).all():
            raise ValueError("there are edges of negative weight: lengths are zero or more")
        outside = (self.sources < 0) | (self.sources >= edges.vertex_count)
        if outside.any():
            raise ValueError(
                f"no vertex of the graph: {self.sources[outside].tolist()}; vertices are numbered "
                f"from 0 to {edges.vertex_count - 1}"
            )
        distances = np.full(edges.vertex_count, np.inf)
        distances[self.sources] = 0.0
        return distances

    def compute(self, step: VectorStep) -> None:
        """Take the least distance that is known, and tell it on if it is news."""
        news = step.values == 0 if step.superstep == 0 else step.messages < step.values
        if step.superstep > 0:
            step.values[news] = step.messages[news]
        if step.edges.weights is None:
            step.send(step.values + 1.0, mask=news)
        else:
            step.send(step.values, mask=news, along=np.add)
        step.vote_to_halt()
