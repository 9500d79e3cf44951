"""Locks and their kin that work between coroutines and threads alike.

Each has a method to await and a `_blocking` twin for threads; `with` is for threads, `async with`
for coroutines. All are fair: who waits first is served first, and what is released goes straight to
the next in line, so that nobody can overtake. All are safe to cancel: a wait that is cancelled
takes nothing, and what was handed to a wait that can no longer take it goes on to the next.

They are built on one thing, the native one-shot `Wait`, and a lock held for a few instructions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, final

from taskloom import _taskloom
from taskloom.errors import WouldBlock
from taskloom.scope._waiting import Fair, Held, Queue, WaitStats, awaited, blocked, owner

__all__ = ["Condition", "Event", "Lock", "WaitStats"]

T = TypeVar("T")


@final
class Event:
    """Something that happens: `set` lets everybody go on who waits, or comes to wait later.

    >>> import taskloom
    >>> event = taskloom.Event()
    >>> with taskloom.Scope() as scope:
    ...     future = scope.spawn(event.wait_blocking)
    ...     event.set()
    >>> event.is_set()
    True
    """

    __slots__ = ("_guard", "_queue", "_set")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue = Queue()
        self._set = False

    def set(self) -> None:
        """Makes it happen; again, it has no effect."""
        with self._guard:
            self._set = True
            while self._queue.serve():
                pass

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._set

    def clear(self) -> None:
        """Makes it not have happened; who comes now waits for the next `set`."""
        with self._guard:
            self._set = False

    def _join(self) -> _taskloom.Wait | None:
        _taskloom.checkpoint_if_cancelled()
        with self._guard:
            return None if self._set else self._queue.join()

    def _leave(self, wait: _taskloom.Wait) -> None:
        with self._guard:
            self._queue.leave(wait)

    async def wait(self) -> None:
        """Waits until it has happened."""
        wait = self._join()
        if wait is None:
            await _taskloom.maybe_yield()  # or who asks in a loop would have the thread for itself
            return
        try:
            await awaited(wait, self)
        except BaseException:
            self._leave(wait)
            raise

    def wait_blocking(self, timeout: float | None = None) -> None:
        """Blocks this thread until it has happened; TimeoutError after `timeout` seconds."""
        wait = self._join()
        if wait is None:
            return
        try:
            blocked(wait, self, timeout)
        except BaseException:
            self._leave(wait)
            raise

    def stats(self) -> WaitStats:
        """Whether it is set, and how many wait."""
        with self._guard:
            return WaitStats(int(self._set), len(self._queue))


@final
class Lock(Held):
    """Mutual exclusion between coroutines and threads; it belongs to who acquired it.

    >>> import taskloom
    >>> lock = taskloom.Lock()
    >>> with lock:
    ...     lock.locked()
    True
    """

    __slots__ = ("_fair", "_holder")

    def __init__(self) -> None:
        self._fair = Fair(1)
        self._holder: object = None

    async def acquire(self) -> None:
        """Waits for the lock and takes it. RuntimeError if the caller has it already."""
        caller = self._refuse_twice()
        await self._fair.take(self, caller)
        self._holder = caller

    def acquire_blocking(self, timeout: float | None = None) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        caller = self._refuse_twice()
        self._fair.take_blocking(self, timeout)
        self._holder = caller

    def acquire_nowait(self) -> None:
        """Takes the lock, or raises WouldBlock."""
        caller = self._refuse_twice()
        if not self._fair.take_now():
            raise WouldBlock("the lock is held")
        self._holder = caller

    def _held_by(self) -> list[object]:
        holder = self._holder
        return [] if holder is None else [holder]

    def _refuse_twice(self) -> object:
        caller = owner()
        if self._holder == caller:
            raise RuntimeError("the caller holds this lock already")
        return caller

    def release(self) -> None:
        """Gives the lock to the next in line. RuntimeError if the caller does not have it."""
        if self._holder != owner():
            raise RuntimeError("only the task or thread that acquired a lock may release it")
        self._holder = None
        self._fair.give()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._fair._left <= 0

    def stats(self) -> WaitStats:
        """Whether it is held, and how many wait."""
        return WaitStats(int(self.locked()), self._fair.waiting())


@final
class Condition(Held):
    """A lock and a place to wait for what it guards to change.

    Who is notified gets in line for the lock at once, so those notified go on in the order in which
    they came, and before who comes for the lock later.

    >>> import taskloom
    >>> condition = taskloom.Condition()
    >>> ready = []
    >>> def wait_for_it():
    ...     with condition:
    ...         condition.wait_for_blocking(lambda: ready)
    >>> with taskloom.Scope() as scope:
    ...     _ = scope.spawn(wait_for_it)
    ...     with condition:
    ...         ready.append(1)
    ...         condition.notify_all()
    """

    __slots__ = ("_lock", "_queue")

    def __init__(self, lock: Lock | None = None) -> None:
        if not (lock is None or isinstance(lock, Lock)):
            raise TypeError(f"Condition({lock!r}): a taskloom.Lock, or none to have one made")
        self._lock = Lock() if lock is None else lock
        self._queue = Queue()

    def _join(self) -> _taskloom.Wait:
        if self._lock._holder != owner():
            raise RuntimeError("wait for a condition only while holding its lock")
        _taskloom.checkpoint_if_cancelled()
        return self._queue.join()

    def _holds(self, wait: _taskloom.Wait) -> bool:
        """A wait that was given up: whether it was notified and handed the lock all the same."""
        holds = self._lock._fair.step_out(wait)
        if holds:
            self._lock._holder = owner()
        return holds

    def _gave_up(self, wait: _taskloom.Wait) -> None:
        """Called with the lock held: a notification that came too late goes to the next."""
        if not self._queue.leave(wait):
            self.notify()

    async def wait(self) -> None:
        """Releases the lock, waits to be notified, takes the lock again (also when cancelled)."""
        from taskloom.scope.cancellation import CancelScope

        wait = self._join()
        self._lock.release()
        try:
            await awaited(wait, self)  # for the lock, too: who notifies puts it in line for that
        except BaseException:
            if not self._holds(wait):
                with CancelScope(shield=True):
                    await self._lock.acquire()
            self._gave_up(wait)
            raise
        self._lock._holder = owner()

    def wait_blocking(self, timeout: float | None = None) -> None:
        """As `wait`, blocking this thread; TimeoutError after `timeout` seconds."""
        from taskloom.scope.cancellation import CancelScope

        wait = self._join()
        self._lock.release()
        try:
            blocked(wait, self, timeout)
        except BaseException:
            if not self._holds(wait):
                with CancelScope(shield=True):
                    self._lock.acquire_blocking()
            self._gave_up(wait)
            raise
        self._lock._holder = owner()

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Waits until `predicate()` is true, and returns what it gave."""
        while not (result := predicate()):
            await self.wait()
        return result

    def wait_for_blocking(self, predicate: Callable[[], T]) -> T:
        """As `wait_for`, blocking this thread."""
        while not (result := predicate()):
            self.wait_blocking()
        return result

    def notify(self, n: int = 1) -> None:
        """Lets the first `n` who wait go on; only with the lock held."""
        if self._lock._holder != owner():
            raise RuntimeError("notify only while holding the condition's lock")
        for _ in range(min(n, len(self._queue))):
            self._lock._fair.line_up(*self._queue.pop())

    def notify_all(self) -> None:
        """Lets all who wait go on; only with the lock held."""
        self.notify(len(self._queue))

    async def acquire(self) -> None:
        """Waits for the lock and takes it."""
        await self._lock.acquire()

    def acquire_blocking(self, timeout: float | None = None) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        self._lock.acquire_blocking(timeout)

    def acquire_nowait(self) -> None:
        """Takes the lock, or raises WouldBlock."""
        self._lock.acquire_nowait()

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether somebody holds the lock."""
        return self._lock.locked()

    def stats(self) -> WaitStats:
        """Whether the lock is held, and how many wait to be notified."""
        return WaitStats(int(self._lock.locked()), len(self._queue))
