"""Time that a test controls: it stands still until nothing else can move."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

__all__ = ["VirtualClock"]


@final
class VirtualClock:
    """A clock in seconds that jumps to the next moment that somebody waits for.

    A `SeededExecutor` has one as its `clock`. Tasks and the test sleep on it; when all of them
    wait, it jumps to the earliest end of a wait, so that an hour takes no time. A clock of its own,
    without an executor, only moves when it is told to.

    >>> from taskloom.testing import VirtualClock
    >>> clock = VirtualClock()
    >>> clock.sleep(3600)
    >>> clock.now()
    3600.0
    """

    __slots__ = ("_now", "_wait")

    def __init__(self, start: float = 0.0) -> None:
        self._now = float(start)
        self._wait: Callable[[float], None] = self._jump

    def now(self) -> float:
        """The time in seconds.

        >>> from taskloom.testing import VirtualClock
        >>> VirtualClock(start=5).now()
        5.0
        """
        return self._now

    def sleep(self, seconds: float) -> None:
        """Lets others run until `seconds` have passed on this clock.

        Raises `ValueError` for a negative number.

        >>> from taskloom.testing import SeededExecutor
        >>> with SeededExecutor(seed=1) as executor:
        ...     task = executor.submit(executor.clock.sleep, 10)
        ...     executor.clock.sleep(5)
        ...     task.done(), task.result(), executor.clock.now()
        (False, None, 10.0)
        """
        if not seconds >= 0:
            raise ValueError(f"sleep({seconds!r}): seconds must be 0 or more")
        self._wait(self._now + seconds)

    def advance(self, seconds: float) -> None:
        """As `sleep`, for the test's own side: what is due until then runs, at its own time.

        Raises `ValueError` for a negative number.

        >>> from taskloom.testing import SeededExecutor
        >>> with SeededExecutor(seed=1) as executor:
        ...     task = executor.submit(executor.clock.sleep, 10)
        ...     executor.clock.advance(10)
        ...     executor.run_until_idle()
        ...     task.done()
        True
        """
        self.sleep(seconds)

    def _jump(self, moment: float) -> None:
        self._now = max(self._now, moment)
