"""Submits that take more than a place in the queue: prerequisites, resources, worker processes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from taskloom import _taskloom
from taskloom._held import HoldingLaunch, Launch, UntilLeft
from taskloom._resolving import replaces_attempts
from taskloom._taskloom import Future, TaskOptions
from taskloom._typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from concurrent.futures import Future as StandardFuture
    from typing import Any

    from taskloom._resolving import Call
    from taskloom.places._coroutine import Turn
    from taskloom.places.process import ProcessPlace
    from taskloom.scheduling.admission import Admission
    from taskloom.scheduling.config import ExecutorConfig
    from taskloom.scheduling.resources import Resources
    from taskloom.scheduling.shutdown import Outside

__all__ = ["Desk"]


@final
class Desk:
    """What an executor has beside its pool for such submits, made on first use."""

    def __init__(
        self,
        max_workers: int,
        config: ExecutorConfig,
        processors: Callable[[], int],
        initialize: tuple[Callable[..., object] | None, tuple[Any, ...]] = (None, ()),
    ) -> None:
        self._timeout = config.default_timeout
        self.hard_deadlines = config.overdue == "skip"
        self._max_workers = max_workers
        self._amounts = config.resources
        self._memory_limit = config.memory_limit
        self._exit_timeout = config.exit_timeout
        self._native_threads = config.native_threads
        self._process_context = config.process_context
        self._initialize = initialize
        self._processors = processors
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
        with self._lock:
            held = sum(not launch.started for launch in self._launches)
            elsewhere = sum(launch.started and not launch.handed for launch in self._launches)
            accepted = self._accepted - self._handed_over
            elsewhere += self._coroutines
            return accepted, held, elsewhere, dict(self._ends)

    def waiting(self) -> list[tuple[StandardFuture[Any], list[Any], Resources | None]]:
        """The tasks that are held back, with the prerequisites that are not done, and needs."""
        with self._lock:
            launches = [launch for launch in self._launches if not launch.started]
            turns = list(self._turns)
        held = [(launch.future, launch.unfinished(), launch.needs) for launch in launches]
        return [*held, *((turn.future, [], turn.needs) for turn in turns)]

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
            return self._submit_to_loop(pool, chosen, call)
        if given.get("place") == "process" or replaces_attempts(given, self._timeout):
            from taskloom._attempts import AttemptsLaunch, Processes, Threads

            by_process = given.get("place") == "process"
            launch: Launch = AttemptsLaunch(
                self,
                pool,
                chosen,
                call,
                place=Processes(self.process_place()) if by_process else Threads(pool, chosen),
                timeout=given.get("timeout", self._timeout),
                bounded=bounded,
            )
        else:
            launch = Launch(self, pool, chosen, call, bounded=bounded)
        for prerequisite in given.get("after", ()):
            pool._comes_after(prerequisite)
        self._bring(launch, given.get("after", ()))
        return launch.future

    def submit_holding(self, pool: _taskloom.Pool, chosen: TaskOptions, call: Call) -> UntilLeft:
        """Brings a node on its way that has something for itself as long as it is in its call."""
        needs: Resources | None = chosen.given.get("resources")
        if needs is not None:
            self.admission.check(needs)
        launch = HoldingLaunch(self, pool, chosen, call)
        self._bring(launch, ())
        return launch.until_left

    def _bring(self, launch: Launch, prerequisites: tuple[StandardFuture[Any], ...]) -> None:
        with self._lock:
            # One for which there was no room is over, and counted by the pool.
            if not launch.future.done():
                self._launches.add(launch)
                self._accepted += 1
        launch.begin(prerequisites)

    def _submit_to_loop(self, pool: _taskloom.Pool, chosen: TaskOptions, call: Call) -> Future[Any]:
        pool._retain()
        try:
            with self._lock:
                self._accepted += 1
                self._coroutines += 1
            try:
                future = self.spawn(pool, chosen, call)
            except BaseException:
                with self._lock:
                    self._accepted -= 1
                    self._coroutines -= 1
                raise
            future.add_done_callback(self._spawned_over)
        finally:
            pool._release()
        return future

    def spawn(
        self,
        pool: _taskloom.Pool,
        chosen: TaskOptions,
        call: Call,
        *,
        named: Callable[..., Any] | None = None,
        of_run: bool = False,
    ) -> Future[Any]:
        """Runs a coroutine function, or what is placed on a loop; traces call it as `named`."""
        from taskloom.places._coroutine import spawn

        timeout = chosen.given.get("timeout", self._timeout)
        named = named or call[0]
        return spawn(pool, self, chosen, call, timeout=timeout, named=named, of_run=of_run)

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
                # Who ended it may be about to have it forgotten, and counts it no more.
                self._launches.discard(launch)

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

                processors = self._processors()
                count = min(self._max_workers, processors)
                share = max(1, processors // count)
                threads = self._native_threads
                initializer, initargs = self._initialize
                self._place = ProcessPlace(
                    count,
                    initializer=initializer,
                    initargs=initargs,
                    process_context=self._process_context,
                    exit_timeout=self._exit_timeout,
                    cpus=share,
                    native_threads=share if isinstance(threads, str) else threads,
                )
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
