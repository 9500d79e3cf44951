"""The reduced cell: every write is folded into its value."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Sequence
from typing import Any, NotRequired, Required, Self

from taskloom.pregel.channels.base import SingleValue, Value
from taskloom.pregel.constants import OVERWRITE
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.missing import MISSING
from taskloom.pregel.types import Overwrite

ONE_OVERWRITE = "At key '{key}': Can receive only one Overwrite value per super-step."

_CONCRETE: dict[Any, type] = {
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}


def concrete_type(typ: Any) -> Any:
    """The class to call for an empty value of `typ`, which may be annotated or generic."""
    while (origin := getattr(typ, "__origin__", None)) is not None:
        typ = typ.__args__[0] if origin in (Required, NotRequired) else origin
    return _CONCRETE.get(typ, typ)


def unwrap_overwrite(value: Any) -> Any:
    """The value to overwrite with, or MISSING if `value` is an ordinary write.

    An `Overwrite` may arrive as JSON left it: `{"__overwrite__": v}` or its fields as a dict.
    """
    if value.__class__ is list:  # the commonest write
        return MISSING
    if isinstance(value, Overwrite):
        return value.value
    if isinstance(value, dict):
        if len(value) == 1 and OVERWRITE in value:
            return value[OVERWRITE]
        if value.get("type") == OVERWRITE and "value" in value:
            return value["value"]
    return MISSING


def same_operator(a: Callable[..., Any], b: Callable[..., Any]) -> bool:
    """Whether two operators pass for one; a lambda does for any, since no two of them are equal."""
    anonymous = "<lambda>"
    return a is b or anonymous in (getattr(a, "__name__", ""), getattr(b, "__name__", ""))


class BinaryOperatorAggregate(SingleValue[Value]):
    """Holds the fold of all writes by a binary operator, from an empty value of its type.

    Args:
        typ: the type of its value; called without arguments for the first value.
        operator: takes the value so far and one write, and returns the new value.

    Example:
        >>> import operator
        >>> from taskloom.pregel.channels import BinaryOperatorAggregate
        >>> total = BinaryOperatorAggregate(int, operator.add)
        >>> total.update([1, 2, 3])
        True
        >>> assert total.get() == 6
    """

    __slots__ = ("factory", "operator")

    def __init__(self, typ: Any, operator: Callable[[Value, Value], Value]) -> None:
        super().__init__(typ)
        self.operator = operator
        self.factory = concrete_type(typ)
        self.value = self.initial()

    def initial(self) -> Any:
        """A fresh empty value, or MISSING if the type has none."""
        try:
            return self.factory()
        except Exception:
            return MISSING

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BinaryOperatorAggregate) and same_operator(
            self.operator, other.operator
        )

    __hash__ = None  # type: ignore[assignment]

    def _empty(self) -> Self:
        cell = self.__class__(self.typ, self.operator)
        cell.key = self.key
        return cell

    def update(self, values: Sequence[Value]) -> bool:
        """Take the writes of one superstep. Returns whether the cell changed."""
        if not values:
            return False
        overwritten = False
        for value in values:
            replacement = unwrap_overwrite(value)
            if replacement is not MISSING:
                if overwritten:
                    raise InvalidUpdateError(ONE_OVERWRITE.format(key=self.key))
                self.value = replacement
                overwritten = True
            elif not overwritten:
                self.value = value if self.value is MISSING else self.operator(self.value, value)
        return True
