"""A graph or plan as part of another graph.

Its nodes are added to the other graph, with what they use, their order, options and windows; the
values of its context are bound to nodes of the other graph, or asked of that one's context. So a
subgraph costs nothing at run time, nothing has to wait for it as a whole, what uses a value in both
graphs is ordered across them, and a failure in it is told, skipped over and explained like any
other. The road not taken, a node that runs the plan, would have given up all of that for a smaller
number of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, final

from taskloom import _taskloom
from taskloom._taskloom import Node, Pack, Plan, Use
from taskloom.access import EXCLUSIVE, Lookup
from taskloom.errors import GraphError, OptionError
from taskloom.graph._place import check_place
from taskloom.graph._shapes import Adder, Shapes, node_of
from taskloom.graph.patterns import Group
from taskloom.graph.trees import check_trees
from taskloom.task import Options

if TYPE_CHECKING:
    from taskloom.graph.builder import Graph

__all__ = ["Box", "Subgraph"]


@final
class Box(NamedTuple):
    """The nodes that came with one subgraph, by index: drawn as a box.

    >>> from taskloom.graph.composition import Box
    >>> Box("pre", (0, 1), None).label
    'pre'
    """

    label: str
    members: tuple[int, ...]
    #: The number of the box that this one is in.
    within: int | None


@final
class Subgraph(_taskloom.Pack):
    """The nodes that a graph has become in another one; made by `Graph.subgraph`.

    As an argument it stands for the value of its last node; if there are several that no other node
    of it reads or comes after, for the tuple of theirs.

    >>> import taskloom
    >>> counting = taskloom.Graph()
    >>> words = counting.add(str.split, counting.resource("text"))
    >>> count = counting.add(len, words)
    >>> g = taskloom.Graph()
    >>> both = [g.subgraph(counting, text=text) for text in ("to be", "or not to be")]
    >>> total = g.add(sum, both)
    >>> run = taskloom.run(g.compile(keep=both))
    >>> run[total], run[both[1][count]], run[both[0]]
    (6, 4, 2)
    """

    __slots__ = ("_inner", "_mapped", "_outer")

    _inner: Graph
    _mapped: list[Any]
    _outer: tuple[Node[Any], ...]

    def __new__(
        cls, inner: Graph, mapped: list[Any], own: list[Node[Any]], ends: list[Node[Any]]
    ) -> Subgraph:
        """Made by `Graph.subgraph`."""
        self = super().__new__(cls, ends[0] if len(ends) == 1 else tuple(ends))
        self._inner = inner
        self._mapped = mapped
        self._outer = tuple(own)
        return self

    @property
    def nodes(self) -> Group[Any]:
        """Its nodes in the graph that it is part of.

        >>> import taskloom
        >>> inner = taskloom.Graph()
        >>> _ = inner.add(int, "1")
        >>> taskloom.Graph().subgraph(inner).nodes
        <group of 1: int#0>
        """
        return Group(self._outer)

    def __getitem__(self, node: Node[Any] | str | Pack, /) -> Node[Any]:
        """What a node of the inner graph, given itself or by its name, has become."""
        found = self._inner.node(node) if isinstance(node, str) else node_of(node)
        if found is None or found.graph is not self._inner or found.index >= len(self._mapped):
            raise KeyError(f"{node!r} is no node of the graph that this subgraph was made of")
        mapped = node_of(self._mapped[found.index])
        if mapped is None:
            raise KeyError(f"{found.name!r} was given the value {self._mapped[found.index]!r}")
        return mapped

    def after(self, *nodes: Node[Any]) -> Subgraph:
        """Runs its first nodes only when all of `nodes` have run; returns itself.

        >>> import taskloom
        >>> g, inner = taskloom.Graph(), taskloom.Graph()
        >>> _ = inner.add(print, "later")
        >>> first = g.add(print, "first")
        >>> _ = g.subgraph(inner).after(first)
        >>> _ = taskloom.run(g, mode="serial")
        first
        later
        """
        own = set(self._outer)
        for node in self._outer:
            if not own.intersection(node.parents):
                node.after(*nodes)
        return self

    def before(self, *nodes: Node[Any]) -> Subgraph:
        """Runs all of `nodes` only when all of its nodes have run; returns itself.

        >>> import taskloom
        >>> g, inner = taskloom.Graph(), taskloom.Graph()
        >>> _ = inner.add(print, "first")
        >>> later = g.add(print, "later")
        >>> _ = g.subgraph(inner).before(later)
        >>> _ = taskloom.run(g, mode="serial")
        first
        later
        """
        for node in self._outer:
            node.before(*nodes)
        return self

    def __len__(self) -> int:
        return len(self._outer)

    def __repr__(self) -> str:
        return f"<subgraph of {len(self)} nodes>"


class Composition(Shapes):
    """How graphs and their views take other graphs in."""

    __slots__ = ()

    def subgraph(
        self,
        inner: Graph | Plan,
        inputs: Mapping[str | type, Any] | None = None,
        /,
        **named: Any,
    ) -> Subgraph:
        """Adds the nodes of another graph or plan to this one.

        Parameters
        ----------
        inner
            What to add, as it is now; it may be added many times, and changed later.
        inputs
            What its `from_context(type)` and `resource(name)` stand for here, by type or name:
            nodes of this graph, or values.
        named
            The same by name. What is not given is asked of this graph's context.

        Options of a view hold for each of the nodes, where neither it nor the inner graph says
        otherwise; `name` goes before the nodes' names, as in `clean.join`, and `after` holds for
        the first nodes. What the inner plan was told to keep is kept here.

        Raises `GraphError` for an input that the inner graph does not ask for, for a graph in
        itself, and for a name that is there already; `OptionError` for a timeout or deadline, which
        are for single nodes.

        >>> import taskloom
        >>> inner = taskloom.Graph()
        >>> _ = inner.add(pow, inner.resource("base"), inner.from_context(int))
        >>> g = taskloom.Graph()
        >>> base = g.add(int, "2")
        >>> power = g.subgraph(inner, {int: 5}, base=base)
        >>> shown = g.add(str, power)
        >>> taskloom.run(g)[shown]
        '32'
        """
        given: dict[str | type, Any] = dict(inputs or {})
        given.update(named)
        return _Inlining(self._adder(), inner, given).result()


class _Inlining:
    """The work of one `subgraph`."""

    def __init__(self, adder: Adder, inner: Graph | Plan, inputs: dict[str | type, Any]) -> None:
        if not isinstance(inner, (Plan, type(adder.graph))):
            raise TypeError(f"subgraph() takes a graph or a plan, not {inner!r}")
        self.outer = adder.graph
        self.inner: Graph = inner.graph if isinstance(inner, Plan) else inner
        if self.inner is self.outer:
            raise GraphError("a graph cannot be part of itself: add it to another one")
        for name in ("timeout", "deadline"):
            if name in adder.given:
                raise OptionError(
                    f"{name}={adder.given.get(name)!r} is for single nodes: give it to those of "
                    "the inner graph"
                )
        check_trees(self.inner._rootless)
        self.adder = adder
        self.name: str | None = adder.given.get("name")
        self.after: tuple[Any, ...] = adder.given.get("after", ())
        self.given = adder.given.without("name", "after")
        self.nodes = inner.nodes
        self.kept = set(inner._kept) if isinstance(inner, Plan) else set()
        self.inputs = inputs
        self.check_inputs()
        self.check_names()
        self.mapped: list[Any] = []
        self.own: list[Node[Any]] = []

    def check_inputs(self) -> None:
        asked = self.inner._resources
        for key, value in self.inputs.items():
            if key not in asked:
                there = ", ".join(repr(known) for known in asked) or "nothing"
                raise GraphError(
                    f"the inner graph asks its context for {there}, and not for {key!r}"
                )
            if isinstance(value, Use):
                raise GraphError(
                    f"{key!r} is given as {value!r}: how a value is used is said by the nodes of "
                    "the inner graph; give it plain"
                )
            node = node_of(value)
            if node is not None and node.graph is not self.outer:
                raise GraphError(f"{key!r} is given as {node.name!r}, a node of another graph")

    def check_names(self) -> None:
        for node in self.nodes:
            name = self.name_of(node)
            if name in self.outer._names:
                raise GraphError(
                    f"the graph has a node named {name!r} already: give the subgraph a name, as "
                    "g.options(name=...).subgraph(...), that goes before those of its nodes"
                )

    def name_of(self, node: Node[Any]) -> str | None:
        own: str | None = None if node.options is None else node.options.get("name")
        if self.name is None:
            # A task's own name is a label, and need not be unique.
            return own if own in self.inner._names else None
        return f"{self.name}.{node.name}"

    def result(self) -> Subgraph:
        for node in self.nodes:
            if isinstance(node.function, Lookup):
                self.mapped.append(self.input(node.function.key))
            else:
                self.mapped.append(self.add(node))
        self.copy_order()
        self.copy_windows()
        self.copy_cases()
        self.copy_boxes()
        parents = self.inner._known_kin().parents[: len(self.nodes)]
        read = {parent for own in parents for parent in own}
        led_on = read | {before for before, after in self.inner._orders if after < len(self.nodes)}
        ends = [
            self.mapped[node.index]
            for node in self.nodes
            if node.index not in led_on and not isinstance(node.function, Lookup)
        ]
        # The values that nobody reads are kept by themselves, as long as nobody here reads them.
        kept = (self.mapped[index] for index in self.kept & read)
        self.outer._keeping.update(node.index for node in kept if isinstance(node, Node))
        made = Subgraph(self.inner, self.mapped, self.own, ends)
        return made.after(*self.after) if self.after else made

    def input(self, key: str | type) -> Any:
        if key not in self.inputs:
            return self.outer._resource(key)
        value = self.inputs[key]
        node = node_of(value)
        return value if node is None else node

    def add(self, node: Node[Any]) -> Node[Any]:
        options = (node.options or Options.EMPTY).without("name", "after")
        options = options.over(self.inner._defaults).over(self.given)
        name = self.name_of(node)
        if name is not None:
            options = Options(name=name).over(options)
        check_place(options, node.function)
        uses = []
        for use in self.inner._uses.get(node.index, ()):
            source = None if use.source is None else self.mapped[use.source]
            if use.mode in EXCLUSIVE and not isinstance(source, Node):
                raise GraphError(
                    f"node {node.name!r} of the inner graph is to {use.mode} the value "
                    f"{source!r}, which would be the same object in every run: give it a node that "
                    "makes it"
                )
            uses.append(use._replace(source=source.index if isinstance(source, Node) else None))
        args = tuple(map(self.translated, node.args))
        kwargs = {key: self.translated(value) for key, value in node.kwargs.items()}
        made: Node[Any] = self.outer._add_plain(node.function, args, kwargs, options or None)
        if uses:
            self.outer._set_uses(made.index, tuple(uses))
        if options:
            self.outer._optioned[made.index] = options
        if name is not None:
            self.outer._names[name] = made
        if self.adder.window is not None:
            self.outer._put_into_window(made, self.adder.window)
        self.own.append(made)
        return made

    def translated(self, value: Any) -> Any:
        """An argument, with the nodes in it replaced."""
        if isinstance(value, Node):
            return self.mapped[value.index]
        if isinstance(value, Pack):
            return self.translated(value._content)
        if type(value) in (list, tuple):
            return type(value)(map(self.translated, value))
        if type(value) is dict:
            return {self.translated(k): self.translated(v) for k, v in value.items()}
        return value

    def copy_order(self) -> None:
        for before, after in self.inner._orders:
            if max(before, after) < len(self.mapped):
                pair = self.mapped[before], self.mapped[after]
                if all(isinstance(node, Node) for node in pair):
                    self.outer._order(*pair)

    def copy_windows(self) -> None:
        limits, members = self.inner._windows
        made: dict[int, int] = {}
        for index, window in members.items():
            if index < len(self.mapped):
                if window not in made:
                    made[window] = self.outer._new_window(limits[window])
                self.outer._put_into_window(self.mapped[index], made[window])

    def copy_cases(self) -> None:
        for index, cases in self.inner._cases.items():
            for join, case in cases:
                if max(index, join) < len(self.mapped):
                    self.outer._put_into_case([self.mapped[index]], self.mapped[join], case)

    def copy_boxes(self) -> None:
        boxes = self.outer._boxes
        first = len(boxes)
        label = self.name or f"subgraph {first}"
        boxes.append(Box(label, tuple(node.index for node in self.own), None))
        for box in self.inner._boxes:
            members = tuple(
                self.mapped[index].index for index in box.members if index < len(self.mapped)
            )
            within = first if box.within is None else first + 1 + box.within
            boxes.append(Box(f"{label}.{box.label}" if self.name else box.label, members, within))
