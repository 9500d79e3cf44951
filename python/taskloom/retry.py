"""Trying a task again when it raised: how often, how long after, and for which errors."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from taskloom import _taskloom
from taskloom._typing import TYPE_CHECKING, final
from taskloom.current import attempt_here, node_here
from taskloom.errors import DeadlineMissed, OptionError
from taskloom.flow import FlowSignal, RetryTask

if TYPE_CHECKING:
    from typing import Any

    ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]
    Rule = Callable[[int, BaseException], float | None]

__all__ = ["Hands", "Retry", "asked_again", "hands", "next_attempt", "retrying"]


def _draw() -> float:
    # Imported when it is first needed: every executor imports this module.
    from random import random

    return random()


@final
class Hands:
    """Where jitter comes from, and how a node's delay is spent; tests put in their own.

    >>> from taskloom.retry import hands
    >>> 0 <= hands.get().jitter() < 1
    True
    """

    __slots__ = ("jitter", "pause")

    def __init__(
        self,
        jitter: Callable[[], float] = _draw,
        pause: Callable[[float], object] = _taskloom._pause,
    ) -> None:
        self.jitter = jitter
        self.pause = pause


hands: ContextVar[Hands] = ContextVar("taskloom retry hands", default=Hands())  # noqa: B039


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
        How many times the task is called at most, the first call included; at least 1. None for as
        often as it takes.
    delay
        Seconds before the second attempt.
    backoff
        Each further delay is this times the one before; 1 keeps it the same.
    jitter
        The share of each delay, from 0 to 1, that is drawn at random: 1 gives anything between no
        delay and the full one, so that tasks that failed together do not come back together.
    max_delay
        Seconds that no delay exceeds; None for no such limit.
    on
        The errors to try again after: an exception type or a tuple of them.
    give_up
        Errors not to try again after, though `on` names them.
    rule
        Called as `rule(attempt, error)`, attempts counted from 1, for errors that `on` and
        `give_up` admit: returns seconds until the next attempt, or None to let the error pass. It
        stands in place of `delay`, `backoff`, `jitter` and `max_delay`; `attempts` bounds it
        still.
    pass_error
        The name of a keyword by which each attempt but the first is given the last error. The
        function needs a default for it. A submitted task also finds it by
        `taskloom.current_task().last_error`.

    The error of the last attempt is the task's error, with a note that says how often it was tried.
    A delay keeps no worker from other work. An attempt that could not start before the task's
    deadline is not waited for. An attempt on a thread that ran out of its `timeout` is followed by
    another only if the task has `retry_safe=True`: its thread may still be in it, beside the next
    one. A `RetryTask` that the task raises is no failure, and not counted.

    The jitter is the "full jitter" of Marc Brooker, "Exponential Backoff And Jitter", 2015, when 1.

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

    __slots__ = (
        "attempts",
        "backoff",
        "delay",
        "give_up",
        "jitter",
        "max_delay",
        "on",
        "pass_error",
        "rule",
    )

    attempts: int | None
    delay: float
    backoff: float
    jitter: float
    max_delay: float | None
    on: tuple[type[BaseException], ...]
    give_up: tuple[type[BaseException], ...]
    rule: Rule | None
    pass_error: str | None

    def __init__(
        self,
        attempts: int | None = 3,
        *,
        delay: float = 0.0,
        backoff: float = 2.0,
        jitter: float = 0.0,
        max_delay: float | None = None,
        on: ErrorTypes = Exception,
        give_up: ErrorTypes = (),
        rule: Rule | None = None,
        pass_error: str | None = None,
    ) -> None:
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise OptionError(
                f"Retry(attempts={attempts!r}) must be a whole number of at least 1, or None for "
                "as often as it takes"
            )
        if not delay >= 0:
            raise OptionError(f"Retry(delay={delay!r}) must be seconds, 0 or more")
        if not backoff > 0:
            raise OptionError(f"Retry(backoff={backoff!r}) must be a factor above 0")
        if not 0 <= jitter <= 1:
            raise OptionError(f"Retry(jitter={jitter!r}) must be a share from 0 to 1")
        if max_delay is not None and not max_delay >= 0:
            raise OptionError(f"Retry(max_delay={max_delay!r}) must be seconds, 0 or more, or None")
        if rule is not None:
            if not callable(rule):
                raise OptionError(
                    f"Retry(rule={rule!r}) must be a function of the attempt and the error"
                )
            if (delay, backoff, jitter, max_delay) != (0.0, 2.0, 0.0, None):
                raise OptionError(
                    "Retry(rule=...) decides the delay: leave delay, backoff, jitter and "
                    "max_delay out"
                )
        if pass_error is not None and not (
            isinstance(pass_error, str) and pass_error.isidentifier()
        ):
            raise OptionError(f"Retry(pass_error={pass_error!r}) must be the name of a parameter")
        store = object.__setattr__
        store(self, "attempts", attempts)
        store(self, "delay", float(delay))
        store(self, "backoff", float(backoff))
        store(self, "jitter", float(jitter))
        store(self, "max_delay", None if max_delay is None else float(max_delay))
        store(self, "on", _error_types("on", on))
        store(self, "give_up", _error_types("give_up", give_up))
        store(self, "rule", rule)
        store(self, "pass_error", pass_error)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Retry is frozen: make a new one instead of setting {name!r}")

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (dict(zip(self.__slots__, self._key(), strict=True)),)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Retry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        names = ", ".join(item.__name__ for item in self.on)
        parts = [f"{self.attempts}"]
        if self.rule is None:
            parts += [f"delay={self.delay:g}", f"backoff={self.backoff:g}"]
        else:
            parts += [f"rule={self.rule!r}"]
        if self.jitter:
            parts += [f"jitter={self.jitter:g}"]
        if self.max_delay is not None:
            parts += [f"max_delay={self.max_delay:g}"]
        if self.pass_error is not None:
            parts += [f"pass_error={self.pass_error!r}"]
        return f"Retry({', '.join([*parts, f'on=({names})'])})"

    @property
    def tries_again(self) -> bool:
        """Whether there can be more than one attempt.

        >>> import taskloom
        >>> taskloom.Retry(1).tries_again, taskloom.Retry(None).tries_again
        (False, True)
        """
        return self.attempts != 1

    def again(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or None to let the error pass.

        `attempt` counts the calls made so far, from 1.

        >>> import taskloom
        >>> taskloom.Retry(3, delay=0.5).again(OSError(), 2)
        1.0
        """
        if self.attempts is not None and attempt >= self.attempts:
            return None
        if not isinstance(error, self.on) or isinstance(error, self.give_up):
            return None
        if self.rule is None:
            return self._delay_after(attempt)
        wait = self.rule(attempt, error)
        return None if wait is None else max(0.0, float(wait))

    def _delay_after(self, attempt: int) -> float:
        if self.delay == 0.0:
            return 0.0
        try:
            wait = self.delay * self.backoff ** (attempt - 1)
        except OverflowError:
            wait = float("inf")
        # A year stands for ever: it can still be counted in nanoseconds.
        wait = min(wait, 3.2e7 if self.max_delay is None else self.max_delay)
        return wait * (1.0 - self.jitter * hands.get().jitter()) if self.jitter else wait


