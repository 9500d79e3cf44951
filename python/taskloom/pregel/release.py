"""Early release: a node starts as soon as what it reads is settled, not when its superstep begins.

In a graph whose edges are all static, who runs in which superstep is known before anything has run.
Let the runs be numbered so: (superstep, node). A run needs nothing but the runs that trigger it and
the runs of earlier supersteps that may write what it reads. Once these are done, its input can be
computed: what they wrote, folded in the order of supersteps and names, and nothing that later
supersteps wrote, even if these have already run. So it may start, and sees what it would have seen.
In the end all writes are applied superstep by superstep. The result is that of supersteps; only
the time is not.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from taskloom.pregel.cells import LAST, REDUCE
from taskloom.pregel.channels.binop import unwrap_overwrite
from taskloom.pregel.constants import BRANCH_TO, END, START
from taskloom.pregel.errors import GraphRecursionError, InvalidUpdateError
from taskloom.pregel.missing import MISSING
from taskloom.pregel.tasks import Task

if TYPE_CHECKING:
    from taskloom.pregel.graph.state import StateGraph
    from taskloom.pregel.loop import Loop


class Planned:
    """One run of one node that the graph will make.

    Attributes:
        step: the superstep that it belongs to, from 1.
        name: the node.
        needs: the runs that must be done before it starts, by number.
        feeds: the runs that wait for it, by number.
    """

    __slots__ = ("feeds", "name", "needs", "step")

    def __init__(self, step: int, name: str) -> None:
        self.step = step
        self.name = name
        self.needs: set[int] = set()
        self.feeds: list[int] = []


class Schedule:
    """All runs of a static graph, in the order of supersteps and names.

    Args:
        builder: the graph.

    Raises:
        ValueError: who runs when depends on the state, or the graph never ends.
    """

    def __init__(self, builder: StateGraph) -> None:
        _refuse_dynamic(builder)
        _refuse_cycles(builder)
        self.writes = {name: writes_of(builder, name) for name in builder.nodes}
        self.planned: list[Planned] = []
        reads = {
            name: frozenset(builder.schemas[spec.input_schema])
            for name, spec in builder.nodes.items()
        }
        joined = {pair: set[str]() for pair in builder.waiting_edges}
        before = {START: -1}
        step = 1
        while True:
            sources: dict[str, list[str]] = {}
            for start, end in builder.edges:
                if start in before and end != END:
                    sources.setdefault(end, []).append(start)
            for (starts, end), seen in joined.items():
                seen.update(set(starts) & before.keys())
                if end != END and seen == set(starts):
                    sources.setdefault(end, []).extend(starts)
                    seen.clear()
            if not sources:
                break
            now: dict[str, int] = {}
            for name in sorted(sources):
                self._add(step, name, sources[name], reads[name])
                now[name] = len(self.planned) - 1
            before = now
            step += 1
        self.steps = step - 1

    def _add(self, step: int, name: str, sources: Sequence[str], reads: frozenset[str]) -> None:
        number = len(self.planned)
        run = Planned(step, name)
        for other, earlier in enumerate(self.planned):
            triggers = earlier.name in sources
            if earlier.step < step and (triggers or reads & self.writes[earlier.name]):
                run.needs.add(other)
                earlier.feeds.append(number)
        self.planned.append(run)


def writes_of(builder: StateGraph, name: str) -> frozenset[str]:
    """The cells that a node may write: as declared, as annotated, or all."""
    declared = builder.nodes[name].writes
    if declared is None:
        return frozenset(builder.channels)
    unknown = sorted(set(declared) - set(builder.channels))
    if unknown:
        raise ValueError(f"Node `{name}` declares writes to {unknown[0]!r}, which is no state key")
    return frozenset(declared)


def _refuse_cycles(builder: StateGraph) -> None:
    pairs = {*builder.edges, *((s, end) for starts, end in builder.waiting_edges for s in starts)}
    sorter = TopologicalSorter({end: {s for s, e in pairs if e == end} for _, end in pairs})
    try:
        sorter.prepare()
    except CycleError as error:
        around = " -> ".join(error.args[1])
        raise ValueError(f"early_release needs a graph without cycles, not {around}") from None


def _refuse_dynamic(builder: StateGraph) -> None:
    for name, branches in builder.branches.items():
        if branches:
            raise ValueError(
                f"early_release needs static edges: where {name!r} leads depends on the state"
            )
    if builder.managed:
        raise ValueError(f"early_release has no supersteps to count: {', '.join(builder.managed)}")
    for name, spec in builder.nodes.items():
        if spec.ends:
            raise ValueError(f"early_release needs static edges: {name!r} goes by commands")
        if spec.defer:
            raise ValueError(
                f"early_release cannot defer {name!r}: it runs when all others are done"
            )
        if spec.error_handler_node is not None:
            raise ValueError(f"early_release cannot handle errors of {name!r}: a handler may go on")


class Release:
    """One run of a schedule: which tasks may start, and what they are given."""

    def __init__(self, loop: Loop, schedule: Schedule) -> None:
        if schedule.steps > loop.limit:
            late = [run.name for run in schedule.planned if run.step == loop.limit + 1]
            raise GraphRecursionError(
                f"Recursion limit of {loop.limit} is less than the {schedule.steps} supersteps of "
                "the graph",
                step=loop.limit + 1,
                nodes=late,
            )
        self.loop = loop
        self.schedule = schedule
        self.waiting = [len(run.needs) for run in schedule.planned]
        self.written: list[list[tuple[str, Any]] | None] = [None] * len(schedule.planned)
        self.numbers: dict[int, int] = {}
        self.lock = threading.Lock()

    def first(self) -> list[Task]:
        """The tasks that need none."""
        return [self._task(n) for n, needs in enumerate(self.waiting) if not needs]

    def _task(self, number: int) -> Task:
        loop, run = self.loop, self.schedule.planned[number]
        node = loop.program.nodes[run.name]
        reads = node.reads
        state = self._state(number, (reads,) if isinstance(reads, str) else reads)
        value: Any = state.get(reads) if isinstance(reads, str) else state
        task = Task(loop, node, value if node.mapper is None else node.mapper(value))
        task.timeout = node.timeout
        with self.lock:
            self.numbers[id(task)] = number
        return task

    def _state(self, number: int, keys: Sequence[str]) -> dict[str, Any]:
        """The cells as the supersteps before leave them."""
        loop, planned = self.loop, self.schedule.planned
        state: dict[str, Any] = loop.cells.read(keys)
        kinds, operators = loop.program.kinds, loop.program.operators
        replaced: set[str] = set()
        step = 0
        for other in sorted(n for n in range(number) if planned[n].step < planned[number].step):
            if planned[other].step != step:
                step = planned[other].step
                replaced.clear()
            for key, value in self.written[other] or ():
                if key not in keys:
                    continue
                if kinds[key] == LAST:
                    state[key] = value
                elif kinds[key] == REDUCE:
                    new = unwrap_overwrite(value)
                    if new is not MISSING:
                        state[key] = new
                        replaced.add(key)
                    elif key not in replaced:
                        known = key in state
                        state[key] = operators[key](state[key], value) if known else value
        return state

    def follow(self, task: Task) -> list[Task]:
        """A task is done: the tasks that may start now.

        Raises:
            InvalidUpdateError: it wrote a cell that it may not, or decided where to go on.
        """
        number = self.numbers[id(task)]
        run = self.schedule.planned[number]
        allowed = self.schedule.writes[run.name]
        state: list[tuple[str, Any]] = []
        for key, value in task.writes:
            if key in allowed:
                state.append((key, value))
            elif key in self.loop.graph.builder_channels:
                raise InvalidUpdateError(
                    f"Node `{run.name}` wrote {key!r}, which it does not declare: "
                    f"add it to `writes` of add_node"
                )
        edges = {key for key, _ in task.node.static_edges}
        moved = [
            k for k, _ in task.writes if k.startswith((BRANCH_TO, "__pregel")) and k not in edges
        ]
        if moved:
            raise InvalidUpdateError(
                f"Node `{run.name}` decided where to go on, which early_release does not allow"
            )
        ready = []
        with self.lock:
            self.written[number] = state
            for waiting in run.feeds:
                self.waiting[waiting] -= 1
                if not self.waiting[waiting]:
                    ready.append(waiting)
        return [self._task(waiting) for waiting in ready]

    def apply(self) -> list[str]:
        """Apply all writes, superstep by superstep. Returns the cells that changed."""
        changed: dict[str, None] = {}
        planned, cells = self.schedule.planned, self.loop.cells
        tasks: dict[int, Task] = {}
        for task in self.loop.tasks:
            number = self.numbers.get(id(task))
            if number is not None:
                tasks[number] = task
        for step in range(1, self.schedule.steps + 1):
            group = []
            for number, run in enumerate(planned):
                if run.step == step and number in tasks:
                    tasks[number].writes = self.written[number] or []
                    group.append(tasks[number])
            changed.update(dict.fromkeys(cells.apply(group)))
        return list(changed)
