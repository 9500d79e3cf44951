"""What a node says that is used as if it were its value: that it is none yet, and what to add.

A graph is built before anything runs, so `sum(node)`, `if node` or `node + 1` cannot mean what they
say. Some libraries make further nodes of operators, and then refuse `if` and `for` alone; here
there is no node that was not added, so all is refused, with the call of `Graph.add` that is meant.
Comparing for equality stays what it is for any object, for nodes stand in lists and sets.
"""

from __future__ import annotations

from collections.abc import Callable
from reprlib import repr as short
from typing import Any, Never

from taskloom._taskloom import Node

__all__ = ["refuse_use_as_value"]

#: Functions of `operator` for what stands between two operands; all but the last few of them may
#: also have the node on the right.
OPERATORS = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift"),
    *("and_", "or_", "xor"),
)
ONE_SIDED = ("lt", "le", "gt", "ge", "getitem", "contains")
FUNCTIONS = {
    "neg": "operator.neg",
    "pos": "operator.pos",
    "invert": "operator.invert",
    **{name: name for name in ("abs", "len", "int", "float")},
}

Method = Callable[..., Never]


def _no_value(node: Node[Any]) -> str:
    return f"node {node.name!r} has no value before it has run"


def _argument(value: object) -> str:
    return "other" if isinstance(value, Node) else short(value)


def _left(operation: str) -> Method:
    def method(self: Node[Any], other: object, *_: object) -> Never:
        call = f"g.add(operator.{operation}, node, {_argument(other)})"
        raise TypeError(f"{_no_value(self)}: let a node compute with it, as {call}")

    return method


def _right(operation: str) -> Method:
    def method(self: Node[Any], other: object, *_: object) -> Never:
        call = f"g.add(operator.{operation}, {_argument(other)}, node)"
        if operation == "add" and type(other) is int and not other:
            call += ", or to sum several nodes up: g.add(sum, nodes)"
        raise TypeError(f"{_no_value(self)}: let a node compute with it, as {call}")

    return method


def _asked(function: str) -> Method:
    def method(self: Node[Any]) -> Never:
        raise TypeError(f"{_no_value(self)}: let a node ask it, as g.add({function}, node)")

    return method


def _truth(self: Node[Any]) -> Never:
    raise TypeError(
        f"{_no_value(self)}, so it is neither true nor false: decide by it with "
        "g.branch(node, {...}); whether there is a node at all: `node is not None`"
    )


def _items(self: Node[Any]) -> Never:
    raise TypeError(
        f"{_no_value(self)}, so there are no items to go through: let a node do that, as "
        "g.add(sum, node), or have n slices of it as nodes, by g.partition(node, n)"
    )


def refuse_use_as_value(kind: type) -> None:
    """Gives the class of nodes the special methods that refuse to be its value's.

    The class is native, and itself says what a missing attribute means; nothing depends on the
    speed of these.
    """
    methods: dict[str, Method] = {"bool": _truth, "iter": _items}
    for name in OPERATORS:
        methods[name.strip("_")] = _left(name)
        methods[f"r{name.strip('_')}"] = _right(name)
    methods |= {name: _left(name) for name in ONE_SIDED}
    methods |= {name: _asked(function) for name, function in FUNCTIONS.items()}
    for name, method in methods.items():
        method.__name__ = f"__{name}__"
        method.__qualname__ = f"{kind.__qualname__}.{method.__name__}"
        setattr(kind, method.__name__, method)
