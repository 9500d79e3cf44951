"""Submits that take more than a place in the queue: prerequisites, resources, worker processes.

A `Launch` brings one task on its way: it waits for the futures that the task comes after, then for
the resources that it needs, then hands the task to a worker or a process. Its future is prepared
by the engine and not queued before that, and the executor's workers stay as long.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

from taskloom import _taskloom
from taskloom._taskloom import Future, TaskOptions
from taskloom.errors import DeadlineMissed, OptionError
from taskloom.flow import RetryTask
from taskloom.retry import Retry, next_attempt
from taskloom.task import Options, Task

if TYPE_CHECKING:
    from concurrent.futures import Future as StandardFuture

    from taskloom.places._coroutine import Turn
    from taskloom.places.process import ProcessPlace
    from taskloom.scheduling.admission import Admission
    from taskloom.scheduling.config import ExecutorConfig
    from taskloom.scheduling.resources import Resources
    from taskloom.scheduling.statistics import Outside

__all__ = ["Base", "Desk", "resolve", "resolved_options"]

# A function with its positional and keyword arguments.
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_PLACES_OF_SUBMITS = ("thread", "process", "loop")


class Base(NamedTuple):
    """What an executor gives every task that it runs."""

    timing: bool = False
    interrupt: bool = False
    timeout: float | None = None


def resolve(given: Options, base: Base) -> TaskOptions:
    """What the engine needs of some options; `OptionError` for one that has no meaning here."""
    place = given.get("place", "thread")
    if place not in _PLACES_OF_SUBMITS:
        raise OptionError(
            f"place={place!r} does not apply to a submitted task; it runs in place='thread', "
            "place='process' or place='loop'"
        )
    on_error = given.get("on_error", "cancel_dependents")
    if on_error == "cancel_run":
        raise OptionError(
            "on_error='cancel_run' applies to nodes of a graph, not to a submitted task; "
            "'cancel_dependents' or 'continue' does"
        )
    resources = given.get("resources")
    if resources is not None:
        from taskloom.scheduling.resources import Resources

        if not isinstance(resources, Resources):
            raise OptionError(
                f"resources={resources!r} must be a taskloom.Resources, such as Resources(cpu=0.5)"
            )
    prerequisites = given.get("after", ())
    for item in prerequisites:
        if not callable(getattr(item, "add_done_callback", None)):
            raise OptionError(f"after= takes futures, not {item!r}")
    return TaskOptions(
        given,
        priority=max(-100, min(100, given.get("priority", 0))),
        deadline=given.get("deadline"),
        timeout=given.get("timeout", base.timeout),
        timing=base.timing,
        interrupt=base.interrupt,
        name=given.get("name"),
        retry=given.get("retry"),
        special=place != "thread"
        or bool(resources)
        or bool(prerequisites)
        or _replaces_attempts(given, base.timeout),
        lets_go_on=on_error == "continue",
    )


def _replaces_attempts(given: Options, timeout: float | None) -> bool:
    """Whether another attempt follows one that ran out of time, whose thread is still in it."""
    retry = given.get("retry")
    return (
        retry is not None
        and retry.tries_again
        and given.get("retry_safe", False)
        and given.get("timeout", timeout) is not None
    )


def resolved_options(
    task: Task[..., Any], nearer: Options, base: Base, cache: dict[Any, Any]
) -> TaskOptions:
    """The options of a task laid under those of a view, resolved once for each pair."""
    chosen = cache.get(task)
    if chosen is None:
        if len(cache) >= 256:  # tasks made by the thousand are not worth keeping
            cache.clear()
        chosen = cache[task] = resolve(nearer.over(task.options), base)
    found: TaskOptions = chosen
    return found


@final
class Desk:
    """What an executor has beside its pool for such submits, made on first use."""

    def __init__(
        self,
        max_workers: int,
        config: ExecutorConfig,
    ) -> None:
        self._timeout = config.default_timeout
        self.hard_deadlines = config.overdue == "skip"
        self._max_workers = max_workers
        self._amounts = config.resources
        self._memory_limit = config.memory_limit
        self._exit_timeout = config.exit_timeout
        self._lock = threading.Lock()
        self._place: ProcessPlace | None = None
        self._admission: Admission[Launch | Turn] | None = None
        self._launches: set[Launch] = set()
        # Coroutines that wait for resources, and how many run that were submitted.
        self._turns: set[Turn] = set()
        self._coroutines = 0
        # Tasks that came here, those of them that went on to the pool, and how the others ended.
        self._accepted = self._handed_over = 0
        self._ends: Counter[str] = Counter()

    def outside(self) -> Outside:
        """What is here, or was and did not go on to the pool."""
        from taskloom.scheduling.statistics import Ends, Outside

        with self._lock:
            held = sum(not launch.started for launch in self._launches)
            elsewhere = sum(launch.started and not launch.handed for launch in self._launches)
            accepted = self._accepted - self._handed_over
            elsewhere += self._coroutines
            return Outside(accepted, held, elsewhere, Ends(**self._ends))

    def waiting(self) -> list[tuple[Future[Any], list[Any]]]:
        """The tasks that are held back, each with the prerequisites that are not done."""
        with self._lock:
            launches = [launch for launch in self._launches if not launch.started]
        return [(launch.future, launch.unfinished()) for launch in launches]

    @property
    def waits_for_time(self) -> bool:
        """Whether a rate limit will let a task start by and by."""
        admission = self._admission
        return admission is not None and admission.ready_in() is not None

    def submit(
        self,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        bounded: bool = True,
    ) -> Future[Any]:
        """Brings a task on its way; unless `bounded`, a full queue does not refuse or drop it."""
        given = chosen.given
        needs: Resources | None = given.get("resources")
        if needs is not None:
            self.admission.check(needs)
        if given.get("place") == "loop":
            pool._refuse_if_closed()
            with self._lock:
                self._accepted += 1
                self._coroutines += 1
            future = self.spawn(pool, chosen, call)
            future.add_done_callback(self._spawned_over)
            return future
        if given.get("place") == "process" or _replaces_attempts(given, self._timeout):
            by_process = given.get("place") == "process"
            launch: Launch = AttemptsLaunch(
                self,
                pool,
                chosen,
                call,
                place=self.process_place() if by_process else _Threads(pool, chosen),
                timeout=given.get("timeout", self._timeout),
                bounded=bounded,
            )
        else:
            launch = Launch(self, pool, chosen, call, bounded=bounded)
        for prerequisite in given.get("after", ()):
            pool._comes_after(prerequisite)
        with self._lock:
            # One for which there was no room is over, and counted by the pool.
            if not launch.future.done():
                self._launches.add(launch)
                self._accepted += 1
        launch.begin(given.get("after", ()))
        return launch.future

    def spawn(
        self, pool: _taskloom.Pool, chosen: TaskOptions, call: Call, *, of_run: bool = False
    ) -> Future[Any]:
        """Runs a coroutine function, or what is placed on a loop."""
        from taskloom.places._coroutine import spawn

        timeout = chosen.given.get("timeout", self._timeout)
        return spawn(pool, self, chosen, call, timeout=timeout, of_run=of_run)

    def _spawned_over(self, future: Future[Any]) -> None:
        with self._lock:
            self._coroutines -= 1
            self._ends[_end_of(future)] += 1

    def hold(self, turn: Turn) -> None:
        """A coroutine waits for resources."""
        with self._lock:
            self._turns.add(turn)

    def withdraw(self, turn: Turn, needs: Resources) -> None:
        """It wants to start no more."""
        self.admission.withdraw(turn, needs)

    def let_go(self, turn: Turn) -> None:
        """It waits no more."""
        with self._lock:
            self._turns.discard(turn)

    def forget(self, launch: Launch) -> None:
        """The future of a launch is over."""
        with self._lock:
            if launch in self._launches and not launch.handed:
                self._ends[_end_of(launch.future)] += 1
            self._launches.discard(launch)

    def hand_over(self, launch: Launch) -> None:
        """From here on a task is the pool's to count, unless it is over."""
        with self._lock:
            if launch in self._launches:
                launch.handed = True
                self._handed_over += 1

    def take_back(self, launch: Launch) -> None:
        """A task that was handed over was over by then: the pool has not counted it."""
        with self._lock:
            if launch.handed:
                launch.handed = False
                self._handed_over -= 1
                self._ends[_end_of(launch.future)] += 1

    def cancel_held(self) -> int:
        """Cancels what waits for prerequisites or resources; says how many tasks that were."""
        with self._lock:
            launches = [launch for launch in self._launches if not launch.started]
            turns = list(self._turns)
        # One that waits for resources has begun: it is told, and ends by itself.
        for turn in turns:
            turn.future.cancel()
        return sum(launch.future.cancel() for launch in launches)

    def close(self, wait: bool) -> None:
        """Ends the processes when their tasks are done."""
        with self._lock:
            place = self._place
        if place is not None:
            place.shutdown(wait)

    def process_place(self) -> ProcessPlace:
        """The worker processes."""
        with self._lock:
            if self._place is None:
                from taskloom.places.process import ProcessPlace
                from taskloom.scheduling.cpus import cpu_count

                count = min(self._max_workers, cpu_count())
                self._place = ProcessPlace(count, exit_timeout=self._exit_timeout)
            return self._place

    @property
    def admission(self) -> Admission[Launch | Turn]:
        """Who lets tasks with needs start."""
        with self._lock:
            if self._admission is None:
                from taskloom.scheduling.admission import Admission

                amounts = {**_machine(self._memory_limit), **self._amounts}
                self._admission = Admission(amounts, on_admitted=_start_all)
            return self._admission

    def admit(self, launch: Launch | Turn, needs: Resources) -> bool:
        """Whether a task may start now; if not, it will be started later."""
        admission = self.admission
        admitted = admission.offer(launch, needs, rank=launch.band)
        if not admitted:
            self._watch_rates()
        return admitted

    def _watch_rates(self) -> None:
        wait = self.admission.ready_in()
        if wait is not None:
            _taskloom._call_later(wait, self._poll)

    def _poll(self) -> None:
        _start_all(self.admission.poll())
        self._watch_rates()

    def release(self, needs: Resources) -> None:
        """A task gives back what it was admitted with."""
        _start_all(self.admission.release(needs))
        self._watch_rates()

    def after_fork(self) -> None:
        """In a forked child: what was on its way is the parent's."""
        self._lock = threading.Lock()
        self._launches = set()
        self._turns = set()
        self._coroutines = 0
        self._accepted = self._handed_over = 0
        self._ends.clear()
        self._admission = None
        self._place = None


