"""Which nodes run outside the run's own loop, and how they are submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.errors import OptionError
from taskloom.task import Options

__all__ = ["CALLER", "DEFERRED", "JOIN", "ORDINARY", "check_place", "kind_of", "submitting"]

#: Kinds of nodes, as the engine numbers them: called by whoever has its turn, submitted in place of
#: being called, called by the thread that called `run`, or the join of a branch.
ORDINARY, DEFERRED, CALLER, JOIN = 0, 1, 2, 3

#: Options that take a node out of the run's own loop: it is submitted to the executor with them.
DEFERRING = ("timeout", "deadline", "resources")


def check_place(options: Options) -> None:
    place = options.get("place", "thread")
    if place not in ("thread", "process"):
        raise OptionError(
            f"place={place!r} is not available for nodes of a graph yet: "
            "they run with place='thread' or place='process'"
        )


def kind_of(options: Options) -> int:
    if options.get("place") == "process" or any(
        options.get(name) is not None for name in DEFERRING
    ):
        return DEFERRED
    return CALLER if options.get("place") == "caller" else ORDINARY


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
