"""One task of a seeded executor, from submit to end: the executor's policies, virtual time."""

from __future__ import annotations

import concurrent.futures
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from taskloom import _taskloom
from taskloom.current import Apart, apart_here, attempt_here
from taskloom.errors import Cancelled, DeadlineMissed
from taskloom.flow import RetryTask
from taskloom.retry import Retry, hands, next_attempt
from taskloom.testing._conductor import Alarm
from taskloom.testing._queue import NEVER, Call

if TYPE_CHECKING:
    from taskloom.scheduling.resources import Resources
    from taskloom.task import Options
    from taskloom.testing.executor import SeededExecutor
    from taskloom.testing.future import SeededFuture

__all__ = ["SeededTask"]


@final
class SeededTask(Call):
    """A call with its options, its future and what it waits for."""

    __slots__ = (
        "_admitted",
        "_after",
        "_args",
        "_context",
        "_executor",
        "_function",
        "_kwargs",
        "_last_error",
        "_needs",
        "_offered",
        "_retry",
        "_timeout",
        "_token",
        "droppable",
        "future",
    )

    future: SeededFuture[Any]

    def __init__(
        self,
        executor: SeededExecutor,
        options: Options,
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
        future: SeededFuture[Any],
        label: str,
    ) -> None:
        deadline: float | None = options.get("deadline")
        super().__init__(
            label,
            options.get("priority", 0),
            deadline=NEVER if deadline is None else executor.clock.now() + deadline,
        )
        self.future = future
        self.droppable = True
        self._token = future._token
        self._executor = executor
        self._function, self._args, self._kwargs = call
        self._context = contextvars.copy_context()
        self._context.run(hands.set, executor._conductor.hands)
        self._context.run(_taskloom.token_variable.set, self._token)
        ends = None if deadline is None else self.deadline
        apart = Apart(future, ends, executor.clock.now, future=future)
        self._context.run(apart_here.set, apart)
        self._after = tuple(options.get("after", ()))
        self._needs: Resources | None = options.get("resources")
        self._retry: Retry | None = options.get("retry")
        self._timeout: float | None = options.get("timeout", executor.config.default_timeout)
        self._last_error: BaseException | None = None
        self._offered = self._admitted = False

    @property
    def _is_hard(self) -> bool:
        return self.deadline < NEVER and self._executor.config.overdue == "skip"

    def _must_not_run(self) -> bool:
        return any(
            (first.cancelled() or first.exception() is not None) and not _lets_go_on(first)
            for first in self._after
        )

    def is_ready(self) -> bool:
        """Whether all that the task waits for is there; asks for its resources once."""
        if self.future.cancelled():
            return True
        if not all(first.done() for first in self._after):
            return False
        if self._needs is None or self._must_not_run():
            return True
        if not self._offered:
            self._offered = True
            self._admitted = self._executor._offer(self, self._needs)
        return self._admitted

    def start(self) -> None:
        """Its resources are there."""
        self._admitted = True

    def run(self) -> None:
        """Runs the task to its end."""
        try:
            if not self.future.cancelled() and self._must_not_run():
                self.future.cancel()
            if not self.future.set_running_or_notify_cancel():
                return
            if self._is_hard and self._executor.clock.now() > self.deadline:
                text = f"the deadline of task {self.label!r} passed before it began"
                self._settle(DeadlineMissed(text))
                return
            self._try()
        finally:
            self._leave()

    def cancel(self) -> None:
        """Gives the task up before it began."""
        self.future.cancel()
        self.future.set_running_or_notify_cancel()
        self._leave()

    def drop(self, error: BaseException) -> None:
        """Ends the task, which has not begun, with an error."""
        self._settle(error)
        self._leave()

    def _try(self) -> None:
        attempt = failed = 0
        while True:
            attempt += 1
            self._context.run(attempt_here.set, (self.future, attempt, self._last_error))
            alarm = self._set_alarm()
            kwargs = self._kwargs
            if self._last_error is not None and self._retry and self._retry.pass_error:
                kwargs = {**kwargs, self._retry.pass_error: self._last_error}
            try:
                result = self._context.run(self._function, *self._args, **kwargs)
            except Cancelled:
                self.future._end_cancelled()
                return
            except BaseException as error:
                failed += not isinstance(error, RetryTask)
                wait = self._next_attempt(error, failed)
            else:
                if not self.future.done():
                    self.future.set_result(result)
                return
            finally:
                self._executor._conductor.forget(alarm)
            if wait is None:
                return
            try:
                if wait > 0:
                    self._context.run(self._executor.clock.sleep, wait)
            except Cancelled:
                self.future._end_cancelled()
                return

    def _next_attempt(self, error: BaseException, failed: int) -> float | None:
        """Seconds until the next attempt; None when the error, or another one, is the outcome."""
        if self.future.done():  # its time was up
            return None
        left = self.deadline - self._executor.clock.now() if self._is_hard else None
        try:
            wait = next_attempt(self._retry, error, failed, left)
        except BaseException as problem:
            self._settle(problem)
            return None
        if wait is None:
            self._settle(error)
        elif not isinstance(error, RetryTask):
            self._last_error = error
        return wait

    def _set_alarm(self) -> Alarm | None:
        now = self._executor.clock.now()
        limit = NEVER if self._timeout is None else now + self._timeout
        error: BaseException = TimeoutError(
            f"task {self.label!r} ran longer than its timeout of {self._timeout} s"
        )
        if self._is_hard and self.deadline < limit:
            limit = self.deadline
            error = DeadlineMissed(f"task {self.label!r} was still running at its deadline")
        if limit == NEVER:
            return None
        return self._executor._conductor.at(limit, lambda: self._time_out(error))

    def _time_out(self, error: BaseException) -> None:
        """The future ends; the call goes on until it has heard that it is to stop."""
        self._settle(error)
        self._token.cancel(str(error))
        self._executor._conductor.interrupt(self.future)

    def _settle(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def _leave(self) -> None:
        """The task is over, and gives back what it holds."""
        self._executor._live -= 1
        if self._needs is not None and self._offered:
            self._executor._take_back(self, self._needs, self._admitted)


def _lets_go_on(future: concurrent.futures.Future[Any]) -> bool:
    seeded: bool | None = getattr(future, "_goes_on", None)
    if seeded is not None:
        return seeded
    return isinstance(future, _taskloom.Future) and _taskloom._lets_go_on(future)
