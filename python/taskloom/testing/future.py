"""The future of a seeded executor's task."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar, final

if TYPE_CHECKING:
    from taskloom._taskloom import Token
    from taskloom.testing._conductor import Conductor

__all__ = ["SeededFuture"]

R = TypeVar("R")


class _Event(threading.Event):
    """What the standard library's waits sleep on: here, waiting makes others go on."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def wait(self, timeout: float | None = None) -> bool:
        return self._conductor.wait(self.is_set, timeout, "for several futures")


class _Waiters(list[Any]):
    """The waiters that the standard library hangs on a future; they get an event of ours."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def append(self, waiter: Any) -> None:
        if not isinstance(waiter.event, _Event):
            waiter.event = _Event(self._conductor)
        super().append(waiter)


@final
class SeededFuture(concurrent.futures.Future[R]):
    """The future of a task of a `SeededExecutor`; waiting for it lets tasks go on.

    >>> from taskloom.testing import SeededExecutor
    >>> with SeededExecutor(seed=1) as executor:
    ...     future = executor.submit(pow, 2, 10)
    ...     future.done(), future.result()
    (False, 1024)
    """

    def __init__(
        self, conductor: Conductor, label: str, token: Token, goes_on: bool = False
    ) -> None:
        super().__init__()
        self._conductor = conductor
        self._label = label
        self._token = token
        # Whether those that come after this task run even if it fails.
        self._goes_on = goes_on
        #: How far the task says it is: what is done and of how much, or None.
        self.progress: tuple[float, float | None] | None = None
        # Whether `cancel` asks it to stop when it runs.
        self._stoppable = True
        self._waiters = _Waiters(conductor)
        # Cancelled with what the submitter runs in.
        if token.on_cancel(self._cancel_queued) is None:
            self._cancel_queued()

    @property
    def name(self) -> str:
        """The name of the task: that of its options, or of its function.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).submit(int).name
        'int'
        """
        return self._label

    def _cancel_queued(self) -> None:
        super().cancel()

    def cancel(self) -> bool:
        """Cancels a task that has not begun; asks one that runs to stop, and returns False.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).submit(int).cancel()
        True
        """
        cancelled = super().cancel()
        if cancelled or (self._stoppable and not self.done()):
            self._token.cancel("cancelled")
            self._conductor.interrupt(self)
        return cancelled

    def _end_cancelled(self) -> None:
        """A task that was asked to stop has done so."""
        if not self.done():
            with self._condition:
                self._state = "PENDING"
            super().cancel()
            self.set_running_or_notify_cancel()

    def _wait(self, timeout: float | None) -> None:
        if not self._conductor.wait(self.done, timeout, f"for {self._label}"):
            raise TimeoutError

    def result(self, timeout: float | None = None) -> R:
        """The value, or the error raised; `timeout` in seconds of the executor's clock.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).submit(int, "7").result()
        7
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or None; `timeout` in seconds of the executor's clock.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).submit(int, "x").exception()
        ValueError("invalid literal for int() with base 10: 'x'")
        """
        self._wait(timeout)
        return super().exception(0)

    def __await__(self) -> Generator[Any, None, R]:
        return self.result()
        yield  # a generator, which never yields: the order is the seed's, not the loop's
