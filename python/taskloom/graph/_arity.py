"""Which calls fit a function."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

__all__ = ["arity"]

UNLIMITED = 2**31
VARIADIC = 0x04


def arity(function: Callable[..., Any]) -> tuple[int, int]:
    """The least and the most positional arguments that a call without keywords takes."""
    if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
        low, high = arity(function.__func__)
        return max(low - 1, 0), high if high == UNLIMITED else high - 1
    if isinstance(function, FunctionType):
        code = function.__code__
        given = function.__kwdefaults__ or {}
        names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        if any(name not in given for name in names):
            return 1, 0  # Nothing fits without keywords: `_check` finds the words for it.
        low = code.co_argcount - len(function.__defaults__ or ())
        return low, UNLIMITED if code.co_flags & VARIADIC else code.co_argcount
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0, UNLIMITED  # Builtins without a signature tell when they are called.
    low = high = 0
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            high = UNLIMITED
        elif parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            high += 1
            low += parameter.default is Parameter.empty
        elif parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty:
            return 1, 0
    return low, high