def _machine(limit: int | float | None) -> dict[str, float]:
    """What tasks with needs share; `limit` is a number of bytes, or a share of the memory."""
    from taskloom.scheduling.monitor import ResourceMonitor

    sample = ResourceMonitor().sample()
    memory = float("inf") if sample.memory_limit is None else float(sample.memory_limit)
    if limit is not None:
        memory = limit * memory if isinstance(limit, float) else float(limit)
    return {"cpu": sample.cpus, "memory": memory, "io": 1.0}


def _end_of(future: Future[Any]) -> str:
    """Under which of `Ends` a future that is over counts."""
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    if error is None:
        return "done"
    return "timed_out" if isinstance(error, TimeoutError) else "failed"


def _start_all(launches: list[Launch | Turn]) -> None:
    for launch in launches:
        launch.start()


class Launch:
    """One task on its way to a worker."""

    def __init__(
        self,
        desk: Desk,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        bounded: bool,
    ) -> None:
        self.desk = desk
        self.pool = pool
        self.band = chosen.band
        self.future: Future[Any] = pool._prepare(chosen, *call, bounded=bounded)
        self.started = False
        # Whether the pool counts it; the desk's lock guards this.
        self.handed = False
        self._needs: Resources | None = chosen.given.get("resources")
        self._lock = threading.Lock()
        # Whether the way is over: started, or given up before.
        self._decided = False
        self._admitted = False
        self._unfinished = 1
        self._prerequisites: tuple[StandardFuture[Any], ...] = ()

    def begin(self, prerequisites: tuple[StandardFuture[Any], ...]) -> None:
        """Starts the task once all of these are done."""
        self._unfinished += len(prerequisites)
        self._prerequisites = prerequisites
        self.future.add_done_callback(self._over)
        for prerequisite in prerequisites:
            prerequisite.add_done_callback(self._after)
        self._count_down()

    def unfinished(self) -> list[Any]:
        """The prerequisites that are not done."""
        return [before for before in self._prerequisites if not before.done()]

    def _after(self, prerequisite: StandardFuture[Any]) -> None:
        failed = prerequisite.cancelled() or prerequisite.exception() is not None
        if failed and not _taskloom._lets_go_on(prerequisite):
            _taskloom._cancel_here(self.future)
        self._count_down()

    def _count_down(self) -> None:
        with self._lock:
            self._unfinished -= 1
            if self._unfinished > 0 or self._decided:
                return
        if self._needs is None or self.desk.admit(self, self._needs):
            self.start()

    def start(self) -> None:
        """All that the task waited for is there."""
        with self._lock:
            self._admitted = self._needs is not None
            self._prerequisites = ()
            if self._decided:
                given_up = True
            else:
                given_up, self._decided, self.started = False, True, True
        if given_up:
            self.left()
            return
        if self._needs is not None:
            _taskloom._set_on_left(self.future, self.left)
        self.launch()

    def launch(self) -> None:
        """Hands the task over."""
        self.desk.hand_over(self)
        if not self.pool._enqueue(self.future):
            self.desk.take_back(self)

    def left(self) -> None:
        """The task holds its resources no longer."""
        with self._lock:
            admitted, self._admitted = self._admitted, False
        if admitted and self._needs is not None:
            self.desk.release(self._needs)

    def _over(self, future: Future[Any]) -> None:
        self.desk.forget(self)
        with self._lock:
            given_up = not self._decided
            self._decided = True
        if given_up:
            if self._needs is not None:
                self.desk.admission.withdraw(self, self._needs)
            self.pool._enqueue(future)  # over: this only lets the workers go
        elif _taskloom._attempts(future) == 0:
            self.left()


