"""The task that is running here, as it sees itself."""

from __future__ import annotations

import time
from contextvars import ContextVar
from weakref import WeakSet

from taskloom import _taskloom
from taskloom._taskloom import Future, Token
from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Tasks that go on and have said how far they are, with what they are a part of, and scopes that
#: are open. Changed by any thread, so looked at by way of `list`, which copies them at once.
reporting: dict[Future[Any], tuple[object, ...]] = {}
open_scopes: set[Any] = set()

#: The scope whose body or children run here, innermost.
scope_here: ContextVar[Any] = ContextVar("taskloom_scope", default=None)

__all__ = ["CurrentTask", "around", "current_task"]


def around() -> tuple[object, ...]:
    """What the caller is a part of, by their numbers, the nearest first: runs, tasks and scopes.

    >>> from taskloom.current import around
    >>> around()
    ()
    """
    run, task = place = place_here()
    scope = scope_here.get()
    if run is task is scope:  # None of them, as a rule: each run asks.
        return ()
    if scope is None:
        found: tuple[object, ...] = (run, task)
    elif scope._opened_in == place:
        found = (id(scope), run, task)
    else:
        found = (run, task, id(scope))
    return tuple(item for item in found if item is not None)


def place_here() -> tuple[int | None, int | None]:
    """The numbers of the run and of the task that go on here."""
    task = _handle_here()
    return _taskloom._run_id_here(), None if task is None else id(task)


#: The child of a scope that goes on here, unless taskloom drives it as a coroutine of its own: its
#: future, and whether it is the one that asks, for what is started here inherits this.
child_here: ContextVar[tuple[Future[Any], Callable[[], bool]] | None] = ContextVar(
    "taskloom_child", default=None
)


def _handle_here() -> Future[Any] | None:
    """The handle of what goes on here."""
    handle: Future[Any] | None = _taskloom.current_handle()
    if handle is not None:
        return handle
    child = child_here.get()
    if child is not None and child[1]():
        return child[0]
    return _taskloom._current_future()


#: The future of the task that runs on an event loop here.
_on_loop: ContextVar[Future[object] | None] = ContextVar("taskloom_task", default=None)

#: Whose attempt this is, its number, and the error of the one before: of a scope's coroutine.
attempt_here: ContextVar[tuple[Any, int, BaseException | None] | None] = ContextVar(
    "taskloom_attempt", default=None
)


class Apart:
    """A task without a future of the engine's: what stands for it, its deadline, and its clock.

    What stands for it has a `name`, and takes its `progress`; it may be a future of another kind.
    """

    __slots__ = ("attempt", "deadline", "future", "last_error", "now", "task")

    def __init__(
        self,
        task: Any,
        deadline: float | None,
        now: Callable[[], float] = time.monotonic,
        *,
        future: Any = None,
        attempt: int = 1,
        last_error: BaseException | None = None,
    ) -> None:
        self.task = task
        self.future = future
        self.attempt = attempt
        self.last_error = last_error
        self.deadline = deadline
        self.now = now


#: The task of a seeded scheduler, or of a worker process, that runs here.
apart_here: ContextVar[Apart | None] = ContextVar("taskloom_apart", default=None)


@final
class NodeTask:
    """A node of a run while it is called, known by its run's number and its place in the plan."""

    __slots__ = ("__weakref__", "name", "place", "progress", "run")

    def __init__(self, name: str, run: int, place: int) -> None:
        self.name = name
        self.run = run
        self.place = place
        self.progress: tuple[float, float | None] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeTask) and (self.run, self.place) == (other.run, other.place)

    def __hash__(self) -> int:
        return hash((self.run, self.place))


#: Nodes that have said how far they are. The context of a node alone keeps what it has said.
reporting_nodes: WeakSet[NodeTask] = WeakSet()
_reported_here: ContextVar[NodeTask | None] = ContextVar("taskloom_reported", default=None)


def node_here() -> Apart | None:
    """The node that calls; None if the caller is none, or is a task of its own."""
    found = _taskloom._node_here()
    if found is None:
        return None
    node, run, place, deadline = found
    task = NodeTask(node.name, run, place)
    said = _reported_here.get()
    return Apart(said if said == task else task, deadline)


