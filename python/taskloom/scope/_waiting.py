"""Queues of waiters, fair and safe to cancel: what the primitives are made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Self, final

from taskloom import _taskloom, _waits

__all__ = ["Fair", "Held", "Queue", "WaitStats", "awaited", "blocked", "owner"]


@final
@dataclass(frozen=True, slots=True)
class WaitStats:
    """How a primitive is used at one moment; every primitive's `stats()` gives it.

    >>> import taskloom
    >>> taskloom.Lock().stats()
    WaitStats(held=0, waiting=0)
    """

    held: int
    """How many hold it; of an event, whether it is set."""
    waiting: int
    """How many wait for it."""


class Queue:
    """Those who wait, first come first; every call under the owner's lock."""

    __slots__ = ("_setters",)

    def __init__(self) -> None:
        # The first is served, and anybody may leave: neither may depend on how many wait.
        self._setters: OrderedDict[_taskloom.Wait, _taskloom.Setter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._setters)

    def join(self) -> _taskloom.Wait:
        wait = _taskloom.Wait()
        self._setters[wait] = wait.setter
        return wait

    def append(self, wait: _taskloom.Wait, setter: _taskloom.Setter) -> None:
        self._setters[wait] = setter

    def pop(self) -> tuple[_taskloom.Wait, _taskloom.Setter]:
        """Takes the first out."""
        return self._setters.popitem(last=False)

    def leave(self, wait: _taskloom.Wait) -> bool:
        """Takes a wait out; whether it was there."""
        return self._setters.pop(wait, None) is not None

    def serve(self) -> bool:
        """Serves the first who still waits; false if there is none."""
        while self._setters:
            _, setter = self._setters.popitem(last=False)
            if setter.set():
                return True
        return False


class Fair:
    """What can be taken if there is some left, and is handed on when it is given back.

    A coroutine that takes again what it was the last to take lets others have a turn first: so they
    come to it, or line up, and those who take it in loops take turns.
    """

    __slots__ = ("_guard", "_last", "_left", "_queue")

    def __init__(self, left: int) -> None:
        self._guard = threading.Lock()
        self._left = left
        self._last: int | None = None
        self._queue = Queue()

    def take_now(self) -> bool:
        with self._guard:
            if self._left <= 0 or len(self._queue):
                return False
            self._left -= 1
            return True

    def take_or_join(self) -> _taskloom.Wait | None:
        with self._guard:
            if self._left > 0 and not len(self._queue):
                self._left -= 1
                return None
            return self._queue.join()

    def give(self, count: int = 1) -> None:
        with self._guard:
            self._left += count
            while self._left > 0 and self._queue.serve():
                self._left -= 1

    def gave_up(self, wait: _taskloom.Wait) -> None:
        """The wait was left by an error: what it was handed goes on to the next."""
        with self._guard:
            self._queue.leave(wait)
            served = wait.setter.is_set
        if served:
            self.give()

    def line_up(self, wait: _taskloom.Wait, setter: _taskloom.Setter) -> None:
        """Puts somebody who waits already in line; only who holds what there is may do so."""
        with self._guard:
            self._queue.append(wait, setter)

    def step_out(self, wait: _taskloom.Wait) -> bool:
        """Takes who was put in line out of it; true if it was served before, and holds."""
        with self._guard:
            self._queue.leave(wait)
            return wait.setter.is_set

    async def take(self, of: object, who: object) -> None:
        """Waits for one: `who`, the caller, for what a watchdog calls `of`."""
        mark = hash(who)  # not itself: an event loop's task would be kept
        if mark == self._last:
            await _taskloom.yield_now()
        else:
            _taskloom.checkpoint_if_cancelled()
        self._last = mark
        wait = self.take_or_join()
        if wait is None:
            return
        try:
            await awaited(wait, of)
        except BaseException:
            self.gave_up(wait)
            raise

    def take_blocking(self, of: object, timeout: float | None) -> None:
        """As `take`, blocking this thread."""
        _taskloom.checkpoint_if_cancelled()
        wait = self.take_or_join()
        if wait is None:
            return
        try:
            blocked(wait, of, timeout)
        except BaseException:
            self.gave_up(wait)
            raise

    def waiting(self) -> int:
        with self._guard:
            return len(self._queue)


class Held:
    """What `with` takes and gives back on a thread, and `async with` in a coroutine."""

    __slots__ = ()

    async def acquire(self) -> None:
        raise NotImplementedError

    def acquire_blocking(self) -> None:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.acquire_blocking()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def owner() -> object:
    """Whoever calls: a coroutine of ours, a task of an event loop, or a thread."""
    handle = _taskloom.current_task_id()
    if handle is not None:
        return handle
    from taskloom.scope._hosts import running_task

    return running_task() or threading.get_ident()


async def awaited(wait: _taskloom.Wait, of: object) -> None:
    """Awaits, noted as waiting for `of`."""
    noted = _waits.begin(of, owner())
    try:
        await wait
    finally:
        _waits.end(noted)


def blocked(wait: _taskloom.Wait, of: object, timeout: float | None) -> None:
    """As `awaited`, blocking this thread."""
    noted = _waits.begin(of, owner())
    try:
        wait.wait(timeout)
    finally:
        _waits.end(noted)
