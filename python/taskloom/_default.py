"""The executor that serves the whole process, and runs on it."""

from __future__ import annotations

from taskloom._forking import lock_across_forks
from taskloom._typing import TYPE_CHECKING
from taskloom._workers import is_exiting
from taskloom.executor import Executor
from taskloom.scheduling.config import ExecutorConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskloom._taskloom import Plan
    from taskloom.access import Context
    from taskloom.graph import Graph
    from taskloom.observe.events import NodeEvent
    from taskloom.run import Mode, Run

__all__ = ["default_executor", "run"]


def run(
    target: Graph | Plan,
    *,
    mode: Mode = "parallel",
    check: bool = True,
    context: Context | None = None,
    trace: bool = False,
    on_event: Callable[[NodeEvent], object] | None = None,
    progress: bool = False,
) -> Run:
    """Runs a graph or plan with the default executor; `Executor.run` says the rest.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> node = g.add(sum, [1, 2, 3])
    >>> taskloom.run(g)[node]
    6
    """
    return default_executor().run(
        target,
        mode=mode,
        check=check,
        context=context,
        trace=trace,
        on_event=on_event,
        progress=progress,
    )


_default: Executor | None = None
_making_default = lock_across_forks()


def default_executor() -> Executor:
    """The executor that `taskloom.run` uses, made on first use.

    >>> import taskloom
    >>> taskloom.default_executor() is taskloom.default_executor()
    True
    """
    global _default  # noqa: PLW0603
    with _making_default:
        if _default is None or (_default.is_closed and not is_exiting()):
            # Whoever makes it, it serves the whole process: no share of a task's.
            count = ExecutorConfig.load().worker_count()
            _default = Executor(count, thread_name_prefix="taskloom")
            _default._is_default = True
        return _default
