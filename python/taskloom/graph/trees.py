"""Trees: each node has one parent, whose value flows to it.

A tree is a root with subtrees. What a child does with its parent's value follows the access modes,
and they decide who may stand beside it: readers and copiers side by side, writers one after the
other in the order in which they were added, a taker last of all, and after a forwarding child,
which stands for the object from then on, only readers. All of this is checked as the tree grows.
Borrowed, mutably borrowed, copied and consumed parent values, and results that are either new or
the parent's object passed on, are YOrch's (compiled task trees in C++).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, final

from taskloom import _taskloom
from taskloom._taskloom import Node, Pack, Use
from taskloom.access import EXCLUSIVE, Accesses, Lookup
from taskloom.errors import GraphError
from taskloom.graph._shapes import Adder, Shapes, node_of
from taskloom.task import Task

__all__ = ["Tree", "TreeView"]


@final
class _Object:
    """Who uses one object, that one node made and others may have passed on."""

    __slots__ = ("stands_for", "taken_by")

    def __init__(self) -> None:
        self.stands_for: Tree | None = None
        self.taken_by: Tree | None = None


@final
class Tree(_taskloom.Pack):
    """A node of a tree, with what grows from it; made by `Graph.tree` and by `child` and `then`.

    As an argument it stands for its node.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> text = g.tree(str.split, "to be or not to be")
    >>> count = text.child(len)
    >>> longest = text.child(max, key=len).then(str.upper)
    >>> run = taskloom.run(g)
    >>> run[count], run[longest]
    (6, 'NOT')
    """

    __slots__ = ("_adder", "_chained", "_children", "_object", "_parent")

    def __new__(cls, adder: Adder, parent: Tree | None = None) -> Tree:
        """Made by `Graph.tree`, `Tree.child` and `Tree.then`."""
        self = super().__new__(cls)
        self._adder = adder
        self._parent = parent
        self._children = []
        self._chained = False
        self._object = _Object()
        return self

    _adder: Adder
    _parent: Tree | None
    _children: list[Tree]
    _chained: bool
    _object: _Object

    @property
    def node(self) -> Node[Any]:
        """The node at the root of this tree; raises `GraphError` if it has none yet.

        >>> import taskloom
        >>> taskloom.Graph().tree(int, "4").node
        <node int#0>
        """
        node = node_of(self)
        if node is None:
            raise GraphError("the tree has no root yet: give it one with tree.root(function, ...)")
        return node

    @property
    def parent(self) -> Tree | None:
        """What it grows from; None for the root of all.

        >>> import taskloom
        >>> taskloom.Graph().tree(int).parent is None
        True
        """
        return self._parent

    @property
    def children(self) -> tuple[Tree, ...]:
        """The trees that grow from its node, in the order in which they were added.

        >>> import taskloom
        >>> tree = taskloom.Graph().tree(int)
        >>> tree.child(abs) is tree.children[0]
        True
        """
        return tuple(self._children)

    def root(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """Gives a tree that was made empty its root; returns the tree.

        Raises `GraphError` if it has one already.

        >>> import taskloom
        >>> tree = taskloom.Graph().tree()
        >>> tree.root(int, "4").node
        <node int#0>
        """
        return _root(self, self._adder, function, args, kwargs)

    def child(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """Adds a node that is given this one's value; returns the tree that begins with it.

        The value is the first argument: `function(value, *args, **kwargs)`. Where this tree is
        itself among the arguments, the value comes there instead, and with an access mode around
        it the child uses it so: `tree.child(save, "out.txt", take(tree))`. A function without any
        parameter is called without the value. The child, and what grows from it, runs only if all
        that it grows from has succeeded.

        Raises `GraphError` where the child cannot stand beside those that are there: after one
        that takes the value, or changing an object that another one has been forwarded; and for an
        argument that is another node, since it would be a second parent.

        >>> import taskloom
        >>> from taskloom import take, write
        >>> g = taskloom.Graph()
        >>> numbers = g.tree(list, (3, 1))
        >>> _ = numbers.child(list.append, write(numbers), 2)
        >>> text = numbers.child(str, take(numbers))
        >>> taskloom.run(g)[text]
        '[3, 1, 2]'
        """
        return _grow(self, self._adder, function, args, kwargs, chained=False)

    def then(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """As `child`, for the one and only child: a chain.

        Raises `GraphError`, besides, if there is a child already, or is to be another one later.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> last = g.tree(int, "20").then(pow, 2).then(str)
        >>> taskloom.run(g)[last]
        '400'
        """
        return _grow(self, self._adder, function, args, kwargs, chained=True)

    def options(self, **options: Any) -> TreeView:
        """A view of this tree whose `child`, `then` and `root` give nodes these options.

        Takes those of `Graph.options`.

        >>> import taskloom
        >>> tree = taskloom.Graph().tree(int, "4")
        >>> tree.options(name="root", retry=2).child(pow, 0.5).node
        <node root>
        """
        return TreeView(self, self._adder.options(options))

    def __iter__(self) -> Iterator[Tree]:
        """The tree and all that grow from it, depth first."""
        stack: list[Tree] = [self]
        while stack:
            tree = stack.pop()
            yield tree
            stack.extend(reversed(tree._children))

    def __repr__(self) -> str:
        node = node_of(self)
        name = "without a root" if node is None else f"from {node.name}"
        return f"<tree {name}, {len(self._children)} children>"


@final
class TreeView:
    """A tree seen through options; made by `Tree.options`.

    >>> import taskloom
    >>> careful = taskloom.Graph().tree(int, "4").options(retry=2)
    >>> careful.child(abs).node.options
    Options(retry=Retry(2, delay=0, backoff=2, on=(Exception)))
    """

    __slots__ = ("_adder", "_tree")

    def __init__(self, tree: Tree, adder: Adder) -> None:
        self._tree = tree
        self._adder = adder

    def root(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """As `Tree.root`, with the view's options for the node.

        >>> import taskloom
        >>> taskloom.Graph().tree().options(name="top").root(int).node
        <node top>
        """
        return _root(self._tree, self._adder, function, args, kwargs)

    def child(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """As `Tree.child`, with the view's options for the node.

        >>> import taskloom
        >>> taskloom.Graph().tree(int).options(name="next").child(abs).node
        <node next>
        """
        return _grow(self._tree, self._adder, function, args, kwargs, chained=False)

    def then(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Tree:
        """As `Tree.then`, with the view's options for the node.

        >>> import taskloom
        >>> taskloom.Graph().tree(int).options(name="next").then(abs).node
        <node next>
        """
        return _grow(self._tree, self._adder, function, args, kwargs, chained=True)

    def options(self, **options: Any) -> TreeView:
        """A view with these options laid over the present ones.

        >>> import taskloom
        >>> view = taskloom.Graph().tree(int).options(retry=2).options(name="next")
        """
        return TreeView(self._tree, self._adder.options(options))


class Trees(Shapes):
    """The trees of graphs and their views."""

    __slots__ = ()

    def tree(
        self, function: Callable[..., Any] | Node[Any] | None = None, /, *args: Any, **kwargs: Any
    ) -> Tree:
        """Plants a tree, whose root calls this function; `Tree.child` and `Tree.then` grow it.

        Parameters
        ----------
        function
            What the root calls; or a node, as that of a context's value, from which the tree is to
            grow. Left out, the tree is empty: `Tree.root` gives it its root, and `compile` refuses
            it without one.
        args, kwargs
            Belong to the function.

        Raises `GraphError` if the arguments do not fit.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> tree = g.tree(range, 4)
        >>> total, most = tree.child(sum), tree.child(max)
        >>> run = taskloom.run(g)
        >>> run[total], run[most]
        (6, 3)
        """
        adder = self._adder()
        tree = Tree(adder.bare())
        node = node_of(function)
        if function is None:
            adder.graph._rootless.append(tree)
        elif node is None and callable(function):
            _root(tree, adder, function, args, kwargs)
        elif node is None or args or kwargs:
            raise GraphError(f"a tree grows from a function with arguments or a node: {function!r}")
        else:
            tree._fill(node)
        return tree


def check_trees(trees: list[Tree]) -> None:
    """Raises `GraphError` if one of the trees that were made empty still is."""
    if any(tree._content is None for tree in trees):
        raise GraphError(
            "the graph has a tree without a root: give it one with tree.root(function, ...), or "
            "leave the tree out"
        )


def _root(
    tree: Tree,
    adder: Adder,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Tree:
    if tree._content is not None:
        raise GraphError(
            f"the tree has a root already, {tree.node.name!r}: add to it with child(...)"
        )
    tree._fill(adder.add(function, args, kwargs))
    return tree


def _grow(
    tree: Tree,
    adder: Adder,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    chained: bool,
) -> Tree:
    parent = tree.node
    if tree._chained or (chained and tree._children):
        other = tree._children[0].node.name
        raise GraphError(
            f"{other!r} is to be the only one after {parent.name!r} by then(...), or one of "
            "several by child(...), but not both: use child(...) for all of them"
        )
    callee = adder.graph._callee(function)
    label = adder.given.get("name") or getattr(callee.function, "__name__", "child")
    given = (*args, *kwargs.values())
    if not given and callee.arity == (0, 0):
        function, args = _without_value(function), (parent,)
    elif not any(_is(value, parent) for value in given):
        args = (parent, *args)
    for value in given:
        _check_parent(value, parent, label)
    mode = _mode(callee.accesses, args, kwargs, parent)
    _check_beside(tree, mode, label)
    grown = Tree(tree._adder, tree)
    grown._fill(adder.add(function, args, kwargs))
    tree._children.append(grown)
    tree._chained = chained
    if mode == "forward":
        grown._object = tree._object
        tree._object.stands_for = grown
    elif mode == "take":
        tree._object.taken_by = grown
    return grown


def _is(value: Any, parent: Node[Any]) -> bool:
    return node_of(value.value if isinstance(value, Use) else value) is parent


def _mode(
    accesses: Accesses | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parent: Node[Any],
) -> str:
    """How the call uses its parent's value; the strictest way, should there be several."""
    modes = []
    given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for key, value in given:
        if isinstance(value, Use):
            if node_of(value.value) is parent:
                modes.append(value.mode)
        elif node_of(value) is parent:
            modes.append((accesses.of(key) if accesses is not None else None) or "read")
    return next((mode for mode in reversed(EXCLUSIVE) if mode in modes), "read")


