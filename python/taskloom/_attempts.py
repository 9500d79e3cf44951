"""A task whose attempts are tasks of their own, where one cannot end before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

from taskloom import _taskloom
from taskloom._held import Launch
from taskloom._taskloom import Future, TaskOptions
from taskloom.current import note_progress, scope_here
from taskloom.errors import DeadlineMissed
from taskloom.flow import RetryTask
from taskloom.retry import Retry, next_attempt
from taskloom.task import Options

if TYPE_CHECKING:
    from concurrent.futures import Future as StandardFuture

    from taskloom._resolving import Call
    from taskloom._submission import Desk
    from taskloom.places.process import ProcessPlace

__all__ = ["AttemptsLaunch", "Processes", "Threads"]


class Attempt(NamedTuple):
    """One attempt of a task, as the place needs to know it where it runs."""

    number: int
    """Which one this is, from 1."""
    timeout: float | None
    """Seconds that it may take."""
    deadline: float | None
    """Until when the task should be done, by the monotonic clock."""
    last_error: BaseException | None
    """How the one before ended."""
    on_begin: Callable[[], object]
    on_progress: Callable[[float, float | None], object]


class Place(Protocol):
    """Where attempts of a task run, each with a future of its own."""

    def submit(self, call: Call, name: str | None, attempt: Attempt) -> StandardFuture[Any]: ...


@final
class Threads:
    """The workers of a pool: an attempt that is out of time leaves its thread to itself."""

    def __init__(self, pool: _taskloom.Pool, chosen: TaskOptions) -> None:
        self._pool = pool
        # The engine knows bands, of which the default's priority is 0.
        self._priority = 4 - chosen.band
        self._context = copy_context()

    def submit(self, call: Call, name: str | None, attempt: Attempt) -> Future[Any]:
        attempt.on_begin()  # from here on the attempt is what counts as queued
        chosen = TaskOptions(
            Options.EMPTY, priority=self._priority, timeout=attempt.timeout, name=name
        )
        # A copy: an attempt that is out of time may still be in the one before.
        context = self._context.copy()
        prepare = partial(self._pool._prepare, chosen, *call, bounded=False)
        future: Future[Any] = context.run(prepare)
        _taskloom._set_attempts(future, attempt.number - 1, attempt.last_error)
        self._pool._enqueue(future)
        return future


@final
class Processes:
    """Worker processes, which find the context variables of the submit that were named."""

    def __init__(self, place: ProcessPlace) -> None:
        self._place = place
        self._context = copy_context() if place.sends_context else None

    def submit(self, call: Call, name: str | None, attempt: Attempt) -> StandardFuture[Any]:
        submit = partial(
            self._place.submit,
            *call,
            name=name,
            timeout=attempt.timeout,
            on_begin=attempt.on_begin,
            on_progress=attempt.on_progress,
            attempt=attempt.number,
            deadline=attempt.deadline,
            last_error=attempt.last_error,
        )
        return submit() if self._context is None else self._context.copy().run(submit)


@final
class AttemptsLaunch(Launch):
    """One task whose attempts are tasks of their own: in worker processes, or on threads."""

    def __init__(
        self,
        desk: Desk,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        place: Place,
        timeout: float | None,
        bounded: bool,
    ) -> None:
        super().__init__(desk, pool, chosen, call, bounded=bounded)
        given = chosen.given
        self._call = call
        self._place = place
        self._name: str | None = given.get("name")
        self._timeout = timeout
        deadline: float | None = given.get("deadline")
        self._deadline = None if deadline is None else time.monotonic() + deadline
        self._retry: Retry | None = given.get("retry")
        # All attempts, and those that have failed: not those that asked for another.
        self._begun_attempts = 0
        self._failed = 0
        self._last_error: BaseException | None = None
        scope = scope_here.get()
        self._around: tuple[object, ...] = () if scope is None else (id(scope),)
        self._backing_off = False
        self._task: StandardFuture[Any] | None = None
        self._tried_at = 0.0
        _taskloom._set_canceller(self.future, self._cancel)
        around = _taskloom.current_token()
        if around is not None:
            around.on_cancel(self.future.cancel)

    def launch(self) -> None:
        """Has the first attempt made."""
        if isinstance(self._place, Threads):
            # The attempts are the pool's tasks.
            self.desk.hand_over(self)
        if _taskloom._begin(self.future):
            self._try()
        else:
            self.pool._enqueue(self.future)

    def _try(self) -> None:
        self._backing_off = False
        if self.future.done():
            return
        limit, by_deadline = self._timeout, False
        if self._deadline is not None and self.desk.hard_deadlines:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._end(None, DeadlineMissed("the deadline passed before the task began"))
                return
            if limit is None or left < limit:
                limit, by_deadline = left, True
        self._tried_at = time.monotonic()
        self._begun_attempts += 1
        attempt = Attempt(
            self._begun_attempts, limit, self._deadline, self._last_error, self._begun, self._said
        )
        try:
            task = self._place.submit(self._call, self._name, attempt)
        except BaseException as error:
            self._end(None, error)
            return
        self._task = task
        task.add_done_callback(lambda task: self._done(task, by_deadline))

    def _begun(self) -> None:
        """The place has begun with an attempt."""
        self._tried_at = time.monotonic()
        self.pool._let_go(self.future)
        _taskloom._note_begin(self.future)

    def _said(self, done: float, total: float | None) -> None:
        """The task has told from elsewhere how far it is."""
        if not self.future.done():
            note_progress(self.future, done, total, self._around)

    def _note(self, status: str) -> None:
        """Tells a recording that is on."""
        recording = getattr(self.pool, "_recording", None)
        # A thread notes its tasks itself.
        if recording is not None and not isinstance(self._place, Threads):
            function = self._call[0]
            name = self._name or getattr(function, "__qualname__", type(function).__name__)
            recording._saw_process(name, self._tried_at, time.monotonic(), status)

    def _done(self, task: StandardFuture[Any], by_deadline: bool) -> None:
        if task.cancelled():
            self._note("cancelled")
            _taskloom._settle(self.future, "cancelled", None)
            self._end_slot()
            return
        error = task.exception()
        self._note("done" if error is None else "failed")
        if error is None:
            self._end(task.result(), None)
            return
        if by_deadline and type(error) is TimeoutError:
            self._end(None, DeadlineMissed(f"deadline: {error}"))
            return
        asked = isinstance(error, RetryTask)
        self._failed += not asked
        left = None
        if self._deadline is not None and self.desk.hard_deadlines:
            left = self._deadline - time.monotonic()
        try:
            wait = next_attempt(self._retry, error, self._failed, left)
        except BaseException as problem:
            wait, error = None, problem
        if wait is not None and not asked:
            self._pass_on(error)
        if wait is None:
            self._end(None, error)
        elif wait > 0:
            self._backing_off = True
            _taskloom._call_later(wait, self._try)
        else:
            self._try()

    def _pass_on(self, error: BaseException) -> None:
        self._last_error = error
        if self._retry is not None and self._retry.pass_error is not None:
            function, args, kwargs = self._call
            self._call = function, args, {**kwargs, self._retry.pass_error: error}

    def _end(self, value: object, error: BaseException | None) -> None:
        if error is None:
            _taskloom._settle(self.future, "done", value)
        else:
            _taskloom._settle(self.future, "failed", error)
        self._end_slot()

    def _end_slot(self) -> None:
        self.pool._enqueue(self.future)
        self.left()

    def _cancel(self) -> bool:
        task = self._task
        if task is None:
            return _taskloom._cancel_here(self.future)
        if not self._backing_off:
            return task.cancel()
        cancelled = _taskloom._settle(self.future, "cancelled", None)
        if cancelled:
            self._end_slot()
        return cancelled
