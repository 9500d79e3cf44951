"""Clean tracebacks: an error of a child begins with the child, not with what calls it."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

__all__ = ["between", "from_the_call"]

F = TypeVar("F", bound=Callable[..., Any])

_BETWEEN: set[CodeType] = set()


def between(fn: F) -> F:
    """Marks a function that stands between a scope and what its user has it call."""
    _BETWEEN.add(fn.__code__)
    return fn


def from_the_call(error: BaseException) -> BaseException:
    """The error as the call raised it: its traceback without the frames that led there."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code in _BETWEEN:
        traceback = traceback.tb_next
    return error if traceback is None else error.with_traceback(traceback)
