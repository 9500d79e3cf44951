"""Graphs that are made while a run goes on, and become a part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from taskloom import _taskloom
from taskloom._launch import new_run
from taskloom._taskloom import Node, Pack, Plan
from taskloom.access import Context
from taskloom.errors import GraphError
from taskloom.graph import Graph
from taskloom.run import Run

__all__ = ["Spawn"]

_ENDS: Any = object()


@final
class Spawn:
    """Returned by a node that has more nodes run in its place: a graph, and what it comes to.

    The node is done when all of the graph has run; then its value is there, and what depends on it
    runs. The graph's own nodes may spawn in turn. If one of them fails, the node fails with
    `RunFailed`, a group of their errors whose `run` is that of the graph; `AbortRun` in it aborts
    the whole run, and a stop of the run stops it too. It is run by whoever ran the node and by the
    workers that have nothing to do: one thread is enough.

    A node with a time limit has it for its own call, not for what it spawns. For a task that was
    submitted rather than added to a graph, this is a value like any other.

    Parameters
    ----------
    graph
        A graph, or a plan that is to be run again and again.
    value
        What the node's value is to be: a node of `graph`, its name, or a list, tuple or dict of
        nodes. Left out, the value of the node that no other one reads, or the tuple of all those.
    context
        The values for what the graph asks of its context.

    >>> import taskloom
    >>> def fibonacci(n):
    ...     if n < 2:
    ...         return n
    ...     g = taskloom.Graph()
    ...     return taskloom.Spawn(g, g.add(sum, [g.add(fibonacci, n - 1), g.add(fibonacci, n - 2)]))
    >>> g = taskloom.Graph()
    >>> node = g.add(fibonacci, 10)
    >>> taskloom.run(g)[node]
    55
    """

    __slots__ = ("_context", "_plan", "_value")

    def __init__(
        self, graph: Graph | Plan, value: Any = _ENDS, *, context: Context | None = None
    ) -> None:
        if not isinstance(graph, (Graph, Plan)):
            raise TypeError(f"Spawn takes a graph or a plan, not {graph!r}")
        source: Graph = graph.graph if isinstance(graph, Plan) else graph
        wanted = () if value is _ENDS else tuple(_nodes_in(value, source))
        for node in wanted:
            if node.graph is not source:
                raise GraphError(
                    f"Spawn is to give the value of {node.name!r}, a node of another graph"
                )
        self._plan = graph if isinstance(graph, Plan) else graph.compile(keep=wanted)
        if self._plan._has_callers:
            raise GraphError(
                "a graph that is spawned has no thread that called run: leave out place='caller', "
                "or give it to nodes of the graph that spawns"
            )
        if value is _ENDS:
            ends = tuple(self._plan.nodes[index] for index in sorted(self._plan._kept))
            value = ends[0] if len(ends) == 1 else ends
        self._value = value
        self._context = context

    def _join(self, executor: _taskloom.Pool, serial: bool) -> _Joined:
        """Makes the run, for a node of a run on this executor."""
        spawned = getattr(executor, "spawned", None)
        if spawned is not None:  # it stands in for an executor whose nodes are all tasks
            return _Joined(spawned(self._plan, self._context), self._value, False)
        run = new_run(
            executor,
            self._plan,
            "serial" if serial else "parallel",
            shared=not serial,
            values=self._context,
        )
        return _Joined(run, self._value, serial)

    def _run(self) -> Any:
        """Runs it on this thread, which is at a node, and on the workers; returns its value."""
        here = _taskloom._run_here()
        if here is None:
            raise GraphError(
                "a loop whose iterations are graphs runs in its run's own loop: leave out its "
                "timeout, deadline, resources and place"
            )
        joined = self._join(*here)
        joined.run_here()
        return joined.result()

    def __repr__(self) -> str:
        return f"<spawn of {len(self._plan)} nodes>"


def _nodes_in(value: Any, graph: Graph) -> list[Node[Any]]:
    if isinstance(value, Node):
        return [value]
    if isinstance(value, str):
        return [graph.node(value)]
    if isinstance(value, Pack):
        return _nodes_in(value._content, graph)
    if isinstance(value, (list, tuple)):
        return [node for item in value for node in _nodes_in(item, graph)]
    if isinstance(value, dict):
        return [node for item in value.values() for node in _nodes_in(item, graph)]
    raise TypeError(f"Spawn gives the values of nodes of its graph, not {value!r}")


@final
class _Joined:
    """A run inside of a run, as the node that waits for it sees it: as a future."""

    def __init__(self, run: Run, value: Any, serial: bool) -> None:
        self._run = run
        self._value = value
        self._serial = serial

    def begin(self, here: bool) -> None:
        """Starts it: on this thread and the workers, or on the workers alone."""
        if self._serial:
            self._run._run_serial()
        elif here:
            self._run._start_here()
        else:
            self._run._start()

    def run_here(self) -> None:
        """Runs it to its end."""
        if self._serial:
            self._run._run_serial()
        else:
            self._run._run_shared()

    def done(self) -> bool:
        return self._run.done()

    def cancel(self) -> bool:
        return self._run.cancel()

    def cancelled(self) -> bool:
        return self._run.status == "cancelled"

    def exception(self) -> None:
        """Waits for its end."""
        self._run.wait()

    def result(self) -> Any:
        """The value; raises what has gone wrong, in the words of the outer run."""
        aborted = self._run._aborted_by()
        if aborted is not None:
            raise aborted[1]
        return self._values(self._value, self._run.result())

    def _values(self, value: Any, run: Run) -> Any:
        if isinstance(value, dict):
            return {key: self._values(item, run) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._values(item, run) for item in value)
        return run[value]

    def add_done_callback(self, callback: Callable[[_Joined], object]) -> None:
        self._run._when_over(lambda: callback(self))


_taskloom._know_spawn(Spawn)
