"""What graphs and their views have in common: they add nodes, with the same options for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, final

from taskloom._taskloom import Node, Pack
from taskloom.errors import OptionError
from taskloom.task import Options

if TYPE_CHECKING:
    from taskloom.graph.builder import Graph

__all__ = ["Adder", "Shapes", "checked_window", "node_of", "nodes_in"]

R = TypeVar("R")


@final
class Adder:
    """Adds nodes to a graph with the options, and into the window, of a view."""

    __slots__ = ("given", "graph", "window")

    def __init__(
        self, graph: Graph, given: Options = Options.EMPTY, window: int | None = None
    ) -> None:
        self.graph = graph
        self.given = given
        self.window = window

    def add(
        self,
        function: Callable[..., R],
        args: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        part: str | None = None,
    ) -> Node[R]:
        """Adds one node; `part` is what follows the shape's name in that of the node."""
        if not self.given and self.window is None:
            return self.graph.add(function, *args, **(kwargs or {}))
        given = self.given
        if part is not None and "name" in given:
            given = Options(name=given.get("name") + part).over(given)
        return self.graph._add_seen(given, self.window, function, args, kwargs)

    def options(self, options: dict[str, Any]) -> Adder:
        """The same with options laid over the present ones."""
        return self.graph._seen(self.given, self.window).options(**options)._adder()

    def bare(self) -> Adder:
        """The same without options, but with the window."""
        return Adder(self.graph, Options.EMPTY, self.window)


class Shapes:
    """A graph, or a view of one, as the shapes see it."""

    __slots__ = ()

    def _adder(self) -> Adder:
        raise NotImplementedError


def checked_window(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise OptionError(
        f"max_concurrency={value!r} must be a number of nodes from 1, or None for no limit"
    )


def node_of(value: object) -> Node[Any] | None:
    """The one node that an argument stands for, if it is one."""
    while isinstance(value, Pack):
        value = value._content
    return value if isinstance(value, Node) else None


def nodes_in(values: Iterable[object], where: str) -> Iterator[Node[Any]]:
    """The nodes that these are or stand for; raises `TypeError` for anything else."""
    if isinstance(values, Node):
        raise TypeError(f"{where} takes a list of nodes: {where}=[{values.name}]")
    for value in values:
        content = value._content if isinstance(value, Pack) else value
        if isinstance(content, Node):
            yield content
        elif isinstance(value, Pack) and isinstance(content, (Pack, list, tuple)):
            yield from nodes_in([content] if isinstance(content, Pack) else content, where)
        else:
            raise TypeError(f"{where} takes nodes of this graph, not {value!r}")
