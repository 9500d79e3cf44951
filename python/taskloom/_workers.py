"""The threads of a pool, and what happens to them at exit and after a fork.

Workers are `threading.Thread` objects that call into the engine: so they have names, one thread
state for life, appear in `threading.enumerate()`, can be joined, and profilers see them. They are
daemons, because `threading` joins the others without a limit; they are joined here instead,
from `threading._register_atexit`, before the interpreter begins to take itself down.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import Context

from taskloom import _taskloom
from taskloom._generators import let_generators_close
from taskloom._owed import LOOK_EVERY, attend
from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Protocol

    class Entry(Protocol):
        """What a worker's thread calls: works until the pool is closed and drained."""

        def __call__(self) -> None: ...
        def begin(self) -> bool:
            """Whether the thread is still wanted; to be asked first."""
            ...

        def give_up(self, message: str) -> None:
            """Leaves without having worked, and fails what is queued."""

    class Closable(Protocol):
        """An executor, as far as exit and fork are concerned."""

        def close(self) -> None:
            """Takes no more tasks."""

        def _after_fork(self) -> None: ...


__all__ = ["Workers", "is_exiting", "live", "register"]

# How long exit waits before it names what it waits for, in seconds.
NAMED_AFTER = 10.0

_exiting = False
_lock = threading.Lock()
_serial = itertools.count().__next__


class Workers:
    """The threads of one pool: starts them, keeps them for joining, prepares each once."""

    def __init__(
        self,
        prefix: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        exit_timeout: float | None,
        prepare: Callable[[int], object] | None = None,
        *,
        leave: Callable[[], object] | None = None,
        share: Callable[[], int] = lambda: 1,
    ) -> None:
        # The end is the standard library's own name, which log filters look for.
        self.prefix = prefix or f"taskloom.ThreadPoolExecutor-{_serial()}"
        self.initializer = initializer
        self.initargs = initargs
        self.exit_timeout = exit_timeout
        # Called by each thread with its worker's number, before all else.
        self.prepare = prepare
        # Called by each thread that was prepared, when it leaves.
        self.leave = leave
        # How many processors each worker has for itself, to be shared by what it starts.
        self.share = share
        self.threads: set[threading.Thread] = set()
        # Held while a thread is started, which any worker may do: until then it cannot be joined.
        self._starting = threading.RLock()
        # Set by the executor, weakly: its pool holds this record, unseen by the collector.
        self.executor: weakref.ref[Any] | None = None
        with _lock:
            _all.add(self)

    def start(self, index: int, entry: Entry) -> None:
        """Starts the thread of one worker; the pool calls this when it wants one.

        After an error the thread may be there all the same, if a signal handler raised it.
        """
        thread = threading.Thread(
            target=self._main, args=(index, entry), name=f"{self.prefix}_{index}", daemon=True
        )
        with self._starting:
            # Spares come and go, and some threads never started.
            self.threads.difference_update([old for old in self.threads if not old.is_alive()])
            self.threads.add(thread)
            # In an empty context: where threads inherit one (free-threaded builds, by default) it
            # would keep the starter's variables alive for as long as it lives.
            Context().run(thread.start)

    def alive(self) -> list[threading.Thread]:
        """The threads that work."""
        with self._starting:
            return [thread for thread in self.threads if thread.is_alive()]

    def _main(self, index: int, entry: Entry) -> None:
        if not entry.begin():
            return
        _here.workers = self
        let_generators_close(self._home)
        if self.prepare is not None:
            self.prepare(index)
        try:
            self._work(entry)
        finally:
            if self.leave is not None:
                self.leave()

    def _home(self) -> _taskloom.Home | None:
        """Where coroutines live on these threads; None if they take no more."""
        executor = self.executor() if self.executor is not None else None
        # A coroutine that goes on keeps a closed pool going.
        if executor is None or (executor.is_closed and not _taskloom.in_coroutine()):
            return None
        return _taskloom.pool_home(executor)

    def _work(self, entry: Entry) -> None:
        if self.initializer is not None:
            try:
                self.initializer(*self.initargs)
            except BaseException:
                import logging

                logging.getLogger("concurrent.futures").critical(
                    "Exception in initializer:", exc_info=True
                )
                message = "a worker's initializer failed, so the executor is not usable anymore"
                executor = self.executor() if self.executor is not None else None
                if executor is not None:
                    executor.break_(message)
                entry.give_up(message)
                return
        entry()

    def forget(self) -> None:
        """Drops the threads, which do not exist in this process any more."""
        self.threads = set()
        self._starting = threading.RLock()


class _Here(threading.local):
    """The workers that this thread is one of."""

    workers: Workers | None = None


_here = _Here()


def workers_here() -> Workers | None:
    """Those that this thread is one of."""
    return _here.workers


def share_here() -> int | None:
    """The processors that this worker has for itself; None on any other thread."""
    return None if _here.workers is None else _here.workers.share()


_all: weakref.WeakSet[Workers] = weakref.WeakSet()
_executors: weakref.WeakSet[Any] = weakref.WeakSet()


def register(executor: Closable) -> None:
    """Makes an executor known to exit and fork."""
    with _lock:
        _executors.add(executor)
    if _exiting:
        executor.close()


def live() -> list[Any]:
    """The executors that exist."""
    with _lock:
        return list(_executors)


def is_exiting() -> bool:
    """Whether the interpreter has begun to exit."""
    return _exiting


def describe(thread: threading.Thread) -> str:
    """What a worker is doing, from its stack: the outermost function that it was given."""
    frame = sys._current_frames().get(thread.ident or 0)
    task = None
    while frame is not None:
        if frame.f_code is Workers._work.__code__:
            break
        task, frame = frame, frame.f_back
    if task is None:
        return f"{thread.name}: (native code)"
    code = task.f_code
    return f"{thread.name}: {code.co_qualname} ({code.co_filename}:{task.f_lineno})"


def _busy(threads: list[threading.Thread]) -> str:
    return "".join(f"\n  {describe(thread)}" for thread in threads if thread.is_alive())


def _join(workers: Workers) -> None:
    started = time.monotonic()
    limit = workers.exit_timeout
    named = False
    executor = workers.executor() if workers.executor is not None else None
    owed = [] if executor is None else executor._owed
    while threads := workers.alive():
        waited = time.monotonic() - started
        if limit is not None and waited >= limit:
            print(
                f"taskloom: abandoned at exit after {limit:g} s:{_busy(threads)}",
                file=sys.stderr,
            )
            return
        if waited >= NAMED_AFTER and not named:
            named = True
            print(f"taskloom: exit is waiting for:{_busy(threads)}", file=sys.stderr, flush=True)
        until = min(NAMED_AFTER if not named else float("inf"), limit or float("inf"))
        if owed:
            # Nobody else will wait for what this thread has started.
            until = min(until, waited + LOOK_EVERY)
            attend(owed, threads, started + until)
            waited = time.monotonic() - started
        left = until - waited
        threads[0].join(None if left == float("inf") else max(left, 0.001))


def _at_exit() -> None:
    global _exiting  # noqa: PLW0603
    _exiting = True
    for executor in live():
        executor.close()
    with _lock:
        everybody = list(_all)
    for workers in everybody:
        _join(workers)
    _taskloom.stop_timer()


def _before_fork() -> None:
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    _lock.release()
    _taskloom.after_fork_in_child()
    _taskloom._after_fork_in_runs()
    for workers in list(_all):
        workers.forget()
    for executor in list(_executors):
        executor._after_fork()


# The private hook is where concurrent.futures joins its own workers: earlier than `atexit`, while
# threads can still be started and joined.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
