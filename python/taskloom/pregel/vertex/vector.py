"""Vector programs: one call a superstep, on arrays over all vertices."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from taskloom._taskloom import checkpoint_if_cancelled
from taskloom.pregel.vertex.delivery import Along, Delivery, identity_for, ufunc_of
from taskloom.pregel.vertex.edges import EdgeList
from taskloom.pregel.vertex.fold import Fold, identity_of
from taskloom.pregel.vertex.program import SuperstepLimitError, VertexResult

if TYPE_CHECKING:
    from taskloom.pregel.vertex.program import Save
    from taskloom.pregel.vertex.saved import State

Mask = NDArray[np.bool_]


@final
class VectorStep:
    """One superstep, as `compute` sees it. Made by the engine.

    Example:
        >>> from taskloom.pregel.vertex import EdgeList, VectorProgram, run
        >>> class CountIncoming(VectorProgram):
        ...     def compute(self, step):
        ...         if step.superstep == 0:
        ...             step.send(1)
        ...         else:
        ...             step.values = step.messages
        ...         step.vote_to_halt()
        >>> run(CountIncoming(), EdgeList([0, 1], [2, 2])).values.tolist()
        [0.0, 0.0, 2.0]
    """

    def __init__(
        self, edges: EdgeList, delivery: Delivery, aggregators: Mapping[str, np.ufunc]
    ) -> None:
        self.edges = edges
        """The graph."""
        self.superstep = 0
        """The present superstep, counting from zero."""
        self.values: NDArray[Any] = np.empty(0)
        """The value of each vertex; change it in place, or set a new array."""
        self.messages, self.received = delivery.collect()
        """The combined message to each vertex, neutral where there is none; and where there is."""
        self.active: Mask = np.ones(edges.vertex_count, np.bool_)
        """Which vertices take part: those that have not halted, or got a message. The values of
        the others should stay as they are."""
        self._halted: Mask = np.zeros(edges.vertex_count, np.bool_)
        self._delivery = delivery
        self._aggregators = aggregators
        self._totals: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}

    def send(
        self, messages: ArrayLike, *, mask: Mask | None = None, along: Along | None = None
    ) -> None:
        """Send a message from each vertex along its outgoing edges.

        Args:
            messages: one for each vertex, or one for all.
            mask: which vertices send; all unless given.
            along: makes a message of message and weight, edge by edge: `numpy.add`, say.
        """
        count = self.edges.vertex_count
        self._delivery.send(np.broadcast_to(np.asarray(messages), (count,)), mask, along)

    def send_to(self, targets: ArrayLike, messages: ArrayLike) -> None:
        """Send messages to single vertices, along an edge or not.

        Args:
            targets: numbers of vertices.
            messages: one for each of them, or one for all.
        """
        numbers = np.asarray(targets, np.intp)
        self._delivery.send_to(numbers, np.broadcast_to(np.asarray(messages), numbers.shape))

    def vote_to_halt(self, mask: Mask | None = None) -> None:
        """Let vertices sleep until a message comes: those of the mask, or all."""
        if mask is None:
            self._halted[:] = True
        else:
            self._halted |= mask

    def aggregate(self, name: str, values: ArrayLike) -> None:
        """Contribute values, one or many, to a total that is there in the next superstep."""
        ufunc = self._fold(name)
        value = ufunc.reduce(np.ravel(np.asarray(values)))
        self._totals[name] = ufunc(self._totals[name], value) if name in self._totals else value

    def aggregated(self, name: str) -> Any:
        """Return a total of the superstep before."""
        self._fold(name)
        return self._seen[name]

    def _state(self) -> State:
        """All that the next superstep depends on."""
        return {
            "superstep": self.superstep,
            "sent": self._delivery.sent,
            "arrays": [self.values, self.messages, self.received, self.active, self._halted],
            "seen": self._seen,
        }

    def _take_up(self, state: State) -> None:
        self.superstep, self._delivery.sent = state["superstep"], state["sent"]
        arrays = [np.array(array) for array in state["arrays"]]  # those stored cannot be written to
        self.values, self.messages, self.received, self.active, self._halted = arrays
        self._seen = dict(state["seen"])

    def _fold(self, name: str) -> np.ufunc:
        if name not in self._aggregators:
            known = ", ".join(map(repr, self._aggregators)) or "none"
            raise KeyError(f"the program has no aggregator {name!r}; it has {known}")
        return self._aggregators[name]


class VectorProgram:
    """What all vertices do in a superstep, at once. Derive from it and define `compute`.

    Class attributes:
        combiner: folds the messages to one vertex: "sum", "min", "max", "any", "all", or a numpy
            ufunc that has a neutral value.
        message_type: the numpy type of messages.
        aggregators: for each total its fold.

    Example:
        >>> import numpy as np
        >>> from taskloom.pregel.vertex import EdgeList, VectorProgram, run
        >>> class Largest(VectorProgram):
        ...     combiner = "max"
        ...     message_type = np.int64
        ...     def initial(self, edges):
        ...         return np.arange(edges.vertex_count)
        ...     def compute(self, step):
        ...         larger = step.messages > step.values
        ...         step.values[larger] = step.messages[larger]
        ...         step.send(step.values, mask=None if step.superstep == 0 else larger)
        ...         step.vote_to_halt()
        >>> run(Largest(), EdgeList([0, 1, 1, 2], [1, 0, 2, 0])).values.tolist()
        [2, 2, 2]
    """

    combiner: Fold = "sum"
    message_type: Any = np.float64
    aggregators: Mapping[str, Fold] = {}

    def initial(self, edges: EdgeList) -> NDArray[Any]:
        """Return the values that the vertices start with: zeros unless overridden."""
        return np.zeros(edges.vertex_count)

    def compute(self, step: VectorStep) -> None:
        """Do all vertices' part of a superstep."""
        raise NotImplementedError


