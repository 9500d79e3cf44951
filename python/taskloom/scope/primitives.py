"""Locks and their kin that work between coroutines and threads alike.

Each has a method to await and a `_blocking` twin for threads; `with` is for threads, `async with`
for coroutines. All are fair: who waits first is served first, and what is released goes straight to
the next in line, so that nobody can overtake. All are safe to cancel: a wait that is cancelled
takes nothing, and what was handed to a wait that can no longer take it goes on to the next.

They are built on one thing, the native one-shot `Wait`, and a lock held for a few instructions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar, final

from taskloom import _taskloom
from taskloom.errors import WouldBlock

__all__ = ["CapacityLimiter", "Condition", "Event", "Lock", "Semaphore", "WaitStats"]

T = TypeVar("T")


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


class _Queue:
    """Those who wait, first come first; every call under the owner's lock."""

    __slots__ = ("_setters",)

    def __init__(self) -> None:
        self._setters: deque[_taskloom.Setter] = deque()

    def __len__(self) -> int:
        return len(self._setters)

    def join(self) -> _taskloom.Wait:
        wait = _taskloom.Wait()
        self._setters.append(wait.setter)
        return wait

    def leave(self, wait: _taskloom.Wait) -> None:
        self._setters = deque(s for s in self._setters if not s.ends(wait))

    def serve(self) -> bool:
        """Serves the first who still waits; false if there is none."""
        while self._setters:
            if self._setters.popleft().set():
                return True
        return False


class _Fair:
    """What can be taken if there is some left, and is handed on when it is given back."""

    __slots__ = ("_guard", "_left", "_queue")

    def __init__(self, left: int) -> None:
        self._guard = threading.Lock()
        self._left = left
        self._queue = _Queue()

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

    async def take(self) -> None:
        _taskloom.checkpoint_if_cancelled()
        wait = self.take_or_join()
        if wait is None:
            return
        try:
            await wait
        except BaseException:
            self.gave_up(wait)
            raise

    def take_blocking(self, timeout: float | None) -> None:
        _taskloom.checkpoint_if_cancelled()
        wait = self.take_or_join()
        if wait is None:
            return
        try:
            wait.wait(timeout)
        except BaseException:
            self.gave_up(wait)
            raise

    def waiting(self) -> int:
        with self._guard:
            return len(self._queue)


def _owner() -> object:
    """Whoever calls: a coroutine of ours, a task of an event loop, or a thread."""
    handle = _taskloom.current_task_id()
    if handle is not None:
        return handle
    from taskloom.scope._hosts import running_task

    return running_task() or threading.get_ident()


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
        self._queue = _Queue()
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
            return
        try:
            await wait
        except BaseException:
            self._leave(wait)
            raise

    def wait_blocking(self, timeout: float | None = None) -> None:
        """Blocks this thread until it has happened; TimeoutError after `timeout` seconds."""
        wait = self._join()
        if wait is None:
            return
        try:
            wait.wait(timeout)
        except BaseException:
            self._leave(wait)
            raise

    def stats(self) -> WaitStats:
        """Whether it is set, and how many wait."""
        with self._guard:
            return WaitStats(int(self._set), len(self._queue))


