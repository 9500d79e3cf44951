"""The executor whose order a seed decides."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, final

from taskloom import _taskloom
from taskloom._taskloom import Plan
from taskloom.access import Context
from taskloom.errors import OptionError, QueueFull
from taskloom.graph import Graph
from taskloom.places._coroutine import Turn
from taskloom.run import Mode, Run
from taskloom.scheduling.admission import Admission
from taskloom.scheduling.config import ExecutorConfig
from taskloom.scheduling.resources import Resources
from taskloom.task import Options, Task
from taskloom.testing._conductor import Conductor, Deadlock
from taskloom.testing._coroutines import Coroutines
from taskloom.testing._stepping import Runs
from taskloom.testing._task import SeededTask
from taskloom.testing.clock import VirtualClock
from taskloom.testing.future import SeededFuture
from taskloom.testing.view import SeededView, in_order, obeyed

__all__ = ["SeededExecutor"]

P = ParamSpec("P")
R = TypeVar("R")

OF_RUNS = ("priority", "timeout")


class _Governed(threading.local):
    """The executors whose `with` blocks this thread is in, innermost last."""

    def __init__(self) -> None:
        self.executors: list[SeededExecutor] = []


_governed = _Governed()


@final
class SeededExecutor(concurrent.futures.Executor):
    """An executor that runs one task at a time, in an order drawn from a seed, on virtual time.

    Nothing runs until somebody waits: for a future, on the `clock`, or by `run_until_idle`. A task
    that waits lets others go on; which one is the seed's choice. So the same seed gives the same
    interleaving, and many seeds give many: see `explore`. Programmes that block only through
    taskloom are deterministic: futures, the clock, and in tasks also locks, channels and their kin,
    in the test itself only inside `with SeededExecutor(...)`. One that blocks on a lock of
    `threading` while its owner is not the one to go on hangs.

    Options and settings mean what they mean to an `Executor`, on virtual time: priorities in bands,
    deadlines that draw tasks forward, aging, timeouts per attempt, retries with their delays,
    resources, and what happens when the queue is full. The order is that of the engine's own queue;
    the seed decides among tasks of one band and deadline, but does not take the turn of the one
    that waits longest.

    Any number of tasks may have begun and wait. The nodes of runs are tasks too: of those that are
    ready the seed chooses one, among the most urgent where the plan has priorities. Coroutines, by
    `run_coroutine` or as nodes, go on in between, with what they spawn. Use it from one thread.

    Where it differs: `place` can only be "thread" or, for nodes, "caller", which means the same.

    Parameters
    ----------
    seed
        A number that decides the order.
    clock
        The clock to sleep on, by default a new one that starts at 0.
    max_queue_depth, when_full, overdue, deadline_lead, aging, default_timeout, cancel, resources
        As for `ExecutorConfig`, but by default the queue has no bound, and the environment is not
        looked at. A task that submits is never refused and never waits. Of resources there are
        those named here. With `cancel="interrupt"` a task is interrupted where it waits.

    Example
    -------
    >>> from taskloom.testing import SeededExecutor
    >>> def order(seed):
    ...     done = []
    ...     with SeededExecutor(seed=seed) as executor:
    ...         executor.submit_many(done.append, range(5))
    ...     return done
    >>> order(seed=1) == order(seed=1), order(seed=1) == order(seed=2)
    (True, False)
    """

    def __init__(
        self,
        seed: int,
        *,
        clock: VirtualClock | None = None,
        max_queue_depth: int | None = None,
        when_full: Literal["block", "reject", "drop_oldest", "drop_lowest"] = "block",
        overdue: Literal["first", "skip", "report"] = "skip",
        deadline_lead: float = 0.1,
        aging: int = 64,
        default_timeout: float | None = None,
        cancel: Literal["cooperative", "interrupt"] = "cooperative",
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self.seed = seed
        self.clock = VirtualClock() if clock is None else clock
        self.config = ExecutorConfig(
            max_queue_depth=max_queue_depth,
            when_full=when_full,
            overdue=overdue,
            deadline_lead=deadline_lead,
            aging=aging,
            default_timeout=default_timeout,
            cancel=cancel,
            resources=resources or {},
        )
        self._conductor = Conductor(seed, self.clock, self.config)
        self._admission: Admission[SeededTask | Turn] = Admission(
            self.config.resources, on_admitted=_start_all
        )
        self._closed = False
        self._live = 0
        self._coroutines = Coroutines(self)
        self._runs = Runs(self)
        self._conductor.prepare = self._runs.take_part

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.queue_depth} queued"
        return f"<taskloom.testing.SeededExecutor seed={self.seed} {state}>"

    @property
    def queue_depth(self) -> int:
        """How many tasks have not begun."""
        return len(self._conductor.queue)

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """Which of how many was chosen, each time that there was a choice: the interleaving."""
        return tuple(self._conductor.choices)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SeededFuture[R]:
        """Queues `fn(*args, **kwargs)` and returns its future; it runs when somebody waits.

        Raises `RuntimeError` after `shutdown`, and `OptionError` for a task with options that only
        a real executor can obey.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).submit(pow, 2, 5).result()
        32
        """
        return self._submit(Options.EMPTY, fn, args, kwargs)

    def _submit(
        self,
        options: Options,
        fn: Callable[..., R],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> SeededFuture[R]:
        self._refuse_if_closed()
        if not callable(fn):
            raise TypeError(f"submit() needs a function to run, not {fn!r}")
        if isinstance(fn, Task):
            options, fn = obeyed(options.over(fn.options)), fn.function
        task = self._made(options, (fn, args, kwargs))
        if self._find_room(task):
            self._conductor.queue.add(task)
        else:
            task.drop(self._no_room("given up to make room"))
        return task.future

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _made(
        self, options: Options, call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    ) -> SeededTask:
        label = options.get("name") or getattr(call[0], "__qualname__", repr(call[0]))
        goes_on = options.get("on_error") == "continue"
        token = _taskloom.Token(_taskloom.current_token())
        future: SeededFuture[Any] = SeededFuture(self._conductor, label, token, goes_on)
        needs: Resources | None = options.get("resources")
        if needs is not None:
            self._admission.check(needs)
        task = SeededTask(self, options, call, future, label)
        self._live += 1
        return task

    def _submit_node(
        self,
        options: Options,
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
        run: object,
        *,
        rank: float,
        stoppable: bool,
    ) -> SeededFuture[Any]:
        """Queues a node of a run that goes on, closed or not."""
        task = self._made(obeyed(options), call)
        task.droppable, task.group, task.rank = False, run, rank
        task.future._stoppable = stoppable
        self._conductor.queue.add(task)
        return task.future

    def _spawn(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Options,
    ) -> SeededFuture[Any]:
        """Queues the first step of a coroutine."""
        return self._coroutines.spawn(function, args, kwargs, options)

    def _no_room(self, what: str) -> QueueFull:
        bound = self.config.max_queue_depth
        return QueueFull(f"{what}: {bound} tasks wait (max_queue_depth={bound})")

    def _find_room(self, task: SeededTask) -> bool:
        """Makes room in a full queue as configured; False if the new task is the one to go."""
        bound, policy = self.config.max_queue_depth, self.config.when_full
        conductor = self._conductor
        queue = conductor.queue
        while bound is not None and queue.waiting() >= bound and not conductor.in_task:
            if policy == "reject":
                self._live -= 1
                raise self._no_room("the queue is full")
            if policy == "block":
                conductor.wait(lambda: queue.waiting() < bound, None, "for room in the queue")
                continue
            queue.ready()
            victim = queue.give_up(policy.removeprefix("drop_"), task)
            if not isinstance(victim, SeededTask):
                return False
            victim.drop(self._no_room("given up to make room"))
        return True

    def _offer(self, task: SeededTask | Turn, needs: Resources) -> bool:
        admitted = self._admission.offer(task, needs, rank=task.band)
        if not admitted:
            self._watch_rates()
        return admitted

    def _take_back(self, task: SeededTask | Turn, needs: Resources, admitted: bool) -> None:
        """A task gives back what it was admitted with, or asks for it no longer."""
        if admitted:
            self._release(needs)
        else:
            self._admission.withdraw(task, needs)

    def _release(self, needs: Resources) -> None:
        _start_all(self._admission.release(needs))
        self._watch_rates()

    def _watch_rates(self) -> None:
        wait = self._admission.ready_in()
        if wait is not None:
            self._conductor.at(self.clock.now() + wait, lambda: _start_all(self._admission.poll()))

    def submit_many(self, fn: Callable[..., R], items: Iterable[Any]) -> list[SeededFuture[R]]:
        """Queues `fn(item)` for each item; returns the futures in their order.

        >>> from taskloom.testing import SeededExecutor
        >>> [future.result() for future in SeededExecutor(seed=1).submit_many(abs, [-1, 2])]
        [1, 2]
        """
        return [self.submit(fn, item) for item in items]

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """Calls `fn` on the items of the iterables; yields the results in their order.

        `timeout` is in seconds of the clock. Each item is a task of its own whatever `chunksize`
        says: there is no cost that larger ones could save.

        >>> from taskloom.testing import SeededExecutor
        >>> list(SeededExecutor(seed=1).map(pow, [2, 3], [5, 2]))
        [32, 9]
        """
        calls = zip(*iterables, strict=False)
        futures = (self.submit(fn, *args) for args in calls)
        return in_order(futures, self.clock, timeout, chunksize, buffersize)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submits and waits: returns what the function returned, raises what it raised.

        >>> from taskloom.testing import SeededExecutor
        >>> SeededExecutor(seed=1).call(pow, 2, 10)
        1024
        """
        return self.submit(fn, *args, **kwargs).result()

    def options(self, **options: Any) -> SeededView:
        """A view whose submits have these options, as `Executor.options` describes them.

        Of the queued tasks, those of the highest priority go first, and of these the one with the
        earliest deadline; the seed decides among equals.
        Raises `OptionError` for an option that only a real executor can obey.

        >>> from taskloom.testing import SeededExecutor
        >>> done = []
        >>> with SeededExecutor(seed=1) as executor:
        ...     late = executor.submit(done.append, "late")
        ...     first = executor.options(priority=1).submit(done.append, "first")
        >>> done
        ['first', 'late']
        """
        return SeededView(self, obeyed(Options("options", **options)))

    def run(
        self,
        target: Graph | Plan,
        *,
        mode: Mode = "parallel",
        check: bool = True,
        context: Context | None = None,
    ) -> Run:
        """Runs a graph or plan until it is over; `mode` and `check` as for an `Executor`.

        Each node is a task, `async def` ones included; "serial" goes through them in the plan's
        order, one after the other.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "7")
        >>> SeededExecutor(seed=1).run(g)[node]
        7
        """
        return self._run(Options.EMPTY, target, mode=mode, check=check, context=context)

    def _run(
        self,
        options: Options,
        target: Graph | Plan,
        *,
        mode: Mode,
        check: bool,
        context: Context | None,
    ) -> Run:
        run = self._start(options, target, mode=mode, context=context)
        run.wait()
        return run.result() if check else run

    def start(
        self, target: Graph | Plan, *, mode: Mode = "parallel", context: Context | None = None
    ) -> Run:
        """As `run`, but returns the live run at once; waiting for it lets its nodes run.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> g = taskloom.Graph()
        >>> node = g.add(int, "7")
        >>> SeededExecutor(seed=1).start(g).result()[node]
        7
        """
        return self._start(Options.EMPTY, target, mode=mode, context=context)

    def _start(
        self, options: Options, target: Graph | Plan, *, mode: Mode, context: Context | None
    ) -> Run:
        self._refuse_if_closed()
        if mode not in ("parallel", "serial", "auto"):
            raise OptionError(f"mode={mode!r} is none of 'parallel', 'serial', 'auto'")
        for name in options.as_dict():
            if name not in OF_RUNS:
                raise OptionError(f"{name!r} has no meaning for a run; {', '.join(OF_RUNS)} do")
        return self._runs.start(
            target,
            serial=mode == "serial",
            context=context,
            priority=options.get("priority", 0),
            timeout=options.get("timeout"),
        )

    def run_coroutine(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Runs a coroutine function and returns its result; its scopes and sleeps are the seed's.

        >>> import taskloom
        >>> from taskloom.testing import SeededExecutor
        >>> async def hour():
        ...     await taskloom.sleep(3600)
        ...     return "done"
        >>> with SeededExecutor(seed=1) as executor:
        ...     executor.run_coroutine(hour), executor.clock.now()
        ('done', 3600.0)
        """
        self._refuse_if_closed()
        future: SeededFuture[R] = self._spawn(fn, args, kwargs, Options.EMPTY)
        return future.result()

    def run_until_idle(self) -> None:
        """Lets tasks go on until nothing can move: all are done, or wait for the clock or the test.

        >>> from taskloom.testing import SeededExecutor
        >>> executor = SeededExecutor(seed=1)
        >>> futures = executor.submit_many(abs, [-1, -2])
        >>> executor.run_until_idle()
        >>> [future.done() for future in futures]
        [True, True]
        """
        self._conductor.run_until_idle()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; `wait` runs what was submitted to its end, sleepers included.

        Raises `Deadlock` if that has no end and nobody was told so yet. What still waits then is
        cancelled.

        >>> from taskloom.testing import SeededExecutor
        >>> executor = SeededExecutor(seed=1)
        >>> future = executor.submit(int)
        >>> executor.shutdown()
        >>> future.done()
        True
        """
        self._closed = True
        if cancel_futures:
            for call in self._conductor.queue.take_all():
                call.cancel()
        if not wait:
            return
        told = self._conductor.told
        try:
            self._conductor.wait(self._all_over, None, "for all tasks to end")
        except Deadlock:
            if not told:
                raise
        finally:
            if self._coroutines.cancel_all():
                self._conductor.run_until_idle()
            self._conductor.abandon()

    def _all_over(self) -> bool:
        return self._live == 0 and not self._runs

    def __enter__(self) -> Self:
        _governed.executors.append(self)
        self._conductor.lend_thread(True)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            # The error of the body is the one to be seen.
            self._conductor.told = True
        try:
            self.shutdown()
        finally:
            _governed.executors.remove(self)
            self._conductor.lend_thread(False)
            for outer in _governed.executors[-1:]:
                outer._conductor.lend_thread(True)


def _start_all(tasks: list[SeededTask | Turn]) -> None:
    for task in tasks:
        task.start()
