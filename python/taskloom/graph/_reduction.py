"""How `Graph.reduce` combines many values into one: a tree of nodes, of few values at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, final

from taskloom._taskloom import Node, Use
from taskloom.access import EXCLUSIVE
from taskloom.graph._shapes import node_of
from taskloom.task import Task

__all__ = ["Fold", "combined", "folding", "used_up"]

T = TypeVar("T")


def combined(
    items: Sequence[Any],
    split_every: int,
    operand: Callable[[Any, int], Any],
    combine: Callable[[list[Any], str], Node[Any]],
) -> Any:
    """Combines items from left to right, `split_every` at a time.

    As soon as there are enough values of a level they are combined into one of the next: so that,
    as for carries in counting, no more than `split_every - 1` wait on each level.
    """
    levels: list[list[Any]] = [[]]
    made = 0
    last = len(items) - 1

    def lift(level: int, final: bool) -> None:
        nonlocal made
        waiting, levels[level] = levels[level], []
        if len(waiting) > 1:
            value: Any = combine(waiting, "" if final else f"[{made}]")
            made += 1
        else:
            (value,) = waiting
        if level + 1 == len(levels):
            levels.append([])
        levels[level + 1].append(value)

    def above(level: int) -> bool:
        return any(levels[level + 1 :])

    for place, item in enumerate(items):
        levels[0].append(operand(item, place))
        level = 0
        while len(levels[level]) == split_every:
            lift(level, final=place == last and not above(level))
            level += 1
    level = 0
    while above(level) or len(levels[level]) > 1:
        if levels[level]:
            lift(level, final=not above(level))
        level += 1
    return next(value for values in levels for value in values)


def used_up(mode: Use, value: Any) -> Use:
    """An operand of a reduction with an access mode; a constant must be there for the next run."""
    if node_of(value) is None and mode.mode in EXCLUSIVE:
        return Use("copy", value)
    return Use(mode.mode, value, mode.copier)


@final
class Fold(Generic[T]):
    """A function of two values, made one of any number: from left to right.

    >>> import operator
    >>> from taskloom.graph._reduction import Fold
    >>> Fold(operator.sub)(10, 3, 2)
    5
    """

    __slots__ = ("__name__", "function")

    def __init__(self, function: Callable[[Any, Any], T]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, first: Any, /, *rest: Any) -> Any:
        function = self.function
        for value in rest:
            first = function(first, value)
        return first

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fold) and self.function == other.function

    def __hash__(self) -> int:
        return hash((Fold, self.function))


def folding(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The function made one of any number of values, with the options of a task."""
    if isinstance(function, Task):
        return Task(Fold(function.function), function.options)
    return Fold(function)
