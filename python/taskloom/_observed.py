"""What an executor lets be seen: its recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.observe.causality import Causality
    from taskloom.observe.recording import Recording

__all__ = ["Observed"]


class Observed:
    """The part of `Executor` by which it is looked at."""

    _recording: Recording | None = None

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
