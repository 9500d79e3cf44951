"""Who waits for which lock, channel or the like, noted while somebody watches.

Waits for futures are noted by the engine (`_taskloom._waits`); here are those of coroutines and
threads for what coroutines and threads share. Nothing is noted, and nothing but one look at a
number is spent, unless a watchdog runs.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, final

from taskloom import _taskloom
from taskloom._workers import workers_here

if TYPE_CHECKING:
    from taskloom._workers import Workers

__all__ = ["Noted", "begin", "end", "holders", "noted", "watch"]

_PACKAGE = os.path.dirname(__file__) + os.sep
_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import

#: One None for each; a list, which changes in one step.
_watchers: list[None] = []
_numbers = itertools.count(1)
_waits: dict[int, Noted] = {}


@final
class Noted(NamedTuple):
    """One wait: who, by the identity that locks know it by, and for what since when.

    >>> Noted((1,), "reader (app.py:7)", None, "room in a channel", 0.0, None).name
    'reader (app.py:7)'
    """

    who: object
    name: str
    #: The future of the task that waits, if it has one.
    task: object
    target: object
    since: float
    workers: Workers | None


def watch(on: bool) -> None:
    """Begins to note who waits for what, or ends it."""
    if on:
        _watchers.append(None)
    else:
        _watchers.pop()
    _taskloom._watch(on)


def begin(target: object, who: object = None) -> int:
    """Notes that the caller begins to wait; gives a number for `end`, 0 if nobody watches."""
    if not _watchers:
        return 0
    number = next(_numbers)
    if who is None:
        who = _taskloom.current_task_id() or threading.get_ident()
    task: Any = _taskloom.current_handle() or _taskloom._current_future()
    name, place = _described()
    name = getattr(task, "name", None) or name
    _waits[number] = Noted(
        who, f"{name} ({place})" if place else name, task, target, time.monotonic(), workers_here()
    )
    return number


def end(number: int) -> None:
    """The wait of this number is over."""
    if number:
        _waits.pop(number, None)


def noted() -> list[tuple[int, Noted]]:
    """The waits that go on, with their numbers, oldest first."""
    return sorted(_waits.items())


def holders(target: object) -> Iterator[object]:
    """Who holds what is waited for, as far as it knows."""
    told = getattr(target, "_held_by", None)
    if told is not None:
        yield from told()


def _described() -> tuple[str, str]:
    """The coroutine or thread that calls, and where it is outside of this package."""
    name, place = "", ""
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            place = place or f"{os.path.basename(code.co_filename)}:{frame.f_lineno}"
            if code.co_flags & _COROUTINE:
                name = code.co_qualname
        elif name and not code.co_flags & _COROUTINE:
            break
        frame = frame.f_back  # type: ignore[assignment]
    return name or f"thread {threading.current_thread().name}", place
