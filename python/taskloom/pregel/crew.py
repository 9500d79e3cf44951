"""The tasks of one superstep, side by side: the calling thread and helpers from an executor.

The calling thread takes tasks from one end and runs them; one helper is asked for, and each helper
that finds more to do asks for the next before it begins. So tasks that are over in microseconds
are done by the caller before a second thread has woken up, and tasks that wait get as many
threads as there are tasks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _run_plain
from taskloom.pregel.context import LANE, Lane
from taskloom.pregel.errors import GraphBubbleUp, GraphInterrupt, is_invalid_resume
from taskloom.pregel.execute import run_task

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.tasks import Task


class Crew:
    """Runs the tasks of one superstep.

    Args:
        loop: the run.
        tasks: what to run.
        context: the run's context; helpers use copies.
        lane: the calling thread's place in the run.
        submit: starts a helper.
        limit: how many tasks may run at a time, or None.
        live: leave all tasks to helpers, so that the caller can pass on what they emit.
        timeout: seconds for all tasks together, or None.
    """

    def __init__(
        self,
        loop: Loop,
        tasks: Sequence[Task],
        context: Context,
        lane: Lane,
        *,
        submit: Callable[[Callable[[], None]], Any],
        limit: int | None,
        live: bool,
        timeout: float | None,
    ) -> None:
        self.loop = loop
        self.context = context
        self.lane = lane
        self.submit = submit
        self.live = live or timeout is not None
        self.bare = loop.bare_step
        self.timeout = timeout
        if loop.program.has_priorities:
            tasks = sorted(tasks, key=lambda task: -task.node.priority)
        self.todo = deque(tasks)
        self.left = len(self.todo)
        self.unbounded = limit is None
        self.limit = len(self.todo) if limit is None else limit
        self.helpers = 0
        self.lock = threading.Lock()
        self.news: SimpleQueue[None] = SimpleQueue()
        self.failure: BaseException | None = None
        self.interrupts: list[GraphInterrupt] = []

    def run(self) -> Iterator[None]:
        """Run all tasks; yields whenever there may be something to pass on.

        Raises:
            BaseException: what the first task raised that failed.
            GraphInterrupt: none failed, but some asked for input.
            TimeoutError: the time was up.
        """
        stream = self.loop.stream
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        if self.live:
            if stream is not None:
                stream.notify = self._tell
            try:
                self._ask_for_help(self.limit)
                while self.left:
                    self._wait(deadline)
                    yield
            finally:
                if stream is not None:
                    stream.notify = None
        else:
            if self.left > 1 and self.limit > 1:
                self._ask_for_help(self.limit - 1)
            while self.todo:
                self._run_next()
                if stream is not None:
                    yield
            while self.left:
                self._wait(None)
                if stream is not None:
                    yield
                while self.todo:  # error handlers
                    self._run_next()
        if self.failure is not None:
            raise self.failure
        if self.interrupts:
            raise GraphInterrupt(tuple(i for exc in self.interrupts for i in _asked(exc)))

    def _run_next(self) -> None:
        """Run the task at the front, if there is one; and those behind it, if nobody watches."""
        error: BaseException | None = None
        if self.bare:
            ran, task, error = self.context.run(_run_plain, self.todo, self.lane)
            with self.lock:
                self.left -= ran
        else:
            try:
                task = self.todo.popleft()
            except IndexError:
                return
        if task is not None:
            self._run(task, self.context, self.lane, error)

    def _wait(self, deadline: float | None) -> None:
        try:
            self.news.get(
                timeout=None if deadline is None else max(0.0, deadline - time.monotonic())
            )
        except Empty:
            with self.lock:
                self.left -= len(self.todo)
                self.todo.clear()
            raise TimeoutError("Timed out") from None

    def _tell(self) -> None:
        self.news.put(None)

    def _ask_for_help(self, limit: int) -> None:
        with self.lock:
            if self.helpers >= limit or not self.todo:
                return
            self.helpers += 1
        try:
            self.submit(self._help)
        except RuntimeError:  # the executor takes no more: the calling thread does it all
            with self.lock:
                self.helpers -= 1
            if self.live:
                self._help_here()

    def _add(self, tasks: Sequence[Task]) -> None:
        with self.lock:
            self.left += len(tasks)
            self.todo.extend(tasks)
            self.limit = max(self.limit, self.left) if self.unbounded else self.limit
        if len(tasks) > 1 or self.live:
            self._ask_for_help(self.limit if self.live else self.limit - 1)

    def _help_here(self) -> None:
        with self.lock:
            self.helpers += 1
        self._help()

    def _help(self) -> None:
        try:
            while True:
                try:
                    task = self.todo.popleft()
                except IndexError:
                    return
                if self.todo:
                    self._ask_for_help(self.limit if self.live else self.limit - 1)
                context = self.context.copy()
                lane = Lane()
                context.run(LANE.set, lane)
                self._run(task, context, lane)
        finally:
            with self.lock:
                self.helpers -= 1

    def _run(
        self, task: Task, context: Context, lane: Lane, failed: BaseException | None = None
    ) -> None:
        lane.task = task
        error: BaseException | None = None
        try:
            run_task(task, context, failed)
        except BaseException as exc:
            error = exc
        try:
            self.loop.commit(task, error)
            handler = None if error is None else self.loop.handler_for(task, error)
            if error is None and self.loop.release is not None:
                self._add(self.loop.follow(task))
        except BaseException as exc:
            error, handler = exc, None
        if error is None:
            with self.lock:
                self.left -= 1
            if lane is not self.lane:
                self.news.put(None)
            return
        with self.lock:
            self.left -= 1
            if handler is not None:
                self.left += 1
                self.todo.append(handler)
            elif isinstance(error, GraphInterrupt):
                self.interrupts.append(error)
            else:
                if self.failure is None or isinstance(self.failure, GraphBubbleUp):
                    self.failure = error
                if not (isinstance(error, GraphBubbleUp) or is_invalid_resume(error)):
                    self.left -= len(self.todo)
                    self.todo.clear()
        if handler is not None and self.live:
            self._ask_for_help(self.limit)
        self.news.put(None)


def _asked(error: GraphInterrupt) -> Sequence[Any]:
    return error.args[0] if error.args else ()
