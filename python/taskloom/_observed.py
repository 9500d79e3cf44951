"""What an executor lets be seen: recordings, progress, and what its watchdog found."""

from __future__ import annotations

from weakref import ref

from taskloom import _taskloom
from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from taskloom.observe.causality import Causality
    from taskloom.observe.progress import ExecutorProgress
    from taskloom.observe.recording import Recording
    from taskloom.observe.watchdog import Stall, Watchdog

__all__ = ["Observed"]

#: Seconds that a task may go on after its time was up before its stack is logged.
HUNG_AFTER = 10.0


def _is_late() -> None:
    """A task goes on though its time is up: called by the engine."""
    _taskloom._call_later(HUNG_AFTER, _tell_of_hung)


def _tell_of_hung() -> None:
    from taskloom.observe.hung import tell_of_hung

    # A little less: the engine's clock may differ by a hair from the timer's.
    tell_of_hung(0.99 * HUNG_AFTER)


_taskloom._know_late(_is_late)


class Observed:
    """The part of `Executor` by which it is looked at."""

    _recording: Recording | None = None
    _watchdog: Watchdog | None = None
    #: The runs that go on, with the thread that called and waits for them, if one does.
    _live: dict[ref[Any], int | None]
    _is_default = False

    def _observe(self, causality: int | None, watchdog: float | None) -> None:
        self._live = {}
        if causality is not None:
            self.tracing(capacity=causality)._start()
        if watchdog is not None:
            from taskloom.observe.watchdog import Watchdog

            self._watchdog = Watchdog(self, seconds=watchdog)
            self._watchdog.start()

    def _observed_after_fork(self) -> None:
        self._live.clear()
        self._recording = None
        if self._watchdog is not None:
            self._watchdog._after_fork()

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """What the watchdog found so far, the last ones; needs `Executor(watchdog=seconds)`.

        >>> from taskloom import Executor
        >>> Executor(1, watchdog=5.0).stalls
        ()
        """
        return () if self._watchdog is None else self._watchdog.stalls

    def progress(self) -> ExecutorProgress:
        """What the executor is at: tasks by status; runs, scopes and tasks that say how far.

        A task says so by `taskloom.current_task().progress(done, total)`.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     executor.submit(pow, 2, 10).result()
        1024
        >>> print(executor.progress())
        1 task: 1 done
        """
        from taskloom.observe.progress import progress_of_executor

        return progress_of_executor(self)

    def tracing(self, *, capacity: int = 65_536) -> Recording:
        """Records every task that runs while the block goes on, of scopes and of runs too.

        Parameters
        ----------
        capacity
            How many tasks of each thread are kept, the last ones. Each takes up to 64 bytes, at
            once.

        Raises `RuntimeError`, when the block begins, if the executor is being recorded already.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor, executor.tracing() as tracing:
        ...     executor.submit(pow, 2, 10).result()
        1024
        >>> print(tracing.timeline())
        worker 0 |[pow...
        """
        from taskloom.observe.recording import Recording

        return Recording(self, capacity)  # type: ignore[arg-type]

    def causality(self) -> Causality:
        """What happened before what: who submitted whom, who waited for whom or came after it.

        Needs a recording: `Executor(causality=1000)` keeps one for as long as the executor lives,
        `tracing()` for as long as its block goes on. Raises `RuntimeError` without one.

        >>> from taskloom import Executor
        >>> with Executor(1, causality=100) as executor:
        ...     first = executor.submit(abs, -1)
        ...     executor.options(after=[first]).submit(pow, 2, 2).result()
        ...     graph = executor.causality()
        4
        >>> [(graph.tasks[a].name, graph.tasks[b].name) for a, b, _ in graph.causes]
        [('abs', 'pow')]
        """
        if self._recording is None:
            raise RuntimeError(
                "nothing is recorded: make the executor with Executor(causality=1000), or ask "
                "inside `with executor.tracing():`"
            )
        return self._recording.causality()
