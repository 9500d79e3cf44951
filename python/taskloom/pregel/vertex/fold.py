"""Folds: how many values become one, whatever the order they come in.

A combiner folds the messages to one vertex, an aggregator what vertices contribute to one total.
Both are named by what they do, or are a function of two values that is associative and commutative.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

FoldName: TypeAlias = Literal["sum", "min", "max", "any", "all"]
Fold: TypeAlias = FoldName | Callable[[Any, Any], Any]


def _either(one: Any, other: Any) -> bool:
    return bool(one or other)


def _both(one: Any, other: Any) -> bool:
    return bool(one and other)


_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": operator.add,
    "min": min,
    "max": max,
    "any": _either,
    "all": _both,
}
_IDENTITIES: dict[str, Any] = {
    "sum": 0,
    "min": float("inf"),
    "max": float("-inf"),
    "any": False,
    "all": True,
}


def function_of(fold: Fold) -> Callable[[Any, Any], Any]:
    """Return the function of two values that a fold means.

    Raises:
        ValueError: there is no fold of that name.
    """
    if callable(fold):
        return fold
    function = _FUNCTIONS.get(fold)
    if function is None:
        known = ", ".join(map(repr, _FUNCTIONS))
        raise ValueError(f"there is no fold {fold!r}: give {known}, or a function of two values")
    return function


def identity_of(fold: Fold) -> Any:
    """Return what a fold of nothing is; `None` for a function."""
    return None if callable(fold) else _IDENTITIES.get(fold)
