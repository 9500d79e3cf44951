"""How a node is retried, timed and cached."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, NamedTuple, TypeVar, final

_NEVER_RETRIED = (
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    RuntimeError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
    OSError,
)


def default_retry_on(error: Exception) -> bool:
    """Whether an error is worth another try: lost connections and a server's 5xx, not mistakes.

    Args:
        error: what the node raised.

    Returns:
        True for a `ConnectionError`, a 5xx of httpx or requests, and errors that are none of
        the standard library's kinds of mistake.
    """
    if isinstance(error, ConnectionError):
        return True
    httpx: Any = sys.modules.get("httpx")
    if httpx is not None and isinstance(error, httpx.HTTPStatusError):
        return _is_server_error(error)
    requests: Any = sys.modules.get("requests")
    if requests is not None and isinstance(error, requests.HTTPError):
        return _is_server_error(error)
    return not isinstance(error, _NEVER_RETRIED)


def _is_server_error(error: Any) -> bool:
    response = error.response
    return True if response is None else bool(500 <= response.status_code < 600)


@final
class RetryPolicy(NamedTuple):
    """When and how often a failed node is tried again.

    Attributes:
        initial_interval: seconds before the second attempt.
        backoff_factor: what the interval is multiplied by after each attempt.
        max_interval: seconds that an interval never exceeds.
        max_attempts: attempts in all, the first included.
        jitter: add up to one random second to each interval.
        retry_on: an exception class, several, or a function of the error.

    Example:
        >>> from taskloom.pregel import RetryPolicy
        >>> RetryPolicy(max_attempts=5, retry_on=(ConnectionError,)).matches(ConnectionError())
        True
    """

    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    max_attempts: int = 3
    jitter: bool = True
    retry_on: type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool] = (
        default_retry_on
    )

    def matches(self, error: Exception) -> bool:
        """Whether this policy retries `error`."""
        rule = self.retry_on
        if isinstance(rule, type):
            return isinstance(error, rule)
        if isinstance(rule, Sequence):
            return isinstance(error, tuple(rule))
        if callable(rule):
            return rule(error)
        raise TypeError(
            "retry_on must be an Exception class, a list or tuple of Exception classes, "
            f"or a callable, not {rule!r}"
        )


def _seconds(value: float | timedelta | None, field: str) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds <= 0:
        raise ValueError(f"{field} must be greater than 0")
    return seconds


@final
@dataclass(kw_only=True, slots=True, frozen=True)
class TimeoutPolicy:
    """How long one attempt of a node may take. Async nodes only: a thread cannot be stopped.

    Attributes:
        run_timeout: seconds (or a timedelta) for the whole attempt.
        idle_timeout: seconds (or a timedelta) that may pass without progress.
        refresh_on: "auto" counts writes, stream output, what LangChain's callbacks hear of and
            `runtime.heartbeat()` as progress, "heartbeat" only the last.

    Example:
        >>> from taskloom.pregel import TimeoutPolicy
        >>> TimeoutPolicy.coerce(5).run_timeout
        5.0
    """

    run_timeout: float | timedelta | None = None
    idle_timeout: float | timedelta | None = None
    refresh_on: Literal["auto", "heartbeat"] = "auto"

    @classmethod
    def coerce(cls, value: float | timedelta | TimeoutPolicy | None) -> TimeoutPolicy | None:
        """Turn what a user gave as `timeout=` into a policy in positive seconds, or None.

        Raises:
            ValueError: a limit is not positive, or `refresh_on` is unknown.
        """
        if value is None:
            return None
        if not isinstance(value, TimeoutPolicy):
            value = cls(run_timeout=value)
        if value.refresh_on not in ("auto", "heartbeat"):
            raise ValueError("refresh_on must be 'auto' or 'heartbeat'")
        run = _seconds(value.run_timeout, "run_timeout")
        idle = _seconds(value.idle_timeout, "idle_timeout")
        if run is None and idle is None:
            return None
        if (
            run is value.run_timeout
            and idle is value.idle_timeout
            and (run is None or type(run) is float)
            and (idle is None or type(idle) is float)
        ):
            return value
        return cls(run_timeout=run, idle_timeout=idle, refresh_on=value.refresh_on)


def _freeze(value: Any, depth: int = 10) -> Any:
    if depth <= 0 or isinstance(value, Hashable):
        return value
    if isinstance(value, Mapping):
        return tuple(sorted((k, _freeze(v, depth - 1)) for k, v in value.items()))
    if isinstance(value, Sequence):
        return tuple(_freeze(v, depth - 1) for v in value)
    if hasattr(value, "tobytes"):
        return type(value).__name__, value.tobytes(), getattr(value, "shape", None)
    return value


def default_cache_key(*args: Any, **kwargs: Any) -> str | bytes:
    """The cache key of a node's input: its pickle, with the order of mappings made irrelevant."""
    import pickle

    return pickle.dumps((_freeze(args), _freeze(kwargs)), protocol=5, fix_imports=False)


KeyFunction = TypeVar("KeyFunction", bound=Callable[..., str | bytes])


@final
@dataclass(kw_only=True, slots=True, frozen=True)
class CachePolicy(Generic[KeyFunction]):
    """When a node's result is taken from the graph's cache instead of running it.

    Attributes:
        key_func: makes the key from the node's input.
        ttl: seconds that an entry lives, or None for ever.

    Raises:
        TypeError: `ttl` is no number, or `key_func` cannot be called.

    Example:
        >>> from taskloom.pregel import CachePolicy
        >>> CachePolicy(key_func=lambda state: state["url"], ttl=60).ttl
        60
    """

    key_func: KeyFunction = default_cache_key  # type: ignore[assignment]
    ttl: int | None = None

    def __post_init__(self) -> None:
        if self.ttl is not None and not isinstance(self.ttl, int | float):
            raise TypeError(f"ttl={self.ttl!r}: give seconds, or None for ever")
        if not callable(self.key_func):
            raise TypeError(f"key_func={self.key_func!r}: give a function of the node's input")


class CacheKey(NamedTuple):
    """Where a task's writes are cached."""

    ns: tuple[str, ...]
    key: str
    ttl: int | None