def _rebuild(given: dict[str, Any]) -> Retry:
    return Retry(given.pop("attempts"), **given)


def next_attempt(
    retry: Retry | None, error: BaseException, attempt: int, left: float | None = None
) -> float | None:
    """Seconds until the next attempt after `error`, or None, with a note that says why.

    `attempt` counts the failed calls so far, and `left` the seconds to the deadline, if there is
    one.

    Raises `DeadlineMissed` for a `RetryTask` that asks for an attempt after that.

    >>> from taskloom.retry import Retry, next_attempt
    >>> next_attempt(Retry(3, delay=5.0), OSError(), 1, left=1.0) is None
    True
    """
    wait: float | None
    if isinstance(error, RetryTask):
        if error.delay is not None:
            wait = error.delay
        else:
            wait = retry._delay_after(max(attempt, 1)) if retry is not None else 0.0
    elif retry is None or isinstance(error, FlowSignal):
        return None
    else:
        wait = retry.again(error, attempt)
        if wait is None:
            if attempt > 1:
                of = "" if retry.attempts is None else f" of {retry.attempts}"
                error.add_note(f"attempt {attempt}{of}")
            return None
    if left is not None and wait >= left:
        if isinstance(error, RetryTask):
            raise DeadlineMissed(
                f"the task asked for another attempt in {wait:g} s, which is after its deadline"
            )
        error.add_note(f"no attempt after {attempt}: the deadline would pass before it")
        return None
    return wait


def asked_again(
    signal: RetryTask, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Calls `function` again, which has raised `signal`, for as long as it asks for that.

    >>> from taskloom.retry import RetryTask, asked_again
    >>> asked_again(RetryTask(), int, "7")
    7
    """
    attempt = 1
    while True:
        hands.get().pause(signal.delay or 0.0)
        attempt += 1
        try:
            return _call_again(attempt, None, function, args, kwargs)
        except RetryTask as asked:
            signal = asked


def retrying(function: Callable[..., Any], retry: Retry) -> Callable[..., Any]:
    """`function`, called again as `retry` says.

    >>> from taskloom.retry import Retry, retrying
    >>> retrying(int, Retry(2))("7")
    7
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        failed = 0
        attempt = 1
        last_error: BaseException | None = None
        while True:
            try:
                if attempt == 1:
                    return function(*args, **kwargs)
                return _call_again(attempt, last_error, function, args, kwargs)
            except BaseException as error:
                asked = isinstance(error, RetryTask)
                failed += not asked
                wait = next_attempt(retry, error, failed)
                if wait is None:
                    last_error = None
                    raise
                if not asked:
                    # Without this frame, which would keep the error and be kept by it.
                    trace = error.__traceback__
                    last_error = error.with_traceback(trace and trace.tb_next)
                    if retry.pass_error is not None:
                        kwargs[retry.pass_error] = last_error
            hands.get().pause(wait)
            attempt += 1

    return call


def _call_again(
    attempt: int,
    last_error: BaseException | None,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Calls a node once more, which then finds in `current_task` how often and why."""
    node = node_here()
    if node is None:
        return function(*args, **kwargs)
    before = attempt_here.set((node.task, attempt, last_error))
    try:
        return function(*args, **kwargs)
    finally:
        attempt_here.reset(before)
