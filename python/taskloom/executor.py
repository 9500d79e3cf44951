"""The executor: a `concurrent.futures.ThreadPoolExecutor` in its manners, native in its speed."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from taskloom import _taskloom
from taskloom._mapping import map_ordered
from taskloom._observed import Observed
from taskloom._owed import LOOK_EVERY, attend
from taskloom._resolving import Base, resolve, resolved_options
from taskloom._running import Running
from taskloom._submission import Desk
from taskloom._taskloom import Future
from taskloom._typing import TYPE_CHECKING, final
from taskloom._workers import Workers, register, share_here
from taskloom.errors import OptionError
from taskloom.scheduling.config import ExecutorConfig, settle
from taskloom.task import Options, Task
from taskloom.view import ExecutorView

if TYPE_CHECKING:
    from typing import Any, Literal, ParamSpec, TypeVar, Unpack

    from taskloom.scheduling.config import Settings
    from taskloom.scheduling.governor import Governor
    from taskloom.scheduling.shutdown import ShutdownReport
    from taskloom.scheduling.statistics import ExecutorStats

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["Executor", "Future", "worker_count", "worker_index"]

worker_index = _taskloom.worker_index
worker_count = _taskloom.worker_count


_taskloom._know_task(Task)


def _processors(budget: int | None) -> int:
    """The processors for an executor; None are all that the process has."""
    from taskloom.scheduling.cpus import cpu_count, process_share

    return budget or process_share() or cpu_count()


@final
class Executor(Observed, Running, _taskloom.Pool, ThreadPoolExecutor):
    """Runs tasks on a pool of native work-stealing threads.

    A true `concurrent.futures.Executor`: `submit`, `map`, `shutdown` and `with` work as they do for
    `ThreadPoolExecutor`, which it is an instance of, so it serves as an event loop's default
    executor. A task's keyword arguments are the function's own, always; options travel in a view,
    `executor.options(...)`.

    Parameters
    ----------
    max_workers
        How many tasks run side by side; by default `min(32, CPUs + 4)`, as in the standard library,
        with the CPUs that affinity and the container's quota leave. An executor made inside a task
        has its share of the CPUs instead, so that two levels do not oversubscribe. Threads are
        started when they are first needed.
    config
        An `ExecutorConfig` with settings that are not given here.
    initializer, initargs
        Called as `initializer(*initargs)` by each worker before its first task, in worker processes
        as in threads. If it raises, the executor is broken: what is pending and what is submitted
        later fails with `BrokenExecutor`; in a process that holds for tasks in processes.
    on_latency_change
        With `target_latency`: called as `on_latency_change(is_met)`, on a thread of its own, when
        the latency target is missed and when it is met again.
    settings
        Every field of `ExecutorConfig`, which says what each does: `thread_name_prefix`, `inline`,
        `max_queue_depth`, `when_full`, `overdue`, `timing`, `default_timeout`, `cancel`, ...
        What is named neither here nor in `config` is looked up in the environment
        (`TASKLOOM_WORKERS=4`), then in the TOML file that `TASKLOOM_CONFIG` names.

    Errors
    ------
    `ValueError` and `TypeError` for values that make no sense, with the value and what would do;
    `OptionError` for a setting that does not exist, or has no effect together with another.

    Example
    -------
    >>> from taskloom import Executor
    >>> with Executor(max_workers=2) as executor:
    ...     future = executor.submit(pow, 2, 10)
    ...     squares = list(executor.map(lambda n: n * n, range(5)))
    >>> future.result(), squares
    (1024, [0, 1, 4, 9, 16])
    """

    _workers: Workers
    _max_workers: int
    _config: ExecutorConfig
    _desk: Desk
    _base: Base
    _born: float
    _governor: Governor | None
    _cache: dict[Any, _taskloom.TaskOptions]

    def __new__(
        cls,
        max_workers: int | None = None,
        *,
        config: ExecutorConfig | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        on_latency_change: Callable[[bool], object] | None = None,
        **settings: Unpack[Settings],
    ) -> Executor:
        given: dict[str, Any] = dict(settings)
        if max_workers is not None:
            given["max_workers"] = max_workers
        config = settle(config, given)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if config.inline and initializer is not None:
            raise OptionError(
                "inline=True lets threads from outside run tasks, and those have not run the "
                "initializer; drop one of the two"
            )
        max_workers = config.worker_count()
        # Made by a task: the executor around it has the processors already.
        budget = share_here()
        if config.max_workers is None:
            from taskloom.scheduling.cpus import process_share

            max_workers = min(max_workers, budget or process_share() or max_workers)
        timing = config.timing or config.target_latency is not None
        prepare: Callable[[int], object] | None = None
        nearest: tuple[tuple[int, ...], ...] = ()
        if config.cpu_affinity is not None or config.numa != "none" or config.realtime is not None:
            from taskloom.scheduling.placement import Placement

            placement = Placement.of(config)
            prepare, nearest = placement.preparation(), placement.nearest
        processors = partial(_processors, budget)

        def share() -> int:
            return max(1, processors() // max_workers)

        leave: Callable[[], object] | None = None
        if config.native_threads is not None:
            from taskloom.scheduling.native import beside

            prepare, leave = beside(prepare, config.native_threads, share())
        workers = Workers(
            config.thread_name_prefix,
            initializer,
            initargs,
            config.exit_timeout,
            prepare,
            leave=leave,
            share=share,
        )
        self: Executor = super().__new__(
            cls,
            max_workers,
            config.max_queue_depth,
            config.when_full,
            config.inline,
            workers.start,
            deadline_lead=config.deadline_lead,
            aging=config.aging,
            overdue=config.overdue,
            timing=timing,
            max_spares=config.spare_workers,
            local_queues=config.work_stealing,
            local_bound=config.worker_queue_depth,
            nearest=nearest,
        )
        workers.executor = weakref.ref(self)
        self._workers = workers
        self._max_workers = max_workers
        self._cache = {}
        self._config = config
        self._owed = []
        self._desk = Desk(max_workers, config, processors, (initializer, initargs))
        self._base = Base(timing, config.cancel == "interrupt", config.default_timeout)
        self._born = time.monotonic()
        if self._base:
            self._set_defaults(resolve(Options.EMPTY, self._base))
        self._governor = None
        if config.adaptive or config.target_latency is not None or on_latency_change is not None:
            from taskloom.scheduling.governor import govern

            self._governor = govern(self, config, on_latency_change)
        self._observe(config.causality, config.watchdog)
        register(self)
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Everything was done in __new__; ThreadPoolExecutor's own must not run.
        pass

    @property
    def config(self) -> ExecutorConfig:
        """The settings that it was made with, from wherever they came.

        >>> from taskloom import Executor
        >>> Executor(2, when_full="reject").config
        ExecutorConfig(max_workers=2, when_full='reject')
        """
        return self._config

    # What users and tests of ThreadPoolExecutor look at.
    @property
    def _threads(self) -> set[threading.Thread]:  # type: ignore[override]
        return self._workers.threads

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self.is_closed

    @property
    def _broken(self) -> str | Literal[False]:  # type: ignore[override]
        return self.broken or False

    def _after_fork(self) -> None:
        self._desk.after_fork()
        self.renew_after_fork()
        self._observed_after_fork()
        if self._governor is not None:
            self._governor.after_fork()
        if self._config.native_threads is not None:
            from taskloom.scheduling.native import after_fork

            after_fork()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"{self.queue_depth} queued"
        return f"<taskloom.Executor max_workers={self._max_workers} {state}>"

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """Calls `fn` on the items of the iterables side by side; yields the results in order.

        Parameters
        ----------
        timeout
            Seconds from this call after which the iterator raises `TimeoutError`.
        chunksize
            How many items one task handles: more make small calls cheaper.
        buffersize
            How many tasks are submitted ahead of the results taken; None submits all at once,
            before this returns. A bound also makes the reading of the iterables lazy.

        Raises what `fn` raised when its result is due; what is still queued is then cancelled.

        >>> from taskloom import Executor
        >>> with Executor(2) as executor:
        ...     list(executor.map(pow, [2, 3], [5, 2], chunksize=2))
        [32, 9]
        """
        return map_ordered(
            self.submit, fn, iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize
        )

    def options(self, **options: Any) -> ExecutorView:
        """A view of this executor whose submits have these options; light, reusable, nestable.

        Parameters
        ----------
        name
            What errors and listings call the task.
        priority
            Any whole number; more is more urgent, 0 the default. Eight bands are told apart, from
            4 to -3; beyond them counts as the nearest.
        deadline
            Seconds from the submit until when the task should be done; within a band the earliest
            goes first. `Executor(overdue=...)` says what happens to a late one.
        timeout
            Seconds for each attempt, from its start. A task that takes longer ends with
            `TimeoutError` at once; its thread stays busy until it returns, and a spare stands in.
        retry
            A number of attempts or a `taskloom.Retry`.
        after
            Futures that must be done before the task is queued. If one failed or was cancelled,
            the task is cancelled, unless that one had `on_error="continue"`.
        on_error
            `"cancel_dependents"`, or `"continue"`: those that come after this task run even if it
            fails.
        resources
            A `taskloom.Resources` that has to fit before the task starts.
        place
            `"thread"`, or `"process"` for a worker process.
        isolate_context
            Accepted for symmetry with graphs: a submitted task always has a context of its own.

        Raises `OptionError` for an unknown option, with the nearest name, or a wrong value.

        >>> from taskloom import Executor
        >>> with Executor(2) as executor:
        ...     first = executor.submit(pow, 2, 10)
        ...     executor.options(after=[first], priority=3).submit(first.result).result()
        1024
        """
        return ExecutorView(self, Options("options", **options))

    def _timed_options(self, options: dict[str, Any]) -> ExecutorView:
        """As `options`, and the times of the tasks are recorded."""
        base = Base(True, self._base.interrupt, self._base.timeout)
        return ExecutorView(self, Options("options", **options), base)

    def stats(self) -> ExecutorStats:
        """What the executor has measured since it was made, as a frozen record.

        Latencies are there with `timing=True`, those of tasks on workers.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     executor.submit(pow, 2, 10).result()
        1024
        >>> executor.stats().done
        1
        """
        from taskloom.scheduling.statistics import Tally, executor_stats

        governor = self._governor
        tally = Tally(*self._tally())
        reason = "the number of workers is fixed"
        if governor is not None and governor.reason:
            reason = governor.reason
        return executor_stats(
            self._stats(),
            tally,
            self._desk.outside(),
            uptime=time.monotonic() - self._born,
            decisions=() if governor is None else governor.decisions,
            changes=() if governor is None else governor.changes,
            reason=reason,
        )

    def is_meeting_latency_target(self) -> bool:
        """Whether 99 of 100 tasks of the last ten seconds waited no longer than `target_latency`.

        False too while tasks are queued and none has begun for longer than that. Raises
        `OptionError` without `target_latency`.

        >>> from taskloom import Executor
        >>> with Executor(1, target_latency=0.5) as executor:
        ...     executor.submit(pow, 2, 10).result()
        ...     executor.is_meeting_latency_target()
        1024
        True
        """
        if self._governor is None or self._governor.target is None:
            raise OptionError(
                "there is no latency target: make the executor with target_latency=seconds"
            )
        return self._governor.is_meeting_target()

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submits and waits: returns what `fn(*args, **kwargs)` returned, raises what it raised.

        An interrupted wait cancels the task. `options(timeout=...)` gives limits of time.

        >>> from taskloom import Executor
        >>> with Executor(1) as executor:
        ...     executor.call(pow, 2, 10)
        1024
        """
        future = self.submit(fn, *args, **kwargs)
        try:
            return future.result()
        finally:
            future.cancel()

    def _submit_task(self, task: Task[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        chosen = resolved_options(task, Options.EMPTY, self._base, self._cache)
        return self._submit_chosen(chosen, task.function, args, kwargs)

    def _submit_chosen(
        self,
        chosen: _taskloom.TaskOptions,
        fn: Callable[..., R],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Future[R]:
        if chosen.special:
            return self._desk.submit(self, chosen, (fn, args, kwargs))
        return self._submit(chosen, fn, *args, **kwargs)

    def shutdown(  # type: ignore[override]
        self,
        wait: bool = True,
        *,
        cancel_futures: bool = False,
        drain: bool = True,
        timeout: float | None = None,
    ) -> ShutdownReport:
        """Takes no more tasks; what was submitted is still run. Says what became of all tasks.

        Parameters
        ----------
        wait
            Return when everything has run and the workers have left, rather than at once.
        cancel_futures
            Cancel what was not started.
        drain
            False is another word for `cancel_futures=True`.
        timeout
            Seconds to wait at most; what is not over by then is counted as abandoned and goes on.

        >>> from taskloom import Executor
        >>> executor = Executor(1)
        >>> executor.submit(pow, 2, 3).result()
        8
        >>> executor.shutdown()
        ShutdownReport(finished=1, cancelled=0, dropped=0, abandoned=0)
        >>> executor.submit(print)
        Traceback (most recent call last):
        RuntimeError: cannot schedule new futures after shutdown
        """
        self.close()
        if cancel_futures or not drain:
            self._desk.cancel_held()
            self.cancel_queued()
        end = None if timeout is None else time.monotonic() + timeout
        if wait:
            self._join(end)
        self._desk.close(wait and end is None)
        from taskloom.scheduling.shutdown import report

        return report(self._stats(), self._desk.outside())

    def _join(self, end: float | None) -> None:
        """Waits until the workers have left, or until a time of the monotonic clock."""
        while True:
            looks = bool(self._owed) and attend(self._owed, self._workers.alive(), end)
            threads = self._workers.alive()
            if not threads or (end is not None and time.monotonic() >= end):
                return
            for thread in threads:
                left = None if end is None else max(0.0, end - time.monotonic())
                thread.join(min(left or LOOK_EVERY, LOOK_EVERY) if looks else left)
