"""Messages along the edges, combined where they arrive.

Three roads, chosen by how many vertices send. All of them send: one pass over the edges. Some do:
a pass over the edges that looks who sends, or, once such passes have cost more than sorting the
edges by source would, only over the edges of those who send. With an executor a full pass is cut
into pieces by target, so that no two pieces share a vertex.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taskloom.pregel.vertex.edges import EdgeList
from taskloom.pregel.vertex.fold import Fold

_UFUNCS: dict[str, np.ufunc] = {
    "sum": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "any": np.logical_or,
    "all": np.logical_and,
}

# Sorting costs about as much as this many passes over the edges.
_PASSES_FOR_A_SORT = 40
# A pass over fewer edges than this is not worth handing to other threads.
_WORTH_SHARING = 200_000

Along = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def ufunc_of(fold: Fold) -> np.ufunc:
    """Return the numpy function that a fold means.

    Raises:
        ValueError: it means none: arrays are folded by name, or by a numpy ufunc.
    """
    if isinstance(fold, np.ufunc):
        return fold
    found = _UFUNCS.get(fold) if isinstance(fold, str) else None
    if found is None:
        known = ", ".join(map(repr, _UFUNCS))
        raise ValueError(f"arrays are folded by {known} or a numpy ufunc, not by {fold!r}")
    return found


def identity_for(ufunc: np.ufunc, dtype: np.dtype[Any]) -> Any:
    """Return the value that changes no other when folded with it.

    Raises:
        ValueError: the function has none.
    """
    if ufunc in (np.minimum, np.maximum):
        if dtype.kind == "f":
            return dtype.type(np.inf if ufunc is np.minimum else -np.inf)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return limits.max if ufunc is np.minimum else limits.min
        if dtype.kind == "b":
            return ufunc is np.minimum
    if ufunc.identity is None:
        raise ValueError(
            f"{ufunc.__name__} of {dtype} has no neutral value; combine by sum, min, max, any, all"
        )
    return dtype.type(ufunc.identity)


class Delivery:
    """The post office of one run: takes messages, and hands them out combined.

    Args:
        edges: the graph.
        ufunc: combines the messages to one vertex.
        dtype: the type of messages.
        executor: runs the pieces of a full pass, if given.
        pieces: into how many a full pass is cut.
    """

    def __init__(
        self,
        edges: EdgeList,
        ufunc: np.ufunc,
        dtype: np.dtype[Any],
        *,
        executor: Executor | None = None,
        pieces: int = 1,
    ) -> None:
        self.edges = edges
        self.ufunc = ufunc
        self.dtype = dtype
        self.identity = identity_for(ufunc, dtype)
        self.sent = 0
        self._executor = executor if len(edges) >= _WORTH_SHARING else None
        self._pieces = pieces
        self._looked = 0
        self._reached: NDArray[np.bool_] | None = None
        self._combined: NDArray[Any] | None = None
        self._received: NDArray[np.bool_] | None = None

    def send(
        self, messages: NDArray[Any], senders: NDArray[np.bool_] | None, along: Along | None
    ) -> None:
        """Take a message from each sender for all the edges that leave it."""
        if senders is not None and senders.all():
            senders = None
        if senders is None:
            if self._executor is not None:
                self._fold_in(self._shared_pass(messages, along), self._all_reached())
                return
            chosen: Any = slice(None)
        else:
            chosen = self._edges_of(senders)
        sources, targets = self.edges.sources[chosen], self.edges.targets[chosen]
        self._post(targets, self._carried(messages.take(sources), chosen, along), senders is None)

    def send_to(self, targets: NDArray[np.intp], messages: NDArray[Any]) -> None:
        """Take messages for single vertices, along an edge or not."""
        self._post(targets, messages, False)

    def collect(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Hand out, for each vertex, the combined message, and whether there is one."""
        combined, received = self._combined, self._received
        self._combined = self._received = None
        if combined is None or received is None:
            return self._blank()
        return combined, received

    def _blank(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        count = self.edges.vertex_count
        return np.full(count, self.identity, self.dtype), np.zeros(count, np.bool_)

    def _carried(self, carried: NDArray[Any], chosen: Any, along: Along | None) -> NDArray[Any]:
        if along is None:
            return carried
        weights = self.edges.weights
        if weights is None:
            raise ValueError("`along` combines messages with weights, and the edges have none")
        return along(carried, weights[chosen])

    def _post(self, targets: NDArray[np.intp], messages: NDArray[Any], everywhere: bool) -> None:
        if self._combined is None or self._received is None:
            self._combined, self._received = self._blank()
        self.sent += len(targets)
        self.ufunc.at(self._combined, targets, messages.astype(self.dtype, copy=False))
        if everywhere:
            np.logical_or(self._received, self._all_reached(), out=self._received)
        else:
            self._received[targets] = True

    def _fold_in(self, combined: NDArray[Any], received: NDArray[np.bool_]) -> None:
        if self._combined is None or self._received is None:
            self._combined, self._received = combined, received.copy()
        else:
            self._combined = self.ufunc(self._combined, combined).astype(self.dtype, copy=False)
            np.logical_or(self._received, received, out=self._received)

    def _all_reached(self) -> NDArray[np.bool_]:
        if self._reached is None:
            self._reached = np.zeros(self.edges.vertex_count, np.bool_)
            self._reached[self.edges.targets] = True
        return self._reached

    def _edges_of(self, senders: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the edges that leave the senders."""
        if self._looked < _PASSES_FOR_A_SORT:
            self._looked += 1
            return np.flatnonzero(senders[self.edges.sources])
        order, begins = self.edges.by_source()
        who = np.flatnonzero(senders)
        starts = begins[who]
        counts = begins[who + 1] - starts
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        return order[np.repeat(starts - (ends - counts), counts) + np.arange(total)]

    def _shared_pass(self, messages: NDArray[Any], along: Along | None) -> NDArray[Any]:
        """One pass over all edges in pieces that end at different vertices."""
        assert self._executor is not None
        order, present, begins = self.edges.by_target()
        sources = self.edges.sources
        combined, _ = self._blank()

        def piece(first: int, last: int) -> None:
            chosen = order[begins[first] : begins[last]]
            carried = self._carried(messages.take(sources.take(chosen)), chosen, along)
            carried = carried.astype(self.dtype, copy=False)
            starts = begins[first:last] - begins[first]
            combined[present[first:last]] = self.ufunc.reduceat(carried, starts)

        # Pieces of as many edges each, cut between two targets.
        goals = np.linspace(0, len(order), self._pieces + 1)[1:-1]
        cuts = [0, *np.searchsorted(begins, goals).tolist(), len(present)]
        work = [(a, b) for a, b in pairwise(cuts) if b > a]
        for done in [self._executor.submit(piece, a, b) for a, b in work]:
            done.result()
        self.sent += len(order)
        return combined