@final
class Lock:
    """Mutual exclusion between coroutines and threads; it belongs to who acquired it.

    >>> import taskloom
    >>> lock = taskloom.Lock()
    >>> with lock:
    ...     lock.locked()
    True
    """

    __slots__ = ("_fair", "_holder")

    def __init__(self) -> None:
        self._fair = _Fair(1)
        self._holder: object = None

    async def acquire(self) -> None:
        """Waits for the lock and takes it. RuntimeError if the caller has it already."""
        owner = self._refuse_twice()
        await self._fair.take()
        self._holder = owner

    def acquire_blocking(self, timeout: float | None = None) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        owner = self._refuse_twice()
        self._fair.take_blocking(timeout)
        self._holder = owner

    def acquire_nowait(self) -> None:
        """Takes the lock, or raises WouldBlock."""
        owner = self._refuse_twice()
        if not self._fair.take_now():
            raise WouldBlock("the lock is held")
        self._holder = owner

    def _refuse_twice(self) -> object:
        owner = _owner()
        if self._holder == owner:
            raise RuntimeError("the caller holds this lock already")
        return owner

    def release(self) -> None:
        """Gives the lock to the next in line. RuntimeError if the caller does not have it."""
        if self._holder != _owner():
            raise RuntimeError("only the task or thread that acquired a lock may release it")
        self._holder = None
        self._fair.give()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._fair._left <= 0

    def stats(self) -> WaitStats:
        """Whether it is held, and how many wait."""
        return WaitStats(int(self.locked()), self._fair.waiting())

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


@final
class Semaphore:
    """So many at once; anybody may release.

    Parameters
    ----------
    initial
        How many may have it at first.
    max_value
        The most that releases may bring it to; None for no limit.

    >>> import taskloom
    >>> semaphore = taskloom.Semaphore(2)
    >>> with semaphore, semaphore:
    ...     semaphore.value
    0
    """

    __slots__ = ("_fair", "_max_value")

    def __init__(self, initial: int, *, max_value: int | None = None) -> None:
        if initial < 0:
            raise ValueError(f"Semaphore({initial!r}): 0 or more")
        if max_value is not None and max_value < initial:
            raise ValueError(f"Semaphore(max_value={max_value!r}): at least the initial {initial}")
        self._fair = _Fair(initial)
        self._max_value = max_value

    @property
    def value(self) -> int:
        """How many may still take it."""
        return self._fair._left

    @property
    def max_value(self) -> int | None:
        """The most that releases may bring it to."""
        return self._max_value

    async def acquire(self) -> None:
        """Waits for its turn and takes one."""
        await self._fair.take()

    def acquire_blocking(self, timeout: float | None = None) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        self._fair.take_blocking(timeout)

    def acquire_nowait(self) -> None:
        """Takes one, or raises WouldBlock."""
        if not self._fair.take_now():
            raise WouldBlock("the semaphore has none left")

    def release(self) -> None:
        """Gives one back, to the next in line."""
        if self._max_value is not None and self._fair._left >= self._max_value:
            raise ValueError(f"released more often than acquired: the most is {self._max_value}")
        self._fair.give()

    def stats(self) -> WaitStats:
        """How many are left to take (as `held`, negative) and how many wait."""
        held = 0 if self._max_value is None else self._max_value - self._fair._left
        return WaitStats(held, self._fair.waiting())

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


