"""A task that is held back until what it needs is there."""

from __future__ import annotations

import threading
from concurrent.futures import Future as StandardFuture
from concurrent.futures import InvalidStateError

from taskloom import _taskloom
from taskloom._taskloom import Future, TaskOptions
from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing import Any

    from taskloom._resolving import Call
    from taskloom._submission import Desk
    from taskloom.scheduling.resources import Resources

__all__ = ["HoldingLaunch", "Launch", "UntilLeft"]


class Launch:
    """One task on its way to a worker.

    It waits for the futures that the task comes after, then for the resources that it needs, then
    hands the task to a worker or a process. Its future is prepared by the engine and not queued
    before that, and the executor's workers stay as long.
    """

    def __init__(
        self,
        desk: Desk,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        bounded: bool,
    ) -> None:
        self.desk = desk
        self.pool = pool
        self.band = chosen.band
        self.future: Future[Any] = pool._prepare(chosen, *call, bounded=bounded)
        self.started = False
        # Whether the pool counts it; the desk's lock guards this.
        self.handed = False
        self.needs: Resources | None = chosen.given.get("resources")
        self._lock = threading.Lock()
        # Whether the way is over: started, or given up before.
        self._decided = False
        self._admitted = False
        self._unfinished = 1
        self._prerequisites: tuple[StandardFuture[Any], ...] = ()

    def begin(self, prerequisites: tuple[StandardFuture[Any], ...]) -> None:
        """Starts the task once all of these are done."""
        self._unfinished += len(prerequisites)
        self._prerequisites = prerequisites
        self.future.add_done_callback(self._over)
        for prerequisite in prerequisites:
            prerequisite.add_done_callback(self._after)
        self._count_down()

    def unfinished(self) -> list[Any]:
        """The prerequisites that are not done."""
        return [before for before in self._prerequisites if not before.done()]

    def _after(self, prerequisite: StandardFuture[Any]) -> None:
        failed = prerequisite.cancelled() or prerequisite.exception() is not None
        if failed and not _taskloom._lets_go_on(prerequisite):
            _taskloom._cancel_here(self.future)
        self._count_down()

    def _count_down(self) -> None:
        with self._lock:
            self._unfinished -= 1
            if self._unfinished > 0 or self._decided:
                return
        if self.needs is None or self.desk.admit(self, self.needs):
            self.start()

    def start(self) -> None:
        """All that the task waited for is there."""
        with self._lock:
            self._admitted = self.needs is not None
            self._prerequisites = ()
            if self._decided:
                given_up = True
            else:
                given_up, self._decided, self.started = False, True, True
        if given_up:
            self.left()
            return
        if self.needs is not None:
            _taskloom._set_on_left(self.future, self.left)
        self.launch()

    def launch(self) -> None:
        """Hands the task over."""
        self.desk.hand_over(self)
        if not self.pool._enqueue(self.future):
            self.desk.take_back(self)

    def left(self) -> None:
        """The task holds its resources no longer."""
        with self._lock:
            admitted, self._admitted = self._admitted, False
        if admitted and self.needs is not None:
            self.desk.release(self.needs)

    def _over(self, future: Future[Any]) -> None:
        self.desk.forget(self)
        with self._lock:
            given_up = not self._decided
            self._decided = True
        if given_up:
            if self.needs is not None:
                self.desk.admission.withdraw(self, self.needs)
            self.pool._enqueue(future)  # over: this only lets the workers go
        elif _taskloom._attempts(future) == 0:
            self.left()


@final
class UntilLeft(StandardFuture):  # type: ignore[type-arg]
    """The future of a task that ends when its thread has left the call, as the task's own ended.

    That is later if the task's time was up: what the call has for itself is its own until then.
    """

    def __init__(self, inner: Future[Any]) -> None:
        super().__init__()
        self._inner = inner

    def cancel(self) -> bool:
        """Cancels the task, or asks it to stop and returns False."""
        return self._inner.cancel()

    def release(self) -> None:
        """The thread has left, or never came."""
        self._inner.add_done_callback(self._settle)

    def _settle(self, inner: Future[Any]) -> None:
        try:
            if inner.cancelled():
                if super().cancel():
                    self.set_running_or_notify_cancel()
            elif (error := inner.exception()) is not None:
                self.set_exception(error)
            else:
                self.set_result(inner.result())
        except InvalidStateError:
            pass  # told twice


@final
class HoldingLaunch(Launch):
    """A task that keeps what it was given for itself until its thread has left the call."""

    def __init__(self, desk: Desk, pool: _taskloom.Pool, chosen: TaskOptions, call: Call) -> None:
        super().__init__(desk, pool, chosen, call, bounded=False)
        self.until_left = UntilLeft(self.future)

    def launch(self) -> None:
        """Hands the task over."""
        _taskloom._set_on_left(self.future, self.left)
        super().launch()

    def left(self) -> None:
        """The thread has left."""
        super().left()
        self.until_left.release()

    def _over(self, future: Future[Any]) -> None:
        super()._over(future)
        if _taskloom._attempts(future) == 0:
            self.until_left.release()
