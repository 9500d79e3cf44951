"""Which nodes run outside the run's own loop, and how they are submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom import _taskloom
from taskloom._asynchrony import is_coroutine_function
from taskloom._taskloom import Node
from taskloom.access import refuse_spawn, taking
from taskloom.errors import OptionError
from taskloom.flow import RetryTask
from taskloom.task import Options

__all__ = [
    "CALLER",
    "DEFERRED",
    "JOIN",
    "ORDINARY",
    "calls_once",
    "check_place",
    "forwarding_async",
    "kind_of",
    "runs_as_coroutine",
    "submitting",
]

#: Kinds of nodes, as the engine numbers them: called by whoever has its turn, submitted in place of
#: being called, called by the thread that called `run`, or the join of a branch.
ORDINARY, DEFERRED, CALLER, JOIN = 0, 1, 2, 3

#: Options that take a node out of the run's own loop: it is submitted to the executor with them.
DEFERRING = ("timeout", "deadline", "resources")


def check_place(options: Options, function: Callable[..., Any]) -> None:
    place = options.get("place", "thread")
    if place == "process" and is_coroutine_function(function):
        raise OptionError(
            f"place='process' takes plain functions, but {function!r} is `async def`: leave the "
            "place out, or run it in the process by a function that calls asyncio.run"
        )
    if place == "caller":
        if is_coroutine_function(function):
            raise OptionError(
                f"place='caller' takes plain functions, but {function!r} is `async def`: leave the "
                "place out, or have it awaited on an event loop by place='loop'"
            )
        for name in DEFERRING:
            if options.get(name) is not None:
                raise OptionError(
                    f"{name}={options.get(name)!r} does not go with place='caller': the thread "
                    "that called run is not the executor's to limit"
                )


def runs_as_coroutine(function: Callable[..., Any], options: Options) -> bool:
    """Whether a node is awaited: `async def` on the pool, or anything on an event loop."""
    return options.get("place") == "loop" or is_coroutine_function(function)


def kind_of(function: Callable[..., Any], options: Options) -> int:
    if (
        options.get("place") == "process"
        or any(options.get(name) is not None for name in DEFERRING)
        or runs_as_coroutine(function, options)
    ):
        return DEFERRED
    return CALLER if options.get("place") == "caller" else ORDINARY


def calls_once(options: Options) -> bool:
    """Whether a deferred node needs its arguments for one call only, and that in this process."""
    retry = options.get("retry")
    return options.get("place") != "process" and (retry is None or not retry.tries_again)


def submitting(
    function: Callable[..., Any],
    options: Options,
    node: Node[Any],
    asynchronous: bool = False,
    takes: bool = False,
    *,
    holds: bool = False,
) -> Callable[..., Any]:
    """What a deferred node calls: submits `function` to the executor, which comes first.

    A node that takes a value is given its arguments in a list instead, last first, if it
    `calls_once`: whoever holds that holds none of them once they have been popped. The future of
    one that `holds` values for itself ends when its thread has left the call.

    >>> import taskloom
    >>> from taskloom.graph._place import Options, submitting
    >>> node = taskloom.Graph().options(name="power").add(pow, 2, 5)
    >>> with taskloom.Executor(1) as executor:
    ...     submitting(pow, Options(timeout=5), node)(executor, 2, 5).result()
    32
    """
    asked = options.as_dict()
    given = {"name": node.name, **asked}
    named = function
    if takes and calls_once(options):
        function = taking(function, len(node.args), tuple(node.kwargs))

    def submit(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        return executor.options(**given)._submit_node(function, args, kwargs)

    def submit_holding(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        return executor.options(**given)._submit_holding(function, args, kwargs)

    def spawn(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        chosen = executor.options(**asked).chosen
        pool = getattr(executor, "_executor", executor)  # what a watched run puts before it
        return pool._desk.spawn(pool, chosen, (function, args, kwargs), named=named, of_run=True)

    async def again(*args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return await function(*args, **kwargs)
            except RetryTask as asked:
                delay = asked.delay or 0.0
            await _taskloom.sleep(delay)

    # What is called again keeps its arguments.
    call = function if takes else again

    def spawn_plainly(executor: Any, /, *args: Any, **kwargs: Any) -> Any:
        # The scope that the run was started in cancels it, as it does the other nodes.
        token = _taskloom.token_variable.get(None)
        pool = getattr(executor, "_executor", executor)
        return _taskloom._spawn(pool, call, args, kwargs or None, token=token, named=named)

    if not asynchronous:
        return submit_holding if holds else submit
    return spawn if asked else spawn_plainly


def forwarding_async(function: Callable[..., Any], key: int | str) -> Callable[..., Any]:
    """`function`, awaited if it is to be, but returning one of its arguments.

    >>> import taskloom
    >>> from taskloom.graph._place import forwarding_async
    >>> async def fill(box):
    ...     box.append(1)
    >>> taskloom.run_coroutine(forwarding_async(fill, 0), [])
    [1]
    """

    async def call(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        refuse_spawn(await value if hasattr(value, "__await__") else value)
        return args[key] if isinstance(key, int) else kwargs[key]

    return call
