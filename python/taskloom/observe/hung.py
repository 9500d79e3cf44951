"""Tasks that go on long after their time was up, and the stacks of their threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any, final
from weakref import WeakKeyDictionary

from taskloom._workers import live
from taskloom.observe.stall import Stall, stacks_of
from taskloom.observe.waiting import name_of

__all__ = ["HungTasks", "tell_of_hung"]


@final
class HungTasks:
    """Finds the hung tasks of an executor, each once.

    >>> from taskloom import Executor
    >>> list(HungTasks().find(Executor(1), 5.0))
    []
    """

    def __init__(self) -> None:
        self._told: set[int] = set()

    def find(self, executor: Any, seconds: float) -> Iterator[Stall]:
        """Those whose time has been up for so many seconds, and that were not found before."""
        hung = executor._hung()
        self._told &= {id(future) for future, _, _ in hung}
        for future, thread, since in hung:
            if since >= seconds and id(future) not in self._told:
                self._told.add(id(future))
                threads = [t for t in threading.enumerate() if t.ident == thread]
                name, stacks = name_of(future), tuple(stacks_of(threads))
                yield Stall("hung", since, 0, 0, name, (), stacks)


_found: WeakKeyDictionary[Any, HungTasks] = WeakKeyDictionary()


def tell_of_hung(seconds: float) -> None:
    """Logs what is hung for so long, but for executors with a watchdog, which tells of its own.

    >>> from taskloom.observe.hung import tell_of_hung
    >>> tell_of_hung(10.0)
    """
    for executor in live():
        if executor._watchdog is None:
            for stall in _found.setdefault(executor, HungTasks()).find(executor, seconds):
                logging.getLogger("taskloom").warning("%s", stall)
