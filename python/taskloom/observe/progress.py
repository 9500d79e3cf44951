"""How far runs, scopes and tasks are, as frozen records that print themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from taskloom.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ExecutorProgress", "ProgressItem", "RunProgress", "bar"]


def bar(done: float, total: float, width: int = 20) -> str:
    """A bar of letters, `width` of them, and the share in percent.

    >>> bar(5, 10, width=8)
    '[####    ]  50%'
    """
    if width < 1:
        raise OptionError(f"width={width!r} must be at least 1 letter")
    share = 1.0 if total <= 0 else min(max(done / total, 0.0), 1.0)
    return f"[{'#' * int(share * width):<{width}}] {share:4.0%}"


@final
class RunProgress(NamedTuple):
    """How far a run is: of `total` nodes so many are done, failed, skipped, cancelled, running.

    While the run goes on the counts are read one after the other, so that they may be a little
    apart.

    >>> print(RunProgress(10, 4, 1, 0, 0, 2))
    [##########          ]  50% 5 of 10 nodes, 1 failed, 2 running
    """

    total: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    running: int

    @property
    def ended(self) -> int:
        """How many will not run any more."""
        return self.done + self.failed + self.skipped + self.cancelled

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return max(self.total - self.ended - self.running, 0)

    def __str__(self) -> str:
        counts = {
            "failed": self.failed,
            "skipped": self.skipped,
            "cancelled": self.cancelled,
            "running": self.running,
        }
        said = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return f"{bar(self.ended, self.total)} {self.ended} of {self.total} nodes{said}"


@final
class ProgressItem(NamedTuple):
    """A run, scope or task that goes on: `done` of `total`, None where nobody said.

    >>> print(ProgressItem("task", "load", 5, 10))
    task load [##########          ]  50%
    """

    kind: Literal["run", "scope", "task"]
    name: str
    done: float | None
    total: float | None

    def __str__(self) -> str:
        if self.done is None:
            return f"{self.kind} {self.name}"
        if self.total is None:
            return f"{self.kind} {self.name} {self.done:g}"
        if self.kind == "scope":
            return f"scope {self.name} {self.done:g} of {self.total:g} children ended"
        return f"{self.kind} {self.name} {bar(self.done, self.total)}"


@final
class ExecutorProgress(NamedTuple):
    """What an executor is at: counts of tasks, and the runs, scopes and tasks that say how far.

    >>> print(ExecutorProgress(2, 0, 1, done=7, failed=0, cancelled=0, items=()))
    10 tasks: 2 queued, 1 running, 7 done
    """

    queued: int
    held: int
    running: int
    done: int
    failed: int
    cancelled: int
    items: tuple[ProgressItem, ...]

    def __str__(self) -> str:
        counts = self._asdict()
        del counts["items"]
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        total = sum(counts.values())
        lines = [f"{total} task{'s' * (total != 1)}" + (f": {said}" if said else "")]
        return "\n".join([*lines, *(f"  {item}" for item in self.items)])


def progress_of_run(run: Any) -> RunProgress:
    """How far a run is."""
    ended, running = run._progress()
    failed, skipped, cancelled = run._counts()
    done = max(ended - failed - skipped - cancelled, 0)
    return RunProgress(len(run), done, failed, skipped, cancelled, running)


def progress_of_executor(
    executor: Any, scopes: Sequence[Any], tasks: Sequence[Any]
) -> ExecutorProgress:
    """What an executor is at."""
    stats = executor.stats()
    items = []
    for seen in tuple(executor._live):
        run = seen()
        if run is None:
            continue  # Nobody has its handle.
        progress = progress_of_run(run)
        name = f"of {progress.total} nodes"
        items.append(ProgressItem("run", name, progress.ended, progress.total))
    items += [ProgressItem("scope", *facts) for facts in scopes]
    for task in tasks:
        done, total = task.progress or (None, None)
        items.append(ProgressItem("task", task.name or "?", done, total))
    return ExecutorProgress(
        queued=stats.queued,
        held=stats.held,
        running=stats.running + stats.in_processes,
        done=stats.done,
        failed=stats.failed + stats.timed_out,
        cancelled=stats.cancelled,
        items=tuple(items),
    )
