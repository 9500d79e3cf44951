"""How an executor runs plans: here and now, or on its workers alone."""

from __future__ import annotations

from collections.abc import Callable

from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom._taskloom import Plan
    from taskloom.access import Context
    from taskloom.graph import Graph
    from taskloom.observe.events import NodeEvent
    from taskloom.run import Mode, Run

__all__ = ["Running"]


class Running:
    """The part of `Executor` by which it runs graphs and plans."""

    #: Runs that need the thread that started them, for which a shutdown waits.
    _owed: list[Run]

    def run(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        check: bool = True,
        context: Context | None = None,
        trace: bool = False,
        on_event: Callable[[NodeEvent], object] | None = None,
        progress: bool = False,
    ) -> Run:
        """Runs a graph or plan on the calling thread and the workers; returns when it is over.

        Parameters
        ----------
        target
            What to run; a graph is compiled first, and again only when it has grown.
        mode
            `"parallel"` uses the calling thread and the workers, `"serial"` the calling thread
            alone, in the plan's order, `"auto"` whichever took less time in earlier runs of the
            plan.
        check
            Whether a run that did not go well raises `RunFailed`, as `Run.result` does.
        context
            The values for `Graph.resource` and `Graph.from_context`, which the run borrows.
            Raises `GraphError` if some are missing, or are there for nothing.
        trace
            Whether to note when each node runs and where, for `Run.trace`.
        on_event
            Called with a `NodeEvent` as each node starts and ends, on the thread where it does.
            Its errors are logged.
        progress
            Whether to show on standard error how far the run is, if that is a terminal.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> total = g.add(sum, [g.add(int, "1"), g.add(int, "2")])
        >>> with taskloom.Executor(2) as executor:
        ...     executor.run(g)[total]
        3
        """
        self._refuse_if_closed()  # type: ignore[attr-defined]
        from taskloom._launch import Watch, run_plan

        watch = Watch(trace, on_event, progress)
        return run_plan(self, target, mode, check, context=context, watch=watch)  # type: ignore[arg-type]

    def start(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        context: Context | None = None,
        trace: bool = False,
        on_event: Callable[[NodeEvent], object] | None = None,
    ) -> Run:
        """Has the workers run a graph or plan and returns the live run at once.

        With `mode="serial"` one worker runs all of it, in the plan's order. The run can be waited
        for, cancelled, and awaited; a run that is dropped goes on.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "7")
        >>> with taskloom.Executor(2) as executor:
        ...     run = executor.start(g)
        >>> run.result()[node]
        7
        """
        self._refuse_if_closed()  # type: ignore[attr-defined]
        from taskloom._launch import Watch, start_plan

        watch = Watch(trace, on_event)
        run = start_plan(self, target, mode, context=context, watch=watch)  # type: ignore[arg-type]
        return self._attended(run)

    def _attended(self, run: Run) -> Run:
        """Has the shutdown wait for a run that needs this thread, should nobody else do so."""
        if run._needs_caller:
            self._owed.append(run)
            run._when_over(lambda: self._owed.remove(run))
        return run
