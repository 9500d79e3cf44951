"""Patterns: many nodes at once, as one says them: map, reduce, partition, concat, depends_on.

Each is made of plain nodes, which can be named, drawn and used one by one; nothing of a pattern is
left at run time. They compose through `Group`, the nodes of a pattern in order: as an argument it
is a list of their values, and as what a further pattern goes through it is the nodes one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import getitem
from typing import Any, TypeVar, final, overload

from taskloom import _taskloom
from taskloom._taskloom import Node, Pack, Use
from taskloom.errors import GraphError
from taskloom.graph._reduction import combined, folding, used_up
from taskloom.graph._shapes import Adder, Shapes, node_of

__all__ = ["Group", "Joined"]

R = TypeVar("R")
T = TypeVar("T")


class _Missing:
    def __repr__(self) -> str:
        return "..."


MISSING: Any = _Missing()


@final
class Group(_taskloom.Pack, Sequence[Node[T]]):
    """Nodes in order, as one argument: a node gets the list of their values.

    Made by the patterns of a graph, or of any nodes of one graph. A slice of a group and the sum
    of two are groups. Raises `TypeError` for what is no node.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> squares = g.map(pow, range(4), [2] * 4)
    >>> total, first = g.add(sum, squares), g.add(sum, squares[:2])
    >>> run = taskloom.run(g)
    >>> run[total], run[first]
    (14, 1)
    """

    __slots__ = ()

    def __new__(cls, nodes: Iterable[Node[T]] = ()) -> Group[T]:
        """Makes a group of nodes."""
        found = [node_of(node) for node in nodes]
        for place, node in enumerate(found):
            if node is None:
                raise TypeError(f"a group holds nodes; number {place} of these is none")
        return super().__new__(cls, found)

    @property
    def nodes(self) -> tuple[Node[T], ...]:
        """The nodes, in order.

        >>> import taskloom
        >>> taskloom.Group().nodes
        ()
        """
        return tuple(self._content)

    @overload
    def __getitem__(self, place: int, /) -> Node[T]: ...
    @overload
    def __getitem__(self, place: slice, /) -> Group[T]: ...
    def __getitem__(self, place: int | slice, /) -> Node[T] | Group[T]:
        found: Any = self._content[place]
        return Group(found) if isinstance(place, slice) else found

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[Node[T]]:
        return iter(self._content)

    def __add__(self, other: Group[Any]) -> Group[Any]:
        if not isinstance(other, Group):
            return NotImplemented
        return Group((*self, *other))

    def __repr__(self) -> str:
        names = ", ".join(node.name for node in self._content[:3])
        names += ", ..." * (len(self) > 3)
        return f"<group of {len(self)}{': ' * bool(names)}{names}>"


@final
class Joined(_taskloom.Pack):
    """Several values as one argument: a tuple, or what a combiner makes of them.

    Made by `Graph.depends_on`; `add` adds a node that gets it as its first argument.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> a, b = g.add(int, "1"), g.add(int, "2")
    >>> both = g.depends_on(a, b)
    >>> total, listed = both.add(sum), g.add(list, both)
    >>> run = taskloom.run(g)
    >>> run[total], run[listed]
    (3, [1, 2])
    """

    __slots__ = ("_adder",)

    _adder: Adder

    def __new__(cls, adder: Adder, content: object) -> Joined:
        """Made by `Graph.depends_on`."""
        self = super().__new__(cls, content)
        self._adder = adder
        return self

    def add(self, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> Node[R]:
        """Adds a node that is given the joined values, and then these arguments.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> a, b = g.add(int, "1"), g.add(int, "2")
        >>> node = g.depends_on(a, b, combiner=max).add(pow, 5)
        >>> taskloom.run(g)[node]
        32
        """
        return self._adder.add(function, (self._first(), *args), kwargs)

    def _first(self) -> Any:
        node = node_of(self)
        return self if node is None else node

    def __repr__(self) -> str:
        return f"<joined {self._content!r}>"


class Patterns(Shapes):
    """The patterns of graphs and their views."""

    __slots__ = ()

    def map(
        self, function: Callable[..., R], /, *sequences: Iterable[Any], **kwargs: Any
    ) -> Group[R]:
        """Adds a node for each item: `function(item, **kwargs)`.

        Parameters
        ----------
        function
            What each node calls.
        sequences
            Items for its positional arguments: values, nodes, a `Group`. They go in step, and must
            be of one length. A single node among them is given to every call, so that
            `g.map(f, node, range(n))` makes n values of one. An access mode around a sequence, as
            `take(group)`, or around a single node, holds for each call.
        kwargs
            Belong to the function; nodes among them stand for their values.

        `g.options(max_concurrency=4).map(...)` has at most four of the nodes run at once: as soon
        as one is done the next may start. Named by `options(name="fetch")`, the nodes are called
        `fetch[0]`, `fetch[1]` and so on.

        Returns the nodes as a `Group`. Raises `GraphError` if the sequences differ in length, if
        none was given, and as `Graph.add` does.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> words = g.map(str.upper, ["a", "b"])
        >>> twice = g.map(str.__mul__, words, [2, 3])
        >>> joined = g.add(" ".join, twice)
        >>> taskloom.run(g)[joined]
        'AA BBB'
        """
        adder = self._adder()
        rows = _rows(sequences)
        return Group(
            adder.add(function, row, kwargs, part=f"[{place}]") for place, row in enumerate(rows)
        )

    def reduce(
        self,
        function: Callable[[Any, Any], R],
        values: Iterable[Any],
        /,
        *,
        initial: Any = MISSING,
        split_every: int = 2,
        map: Callable[[Any], Any] | None = None,
    ) -> Node[R]:
        """Adds a tree of nodes that combines values, two by two, into one.

        Parameters
        ----------
        function
            Combines two values. It must be associative; the order of the values is kept.
        values
            Nodes, values, or a `Group`. With `take(group)` each value is handed over to the call
            that combines it, which may then change it; of what is no node it gets a copy.
        initial
            A value or node to stand before the others.
        split_every
            How many values a node of the tree combines, from 2.
        map
            Is called with each of the values first, in nodes of their own: map and reduce in one,
            with as few values alive at once as there can be.

        Returns the node of the result; that of the only value, if there is but one. Named by
        `options(name="total")`, the result is called so and the nodes before it `total[0]` and so
        on. Raises `GraphError` if there is nothing to combine.

        >>> import operator, taskloom
        >>> g = taskloom.Graph()
        >>> total = g.reduce(operator.add, range(1, 101))
        >>> length = g.reduce(max, ["to", "be", "or"], map=len, initial=0)
        >>> run = taskloom.run(g)
        >>> run[total], run[length]
        (5050, 2)
        """
        mode = None
        if isinstance(values, Use):
            mode, values = values, values.value
        if isinstance(values, (Node, Pack)) and not isinstance(values, Group):
            raise GraphError(
                f"reduce goes through several values, and {values!r} is one: take it apart with "
                "g.partition(value, n), or combine what is in it within one node"
            )
        if not isinstance(split_every, int) or split_every < 2:
            raise GraphError(f"split_every={split_every!r} must be a whole number from 2")
        items = list(values)
        if initial is not MISSING:
            items.insert(0, initial)
        if not items:
            raise GraphError("reduce has nothing to combine: give it values, or initial=...")
        adder = self._adder()
        of_many = folding(function)

        def operand(value: Any, place: int) -> Any:
            if map is not None and not (place == 0 and initial is not MISSING):
                return adder.add(map, (value,), part=f".map[{place}]")
            return value

        def combine(operands: list[Any], part: str) -> Node[Any]:
            if mode is not None:
                operands = [used_up(mode, value) for value in operands]
            call: Callable[..., Any] = function if len(operands) == 2 else of_many
            return adder.add(call, operands, part=part)

        result = combined(items, split_every, operand, combine)
        if isinstance(result, Node) and (len(items) > 1 or "name" not in adder.given):
            return result
        return adder.add(of_many, (result,), part="")

    def partition(
        self, values: Any, parts: int, /, *, by: Callable[[Any], int] | None = None
    ) -> Group[Any]:
        """Adds nodes that take the value of one node apart, into this many.

        Parameters
        ----------
        values
            A node (or a value) with a length that can be sliced, such as a list, a string or an
            array; with `by`, anything that can be gone through. Or a `Group`, or list of nodes,
            whose values then come in lists.
        parts
            How many there are to be, from 1.
        by
            Says for each item of the value into which part it goes, from 0. Without it the parts
            are slices, of lengths that differ by one at most.

        Returns the parts as a `Group`, of which each node has a part of its own; `concat` is the
        reverse of slicing. Raises `GraphError` for a number of parts below 1.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> text = g.add(str, "abcdefgh")
        >>> thirds = g.partition(text, 3)
        >>> numbers = g.add(range, 6)
        >>> odd = g.partition(numbers, 2, by=lambda n: n % 2)[1]
        >>> run = taskloom.run(g)
        >>> run[thirds], run[odd]
        (['ab', 'cde', 'fgh'], [1, 3, 5])
        """
        if not isinstance(parts, int) or isinstance(parts, bool) or parts < 1:
            raise GraphError(f"partition into {parts!r} parts: give a whole number from 1")
        adder = self._adder()
        if by is not None:
            split = adder.add(partition, (values, parts, by), part=".split")
            return Group(adder.add(getitem, (split, i), part=f"[{i}]") for i in range(parts))
        if isinstance(values, (list, tuple)) and any(map(node_of, values)):
            values = Group(values)
        if isinstance(values, Group):
            slices = [values[_share(len(values), i, parts)] for i in range(parts)]
            return Group(adder.add(list, (s,), part=f"[{i}]") for i, s in enumerate(slices))
        return Group(adder.add(part, (values, i, parts), part=f"[{i}]") for i in range(parts))

    def concat(self, values: Iterable[Any], /, *, split_every: int | None = None) -> Node[Any]:
        """Adds a node that puts the values of several, which are sequences, into one.

        Parameters
        ----------
        values
            Nodes or values: lists, tuples, strings, bytes or NumPy arrays, which give the like;
            anything else that can be gone through gives a list.
        split_every
            Make it a tree of nodes that each join this many, from 2; all at once by default.

        Raises `GraphError` if there is nothing to join.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.concat(g.map(sorted, ["cab", "zyx"]))
        >>> taskloom.run(g)[node]
        ['a', 'b', 'c', 'x', 'y', 'z']
        """
        if isinstance(values, Node):
            raise GraphError(
                f"concat joins several values, and {values.name!r} is one node: to join what is "
                "in its value, add a node that does"
            )
        items = list(values)
        if not items:
            raise GraphError("concat has nothing to join: give it at least one value")
        if split_every is not None and (not isinstance(split_every, int) or split_every < 2):
            raise GraphError(f"split_every={split_every!r} must be a whole number from 2, or None")
        adder = self._adder()
        if split_every is None or len(items) <= split_every:
            return adder.add(concat, items)
        result: Node[Any] = combined(
            items,
            split_every,
            lambda value, place: value,
            lambda operands, part: adder.add(concat, operands, part=part),
        )
        return result

    def depends_on(self, *parents: Any, combiner: Callable[..., Any] | None = None) -> Joined:
        """Several values packed into one argument: a tuple, or what `combiner(*values)` returns.

        The result has `add`, for a node that gets the packed value first; and it can itself be an
        argument. A combiner is a node of its own, and called once however many use it; the options
        of a view hold for what is added.

        Raises `GraphError` if no parent is given.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> users, orders = g.add(dict, a=1), g.add(dict, b=2)
        >>> tables = g.depends_on(users, orders, combiner=lambda u, o: u | o)
        >>> count = tables.add(len)
        >>> taskloom.run(g)[count]
        2
        """
        if not parents:
            raise GraphError("depends_on() names no parent: give it the nodes whose values to pack")
        adder = self._adder()
        if combiner is not None:
            return Joined(adder, adder.bare().add(combiner, parents))
        for parent in parents:
            if isinstance(parent, Use):
                raise GraphError(
                    f"depends_on({parent!r}): a value in a tuple can only be read; give a "
                    f"combiner, or pass {parent!r} as an argument of its own"
                )
        return Joined(adder, parents)


def _rows(sequences: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The arguments of each call of a `map`."""
    columns: list[Iterable[Any]] = []
    fixed: list[int] = []
    for place, given in enumerate(sequences):
        mode = given if isinstance(given, Use) else None
        value = given.value if isinstance(given, Use) else given
        if isinstance(value, (Node, Pack)) and not isinstance(value, Group):
            fixed.append(place)
            columns.append(repeat(given))
        elif not isinstance(value, Iterable):
            calls = f"; for so many calls: range({value})" * isinstance(value, int)
            raise TypeError(f"map goes through sequences, and {value!r} is none{calls}")
        elif mode is not None:
            columns.append([Use(mode.mode, item, mode.copier) for item in value])
        else:
            columns.append(value)
    if len(fixed) == len(columns):
        raise GraphError(
            "map needs something to go through: a sequence, a group of nodes, or range(n) for n "
            "calls; a single node's value is not known yet, but partition(node, n) makes n of it"
        )
    lists = [list(column) for place, column in enumerate(columns) if place not in fixed]
    lengths = {len(column) for column in lists}
    if len(lengths) > 1:
        raise GraphError(
            "map goes through its sequences in step, but they are "
            f"{', '.join(str(len(column)) for column in lists)} long: give each as many items"
        )
    ready = iter(lists)
    count = lengths.pop()
    full = [
        repeat(sequences[place], count) if place in fixed else next(ready)
        for place in range(len(columns))
    ]
    return zip(*full, strict=True)


