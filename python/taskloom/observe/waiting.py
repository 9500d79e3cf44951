"""Who waits for whom, and the waits that lead back to where they began."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from taskloom import _taskloom, _waits

if TYPE_CHECKING:
    from taskloom._waits import Noted

__all__ = ["Knot", "Waiting", "knotted"]


@final
class Waiting(NamedTuple):
    """Who waits for what: names of tasks, coroutines, or of threads for those outside of one.

    >>> str(Waiting("report", "load", 2.0))
    'report waits for load, for 2 s'
    """

    waiter: str
    target: str
    seconds: float | None

    def __str__(self) -> str:
        since = "" if self.seconds is None else f", for {self.seconds:.3g} s"
        return f"{self.waiter} waits for {self.target}{since}"


@final
class Knot(NamedTuple):
    """Waits that hold each other up: all of them, and for how many seconds the last of them.

    A "deadlock" leads back to where it began; in a "stall" the last one holds what is waited for,
    and waits for something that anybody may bring about.

    >>> Knot("deadlock", 2.0, (Waiting("a", "b", 2.0), Waiting("b", "a", 3.0)), frozenset()).kind
    'deadlock'
    """

    kind: Literal["deadlock", "stall"]
    seconds: float
    waits: tuple[Waiting, ...]
    #: By which they are told apart from others.
    numbers: frozenset[int]


def name_of(future: Any) -> str:
    """What a future is called."""
    return getattr(future, "name", None) or "a future without a name"


def _thread_name(ident: object) -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return f"thread {names.get(ident, ident)}"  # type: ignore[call-overload]


def waits_for_futures() -> Iterator[Waiting]:
    """Those that the engine has noted."""
    for waiter, thread, target, seconds in _taskloom._waits():
        who = _thread_name(thread) if waiter is None else name_of(waiter)
        yield Waiting(who, name_of(target), seconds)


def waits_for_others() -> Iterator[Waiting]:
    """Those for locks, channels and their kin."""
    now = time.monotonic()
    noted = _waits.noted()
    names = {wait.who: wait.name for _, wait in noted}
    for _, wait in noted:
        yield Waiting(wait.name, _target(wait, names), now - wait.since)


def _target(wait: Noted, names: dict[object, str]) -> str:
    if isinstance(wait.target, str):
        return wait.target
    kind = type(wait.target).__name__
    text = f"an {kind}" if kind.startswith("E") else f"a {kind}"
    held = [
        names.get(who) or (_thread_name(who) if isinstance(who, int) else "a coroutine")
        for who in _waits.holders(wait.target)
    ]
    return f"{text} held by {', '.join(held)}" if held else text


class _Link(NamedTuple):
    """One wait, with whom it is for, as far as that is known."""

    number: int
    waiting: Waiting
    holders: tuple[object, ...]
    here: bool


def knotted(executor: Any, seconds: float) -> Knot | None:
    """The waits of an executor's tasks that hold each other up for so long, if there are any.

    >>> from taskloom import Executor
    >>> knotted(Executor(1), 5.0) is None
    True
    """
    links = {who: link for who, link in _links(executor) if (link.waiting.seconds or 0) >= seconds}
    for start in links:
        path = _path(start, links)
        if path is None:
            continue
        found = [links[who] for who in path]
        if any(link.here for link in found):
            last = links[path[-1]]
            return Knot(
                "deadlock" if last.holders else "stall",
                min(link.waiting.seconds or 0.0 for link in found),
                tuple(link.waiting for link in found),
                frozenset(link.number for link in found),
            )
    return None


def _links(executor: Any) -> Iterator[tuple[object, _Link]]:
    """By who waits; of several waits of one thread the last is the one that it is in."""
    noted = _waits.noted()
    futures = _taskloom._waits()
    runs = {id(wait.task): wait.who for _, wait in noted if wait.task is not None}
    runs |= {id(waiter): thread for waiter, thread, _, _ in futures if waiter is not None}
    now = time.monotonic()
    names = {wait.who: wait.name for _, wait in noted}
    mine = {thread.ident for thread in executor._workers.alive()}
    for waiter, thread, target, since in futures:
        who = _thread_name(thread) if waiter is None else name_of(waiter)
        # One that nobody is known to wait in may be at work.
        holders = (runs.get(id(target), target),)
        waiting = Waiting(who, name_of(target), since)
        yield thread, _Link(-id(target), waiting, holders, thread in mine)
    for number, wait in noted:
        waiting = Waiting(wait.name, _target(wait, names), now - wait.since)
        here = wait.workers is executor._workers
        yield wait.who, _Link(number, waiting, tuple(_waits.holders(wait.target)), here)


def _path(start: object, links: dict[object, _Link]) -> list[object] | None:
    """A cycle that is reached from `start`, or a way of two waits at least; None without either.

    A way ends with somebody who waits for what nobody is known to hold.
    """
    way: list[object] = []
    who = start
    while who in links:
        if who in way:
            return way[way.index(who) :]
        way.append(who)
        held = links[who].holders
        following = [holder for holder in held if holder in links]
        if held and len(following) < len(held):
            return None  # Somebody of them goes on, and may let go.
        if not following:
            break
        who = following[0]
    return way if len(way) > 1 else None
