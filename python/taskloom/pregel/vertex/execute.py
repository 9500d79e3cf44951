"""Running a vertex program, of either form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from taskloom.pregel.vertex.program import Adjacency, VertexProgram, VertexResult, run_vertices

if TYPE_CHECKING:
    from taskloom.pregel.vertex.edges import EdgeList
    from taskloom.pregel.vertex.program import Save
    from taskloom.pregel.vertex.vector import VectorProgram


def run(
    program: VertexProgram | VectorProgram,
    edges: EdgeList | Adjacency | Iterable[Any],
    *,
    max_supersteps: int = 10_000,
    executor: Executor | None = None,
    checkpointer: Any = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_every: int = 10,
) -> VertexResult:
    """Run a vertex program until all vertices have halted and no message is under way.

    Args:
        program: a `VertexProgram`, or a `VectorProgram` for large graphs.
        edges: for a vector program an `EdgeList`; else that, or a mapping from each vertex to its
            targets (an iterable, or a mapping from targets to weights), or an iterable of
            `(source, target)` or `(source, target, weight)` tuples.
        max_supersteps: the superstep after which a program that has not halted is stopped.
        executor: shares the delivery of messages of a vector program among its threads, where
            there are enough edges to gain by it. Sums of floating-point messages may then differ
            in their last digits from those without.
        checkpointer: stores the run as it goes: any saver of state graphs. A run with the same
            thread goes on where the stored one was, and one that is over returns its result. What
            a program keeps in attributes of its own is not stored.
        config: names the thread: `{"configurable": {"thread_id": ...}}`.
        checkpoint_every: store after so many supersteps, and at the end.

    Returns:
        The values of the vertices, with counts and totals.

    Raises:
        SuperstepLimitError: the program has not halted by `max_supersteps`.
        TypeError: a vector program was given something else than an `EdgeList`, or an executor was
            given to a program that computes vertex by vertex.
        ValueError: there is a checkpointer and no thread, or the thread holds a run over another
            graph.
        Cancelled: this is called in a task, which was cancelled or timed out; looked at before
            each superstep.

    Example:
        >>> from taskloom.pregel.vertex import VertexProgram
        >>> class CountIncoming(VertexProgram):
        ...     def compute(self, vertex, messages):
        ...         vertex.value = len(messages)
        ...         if vertex.superstep == 0:
        ...             vertex.send_to_all("here")
        ...         vertex.vote_to_halt()
        >>> run(CountIncoming(), [("a", "b"), ("c", "b")]).values
        {'a': 0, 'b': 2, 'c': 0}
    """
    if max_supersteps < 1:
        raise ValueError(f"max_supersteps={max_supersteps}: give 1 or more")
    save: Save | None = None
    if checkpointer is not None:
        from taskloom.pregel.vertex.saved import Saved

        save = partial(Saved, checkpointer, config, checkpoint_every)
    if isinstance(program, VertexProgram):
        if executor is not None:
            raise TypeError(
                "executor is for vector programs: a VertexProgram runs its vertices one by one on "
                "the calling thread"
            )
        if is_edge_list(edges):
            names, tuples = _named(edges)
            return run_vertices(
                program, tuples, max_supersteps=max_supersteps, vertices=names, save=save
            )
        plain: Any = edges
        return run_vertices(program, plain, max_supersteps=max_supersteps, save=save)
    from taskloom.pregel.vertex.vector import run_vectors

    if not is_edge_list(edges):
        raise TypeError(
            f"a vector program runs over an EdgeList, not over {type(edges).__name__}; "
            "EdgeList.from_pairs makes one of tuples"
        )
    return run_vectors(program, edges, max_supersteps=max_supersteps, executor=executor, save=save)


def is_edge_list(edges: object) -> TypeGuard[EdgeList]:
    """Say whether these are an `EdgeList`, without importing numpy to find out."""
    return hasattr(edges, "vertex_count")


def _named(edges: EdgeList) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The vertices and the weighted edges of an edge list, by their labels."""
    names = edges.labels or list(range(edges.vertex_count))
    weights = [1.0] * len(edges) if edges.weights is None else edges.weights.tolist()
    ends = zip(edges.sources.tolist(), edges.targets.tolist(), weights, strict=True)
    return names, [(names[source], names[target], weight) for source, target, weight in ends]
