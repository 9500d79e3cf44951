"""Edges as arrays: what vector programs run over."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from importlib import import_module
from typing import Any, final

try:
    import numpy as np
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "edge lists and vector programs need the package numpy: pip install 'taskloom[vertex]'; "
        "programs that compute vertex by vertex do without",
        name="numpy",
    ) from error

from numpy.typing import ArrayLike, NDArray


@final
class EdgeList:
    """Directed edges between vertices that are numbered from zero.

    The arrays are kept as they are, not copied; do not change them afterwards.

    Args:
        sources: for each edge the vertex it leaves.
        targets: for each edge the vertex it enters.
        weights: for each edge its weight; `None` if edges have none.
        vertices: how many vertices there are; one more than the greatest number unless given.
        labels: for each vertex the name it is known by; its number unless given.

    Raises:
        ValueError: the arrays differ in length, or a number is out of range.

    Example:
        >>> EdgeList([0, 0, 1], [1, 2, 2])
        EdgeList(vertices=3, edges=3)
    """

    def __init__(
        self,
        sources: ArrayLike,
        targets: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        vertices: int | None = None,
        labels: list[Any] | None = None,
    ) -> None:
        self.sources = _vertex_numbers(sources, "sources")
        self.targets = _vertex_numbers(targets, "targets")
        self.weights: NDArray[Any] | None = None if weights is None else np.asarray(weights)
        if len(self.sources) != len(self.targets):
            raise ValueError(
                f"each edge has a source and a target, but there are {len(self.sources)} sources "
                f"and {len(self.targets)} targets"
            )
        if self.weights is not None and self.weights.shape != self.sources.shape:
            raise ValueError(
                f"each edge has a weight, but there are {len(self.sources)} edges and weights of "
                f"shape {self.weights.shape}"
            )
        greatest = -1
        if len(self.sources):
            greatest = int(max(self.sources.max(), self.targets.max()))
            if min(self.sources.min(), self.targets.min()) < 0:
                raise ValueError("vertices are numbered from zero, and there is a negative number")
        if vertices is None:
            vertices = greatest + 1 if labels is None else len(labels)
        if greatest >= vertices:
            raise ValueError(f"there is a vertex {greatest}, but only {vertices} vertices")
        if labels is not None and len(labels) != vertices:
            raise ValueError(f"there are {len(labels)} labels for {vertices} vertices")
        self.vertex_count = vertices
        self.labels = labels
        self._by_source: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
        self._by_target: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]] | None = None

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[Hashable, ...]]) -> EdgeList:
        """Make edges of `(source, target)` or `(source, target, weight)` tuples of any vertices.

        The vertices are numbered in the order in which they come, and become the labels.

        Example:
            >>> EdgeList.from_pairs([("a", "b"), ("b", "a"), ("b", "c")]).labels
            ['a', 'b', 'c']
        """
        numbers: dict[Hashable, int] = {}
        sources: list[int] = []
        targets: list[int] = []
        weights: list[Any] = []
        for source, target, *weight in pairs:
            sources.append(numbers.setdefault(source, len(numbers)))
            targets.append(numbers.setdefault(target, len(numbers)))
            weights += weight
        if weights and len(weights) != len(sources):
            raise ValueError(f"of {len(sources)} edges only {len(weights)} have a weight")
        return cls(sources, targets, weights or None, labels=list(numbers))

    @classmethod
    def from_sparse(cls, matrix: Any, *, weighted: bool = True) -> EdgeList:
        """Make edges of a square `scipy.sparse` matrix: entry (i, j) is the edge from i to j.

        Args:
            matrix: the adjacency matrix, in any sparse format.
            weighted: take the entries as weights.
        """
        entries = matrix.tocoo()
        if entries.shape[0] != entries.shape[1]:
            raise ValueError(f"an adjacency matrix is square; this one has shape {entries.shape}")
        weights = entries.data if weighted else None
        return cls(entries.row, entries.col, weights, vertices=entries.shape[0])

    def to_sparse(self) -> Any:
        """Return the adjacency matrix as `scipy.sparse.csr_array`; edges without weight count 1."""
        sparse: Any = import_module("scipy.sparse")
        weights = np.ones(len(self)) if self.weights is None else self.weights
        shape = (self.vertex_count, self.vertex_count)
        return sparse.coo_array((weights, (self.sources, self.targets)), shape=shape).tocsr()

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        return f"EdgeList(vertices={self.vertex_count}, edges={len(self)})"

    @property
    def out_degrees(self) -> NDArray[np.intp]:
        """For each vertex, how many edges leave it."""
        return np.bincount(self.sources, minlength=self.vertex_count)

    @property
    def in_degrees(self) -> NDArray[np.intp]:
        """For each vertex, how many edges enter it."""
        return np.bincount(self.targets, minlength=self.vertex_count)

    def symmetric(self) -> EdgeList:
        """Return these edges with, for each, one back with the same weight."""
        return EdgeList(
            np.concatenate((self.sources, self.targets)),
            np.concatenate((self.targets, self.sources)),
            None if self.weights is None else np.concatenate((self.weights, self.weights)),
            vertices=self.vertex_count,
            labels=self.labels,
        )

    def by_source(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the edges ordered by source, and where the edges of each source begin.

        Made once, at the first call: sorting a million edges takes about a tenth of a second.
        """
        if self._by_source is None:
            order = np.argsort(self.sources, kind="stable")
            begins = np.zeros(self.vertex_count + 1, np.intp)
            np.cumsum(self.out_degrees, out=begins[1:])
            self._by_source = (order, begins)
        return self._by_source

    def by_target(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Return the edges ordered by target, the targets there are, and where each one's begin."""
        if self._by_target is None:
            order = np.argsort(self.targets, kind="stable")
            degrees = self.in_degrees
            present = np.flatnonzero(degrees)
            begins = np.zeros(len(present) + 1, np.intp)
            np.cumsum(degrees[present], out=begins[1:])
            self._by_target = (order, present, begins)
        return self._by_target


def _vertex_numbers(numbers: ArrayLike, name: str) -> NDArray[np.intp]:
    array = np.asarray(numbers)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be a flat array of integers, not of shape {array.shape} and type "
            f"{array.dtype}; for vertices of another kind there is EdgeList.from_pairs"
        )
    return array.astype(np.intp, copy=False)
