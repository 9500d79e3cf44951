"""Trying a task again when it raised: how often, how long after, and for which errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, final

from taskloom.errors import OptionError

__all__ = ["Retry", "retrying"]

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]


def _error_types(name: str, value: ErrorTypes) -> tuple[type[BaseException], ...]:
    types = value if isinstance(value, tuple) else (value,)
    for item in types:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise OptionError(
                f"Retry({name}=...) takes exception types, not {item!r}: "
                "give one such as OSError, or a tuple of them"
            )
    return types


@final
class Retry:
    """How often, and how long after an error, a task is tried again.

    Parameters
    ----------
    attempts
        How many times the task is called at most, the first call included; at least 1.
    delay
        Seconds before the second attempt.
    backoff
        Each further delay is this times the one before; 1 keeps it the same.
    on
        The errors to try again after: an exception type or a tuple of them.
    give_up
        Errors not to try again after, though `on` names them.

    The error of the last attempt is the task's error, with a note that says how often it was tried.
    The delay occupies the worker.

    >>> import taskloom
    >>> attempts = iter([OSError("busy"), OSError("busy"), "done"])
    >>> def fetch():
    ...     answer = next(attempts)
    ...     if isinstance(answer, OSError):
    ...         raise answer
    ...     return answer
    >>> g = taskloom.Graph()
    >>> node = g.options(retry=taskloom.Retry(3, on=OSError)).add(fetch)
    >>> taskloom.run(g)[node]
    'done'
    """

    __slots__ = ("attempts", "backoff", "delay", "give_up", "on")

    attempts: int
    delay: float
    backoff: float
    on: tuple[type[BaseException], ...]
    give_up: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int = 3,
        *,
        delay: float = 0.0,
        backoff: float = 2.0,
        on: ErrorTypes = Exception,
        give_up: ErrorTypes = (),
    ) -> None:
        if type(attempts) is not int or attempts < 1:
            raise OptionError(f"Retry(attempts={attempts!r}) must be a whole number of at least 1")
        if not delay >= 0:
            raise OptionError(f"Retry(delay={delay!r}) must be seconds, 0 or more")
        if not backoff > 0:
            raise OptionError(f"Retry(backoff={backoff!r}) must be a factor above 0")
        store = object.__setattr__
        store(self, "attempts", attempts)
        store(self, "delay", float(delay))
        store(self, "backoff", float(backoff))
        store(self, "on", _error_types("on", on))
        store(self, "give_up", _error_types("give_up", give_up))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Retry is frozen: make a new one instead of setting {name!r}")

    def _key(self) -> tuple[object, ...]:
        return self.attempts, self.delay, self.backoff, self.on, self.give_up

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._key()

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Retry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        names = ", ".join(item.__name__ for item in self.on)
        return (
            f"Retry({self.attempts}, delay={self.delay:g}, backoff={self.backoff:g}, on=({names}))"
        )

    def again(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or None to let the error pass.

        `attempt` counts the calls made so far, from 1.

        >>> import taskloom
        >>> taskloom.Retry(3, delay=0.5).again(OSError(), 2)
        1.0
        """
        if attempt >= self.attempts or not isinstance(error, self.on):
            return None
        if self.give_up and isinstance(error, self.give_up):
            return None
        return self.delay * self.backoff ** (attempt - 1)


def _rebuild(
    attempts: int, delay: float, backoff: float, on: ErrorTypes, give_up: ErrorTypes
) -> Retry:
    return Retry(attempts, delay=delay, backoff=backoff, on=on, give_up=give_up)


def retrying(function: Callable[..., Any], retry: Retry) -> Callable[..., Any]:
    """`function`, called again as `retry` says.

    >>> from taskloom.retry import Retry, retrying
    >>> retrying(int, Retry(2))("7")
    7
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                wait = retry.again(error, attempt)
                if wait is None:
                    if attempt > 1:
                        error.add_note(f"attempt {attempt} of {retry.attempts}")
                    raise
            if wait:
                time.sleep(wait)

    return call
