"""Turning exceptions of a task, by their type, into values or into a direction of the flow."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, final, overload

from taskloom.errors import OptionError
from taskloom.flow import AbortRun, FlowSignal
from taskloom.task import Task

__all__ = ["catch"]

P = ParamSpec("P")

Rules = Mapping[type[BaseException], Any]


@overload
def catch(function: Task[P, Any], rules: Rules, /) -> Task[P, Any]: ...
@overload
def catch(function: Callable[P, Any], rules: Rules, /) -> Callable[P, Any]: ...
def catch(function: Any, rules: Rules, /) -> Any:
    """`function`, whose exceptions become values or direct the flow, as `rules` say by their types.

    The name, signature, annotations and access modes stay those of `function`, and so do the
    options of a `taskloom.task`. A node that takes a value holds it here until the call is over.

    Parameters
    ----------
    function
        A function, a coroutine function, or a `taskloom.task`.
    rules
        What becomes of an exception, by its class; of several classes that fit, the nearest one
        decides. The rule is a value; a function, which is called with the exception and returns
        the value; or `AbortBranch`, `AbortRun` or `RetryTask`, as a class or made with arguments.

    Raises `OptionError` for a rule whose key is no exception class.

    >>> import taskloom
    >>> from taskloom import AbortBranch, catch
    >>> def half(text):
    ...     return 1 / int(text)
    >>> careful = catch(half, {ValueError: None, ZeroDivisionError: AbortBranch("no half")})
    >>> g = taskloom.Graph()
    >>> values = [g.add(careful, text) for text in ("2", "x", "0")]
    >>> run = taskloom.run(g)
    >>> [run[value] for value in values]
    [0.5, None, 'no half']
    """
    for kind in rules:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise OptionError(f"catch(..., {{{kind!r}: ...}}): the keys are exception classes")
    if isinstance(function, Task):
        return Task(_catching(function.function, rules), function.options)
    if not callable(function):
        raise TypeError(f"catch takes a function and its rules, not {function!r}")
    return _catching(function, rules)


def _catching(function: Callable[..., Any], rules: Rules) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        return _CatchingAsync(function, dict(rules))
    return _Catching(function, dict(rules))


def is_catching(function: object) -> bool:
    """Whether `catch` made it: then it may return what its rules say.

    >>> from taskloom.catch import catch, is_catching
    >>> is_catching(catch(int, {ValueError: None})), is_catching(int)
    (True, False)
    """
    return isinstance(function, _Rules)


class _Rules:
    """The wrapped function and its rules; an object, not a closure, so that it can be sent."""

    __name__: str

    def __init__(self, function: Callable[..., Any], rules: dict[type[BaseException], Any]) -> None:
        wrapper: Any = self  # callable by what the subclasses add
        functools.update_wrapper(wrapper, function)
        self.__annotations__ = getattr(function, "__annotations__", {})
        self.function = function
        self.rules = rules

    def outcome(self, error: BaseException) -> Any:
        for kind in type(error).__mro__:
            if kind in self.rules:
                break
        else:
            raise error
        rule = self.rules[kind]
        if isinstance(rule, FlowSignal):
            raise rule.with_traceback(None) from error
        if isinstance(rule, type) and issubclass(rule, FlowSignal):
            raise (AbortRun(_said(error)) if rule is AbortRun else rule()) from error
        return rule(error) if callable(rule) else rule

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.function, self.rules)

    def __repr__(self) -> str:
        return f"<catch of {getattr(self.function, '__qualname__', self.function)!s}>"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@final
class _Catching(_Rules):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        except BaseException as error:
            return self.outcome(error)


@final
class _CatchingAsync(_Rules):
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self.function(*args, **kwargs)
        except BaseException as error:
            return self.outcome(error)
