"""Graphs and plans as pickles: nodes are numbers there, and added anew when a pickle is read."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom._taskloom import Node, Pack, Plan
from taskloom.plan import Settings

if TYPE_CHECKING:
    from taskloom.graph._adjusting import Stepping
    from taskloom.graph.builder import Graph

__all__ = ["dismantled", "node_at", "plan_again", "plan_dismantled", "rebuilt"]

#: What is made anew, or is of no meaning elsewhere.
LEFT_OUT = ("_tokens", "_compiled", "_kin", "_rootless", "_check_types", "_coroutines")


class Ref(NamedTuple):
    """A node among the arguments of another, by its index."""

    number: int


class Spec(NamedTuple):
    """A node as it was added."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: Any


class Parts(NamedTuple):
    """What the native half of a graph holds."""

    kind: type[Graph]
    check_types: Any
    nodes: list[Spec]
    order: list[tuple[int, int]]
    exclusive: list[tuple[int, int, str]]
    windows: tuple[list[int], dict[int, int]]


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value`, changed, or a container of its kind with changed items."""
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, change) for item in value)
    if type(value) is dict:
        return {_mapped(key, change): _mapped(item, change) for key, item in value.items()}
    return change(value)


def _numbered(value: Any) -> Any:
    if isinstance(value, Node):
        return Ref(value.index)
    if isinstance(value, Pack):
        return _mapped(value._content, _numbered)
    return value


def dismantled(graph: Graph) -> tuple[Any, ...]:
    """What `Graph.__reduce__` returns.

    >>> import pickle, taskloom
    >>> g = taskloom.Graph()
    >>> node = g.options(name="two").add(int, "2")
    >>> taskloom.run(pickle.loads(pickle.dumps(g)))["two"]
    2
    """
    specs = [
        Spec(
            node.function,
            _mapped(node.args, _numbered),
            _mapped(node.kwargs, _numbered),
            node.options,
        )
        for node in graph.nodes
    ]
    parts = Parts(
        type(graph), graph._check_types, specs, graph._ordered, graph._exclusive, graph._windows
    )
    state = {name: value for name, value in vars(graph).items() if name not in LEFT_OUT}
    return rebuilt, (parts,), state


def rebuilt(parts: Parts) -> Graph:
    """A graph with the nodes of another; the rest of it is set as its state."""
    graph = parts.kind(check_types=parts.check_types)

    def found(value: Any) -> Any:
        return nodes[value.number] if isinstance(value, Ref) else value

    nodes: list[Node[Any]] = []
    for spec in parts.nodes:
        kwargs = _mapped(spec.kwargs, found)
        args = _mapped(spec.args, found)
        nodes.append(graph._add_plain(spec.function, args, kwargs, spec.options))
    for before, after in parts.order:
        graph._order(nodes[before], nodes[after])
    for use in parts.exclusive:
        graph._note_use(*use)
    limits, members = parts.windows
    for limit in limits:
        graph._new_window(limit)
    for index, window in members.items():
        graph._put_into_window(nodes[index], window)
    return graph


def node_at(graph: Graph, index: int) -> Node[Any]:
    """The node of an index: what a pickled node is."""
    return graph.nodes[index]


def plan_dismantled(plan: Plan) -> tuple[Any, ...]:
    """What `Plan.__reduce__` returns; raises `PicklingError` if the graph has changed since.

    >>> import pickle, taskloom
    >>> g = taskloom.Graph()
    >>> node = g.add(int, "2")
    >>> plan, node = pickle.loads(pickle.dumps((g.compile(), node)))
    >>> taskloom.run(plan)[node]
    2
    """
    settings = plan._facts.settings
    if settings.version != plan.graph._version:
        raise pickle.PicklingError(
            "the graph of this plan has grown since it was compiled: pickle the plan of a graph "
            "that is complete, or compile it again"
        )
    return plan_again, (plan.graph, settings)


def plan_again(graph: Graph, settings: Settings, stepping: Stepping | None = None) -> Plan:
    """Compiles a graph as it was compiled before, but for what submits its nodes."""
    nodes = graph.nodes
    keep: Iterable[Node[Any]] = [nodes[index] for index in settings.keep]
    if settings.slots == "one_to_one":
        keep = ()
    return graph._compile_as(
        keep,
        settings.slots,
        settings.order,
        settings.check_aliasing,
        stepping=stepping,
        measured=settings.measured,
    )
