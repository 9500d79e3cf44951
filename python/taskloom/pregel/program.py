"""A graph compiled to flat tables: what triggers what, who reads and writes what, how.

Made once per graph; the loop only looks things up in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from taskloom._taskloom import _PlainNode
from taskloom.pregel.cells import GUARDED_SIGNAL, LAST, OBJECT, REDUCE, SENDS, SIGNAL
from taskloom.pregel.channels import (
    AnyValue,
    BaseChannel,
    BinaryOperatorAggregate,
    DeltaChannel,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    Topic,
    UntrackedValue,
)
from taskloom.pregel.constants import BRANCH_TO, PULL, START, TAG_HIDDEN, TASKS
from taskloom.pregel.execute import attempt, finish_attempt
from taskloom.pregel.ids import path_text
from taskloom.pregel.managed import ManagedValue
from taskloom.pregel.missing import MISSING
from taskloom.pregel.place import placed
from taskloom.pregel.write import StateWrite

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.node import PregelNode
    from taskloom.pregel.tasks import Task

Spec = BaseChannel[Any, Any, Any]

_CONTROL = (BRANCH_TO, "join:", START, TASKS)

_REMEMBERED = 256  # sets of changed cells

# The library's cells that ignore an update without writes.
_STEADY = (
    LastValue,
    BinaryOperatorAggregate,
    DeltaChannel,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    UntrackedValue,
)


def _kind(spec: Spec) -> int:
    cls = type(spec)
    if cls is LastValue:
        return LAST
    if cls is BinaryOperatorAggregate:
        return REDUCE
    if isinstance(spec, EphemeralValue) and cls is EphemeralValue:
        return GUARDED_SIGNAL if spec.guard else SIGNAL
    return OBJECT


def _overrides(spec: Spec, method: str) -> bool:
    return getattr(type(spec), method) is not getattr(BaseChannel, method)


def _is_volatile(spec: Spec) -> bool:
    if isinstance(spec, Topic) and type(spec) is Topic:
        return not spec.accumulate
    return type(spec) is AnyValue or type(spec) not in _STEADY


class CompiledNode:
    """One node of a program: everything the loop needs to run it."""

    __slots__ = (
        "afunc",
        "attempt",
        "callee",
        "emit",
        "error_handler",
        "func",
        "hidden",
        "id_text",
        "injected",
        "input_key",
        "is_async",
        "is_error_handler",
        "mapper",
        "metadata",
        "name",
        "node",
        "path_text",
        "plain",
        "plain_node",
        "priority",
        "reads",
        "reads_all",
        "reads_only_all",
        "retry",
        "subgraphs",
        "tags",
        "timeout",
        "triggers",
        "writers",
    )

    def __init__(self, name: str, node: PregelNode, program: Program) -> None:
        callee = node.bound
        self.name = name
        self.node = node
        self.callee = callee
        self.func = callee.func if callee is not None else None
        self.priority = int(node.options.get("priority", 0))
        if self.func is not None and node.options:
            self.func = placed(self.func, node.options, program.executor)
        self.afunc = callee.afunc if callee is not None else None
        self.injected = callee.injected if callee is not None else ()
        self.triggers = tuple(sorted(node.triggers))
        self.path_text = path_text((PULL, name))
        self.id_text = "".join((PULL, *self.triggers))
        self.reads = node.channels if isinstance(node.channels, str) else tuple(node.channels)
        self.reads_all = not isinstance(self.reads, str) and program.reads_all(self.reads)
        self.mapper = node.mapper
        self.reads_only_all = self.reads_all and node.mapper is None
        self.writers = tuple(node.writers)
        self.retry = node.retry_policy
        self.timeout = node.timeout
        self.tags = node.tags
        self.metadata = node.metadata
        self.hidden = TAG_HIDDEN in node.tags
        self.subgraphs = node.subgraphs
        self.is_error_handler = node.is_error_handler
        self.error_handler = node.error_handler_node
        self.is_async = self.afunc is not None
        # May run by `func` and `emit` alone.
        self.plain = not self.injected and not (callee is not None and callee.func is None)
        self.emit: Callable[[Task, Any], None] = self._emitter(self.writers)
        self.plain_node = self._plain_node()
        native = self.plain_node
        self.attempt: Callable[[Task], Any] = attempt if native is None else native.attempt

    def _plain_node(self) -> _PlainNode | None:
        """The node as the engine runs it, if it does no more than to update the state."""
        first = self.writers[0] if self.writers else None
        if not self.plain or type(first) is not StateWrite or first.root:
            return None
        rest = self.writers[1:]
        then = self._emitter(rest) if rest else None
        return _PlainNode(self.func, first.keys, first.edges, then, finish_attempt)

    @staticmethod
    def _emitter(writers: Sequence[Any]) -> Callable[[Task, Any], None]:
        if len(writers) == 1:
            return writers[0].write  # type: ignore[no-any-return]

        def emit(task: Task, value: Any) -> None:
            for writer in writers:
                writer.write(task, value)

        return emit

    @property
    def static_edges(self) -> list[tuple[str, Any]]:
        """What the node writes whatever it returns."""
        edges: list[tuple[str, Any]] = []
        for writer in self.writers:
            if isinstance(writer, StateWrite):
                edges += writer.edges
            elif isinstance(writer, EdgeWrite):
                edges.append((writer.cell, writer.value))
        return edges

    async def aemit(self, task: Task, value: Any) -> None:
        """As `emit`, for writers that may be async."""
        for writer in self.writers:
            awrite = getattr(writer, "awrite", None)
            if awrite is None:
                writer.write(task, value)
            else:
                await awrite(task, value)

    @property
    def awaits_writers(self) -> bool:
        """Whether a writer is async."""
        return any(
            getattr(getattr(w, "branch", None), "callee", None) is not None
            and w.branch.callee.afunc is not None
            for w in self.writers
        )

    def input(self, loop: Loop) -> Any:
        """What the node is given, or MISSING if the cell it takes is empty."""
        cells, reads = loop.cells, self.reads
        if self.reads_all:
            value: Any = cells.values.copy()
        elif isinstance(reads, str):
            value = cells.get(reads)
            if value is MISSING:
                return MISSING
        else:
            value = cells.read(reads)
            managed = loop.program.managed
            if managed:
                for key in reads:
                    if key in managed:
                        value[key] = managed[key].get(loop)
        return value if self.mapper is None else self.mapper(value)


class Program:
    """The tables of a graph.

    Attributes:
        specs: the cells, empty, by name.
        managed: the managed values, by name.
        kinds: how each cell is kept (see `cells`).
        nodes: the compiled nodes, by name.
        subscribers: for each cell that triggers nodes, these nodes.
        triggers: the cells that trigger nodes.
        reduced: the reduced cells; `bare` are those of them without a first value.
        objects: the cells that are kept as objects.
        operators: the reducers, by cell.
        volatile: the object cells that change in a superstep without a write to them.
        consuming: the cells that change when a node that they trigger has run.
        finishing: the cells that change when the run is about to end.
        known_due: the nodes that are due after sets of cells have changed, see `due_after`.
        untracked: the cells that are never stored.
        batch_reduced: the cells that LangGraph stores as writes to be replayed.
        executor: where nodes with a place or resources run.
    """

    def __init__(
        self,
        nodes: Mapping[str, PregelNode],
        channels: Mapping[str, Any],
        executor: Callable[[], Executor],
    ) -> None:
        self.executor = executor
        self.has_priorities = any(node.options.get("priority") for node in nodes.values())
        self.specs: dict[str, Spec] = {}
        self.managed: dict[str, type[ManagedValue[Any]]] = {}
        for key, spec in channels.items():
            if isinstance(spec, BaseChannel):
                self.specs[key] = spec
                if not spec.key:
                    spec.key = key
            else:
                self.managed[key] = spec
        self.kinds = {key: _kind(spec) for key, spec in self.specs.items()}
        self.kinds[TASKS] = SENDS
        self.plain_keys = frozenset(key for key, kind in self.kinds.items() if kind <= REDUCE)
        # Whatever a state or an output can be read from is plain: only triggers are not.
        self.only_plain = not self.managed and all(
            kind <= REDUCE or key.startswith(_CONTROL) for key, kind in self.kinds.items()
        )
        self.operators: dict[str, Callable[[Any, Any], Any]] = {}
        self.reduced: list[tuple[str, BinaryOperatorAggregate[Any]]] = []
        for key, spec in self.specs.items():
            if isinstance(spec, BinaryOperatorAggregate) and self.kinds[key] == REDUCE:
                self.operators[key] = spec.operator
                self.reduced.append((key, spec))
        self.bare = [key for key, spec in self.reduced if spec.initial() is MISSING]
        self.objects = [(k, s) for k, s in self.specs.items() if self.kinds[k] == OBJECT]
        self.volatile = [key for key, spec in self.objects if _is_volatile(spec)]
        self.consuming = frozenset(k for k, s in self.objects if _overrides(s, "consume"))
        self.finishing = [key for key, spec in self.objects if _overrides(spec, "finish")]
        self.untracked = frozenset(k for k, s in self.objects if isinstance(s, UntrackedValue))
        self.batch_reduced = [k for k, s in self.objects if isinstance(s, DeltaChannel)]
        self.nodes = {name: CompiledNode(name, node, self) for name, node in nodes.items()}
        self.caching = next((name for name, node in nodes.items() if node.cache_policy), None)
        self.has_timeouts = any(node.timeout is not None for node in nodes.values())
        subscribers: dict[str, list[CompiledNode]] = {}
        for compiled in self.nodes.values():
            for trigger in compiled.triggers:
                subscribers.setdefault(trigger, []).append(compiled)
        self.subscribers = {key: tuple(found) for key, found in subscribers.items()}
        self.triggers = frozenset(subscribers)
        self.known_due: dict[tuple[str, ...], tuple[CompiledNode, ...]] = {}

    def due_after(self, updated: tuple[str, ...]) -> tuple[CompiledNode, ...]:
        """The nodes that a superstep makes due which changed these cells, by name.

        A loop goes through few such sets, again and again.
        """
        found = self.known_due.get(updated)
        if found is None:
            due = {node for key in updated for node in self.subscribers.get(key, ())}
            found = tuple(sorted(due, key=lambda node: node.name))
            if len(self.known_due) < _REMEMBERED:
                self.known_due[updated] = found
        return found

    def reads_all(self, keys: Sequence[str]) -> bool:
        """Whether `keys` are exactly the plain cells, so that their values are one dict copy."""
        return frozenset(keys) == self.plain_keys

    def all_plain(self, keys: Sequence[str]) -> bool:
        """Whether all of `keys` are plain or reduced cells."""
        if self.only_plain:
            return True
        return self.plain_keys.issuperset(keys)


def merge_state_writes(writers: Sequence[Any]) -> list[Any]:
    """Fold the static edges that follow a state write into it."""
    merged: list[Any] = []
    for writer in writers:
        last = merged[-1] if merged else None
        if isinstance(writer, EdgeWrite) and isinstance(last, StateWrite):
            last.edges = (*last.edges, (writer.cell, writer.value))
        else:
            merged.append(writer)
    return merged


class EdgeWrite:
    """Always writes one value to one cell: a static edge."""

    __slots__ = ("cell", "value")

    def __init__(self, cell: str, value: Any) -> None:
        self.cell = cell
        self.value = value

    def write(self, task: Task, value: Any) -> None:
        """Append the write."""
        task.writes.append((self.cell, self.value))

    def declared(self) -> list[tuple[str, str | None]]:
        """The cell, for drawing."""
        return [(self.cell, None)]
