"""How far runs, scopes and tasks are, as frozen records that print themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, final

from taskloom import current
from taskloom._taskloom import _kinship as kinship
from taskloom.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

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

    `depth` says how many others it is a part of: a run in a task in a scope has 2.

    >>> print(ProgressItem("task", "load", 5, 10))
    task load [##########          ]  50%
    """

    kind: Literal["run", "scope", "task"]
    name: str
    done: float | None
    total: float | None
    depth: int = 0

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

    Each of `items` stands below what it is a part of, if that is known and belongs to the executor.

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
        return "\n".join(lines + branches(self.items))


def branches(items: Sequence[ProgressItem]) -> list[str]:
    """The items as a tree."""
    lines: list[str] = []
    # From the last to the first: whether another one follows below the same item, by depth.
    follows: list[bool] = []
    for item in reversed(items):
        depth = item.depth
        follows += [False] * (depth + 1 - len(follows))
        stems = "".join("│  " if more else "   " for more in follows[1:depth])
        branch = ("├─ " if follows[depth] else "└─ ") if depth else ""
        lines.append(f"  {stems}{branch}{item}")
        del follows[depth + 1 :]
        follows[depth] = True
    return lines[::-1]


#: What an item is a part of, the nearest first, and the item.
_Found: TypeAlias = tuple[tuple[object, ...], ProgressItem]


def progress_of_run(run: Any) -> RunProgress:
    """How far a run is."""
    ended, running = run._progress()
    failed, skipped, cancelled = run._counts()
    done = max(ended - failed - skipped - cancelled, 0)
    return RunProgress(len(run), done, failed, skipped, cancelled, running)


def progress_of_executor(executor: Any) -> ExecutorProgress:
    """What an executor is at."""
    stats = executor.stats()
    return ExecutorProgress(
        queued=stats.queued,
        held=stats.held,
        running=stats.running + stats.in_processes,
        done=stats.done,
        failed=stats.failed + stats.timed_out,
        cancelled=stats.cancelled,
        items=tuple(_nested(*_found(executor))),
    )


def parts_of_run(executor: Any, run: Any) -> tuple[ProgressItem, ...]:
    """What goes on as a part of a run, each item followed by its own parts."""
    found, strangers = _found(executor)
    return tuple(_nested(found, strangers, run._id, 1))


def _found(executor: Any) -> tuple[dict[object, _Found], set[object]]:
    """What goes on, by number; and the numbers of what may be another executor's."""
    found: dict[object, _Found] = {}
    nodes: dict[int, int] = {}
    for seen in list(executor._live):
        run = seen()
        if run is None:
            continue  # Nobody has its handle.
        progress = progress_of_run(run)
        name = f"of {progress.total} nodes"
        item = ProgressItem("run", name, progress.ended, progress.total)
        found[run._id] = run._around, item
        nodes.update(dict.fromkeys(run._submitted(), run._id))
    strangers: set[object] = set()
    mine = (None, executor) if executor._is_default else (executor,)
    for scope in list(current.open_scopes):
        # Those without an executor of their own are listed where they are a part of something.
        if scope._executor is not None and scope._executor not in mine:
            continue
        if scope._executor is None and not executor._is_default:
            strangers.add(id(scope))
        name = f"{scope._name or '(unnamed)'}, {scope._live} children"
        found[id(scope)] = scope._around, ProgressItem("scope", name, None, None)
    tasks = [entry for entry in list(current.reporting.items()) if executor._owns(entry[0])]
    families = {kinship(task)[0]: id(task) for task, _ in tasks}
    for task, around in tasks:
        done, total = task.progress or (None, None)
        parent = kinship(task)[1]
        nearest = nodes.get(id(task)) or (parent and families.get(parent))
        over = around if nearest is None else (*around, nearest)
        found[id(task)] = over, ProgressItem("task", task.name or "?", done, total)
    for node in list(current.reporting_nodes):
        if node.run in found and node.progress is not None:
            found[id(node)] = (node.run,), ProgressItem("task", node.name, *node.progress)
    return found, strangers


def _nested(
    found: Mapping[object, _Found],
    strangers: Set[object],
    root: object = None,
    depth: int = 0,
) -> Iterator[ProgressItem]:
    """What is below a root, each followed by its parts; strangers only as parts of others."""
    parts: dict[object, list[object]] = {}
    for key, (around, _) in found.items():
        nearest = next((item for item in around if item in found), None)
        if nearest is not None or key not in strangers:
            parts.setdefault(nearest, []).append(key)

    def below(around: object, depth: int) -> Iterator[ProgressItem]:
        for key in parts.pop(around, ()):
            yield found[key][1]._replace(depth=depth)
            yield from below(key, depth + 1)

    yield from below(root, depth)