def _check_beside(tree: Tree, mode: str, label: str) -> None:
    """Raises `GraphError` unless a child that uses the value so may stand beside the others."""
    known, parent = tree._object, tree.node
    if known.taken_by is not None:
        taker = known.taken_by.node.name
        raise GraphError(
            f"child {label!r} is to {mode} the value of {parent.name!r}, which {taker!r} takes: "
            f"add {label!r} before {taker!r}, or let {taker!r} use copy(...)"
        )
    if mode not in EXCLUSIVE:
        return
    now = known.stands_for
    if now is not None and now is not tree:
        raise GraphError(
            f"child {label!r} is to {mode} the value of {parent.name!r}, but {now.node.name!r} "
            f"stands for that object since it was forwarded to it: add {label!r} as its child, or "
            "use copy(...)"
        )
    if mode == "take" and isinstance(parent.function, Lookup):
        raise GraphError(
            f"child {label!r} is to take the value of {parent.name!r}, which belongs to who gave "
            "the context: use write(...) or copy(...)"
        )


def _check_parent(value: Any, parent: Node[Any], label: str) -> None:
    """Raises `GraphError` for an argument by which a node would have a second parent."""
    if isinstance(value, Use):
        value = value.value
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, Pack) and node_of(value) is None:
        value = value._content
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_parent(item, parent, label)
        return
    node = node_of(value)
    if node is not None and node is not parent and not isinstance(node.function, Lookup):
        raise GraphError(
            f"child {label!r} grows from {parent.name!r} and is to be given {node.name!r} too: in "
            "a tree each node has one parent; join several with g.add(...), or give the value by "
            "the context"
        )


@final
class Ignoring:
    """A function without parameters, made to take a value that it does not look at.

    >>> from taskloom.graph.trees import Ignoring
    >>> Ignoring(int)("anything")
    0
    """

    __slots__ = ("__name__", "function")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, _: Any, /) -> Any:
        return self.function()


def _without_value(function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(function, Task):
        return Task(Ignoring(function.function), function.options)
    return Ignoring(function)
