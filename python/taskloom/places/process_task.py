"""The future of a task in a worker process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures._base import (
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    PENDING,
    RUNNING,
)
from typing import TYPE_CHECKING, Any

from taskloom.errors import BrokenExecutor

if TYPE_CHECKING:
    from taskloom.places import wire
    from taskloom.places.child import Child


class ProcessTask(Future[Any]):
    """The future of a task in a process; `cancel()` also ends it while it runs.

    The fields below belong to the manager, which guards them with its lock.
    """

    frame: Sequence[wire.Buffer]
    child: Child | None
    deadline: float | None

    def __init__(
        self,
        name: str,
        timeout: float | None,
        withdraw: Callable[[ProcessTask], None],
        on_begin: Callable[[], object] | None = None,
        on_progress: Callable[[float, float | None], object] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.timeout = timeout
        self._withdraw = withdraw
        self._on_begin = on_begin
        self.on_progress = on_progress
        self.frame = ()
        self.child = None
        self.deadline = None

    def cancel(self) -> bool:
        """Cancel the task, killing the process that runs it; False if it has already ended."""
        with self._condition:
            if self._state == FINISHED:
                return False
            if self._state in (CANCELLED, CANCELLED_AND_NOTIFIED):
                return True
            self._state = CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._withdraw(self)
        self._run_callbacks()
        return True

    def _run_callbacks(self) -> None:
        getattr(self, "_invoke_callbacks")()  # noqa: B009  (the stubs leave it out)

    def begin(self) -> bool:
        """Mark the task as running; False if it was cancelled first."""
        with self._condition:
            if self._state != PENDING:
                return False
            self._state = RUNNING
            if self._on_begin is not None:
                self._on_begin()
            return True

    def settle(self, value: object, error: BaseException | None = None) -> None:
        """Give the task its outcome, unless it was cancelled in the meantime."""
        with contextlib.suppress(InvalidStateError):
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)

    def reset_after_fork(self) -> None:
        """In a forked child: replace what another thread may have held locked, and fail."""
        self._condition = threading.Condition()
        self.settle(
            None, BrokenExecutor(f"task {self.name!r} belongs to the process this one forked from")
        )