@final
class CapacityLimiter:
    """So many borrowers at once, each of which can borrow one token; the total may be changed.

    >>> import taskloom
    >>> limiter = taskloom.CapacityLimiter(3)
    >>> with limiter:
    ...     limiter.borrowed_tokens, limiter.available_tokens
    (1, 2)
    """

    __slots__ = ("_borrowers", "_fair", "_total")

    def __init__(self, total_tokens: int) -> None:
        if total_tokens < 1:
            raise ValueError(f"CapacityLimiter({total_tokens!r}): at least 1")
        self._total = total_tokens
        self._fair = _Fair(total_tokens)
        self._borrowers: set[object] = set()

    @property
    def total_tokens(self) -> int:
        """How many borrowers at once; may be changed, and then takes effect as tokens come back."""
        return self._total

    @total_tokens.setter
    def total_tokens(self, value: int) -> None:
        if value < 1:
            raise ValueError(f"total_tokens={value!r}: at least 1")
        more, self._total = value - self._total, value
        self._fair.give(more)

    @property
    def borrowed_tokens(self) -> int:
        """How many are lent now."""
        return len(self._borrowers)

    @property
    def available_tokens(self) -> int:
        """How many can be lent; below zero while a lowered total takes effect."""
        return self._fair._left

    def _borrower(self, borrower: object) -> object:
        borrower = _owner() if borrower is None else borrower
        if borrower in self._borrowers:
            raise RuntimeError("this borrower holds one of the limiter's tokens already")
        return borrower

    async def acquire(self, *, on_behalf_of: object = None) -> None:
        """Waits for a token and borrows it, for the calling task or for `on_behalf_of`."""
        borrower = self._borrower(on_behalf_of)
        await self._fair.take()
        self._borrowers.add(borrower)

    def acquire_blocking(
        self, timeout: float | None = None, *, on_behalf_of: object = None
    ) -> None:
        """As `acquire`, blocking this thread; TimeoutError after `timeout` seconds."""
        borrower = self._borrower(on_behalf_of)
        self._fair.take_blocking(timeout)
        self._borrowers.add(borrower)

    def acquire_nowait(self, *, on_behalf_of: object = None) -> None:
        """Borrows a token, or raises WouldBlock."""
        borrower = self._borrower(on_behalf_of)
        if not self._fair.take_now():
            raise WouldBlock("all of the limiter's tokens are lent")
        self._borrowers.add(borrower)

    def release(self, *, on_behalf_of: object = None) -> None:
        """Gives the borrower's token back, to the next in line."""
        borrower = _owner() if on_behalf_of is None else on_behalf_of
        if borrower not in self._borrowers:
            raise RuntimeError("this borrower holds none of the limiter's tokens")
        self._borrowers.discard(borrower)
        self._fair.give()

    def stats(self) -> WaitStats:
        """How many tokens are lent, and how many wait for one."""
        return WaitStats(len(self._borrowers), self._fair.waiting())

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


@final
class Condition:
    """A lock and a place to wait for what it guards to change.

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
        self._lock = Lock() if lock is None else lock
        self._queue = _Queue()

    def _join(self) -> _taskloom.Wait:
        if self._lock._holder != _owner():
            raise RuntimeError("wait for a condition only while holding its lock")
        _taskloom.checkpoint_if_cancelled()
        return self._queue.join()

    def _gave_up(self, wait: _taskloom.Wait) -> None:
        """Called with the lock held: a notification that came too late goes to the next."""
        self._queue.leave(wait)
        if wait.setter.is_set:
            self._queue.serve()

    async def wait(self) -> None:
        """Releases the lock, waits to be notified, takes the lock again (also when cancelled)."""
        from taskloom.scope.cancellation import CancelScope

        wait = self._join()
        self._lock.release()
        try:
            await wait
        except BaseException:
            with CancelScope(shield=True):
                await self._lock.acquire()
            self._gave_up(wait)
            raise
        with CancelScope(shield=True):
            await self._lock.acquire()

    def wait_blocking(self, timeout: float | None = None) -> None:
        """As `wait`, blocking this thread; TimeoutError after `timeout` seconds."""
        from taskloom.scope.cancellation import CancelScope

        wait = self._join()
        self._lock.release()
        try:
            wait.wait(timeout)
        except BaseException:
            with CancelScope(shield=True):
                self._lock.acquire_blocking()
            self._gave_up(wait)
            raise
        with CancelScope(shield=True):
            self._lock.acquire_blocking()

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
        if self._lock._holder != _owner():
            raise RuntimeError("notify only while holding the condition's lock")
        for _ in range(n):
            if not self._queue.serve():
                return

    def notify_all(self) -> None:
        """Lets all who wait go on; only with the lock held."""
        self.notify(len(self._queue))

    async def acquire(self) -> None:
        """Waits for the lock and takes it."""
        await self._lock.acquire()

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether somebody holds the lock."""
        return self._lock.locked()

    def stats(self) -> WaitStats:
        """Whether the lock is held, and how many wait to be notified."""
        return WaitStats(int(self._lock.locked()), len(self._queue))

    def __enter__(self) -> Self:
        self._lock.acquire_blocking()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()
