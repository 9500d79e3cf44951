"""Which nodes run outside the run's own loop, and how they are submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.errors import OptionError
from taskloom.task import Options

__all__ = ["check_place", "is_deferred", "submitting"]

#: Options that take a node out of the run's own loop: it is submitted to the executor with them.
DEFERRING = ("timeout", "deadline", "resources")


def check_place(options: Options) -> None:
    place = options.get("place", "thread")
    if place not in ("thread", "process"):
        raise OptionError(
            f"place={place!r} is not available for nodes of a graph yet: "
            "they run with place='thread' or place='process'"
        )


def is_deferred(options: Options) -> bool:
    return options.get("place") == "process" or any(
        options.get(name) is not None for name in DEFERRING
    )


def submitting(function: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """What a deferred node calls: submits `function` to the executor, which comes first.

    >>> import taskloom
    >>> from taskloom.graph._place import Options, submitting
    >>> with taskloom.Executor(1) as executor:
    ...     submitting(pow, Options(timeout=5))(executor, 2, 5).result()
    32
    """
    given = options.as_dict()

    def submit(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        return executor.options(**given).submit(function, *args, **kwargs)

    return submit
