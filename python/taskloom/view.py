"""An executor seen through options: `executor.options(priority=5, timeout=2.0).submit(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from taskloom import _taskloom
from taskloom._mapping import map_ordered
from taskloom._resolving import Base, resolve, resolved_options
from taskloom._taskloom import Future, Plan
from taskloom._typing import TYPE_CHECKING, final
from taskloom.errors import OptionError
from taskloom.task import Options, Task

if TYPE_CHECKING:
    from typing import Any, ParamSpec, Self, TypeVar

    from taskloom._held import UntilLeft
    from taskloom.access import Context
    from taskloom.executor import Executor
    from taskloom.graph import Graph
    from taskloom.observe.events import NodeEvent
    from taskloom.run import Mode, Run

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["ExecutorView"]


@final
class ExecutorView(_taskloom.Submitter):
    """Submits to an executor with options; made by `Executor.options`, light and reusable.

    >>> from taskloom import Executor
    >>> with Executor(2) as executor:
    ...     urgent = executor.options(priority=3, name="power")
    ...     urgent.submit(pow, 2, 10).result()
    1024
    """

    __slots__ = ("_cache", "_executor", "_given")

    _executor: Executor
    _given: Options
    _cache: dict[Any, _taskloom.TaskOptions]

    def __new__(cls, executor: Executor, given: Options, base: Base | None = None) -> Self:
        if "estimated_duration" in given:
            raise OptionError(
                "estimated_duration= orders the nodes of a graph, not submitted tasks: give those "
                "a priority= or a deadline="
            )
        self = super().__new__(cls, executor, resolve(given, base or executor._base))
        self._executor = executor
        self._given = given
        self._cache = {}
        return self

    def options(self, **options: Any) -> ExecutorView:
        """A view with these options, and those of this view that are not among them.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     executor.options(priority=1).options(name="x")
        <executor.options(name='x', priority=1)>
        """
        return ExecutorView(self._executor, Options("options", **options).over(self._given))

    def submit_many(self, fn: Callable[..., R], items: Iterable[Any]) -> list[Future[R]]:
        """Calls `fn(item)` for each item; returns the futures in their order.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     futures = executor.options(priority=1).submit_many(abs, [-1, 2])
        >>> [future.result() for future in futures]
        [1, 2]
        """
        submit = self.submit
        return [submit(fn, item) for item in items]

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """As `Executor.map`, each task with the options of this view.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     list(executor.options(priority=-1).map(abs, [-1, 2]))
        [1, 2]
        """
        return map_ordered(
            self.submit, fn, iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize
        )

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submits and waits: returns what `fn(*args, **kwargs)` returned, raises what it raised.

        Limits of time are those of the options: `timeout` for each attempt, `deadline` for all of
        it, the wait in the queue included. An interrupted wait cancels the task.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     executor.options(timeout=5.0).call(pow, 2, 10)
        1024
        """
        future = self.submit(fn, *args, **kwargs)
        try:
            return future.result()
        finally:
            future.cancel()

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
        """As `Executor.run`, the workers' part of it queued with this view's priority.

        With a `timeout` the run starts nothing more after so many seconds, and raises
        `TimeoutError` when what was running by then has ended.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "7")
        >>> with taskloom.Executor(2) as executor:
        ...     executor.options(priority=2).run(g)[node]
        7
        """
        self._executor._refuse_if_closed()
        self._refuse_for_runs()
        from taskloom._launch import Watch, run_plan

        return run_plan(
            self._executor,
            target,
            mode,
            check,
            band=self.chosen.band,
            context=context,
            watch=Watch(trace, on_event, progress),
            timeout=self._given.get("timeout"),
        )

    def start(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        context: Context | None = None,
        trace: bool = False,
        on_event: Callable[[NodeEvent], object] | None = None,
    ) -> Run:
        """As `Executor.start`, queued with this view's priority, and with its `timeout`.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "7")
        >>> with taskloom.Executor(2) as executor:
        ...     executor.options(priority=2).start(g).result()[node]
        7
        """
        self._executor._refuse_if_closed()
        self._refuse_for_runs()
        from taskloom._launch import Watch, start_plan

        return self._executor._attended(
            start_plan(
                self._executor,
                target,
                mode,
                band=self.chosen.band,
                context=context,
                watch=Watch(trace, on_event),
                timeout=self._given.get("timeout"),
            )
        )

    def _refuse_for_runs(self) -> None:
        for name in self._given.as_dict():
            if name not in ("priority", "timeout"):
                raise OptionError(
                    f"a run takes priority and timeout from a view, not {name!r}: give {name} to "
                    f"its nodes, by graph.options({name}=...)"
                )

    def _submit_task(self, task: Task[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        chosen = resolved_options(task, self._given, self._executor._base, self._cache)
        return self._executor._submit_chosen(chosen, task.function, args, kwargs)

    def _submit_special(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        return self._executor._submit_chosen(self.chosen, fn, args, kwargs)

    def _submit_node(
        self, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[R]:
        """Submits a node of a run, which neither a full queue nor a closed executor refuses."""
        executor = self._executor
        if self.chosen.special:
            call = fn, args, kwargs
            return executor._desk.submit(executor, self.chosen, call, bounded=False)
        future = executor._prepare(self.chosen, fn, args, kwargs, bounded=False)
        executor._enqueue(future)
        return future

    def _submit_holding(
        self, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> UntilLeft:
        """As `_submit_node`; the future ends when the thread has left the call."""
        executor = self._executor
        return executor._desk.submit_holding(executor, self.chosen, (fn, args, kwargs))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.as_dict().items())
        return f"<executor.options({given})>"
