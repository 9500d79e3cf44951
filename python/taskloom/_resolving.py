"""What the options of a submitted task mean to the engine."""

from __future__ import annotations

from collections.abc import Callable

from taskloom._taskloom import TaskOptions
from taskloom._typing import TYPE_CHECKING
from taskloom.errors import OptionError
from taskloom.task import Options, Task

if TYPE_CHECKING:
    from typing import Any

    # A function with its positional and keyword arguments.
    Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

__all__ = ["Base", "Call", "replaces_attempts", "resolve", "resolved_options"]


_PLACES_OF_SUBMITS = ("thread", "process", "loop")


class Base:
    """What an executor gives every task that it runs."""

    __slots__ = ("interrupt", "timeout", "timing")

    def __init__(
        self, timing: bool = False, interrupt: bool = False, timeout: float | None = None
    ) -> None:
        self.timing = timing
        self.interrupt = interrupt
        self.timeout = timeout

    def __bool__(self) -> bool:
        return self.timing or self.interrupt or self.timeout is not None


def resolve(given: Options, base: Base) -> TaskOptions:
    """What the engine needs of some options; `OptionError` for one that has no meaning here."""
    place = given.get("place", "thread")
    if place not in _PLACES_OF_SUBMITS:
        raise OptionError(
            f"place={place!r} does not apply to a submitted task; it runs in place='thread', "
            "place='process' or place='loop'"
        )
    on_error = given.get("on_error", "cancel_dependents")
    if on_error == "cancel_run":
        raise OptionError(
            "on_error='cancel_run' applies to nodes of a graph, not to a submitted task; "
            "'cancel_dependents' or 'continue' does"
        )
    resources = given.get("resources")
    if resources is not None:
        from taskloom.scheduling.resources import Resources

        if not isinstance(resources, Resources):
            raise OptionError(
                f"resources={resources!r} must be a taskloom.Resources, such as Resources(cpu=0.5)"
            )
    prerequisites = given.get("after", ())
    for item in prerequisites:
        if not callable(getattr(item, "add_done_callback", None)):
            raise OptionError(f"after= takes futures, not {item!r}")
    return TaskOptions(
        given,
        # Eight bands, of which the outermost stand for all beyond: a number of any size has one.
        priority=max(-3, min(4, given.get("priority", 0))),
        deadline=given.get("deadline"),
        timeout=given.get("timeout", base.timeout),
        timing=base.timing,
        interrupt=base.interrupt,
        name=given.get("name"),
        retry=given.get("retry"),
        special=place != "thread"
        or bool(resources)
        or bool(prerequisites)
        or replaces_attempts(given, base.timeout),
        lets_go_on=on_error == "continue",
    )


def replaces_attempts(given: Options, timeout: float | None) -> bool:
    """Whether another attempt follows one that ran out of time, whose thread is still in it."""
    retry = given.get("retry")
    return (
        retry is not None
        and retry.tries_again
        and given.get("retry_safe", False)
        and given.get("timeout", timeout) is not None
    )


def resolved_options(
    task: Task[..., Any], nearer: Options, base: Base, cache: dict[Any, Any]
) -> TaskOptions:
    """The options of a task laid under those of a view, resolved once for each pair."""
    chosen = cache.get(task)
    if chosen is None:
        if len(cache) >= 256:  # tasks made by the thousand are not worth keeping
            cache.clear()
        chosen = cache[task] = resolve(nearer.over(task.options), base)
    found: TaskOptions = chosen
    return found
