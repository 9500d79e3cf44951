"""A callable with the options that go with it, and the record that options are kept in."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

from taskloom._ambient import ambient_graph
from taskloom._taskloom import Node
from taskloom._typing import TYPE_CHECKING, Generic, final, overload
from taskloom.errors import OptionError
from taskloom.retry import Retry

if TYPE_CHECKING:
    from typing import Any, ClassVar, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
else:
    P = R = None

__all__ = ["Options", "Task", "task"]


PLACES = ("thread", "process", "loop", "caller")
ON_ERROR = ("cancel_dependents", "cancel_run", "continue")


def _nearest(word: object, words: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(str(word), words, 1, 0.5)
    return f"did you mean {found[0]!r}?" if found else f"choose from {', '.join(words)}"


def _one_of(words: tuple[str, ...]) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if value in words:
            return value
        raise OptionError(f"{name}={value!r} is none of the choices; {_nearest(value, words)}")

    return check


def _text(name: str, value: object) -> object:
    if isinstance(value, str) and value:
        return value
    raise OptionError(f"{name}={value!r} must be a string that is not empty")


def _priority(name: str, value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise OptionError(f"{name}={value!r} must be a whole number; more is more urgent, 0 usual")


def _seconds(name: str, value: object) -> object:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
        if seconds > 0 and not math.isnan(seconds):
            return seconds
    raise OptionError(f"{name}={value!r} must be seconds above 0, or None for no limit")


def _retry(name: str, value: object) -> object:
    if value is None or isinstance(value, Retry):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Retry(value)
    raise OptionError(f"{name}={value!r} must be a number of attempts, a taskloom.Retry or None")


def _flag(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    raise OptionError(f"{name}={value!r} must be True or False")


def _several(name: str, value: object) -> object:
    if isinstance(value, (str, bytes, Node)) or not isinstance(value, Iterable):
        raise OptionError(f"{name}={value!r} must be a list of what to come after")
    return tuple(value)


def _any(name: str, value: object) -> object:
    return value


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "name": _text,
    "priority": _priority,
    "deadline": _seconds,
    "timeout": _seconds,
    "retry": _retry,
    "resources": _any,
    "place": _one_of(PLACES),
    "on_error": _one_of(ON_ERROR),
    "after": _several,
    "isolate_context": _flag,
    "retry_safe": _flag,
    "estimated_duration": _seconds,
}

OPTION_NAMES = tuple(_CHECKS)


@final
class Options:
    """Options as given in one place: a frozen record of those that were named there.

    `where` names that place in error messages. An option that was not named is absent, so that
    `over` can lay the nearer record on the farther one.

    >>> from taskloom.task import Options
    >>> view, task = Options("options", retry=2), Options("task", retry=5, timeout=1)
    >>> view.over(task)
    Options(retry=Retry(2, delay=0, backoff=2, on=(Exception)), timeout=1.0)
    >>> view.get("timeout", 60.0)
    60.0
    """

    __slots__ = ("_given",)

    EMPTY: ClassVar[Options]

    _given: dict[str, Any]

    def __init__(self, where: str = "options", /, **given: Any) -> None:
        for name, value in given.items():
            check = _CHECKS.get(name)
            if check is None:
                raise OptionError(
                    f"{where}() has no option {name!r}; {_nearest(name, OPTION_NAMES)}"
                )
            given[name] = check(name, value)
        object.__setattr__(self, "_given", given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"options are frozen: make a new record instead of setting {name!r}")

    @classmethod
    def _of(cls, given: dict[str, Any]) -> Options:
        self = object.__new__(cls)
        object.__setattr__(self, "_given", given)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Options._of, (self._given,)

    def over(self, farther: Options | None) -> Options:
        """These options, and those of `farther` that are not among them.

        >>> from taskloom.task import Options
        >>> Options(priority=1).over(Options(priority=2, timeout=3))
        Options(priority=1, timeout=3.0)
        """
        if farther is None or not farther._given:
            return self
        if not self._given:
            return farther
        missing = {name: v for name, v in farther._given.items() if name not in self._given}
        return Options._of({**self._given, **missing})

    def without(self, *names: str) -> Options:
        """These options less some.

        >>> from taskloom.task import Options
        >>> Options(name="a", timeout=3).without("name")
        Options(timeout=3.0)
        """
        return Options._of({name: v for name, v in self._given.items() if name not in names})

    def get(self, name: str, default: Any = None) -> Any:
        """The value of one option, or `default` where it was not named.

        >>> from taskloom.task import Options
        >>> Options(priority=1).get("priority", 0), Options().get("priority", 0)
        (1, 0)
        """
        return self._given.get(name, default)

    def as_dict(self) -> dict[str, Any]:
        """The options that were named, as a new dictionary.

        >>> from taskloom.task import Options
        >>> Options(priority=1).as_dict()
        {'priority': 1}
        """
        return dict(self._given)

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def __bool__(self) -> bool:
        return bool(self._given)

    def __eq__(self, other: object) -> bool:
        return self._given == other._given if isinstance(other, Options) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._given))

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"


Options.EMPTY = Options()


@final
class Task(Generic[P, R]):
    """A callable together with the options that it is submitted or placed with by default.

    Calling it calls the function, except inside `with Graph() as g:`, where it adds a node to `g`
    and returns that node. Made by `task`.

    >>> import taskloom
    >>> double = taskloom.task(lambda x: 2 * x, name="double")
    >>> double(21)
    42
    >>> with taskloom.Graph() as g:
    ...     node = double(21)
    >>> taskloom.run(g)[node]
    42
    """

    __slots__ = ("__dict__", "__weakref__", "function", "options")

    function: Callable[P, R]
    options: Options

    def __init__(self, function: Callable[P, R], options: Options = Options.EMPTY) -> None:
        if isinstance(function, Task):
            options, function = options.over(function.options), function.function
        if not callable(function):
            raise TypeError(f"a task needs a callable, not {function!r}")
        functools.update_wrapper(self, function)
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "options", options)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("function", "options"):
            raise AttributeError(f"a task is frozen: make a new one instead of setting {name!r}")
        object.__setattr__(self, name, value)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        graph = ambient_graph()
        if graph is None:
            return self.function(*args, **kwargs)
        node: R = graph.add(self, *args, **kwargs)
        return node

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = self.function.__get__(instance, owner)
        return Task(bound, self.options)

    def __reduce__(self) -> str | tuple[Any, ...]:
        import sys

        # A decorated function is found by its name, where that name leads to this very task.
        found: Any = sys.modules.get(getattr(self, "__module__", None) or "")
        name: str = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        return Task, (self.function, self.options)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"<task {name}{' ' + repr(self.options) if self.options else ''}>"


@overload
def task(function: Callable[P, R], /, **options: Any) -> Task[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Gives a callable default options; a call, a decorator, or a decorator with arguments.

    Parameters
    ----------
    function
        What to call. Left out, a decorator is returned.
    options
        Any of name, priority (more is more urgent; from -3 to 4, beyond counts as those),
        deadline and timeout (seconds), retry, resources, place, on_error, after, isolate_context,
        retry_safe (a retry is fine though the task changes or takes an argument), and
        estimated_duration (seconds; as a node of a graph, see `Graph.options`).

    Raises `OptionError` for an unknown option or a wrong value.

    >>> import taskloom
    >>> @taskloom.task(retry=3)
    ... def fetch(url: str) -> str:
    ...     return f"<{url}>"
    >>> fetch("a"), fetch.options
    ('<a>', Options(retry=Retry(3, delay=0, backoff=2, on=(Exception))))
    """
    given = Options("task", **options)
    if function is None:
        return lambda function: Task(function, given)
    return Task(function, given)
