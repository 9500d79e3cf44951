"""Hands tasks to worker processes, and notices what becomes of both.

One thread waits for every process at once: for messages, for room to send, for deaths and for the
next timeout. A submitting thread takes a lock, and sends to an idle process by itself.

Who may touch what. `_lock` guards the queue, the idle list, the counts and flags, and the `task`,
`ready` and `killed` of each child; it is never held while a future is settled or a callback runs.
The selector and the life of a child (start, read, reap, close) are the manager's thread's alone. A
future's condition may be taken inside `_lock`, never the other way round.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from typing import Final

from taskloom.errors import BrokenExecutor, ProcessDied
from taskloom.places import failure, wire
from taskloom.places.child import Child, describe_exit
from taskloom.places.process_task import ProcessTask

_log = logging.getLogger("taskloom")
_STARTS_THAT_MAY_FAIL: Final = 3  # in a row, before the place counts as broken
_END_WITHIN: Final = 2.0  # seconds for idle processes to end when there is nothing more to do


class Manager:
    """The queue, the processes and the thread of one process place."""

    def __init__(
        self,
        max_workers: int,
        setup: Sequence[wire.Buffer],
        native_threads: int | None = None,
    ) -> None:
        self._max_workers = max_workers
        self._setup = setup
        self._native_threads = native_threads
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[ProcessTask] = deque()  # cancelled tasks stay until their turn
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._timed: set[Child] = set()  # those that run a task with a timeout
        self._half_sent: list[Child] = []  # the manager has to send the rest
        self._to_replace = 0
        self._failed_starts = 0
        self._closed = False
        self._broken: BaseException | None = None
        self._thread: threading.Thread | None = None

    # For any thread.

    def submit(self, task: ProcessTask) -> None:
        """Run a task as soon as there is a process for it."""
        child: Child | None = None
        handed: ProcessTask | None = None
        with self._lock:
            if self._broken is not None:
                raise BrokenExecutor(str(self._broken)) from self._broken
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._thread is None:
                self._start_thread()
            self._queue.append(task)
            if self._idle:
                child = self._idle.pop()
                handed = self._take_next(child)
            elif len(self._children) < self._max_workers:
                self._wake()
        if child is not None and handed is not None:
            self._hand_over(child, handed)

    def withdraw(self, task: ProcessTask) -> None:
        """Kill the process of a task that was cancelled, if it has one."""
        with self._lock:
            task.frame = ()
            child = task.child
            if child is not None:
                self._part(child)
                child.kill()

    def shutdown(self, *, cancel: bool = False, kill: bool = False) -> None:
        """Accept nothing more; end once what was accepted is done, cancelled or killed."""
        dropped: list[ProcessTask] = []
        with self._lock:
            self._closed = True
            if cancel or kill:
                dropped.extend(self._queue)
                self._queue.clear()
            if kill:
                dropped.extend(child.task for child in self._children if child.task is not None)
            if self._thread is not None:
                self._wake()
        for task in dropped:
            task.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end after a shutdown, in seconds; return whether it has come."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def running(self) -> list[tuple[str, int]]:
        """The names of the tasks that are running, with the ids of their processes."""
        with self._lock:
            return [(child.task.name, child.pid) for child in self._children if child.task]

    def pids(self) -> list[int]:
        """The ids of the processes that are ready for tasks or run one."""
        with self._lock:
            return sorted(child.pid for child in self._children if child.ready)

    def reset_after_fork(self) -> None:
        """In a forked child: start afresh; processes and tasks so far are the parent's."""
        tasks = [*self._queue, *(child.task for child in self._children if child.task)]
        children, thread = self._children, self._thread
        self._reset()
        for child in children:
            child.disown()
        if thread is not None:
            self._close_selector()
        for task in tasks:
            task.reset_after_fork()

    # Under the lock.

    def _start_thread(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._answer_bell)
        self._thread = threading.Thread(
            target=self._manage, name="taskloom-process-manager", daemon=True
        )
        Context().run(self._thread.start)  # it keeps nobody's context variables

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake anyway
            self._ringer.send(b"!")

    def _take_next(self, child: Child) -> ProcessTask | None:
        """Give a free child the next task of the queue, or note that it is idle."""
        if child.killed:
            return None
        while self._queue:
            task = self._queue.popleft()
            if task.begin():
                child.task, task.child = task, child
                if task.timeout is not None:
                    task.deadline = time.monotonic() + task.timeout
                    self._timed.add(child)
                return task
        self._idle.append(child)
        return None

    def _part(self, child: Child) -> ProcessTask | None:
        """Separate a child from its task."""
        task, child.task = child.task, None
        if task is not None:
            task.child = None
        self._timed.discard(child)
        return task

    # By whoever gave a task to a child.

    def _hand_over(self, child: Child, task: ProcessTask) -> None:
        frame, task.frame = task.frame, ()
        complete = child.send(frame)
        if complete and task.timeout is None:
            return
        with self._lock:
            if not complete:
                self._half_sent.append(child)
            if threading.current_thread() is not self._thread:
                self._wake()  # to send the rest, or to wait no longer than the timeout

    # The manager's thread.

    def _manage(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:
            self._break_down(error)
            raise
        finally:
            self._end_children()
            self._close_selector()

    def _step(self) -> bool:
        with self._lock:
            busy = any(child.task is not None for child in self._children)
            if self._closed and not self._queue and not busy:
                return False
            starting = sum(not child.ready for child in self._children)
            wanted = max(self._to_replace, len(self._queue)) - starting
            starts = max(0, min(wanted, self._max_workers - len(self._children)))
            self._to_replace = 0
            half_sent, self._half_sent = self._half_sent, []
            due = [child.task.deadline for child in self._timed if child.task]
        for _ in range(starts):
            self._start_child()
        for child in half_sent:
            if child in self._children:
                self._watch(child, selectors.EVENT_READ | selectors.EVENT_WRITE)
        deadline = min((moment for moment in due if moment is not None), default=None)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        for key, events in self._selector.select(timeout):
            key.data(events)
        self._time_out()
        return True

    def _answer_bell(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass

    def _start_child(self) -> None:
        try:
            child = Child(self._setup, self._native_threads)
        except OSError as error:
            if not self._children:
                self._break_down(error)
                return
            self._max_workers = len(self._children)
            _log.warning("going on with %d worker processes: %s", self._max_workers, error)
            return
        with self._lock:
            self._children.add(child)
        self._selector.register(
            child.connection, selectors.EVENT_READ, lambda events: self._attend(child, events)
        )
        if child.death is not None:
            self._selector.register(
                child.death, selectors.EVENT_READ, lambda _events: self._bury(child)
            )

    def _watch(self, child: Child, events: int) -> None:
        key = self._selector.get_key(child.connection)
        self._selector.modify(child.connection, events, key.data)

    def _attend(self, child: Child, events: int) -> None:
        if child not in self._children:
            return
        if events & selectors.EVENT_WRITE and child.send_more():
            self._watch(child, selectors.EVENT_READ)
        if events & selectors.EVENT_READ:
            try:
                self._read(child)
            except (EOFError, OSError):
                self._bury(child)

    def _read(self, child: Child) -> None:
        """Takes the message that is there, and what follows the progress of a task."""
        while (message := child.receive()) is not None:
            if message.kind != wire.PROGRESS:
                self._take_message(child, message)
                return
            with self._lock:
                task = child.task
            if task is not None and task.on_progress is not None:
                task.on_progress(*message.load())

    def _take_message(self, child: Child, message: wire.Message) -> None:
        if message.kind == wire.REFUSED:
            error = failure.unpack(message.load(), origin=f"process {child.pid}")
            error.add_note("raised by the initializer of the worker processes")
            self._break_down(error)
            return
        with self._lock:
            if message.kind == wire.HELLO:
                child.ready = True
                self._failed_starts = 0
            task = self._part(child)
            following = self._take_next(child)
        if following is not None:  # first, so that the process is busy while the value is loaded
            self._hand_over(child, following)
        if task is not None:
            _settle(task, message, child.pid)

    def _bury(self, child: Child) -> None:
        """Take leave of a child whose process or stream has ended, and of its task."""
        if child not in self._children:
            return
        with self._lock:
            was_killed, child.killed = child.killed, True
        if child.task is not None:  # it may have sent its value before it ended
            with contextlib.suppress(EOFError, OSError):
                self._read(child)
        self._selector.unregister(child.connection)
        if child.death is not None:
            self._selector.unregister(child.death)
        with self._lock:
            task = self._part(child)
            self._children.discard(child)
            if child in self._idle:
                self._idle.remove(child)
            if task is not None or was_killed:
                self._to_replace += 1
        exit_code = child.reap()
        child.close()
        if task is not None:
            how = f"process {child.pid} {describe_exit(exit_code)}"
            died = ProcessDied(f"{how} while it ran task {task.name!r}")
            died.task, died.pid, died.exit_code = task.name, child.pid, exit_code
            task.settle(None, died)
        elif not child.ready and not was_killed:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS_THAT_MAY_FAIL:
                self._break_down(
                    RuntimeError(
                        f"{self._failed_starts} worker processes in a row ended before they were "
                        f"ready; the last, process {child.pid}, {describe_exit(exit_code)}"
                    )
                )

    def _time_out(self) -> None:
        if not self._timed:
            return
        now = time.monotonic()
        late: list[tuple[ProcessTask, int]] = []
        with self._lock:
            for child in list(self._timed):
                task = child.task
                if task is not None and task.deadline is not None and task.deadline <= now:
                    self._part(child)
                    child.kill()
                    late.append((task, child.pid))
        for task, pid in late:
            what = f"task {task.name!r} ran longer than its timeout of {task.timeout} s"
            task.settle(None, TimeoutError(f"{what}; its process {pid} was killed"))

    def _break_down(self, error: BaseException) -> None:
        """Fail what is queued and accept nothing more; tasks that are running go on."""
        with self._lock:
            self._broken, self._closed = error, True
            tasks = list(self._queue)
            self._queue.clear()
        for task in tasks:
            broken = BrokenExecutor(f"task {task.name!r} cannot run: {error}")
            broken.__cause__ = error
            task.settle(None, broken)

    def _end_children(self) -> None:
        """Let idle processes end by themselves, together, and kill those that do not."""
        with self._lock:
            children, self._children = self._children, set()
            self._idle.clear()
        for child in children:
            child.hang_up()
        moment = time.monotonic() + _END_WITHIN
        for child in children:
            child.reap(max(0.0, moment - time.monotonic()))
            child.close()

    def _close_selector(self) -> None:
        self._selector.close()
        self._bell.close()
        self._ringer.close()


def _settle(task: ProcessTask, message: wire.Message, pid: int) -> None:
    try:
        outcome = message.load()
    except BaseException as error:
        error.add_note(f"the value of task {task.name!r} could not be loaded from process {pid}")
        task.settle(None, error)
        return
    if message.kind == wire.VALUE:
        task.settle(outcome)
    else:
        task.settle(None, failure.unpack(outcome, origin=f"process {pid}"))