@final
class CurrentTask:
    """What a running task may ask and say; made by `current_task`.

    >>> import taskloom
    >>> def work():
    ...     task = taskloom.current_task()
    ...     task.progress(1, 2)
    ...     return task.name, task.attempt
    >>> with taskloom.Executor(1) as executor:
    ...     future = executor.options(name="job").submit(work)
    ...     future.result(), future.progress
    (('job', 1), (1.0, 2.0))
    """

    __slots__ = ("_apart", "_task", "future")

    future: Future[object] | None
    """Its future; None for a node that its run calls itself, and in a worker process."""

    def __init__(self, future: Future[object] | None, apart: Apart | None = None) -> None:
        self.future = future
        self._apart = apart
        self._task: Any = future if apart is None else apart.task

    @property
    def name(self) -> str:
        """Its name: that of its options, or of its function."""
        return self._task.name or "?"

    @property
    def attempt(self) -> int:
        """The number of this call, from 1; more after a retry."""
        here = attempt_here.get()
        if here is not None and here[0] == self._task:
            return here[1]
        if self._apart is not None:
            return self._apart.attempt
        return max(1, _taskloom._attempts(self._task))

    @property
    def last_error(self) -> BaseException | None:
        """The error of the attempt before, if a `Retry` has the task tried again; or None."""
        here = attempt_here.get()
        if here is not None and here[0] == self._task:
            return here[2]
        if self._apart is not None:
            return self._apart.last_error
        return _taskloom._last_error(self._task)

    @property
    def deadline(self) -> float | None:
        """When it should be done, by `time.monotonic()`; None without a deadline.

        For a node without one of its own that is when the timeout of its run ends. Under a
        `SeededExecutor` by its clock.
        """
        if self._apart is not None:
            return self._apart.deadline
        return _taskloom._deadline(self._task)

    @property
    def time_left(self) -> float | None:
        """Seconds until its deadline, below 0 when that has passed; None without a deadline."""
        deadline = self.deadline
        if deadline is None:
            return None
        return deadline - (time.monotonic() if self._apart is None else self._apart.now())

    @property
    def token(self) -> Token:
        """Its cancel token, or that of the innermost scope that it has entered."""
        token = _taskloom.current_token()
        if token is None and self._apart is not None and self._apart.future is None:
            # In a worker process: to cancel a task there is to kill its process.
            token = self._task.token = self._task.token or Token()
        if token is None:
            raise RuntimeError("the token is there for the task itself, while it runs")
        return token

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self.token.cancelled

    def checkpoint(self) -> None:
        """Raises `Cancelled` if it was asked to stop: by `cancel()`, a timeout, or its parent."""
        _taskloom.checkpoint_if_cancelled()

    def progress(self, done: float, total: float | None = None) -> None:
        """Says how far it is; the unit is the task's own.

        `Future.progress` shows it, and `Executor.progress` with everything else that goes on.
        """
        if self._apart is not None:
            self._task.progress = float(done), None if total is None else float(total)
            if isinstance(self._task, NodeTask) and _reported_here.get() is not self._task:
                _reported_here.set(self._task)
                reporting_nodes.add(self._task)
            return
        scope = scope_here.get()
        note_progress(self._task, done, total, () if scope is None else (id(scope),))

    def __repr__(self) -> str:
        return f"<taskloom task {self.name!r}, attempt {self.attempt}>"


def note_progress(
    future: Future[Any], done: float, total: float | None, around: tuple[object, ...]
) -> None:
    """Notes how far the task of a future is, which is a part of what is around it.

    >>> from taskloom import Future
    >>> future = Future()
    >>> note_progress(future, 1, 2, ())
    >>> future.progress
    (1.0, 2.0)
    """
    _taskloom._set_progress(future, done, total)
    if future not in reporting:
        reporting[future] = around
        future.add_done_callback(lambda future: reporting.pop(future, None))


def current_task() -> CurrentTask | None:
    """The task that calls: one that was submitted, a coroutine that taskloom drives, or a node.

    None if the caller is none of them.

    >>> import taskloom
    >>> taskloom.current_task() is None
    True
    """
    apart = node_here()
    if apart is not None:
        return CurrentTask(None, apart)
    future: Future[object] | None = _handle_here() or _on_loop.get()
    if future is not None:
        return CurrentTask(future)
    apart = apart_here.get() or _remote()
    return None if apart is None else CurrentTask(apart.future, apart)


def _remote() -> Apart | None:
    """The task of this worker process, if this is one."""
    from taskloom._remote import remote_here

    task = remote_here.get()
    if task is None:
        return None
    return Apart(task, task.deadline, attempt=task.attempt, last_error=task.last_error)