def _share(length: int, place: int, parts: int) -> slice:
    return slice(length * place // parts, length * (place + 1) // parts)


def part(values: Any, place: int, parts: int, /) -> Any:
    """One of several slices of a value, whose lengths differ by one at most.

    >>> from taskloom.graph.patterns import part
    >>> [part("abcde", place, 2) for place in range(2)]
    ['ab', 'cde']
    """
    return values[_share(len(values), place, parts)]


def partition(values: Iterable[T], parts: int, by: Callable[[T], int], /) -> list[list[T]]:
    """The items of a value, sorted into parts; raises `IndexError` for a part that is not there.

    >>> from taskloom.graph.patterns import partition
    >>> partition(range(6), 2, lambda n: n % 2)
    [[0, 2, 4], [1, 3, 5]]
    """
    found: list[list[T]] = [[] for _ in range(parts)]
    for value in values:
        place = by(value)
        if not 0 <= place < parts:
            raise IndexError(f"by({value!r}) is {place!r}, but the parts are 0 to {parts - 1}")
        found[place].append(value)
    return found


def concat(*parts: Any) -> Any:
    """Sequences joined: of the kind of the first where that is common, else a list.

    >>> from taskloom.graph.patterns import concat
    >>> concat("ab", "c"), concat((1,), (2, 3)), concat(range(2), [5])
    ('abc', (1, 2, 3), [0, 1, 5])
    """
    first = parts[0]
    if isinstance(first, (str, bytes, bytearray)):
        return first[:0].join(parts)
    if type(first).__module__ == "numpy":
        import numpy

        return numpy.concatenate(parts)
    joined = chain.from_iterable(parts)
    return tuple(joined) if isinstance(first, tuple) else list(joined)