def run_vectors(
    program: VectorProgram,
    edges: EdgeList,
    *,
    max_supersteps: int,
    executor: Executor | None = None,
    save: Save | None = None,
) -> VertexResult:
    """Run a vector program."""
    saved = None if save is None else save((edges.vertex_count, len(edges)))
    delivery = Delivery(
        edges,
        ufunc_of(program.combiner),
        np.dtype(program.message_type),
        executor=executor,
        pieces=getattr(executor, "_max_workers", None) or os.cpu_count() or 1,
    )
    aggregators = {name: ufunc_of(fold) for name, fold in program.aggregators.items()}
    nothing = {name: _empty_total(fold) for name, fold in program.aggregators.items()}
    step = VectorStep(edges, delivery, aggregators)
    step._seen = nothing
    if saved is not None and saved.state is not None:
        step._take_up(saved.state)
    else:
        step.values = program.initial(edges)
    if len(step.values) != edges.vertex_count:
        raise ValueError(
            f"{type(program).__name__}.initial returned {len(step.values)} values for "
            f"{edges.vertex_count} vertices"
        )
    while step.active.any():
        if step.superstep == max_supersteps:
            raise SuperstepLimitError(max_supersteps, int(step.active.sum()))
        checkpoint_if_cancelled()
        step._halted &= ~step.active
        program.compute(step)
        step.superstep += 1
        step.messages, step.received = delivery.collect()
        step.active = step.received | ~step._halted
        step._seen = nothing | step._totals
        step._totals = {}
        if saved is not None:
            saved.step(step.superstep, not step.active.any(), step._state)
    return VertexResult(
        values=step.values,
        supersteps=step.superstep,
        messages=delivery.sent,
        aggregated=step._seen,
    )


def _empty_total(fold: Fold) -> Any:
    return identity_for(fold, np.dtype(float)) if isinstance(fold, np.ufunc) else identity_of(fold)
