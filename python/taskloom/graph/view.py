"""A graph seen through options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, final

from taskloom._taskloom import Node
from taskloom.errors import GraphError
from taskloom.graph._flow import Flows
from taskloom.graph._place import check_place
from taskloom.graph._shapes import Adder, checked_window
from taskloom.graph.composition import Composition
from taskloom.graph.patterns import Patterns
from taskloom.graph.trees import Trees
from taskloom.task import Options

if TYPE_CHECKING:
    from taskloom.graph.builder import Graph

__all__ = ["GraphView"]

R = TypeVar("R")


@final
class GraphView(Patterns, Trees, Composition, Flows):
    """A graph seen through options: what is added here gets them. Made by `Graph.options`.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> careful = g.options(retry=3)
    >>> careful.options(name="fetch").add(int, "1").options
    Options(name='fetch', retry=Retry(3, delay=0, backoff=2, on=(Exception)))
    """

    __slots__ = ("_given", "_graph", "_window")

    def __init__(self, graph: Graph, given: Options, window: int | None = None) -> None:
        self._graph = graph
        self._given = given
        self._window = window

    def _adder(self) -> Adder:
        return Adder(self._graph, self._given, self._window)

    def options(self, **options: Any) -> GraphView:
        """A view with these options laid over the present ones.

        >>> import taskloom
        >>> view = taskloom.Graph().options(retry=3).options(on_error="continue")
        """
        window = self._window
        if "max_concurrency" in options:
            limit = checked_window(options.pop("max_concurrency"))
            window = None if limit is None else self._graph._new_window(limit)
        given = Options("Graph.options", **options).over(self._given)
        return GraphView(self._graph, given, window)

    def add(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> Node[R]:
        """As `Graph.add`, with the view's options for the node.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> g.options(name="seven").add(int, "7")
        <node seven>
        """
        graph, given = self._graph, self._given
        name = given.get("name")
        if name is not None and name in graph._names:
            raise GraphError(
                f"the graph has a node named {name!r} already ({graph._names[name].function!r}); "
                "names are unique within a graph"
            )
        callee = graph._callee(function)
        options = given.over(callee.options)
        check_place(options, callee.function)
        node: Node[R] = graph._add(function, args, kwargs, options)
        graph._optioned[node.index] = options
        if name is not None:
            graph._names[name] = node
        if self._window is not None:
            graph._put_into_window(node, self._window)
        if "after" in given:
            node.after(*given.get("after"))
        return node
