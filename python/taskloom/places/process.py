"""Worker processes, each running one task at a time: what `place="process"` stands on.

A task and its process share one fate and no other. A process that dies, or is killed by `cancel()`
or a timeout, takes only its own task with it and is replaced. Nothing is sent ahead to a busy
process, so a task that was cancelled in the queue never runs, and none is run twice.

Why not an existing pool, measured on two cores with CPython 3.13. The standard library's and loky
fail everything pending when one process dies. Pebble 5.2 fails only the task at fault, but all its
processes share one pipe: 20 of 20 tasks that were cancelled while queued ran all the same, an
exception that could not be unpickled broke the pool, a process killed while it sent its value left
every other task waiting for ever, and it looks for deaths, cancels and timeouts ten times a second.
So here each process has a socket of its own, and one thread waits for all of them and their ends.

Processes are started as fresh interpreters rather than forked: a fork copies locks that other
threads hold, and a fork server cannot be reached from a fork of its parent.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, final

from taskloom.places import failure, wire
from taskloom.places.manager import Manager
from taskloom.places.process_task import ProcessTask
from taskloom.scheduling.cpus import cpu_count

_log = logging.getLogger("taskloom")
_NAME_AFTER: Final = 10.0  # seconds that an exiting interpreter waits before it says for what
_UNSET: Final = object()


@final
class ProcessPlace:
    """Runs tasks in worker processes, which start when they are first needed.

    Functions, arguments and values travel by pickle, or by cloudpickle where pickle cannot:
    closures, lambdas, and whatever a script or a notebook defines. Large numpy arrays are not
    pickled but sent as they are. Errors come back with their type, notes, causes and lines.

    Args:
        max_workers: how many processes at most; `taskloom.scheduling.cpus.cpu_count()` if None.
        initializer: called once in each process before its first task; if it raises, the place is
            broken and its tasks fail with `BrokenExecutor`.
        initargs: the initializer's arguments.
        process_context: the context variables whose values travel with each task, as of its submit.
            Variables, or strings such as `"package.module:NAME"`; they must be reachable by such a
            name, for a variable itself cannot be sent.
        cpus: how many processors each process has for itself: so many workers has an executor that
            a task makes there, unless it says how many. All that there are if None.
        native_threads: how many threads numeric libraries (BLAS, OpenMP) may use in each process;
            as they like if None.
        exit_timeout: how many seconds an exiting interpreter waits for tasks before it kills them;
            as long as it takes if None. After an uncaught Ctrl-C it kills them at once.

    Raises:
        ModuleNotFoundError: cloudpickle is missing; it comes with the extra `process`.
        ValueError: a number is not positive, or a context variable cannot be reached by name.

    Example:
        >>> from taskloom.places.process import ProcessPlace
        >>> with ProcessPlace(1) as place:
        ...     place.submit(pow, (2, 10)).result()
        1024
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        process_context: Iterable[contextvars.ContextVar[Any] | str] | None = None,
        cpus: int | None = None,
        native_threads: int | None = None,
        exit_timeout: float | None = None,
    ) -> None:
        if max_workers is None:
            max_workers = cpu_count()
        if max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}")
        for name, number in (("cpus", cpus), ("native_threads", native_threads)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        if _exiting.is_set():
            raise RuntimeError("cannot start processes after interpreter shutdown")
        wire.require_cloudpickle()
        self._variables = [_named_variable(item) for item in process_context or ()]
        self._exit_timeout = exit_timeout
        try:
            setup = wire.encode(wire.SETUP, (initializer, tuple(initargs), cpus))
        except Exception as error:
            error.add_note("the initializer of the worker processes could not be sent to them")
            raise
        self._manager = Manager(max_workers, setup, native_threads)
        _open[self._manager] = exit_timeout
        # A place that nobody holds finishes what it was given, then ends.
        weakref.finalize(self, self._manager.shutdown).atexit = False

    def submit(
        self,
        function: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        name: str | None = None,
        on_begin: Callable[[], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
        attempt: int = 1,
        deadline: float | None = None,
        last_error: BaseException | None = None,
    ) -> ProcessTask:
        """Run `function(*args, **kwargs)` in a worker process.

        Args:
            function: what to call.
            args: its positional arguments, pickled now except for large buffers, which are read
                when the task is sent.
            kwargs: its keyword arguments.
            timeout: seconds from the task's start after which its process is killed and the future
                ends with `TimeoutError`; no limit if None.
            name: what errors call the task; the function's name if None.
            on_begin: called when a process takes the task, with locks held: it must return at once.
            on_progress: called as `on_progress(done, total)`, on a thread of the place, when the
                task says how far it is.
            attempt: which attempt this is, for the task to ask.
            deadline: until when the task should be done by `time.monotonic()`, for it to ask.
            last_error: how the attempt before ended, for the task to ask.

        Returns:
            A `concurrent.futures.Future` whose `cancel()` also kills a task that is running. If the
            arguments cannot be pickled, it holds the error. If its process dies, it holds a
            `ProcessDied`.

        Raises:
            BrokenExecutor: processes cannot be started.
            RuntimeError: the place was shut down.
            ValueError: `timeout` is not positive.

        Example:
            >>> from taskloom.places.process import ProcessPlace
            >>> with ProcessPlace(1) as place:
            ...     place.submit(int, ("ff",), {"base": 16}, timeout=30).result()
            255
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
        name = str(name or getattr(function, "__qualname__", None) or repr(function))
        task = ProcessTask(name, timeout, self._manager.withdraw, on_begin, on_progress)
        values = [
            (address, value)
            for address, variable in self._variables
            if (value := variable.get(_UNSET)) is not _UNSET
        ]
        before = None if last_error is None else failure.pack(last_error)
        about = (name, attempt, deadline, before)
        try:
            call = (function, tuple(args), dict(kwargs or {}))
            frame = wire.encode(wire.TASK, (*call, values, about))
        except Exception as error:
            error.add_note(f"task {name!r} could not be sent to a process")
            task.begin()
            task.settle(None, error)
            return task
        task.frame = frame
        self._manager.submit(task)
        return task

    def shutdown(self, wait: bool = True, cancel: bool = False, *, kill: bool = False) -> None:
        """Accept no more tasks, and end the processes when those accepted are done.

        Args:
            wait: return only when all processes have ended.
            cancel: cancel the tasks that have not started.
            kill: cancel also those that are running.

        Example:
            >>> from taskloom.places.process import ProcessPlace
            >>> place = ProcessPlace(1)
            >>> place.shutdown()
            >>> place.submit(abs, (-1,))
            Traceback (most recent call last):
            RuntimeError: cannot schedule new futures after shutdown
        """
        self._manager.shutdown(cancel=cancel, kill=kill)
        if wait:
            self._manager.join()

    @property
    def sends_context(self) -> bool:
        """Whether context variables travel with tasks."""
        return bool(self._variables)

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the processes that are ready for tasks or run one."""
        return tuple(self._manager.pids())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def _named_variable(
    item: contextvars.ContextVar[Any] | str,
) -> tuple[str, contextvars.ContextVar[Any]]:
    """The address of a context variable, "module:attribute", and the variable."""
    if isinstance(item, str):
        address, variable = item, wire.at_address(item)
    else:
        address, variable = _address_of(item), item
    if not isinstance(variable, contextvars.ContextVar):
        kind = type(variable).__name__
        raise ValueError(f"process_context names {item!r}, a {kind}, not a context variable")
    return address, variable


def _address_of(variable: contextvars.ContextVar[Any]) -> str:
    for module_name, module in list(sys.modules.items()):
        if module_name != "__main__":
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is variable:
                    return f"{module_name}:{name}"
    raise ValueError(
        f"process_context names the variable {variable.name!r}, which no imported module has as an "
        "attribute; processes find variables as module:attribute, so define it in a module"
    )


_exiting = threading.Event()
# The managers that may have tasks, with the seconds that exit may wait for each.
_open: weakref.WeakKeyDictionary[Manager, float | None] = weakref.WeakKeyDictionary()


def _end_all_at_exit() -> None:
    """Wait for tasks as the standard library's executors do, but never for those given up."""
    _exiting.set()
    managers = dict(_open)
    interrupted = not hasattr(sys, "ps1") and _ended_by_interrupt()
    try:
        for manager in managers:
            manager.shutdown(kill=interrupted)
        for manager, exit_timeout in managers.items():
            _wait_for(manager, exit_timeout)
    except BaseException:  # Ctrl-C once more: stop waiting
        for manager in managers:
            manager.shutdown(kill=True)
        for manager in managers:
            manager.join(_NAME_AFTER)
        raise


def _wait_for(manager: Manager, exit_timeout: float | None) -> None:
    give_up = None if exit_timeout is None else time.monotonic() + exit_timeout
    while True:
        patience = _NAME_AFTER
        if give_up is not None:
            patience = min(patience, max(0.0, give_up - time.monotonic()))
        if manager.join(patience):
            return
        names = ", ".join(f"{name!r} (process {pid})" for name, pid in manager.running())
        if give_up is not None and time.monotonic() >= give_up:
            _log.warning("interpreter exit kills process tasks: %s", names or "none running")
            manager.shutdown(kill=True)
            manager.join()
            return
        _log.warning("interpreter exit waits for process tasks: %s", names or "being started")


def _ended_by_interrupt() -> bool:
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, KeyboardInterrupt)


def _reset_after_fork() -> None:
    for manager in list(_open):
        manager.reset_after_fork()


# Runs before the interpreter joins its threads; the standard library's executors use it too.
_register_atexit: Callable[[Callable[[], None]], None] = getattr(threading, "_register_atexit")  # noqa: B009
_register_atexit(_end_all_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