class _Place(Protocol):
    """Where attempts of a task run, each with a future of its own."""

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        timeout: float | None,
        name: str | None,
        on_begin: Callable[[], object],
    ) -> StandardFuture[Any]: ...


@final
class _Threads:
    """The workers of a pool: an attempt that is out of time leaves its thread to itself."""

    def __init__(self, pool: _taskloom.Pool, chosen: TaskOptions) -> None:
        self._pool = pool
        self._priority = chosen.given.get("priority", 0)
        self._context = copy_context()
        self._attempts = 0
        self.last_error: BaseException | None = None

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        timeout: float | None,
        name: str | None,
        on_begin: Callable[[], object],
    ) -> Future[Any]:
        on_begin()  # from here on the attempt is what counts as queued
        chosen = TaskOptions(Options.EMPTY, priority=self._priority, timeout=timeout, name=name)
        # A copy: an attempt that is out of time may still be in the one before.
        context = self._context.copy()
        future: Future[Any] = context.run(
            self._pool._prepare, chosen, function, args, kwargs, bounded=False
        )
        _taskloom._set_attempts(future, self._attempts, self.last_error)
        self._attempts += 1
        self._pool._enqueue(future)
        return future


@final
class AttemptsLaunch(Launch):
    """One task whose attempts are tasks of their own: in worker processes, or on threads."""

    def __init__(
        self,
        desk: Desk,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        place: _Place,
        timeout: float | None,
        bounded: bool,
    ) -> None:
        super().__init__(desk, pool, chosen, call, bounded=bounded)
        given = chosen.given
        self._call = call
        self._place = place
        self._name: str | None = given.get("name")
        self._timeout = timeout
        deadline: float | None = given.get("deadline")
        self._deadline = None if deadline is None else time.monotonic() + deadline
        self._retry: Retry | None = given.get("retry")
        # The attempts that have failed: not those that asked for another.
        self._failed = 0
        self._backing_off = False
        self._task: StandardFuture[Any] | None = None
        self._tried_at = 0.0
        _taskloom._set_canceller(self.future, self._cancel)
        around = _taskloom.current_token()
        if around is not None:
            around.on_cancel(self.future.cancel)

    def launch(self) -> None:
        """Has the first attempt made."""
        if isinstance(self._place, _Threads):
            # The attempts are the pool's tasks.
            self.desk.hand_over(self)
        if _taskloom._begin(self.future):
            self._try()
        else:
            self.pool._enqueue(self.future)

    def _try(self) -> None:
        self._backing_off = False
        if self.future.done():
            return
        limit, by_deadline = self._timeout, False
        if self._deadline is not None and self.desk.hard_deadlines:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._end(None, DeadlineMissed("the deadline passed before the task began"))
                return
            if limit is None or left < limit:
                limit, by_deadline = left, True
        self._tried_at = time.monotonic()
        function, args, kwargs = self._call
        try:
            task = self._place.submit(
                function,
                args,
                kwargs,
                timeout=limit,
                name=self._name,
                on_begin=self._begun,
            )
        except BaseException as error:
            self._end(None, error)
            return
        self._task = task
        task.add_done_callback(lambda task: self._done(task, by_deadline))

    def _begun(self) -> None:
        """The place has begun with an attempt."""
        self._tried_at = time.monotonic()
        self.pool._let_go(self.future)
        _taskloom._note_begin(self.future)

    def _note(self, status: str) -> None:
        """Tells a recording that is on."""
        recording = getattr(self.pool, "_recording", None)
        # A thread notes its tasks itself.
        if recording is not None and not isinstance(self._place, _Threads):
            function = self._call[0]
            name = self._name or getattr(function, "__qualname__", type(function).__name__)
            recording._saw_process(name, self._tried_at, time.monotonic(), status)

    def _done(self, task: StandardFuture[Any], by_deadline: bool) -> None:
        if task.cancelled():
            self._note("cancelled")
            _taskloom._settle(self.future, "cancelled", None)
            self._end_slot()
            return
        error = task.exception()
        self._note("done" if error is None else "failed")
        if error is None:
            self._end(task.result(), None)
            return
        if by_deadline and type(error) is TimeoutError:
            self._end(None, DeadlineMissed(f"deadline: {error}"))
            return
        asked = isinstance(error, RetryTask)
        self._failed += not asked
        left = None
        if self._deadline is not None and self.desk.hard_deadlines:
            left = self._deadline - time.monotonic()
        try:
            wait = next_attempt(self._retry, error, self._failed, left)
        except BaseException as problem:
            wait, error = None, problem
        if wait is not None and not asked:
            self._pass_on(error)
        if wait is None:
            self._end(None, error)
        elif wait > 0:
            self._backing_off = True
            _taskloom._call_later(wait, self._try)
        else:
            self._try()

    def _pass_on(self, error: BaseException) -> None:
        if isinstance(self._place, _Threads):
            self._place.last_error = error
        if self._retry is not None and self._retry.pass_error is not None:
            function, args, kwargs = self._call
            self._call = function, args, {**kwargs, self._retry.pass_error: error}

    def _end(self, value: object, error: BaseException | None) -> None:
        if error is None:
            _taskloom._settle(self.future, "done", value)
        else:
            _taskloom._settle(self.future, "failed", error)
        self._end_slot()

    def _end_slot(self) -> None:
        self.pool._enqueue(self.future)
        self.left()

    def _cancel(self) -> bool:
        task = self._task
        if task is None:
            return _taskloom._cancel_here(self.future)
        if not self._backing_off:
            return task.cancel()
        cancelled = _taskloom._settle(self.future, "cancelled", None)
        if cancelled:
            self._end_slot()
        return cancelled
