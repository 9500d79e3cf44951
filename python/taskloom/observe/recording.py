"""Recordings of an executor: every task that ran while they were on, and what it waited for."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, final

from taskloom.errors import OptionError
from taskloom.observe.trace import Trace, TraceRecord, lane_of

if TYPE_CHECKING:
    from taskloom._taskloom import RunSpans
    from taskloom.observe.causality import Causality
    from taskloom.observe.timeline import Timeline

__all__ = ["Recording"]

#: How many runs of plans are kept, the last ones.
RUNS = 256


class Recorded(Protocol):
    """An executor, as a recording sees it."""

    _recording: Recording | None

    def _record(self, capacity: int) -> bool: ...
    def _recorded(self) -> tuple[list[Any], dict[int, str]]: ...
    def _stop_recording(self) -> None: ...


@final
class Recording:
    """Records an executor's tasks between `with` and its end; made by `Executor.tracing`.

    Each thread has room for `capacity` tasks; of more, the last ones are kept and the others
    counted as dropped. Runs of plans that begin meanwhile are part of it.

    >>> import taskloom
    >>> with taskloom.Executor(1) as executor, executor.tracing() as tracing:
    ...     executor.submit(pow, 2, 10).result()
    1024
    >>> [record.name for record in tracing.trace.records]
    ['pow']
    """

    def __init__(self, executor: Recorded, capacity: int) -> None:
        if capacity < 1:
            raise OptionError(f"capacity={capacity!r} must be at least 1 task of each thread")
        self._executor = executor
        self._capacity = capacity
        self._runs: deque[RunSpans] = deque(maxlen=RUNS)
        self._runs_seen = 0
        self._in_processes: deque[tuple[str, float, float, str]] = deque(maxlen=capacity)
        self._trace: Trace | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._trace = self._read()
        self._executor._recording = None
        self._executor._stop_recording()
        self._runs.clear()

    def _start(self) -> None:
        # Two events for each task that runs, and one or two where tasks are submitted.
        if not self._executor._record(4 * self._capacity):
            raise RuntimeError(
                "this executor is being recorded already, by tracing() or Executor(causality=...)"
            )
        self._executor._recording = self

    def _saw_run(self, run: Any) -> None:
        self._runs_seen += 1
        # Not the run itself, which holds its values.
        self._runs.append(run._spans())

    def _saw_process(self, name: str, start: float, end: float, status: str) -> None:
        self._in_processes.append((name, start, end, status))

    @property
    def trace(self) -> Trace:
        """What was recorded; so far, if it still goes on."""
        return self._read() if self._trace is None else self._trace

    def timeline(self) -> Timeline:
        """`trace.timeline()`."""
        return self.trace.timeline()

    def save(self, path: str | Path) -> None:
        """`trace.save(path)`."""
        self.trace.save(path)

    def causality(self) -> Causality:
        """Who submitted whom, who waited for whom, as a graph."""
        from taskloom.observe.causality import Causality

        return Causality(self.trace)

    def _repr_svg_(self) -> str:
        return self.timeline().svg()

    def _read(self) -> Trace:
        tracks, labels = self._executor._recorded()
        reader = _Reader(labels)
        lost = self._runs_seen - len(self._runs)
        for worker, dropped, seconds, kinds, data in tracks:
            lost += dropped
            reader.track(worker, seconds, kinds, data)
        reader.join()
        for spans in self._runs.copy():
            reader.run(spans)
        for facts in self._in_processes.copy():
            reader.process(*facts)
        return reader.trace(lost)


class _Task:
    """A task between its first event and its last; afterwards a record."""

    __slots__ = (
        "end",
        "lane",
        "name",
        "node",
        "parent",
        "ready",
        "sources",
        "start",
        "status",
        "worker",
    )

    def __init__(self, start: float) -> None:
        self.start = start
        self.end: float | None = None
        self.ready: float | None = None
        self.name = "?"
        self.status: Any = "running"
        self.worker: int | None = None
        self.lane = ""
        self.node: Any = None
        self.parent: _Task | None = None
        self.sources: list[_Task] = []


class _Submitted:
    """What is known of a task that was submitted and has not ended."""

    __slots__ = ("after", "parent", "ready", "task")

    def __init__(self, ready: float, parent: _Task | None) -> None:
        self.ready = ready
        self.parent = parent
        self.after: list[_Submitted | _Task] = []
        self.task: _Task | None = None


_ENDS = {"done": "done", "fail": "failed", "cancel": "cancelled", "suspend": "suspended"}


class _Reader:
    """Makes records of events.

    An event names a task by an address, which another task may have later. So the events of one
    address are taken in the order of their times: a submit belongs to the next end.
    """

    def __init__(self, labels: dict[int, str]) -> None:
        self._labels = labels
        self._tasks: list[_Task] = []
        # (time, order, kind, address, task): of an end its task, of others the task they are in.
        self._events: list[tuple[float, int, str, int, _Task | None]] = []

    def track(self, worker: int, seconds: list[float], kinds: list[str], data: list[int]) -> None:
        """The events of one thread."""
        label: str | None = None
        unnamed: list[_Task] = []
        stack: list[tuple[int, _Task]] = []
        add = self._events.append
        for time, kind, address in zip(seconds, kinds, data, strict=True):
            if kind == "label":
                label = self._labels.get(address, "?")
            elif kind == "again":
                if label is None:
                    for task in unnamed:
                        task.name = self._labels.get(address, "?")
                label = self._labels.get(address, "?")
            elif kind == "start":
                task = _Task(time)
                task.worker, task.lane = worker, lane_of(worker, "process")
                if label is None:
                    unnamed.append(task)
                else:
                    task.name = label
                self._tasks.append(task)
                stack.append((address, task))
            elif kind in _ENDS:
                if stack and stack[-1][0] == address:
                    _, task = stack.pop()
                    task.end, task.status = time, _ENDS[kind]
                    add((time, len(self._events), "end", address, task))
            else:
                around = stack[-1][1] if stack else None
                add((time, len(self._events), kind, address, around))
        for address, task in stack:
            add((float("inf"), len(self._events), "end", address, task))

    def join(self) -> None:
        """Puts together what different threads knew of a task."""
        submitted: dict[int, _Submitted] = {}
        ended: dict[int, _Task] = {}
        waiting: dict[int, list[_Task]] = {}
        last: _Submitted | None = None
        for time, _, kind, address, task in sorted(self._events):
            if kind == "submit":
                last = submitted[address] = _Submitted(time, task)
            elif kind == "ready":
                submitted.setdefault(address, _Submitted(time, task)).ready = time
            elif kind == "after" and last is not None:
                before = submitted.get(address) or ended.get(address)
                if before is not None:
                    last.after.append(before)
            elif kind == "wait" and task is not None:
                waiting.setdefault(address, []).append(task)
            elif kind == "end" and task is not None:
                entry = submitted.pop(address, None)
                if entry is not None:
                    entry.task = task
                    task.ready, task.parent = entry.ready, entry.parent
                    for before in entry.after:
                        source = before if isinstance(before, _Task) else before.task
                        if source is not None:
                            task.sources.append(source)
                for waiter in waiting.pop(address, ()):
                    waiter.sources.append(task)
                ended[address] = task

    def run(self, spans: RunSpans) -> None:
        """The nodes of one run."""
        places: dict[int, _Task] = {}
        for node, (start, end, worker, status), deferred in spans.entries():
            known = self._same(node.name, start) if deferred else None
            if known is not None:
                known.node = node
                places[node.index] = known
                continue
            task = places[node.index] = _Task(start)
            task.end, task.status, task.name, task.node = end, status, node.name, node
            task.worker, task.lane = worker, lane_of(worker, "process")
            self._tasks.append(task)
        for before, after, _ in spans.plan._edges:
            if before in places and after in places:
                places[after].sources.append(places[before])
        for task in places.values():
            if task.ready is not None:
                continue
            ends = [source.end for source in task.sources if source.end is not None]
            task.ready = max(ends, default=None)

    def _same(self, name: str, start: float) -> _Task | None:
        """The task as which a node was submitted, if a thread of the executor ran it."""
        near = (task for task in self._tasks if task.name == name and task.node is None)
        return min(near, key=lambda task: abs(task.start - start), default=None)

    def process(self, name: str, start: float, end: float, status: str) -> None:
        """A task that a process ran."""
        task = _Task(start)
        task.name, task.end, task.status, task.lane = name, end, status, "process"
        self._tasks.append(task)

    def trace(self, lost: int) -> Trace:
        """All of it."""
        tasks = sorted(self._tasks, key=lambda task: task.start)
        began = tasks[0].start if tasks else 0.0
        places = {id(task): place for place, task in enumerate(tasks)}
        records = (
            TraceRecord(
                task.name,
                task.status,
                task.start - began,
                None if task.end is None else task.end - began,
                None if task.ready is None else max(task.start - task.ready, 0.0),
                task.worker if task.worker is not None and task.worker >= 0 else None,
                task.lane,
                task.node,
                tuple(places[id(source)] for source in task.sources),
                None if task.parent is None else places[id(task.parent)],
            )
            for task in tasks
        )
        return Trace(records, began=began, dropped=lost)
