"""From a state graph's builder to nodes and cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, final

from taskloom.pregel.branch import Branch, BranchWriter
from taskloom.pregel.callee import answer_classes
from taskloom.pregel.channels import (
    BaseChannel,
    EphemeralValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
)
from taskloom.pregel.constants import BRANCH_TO, END, ROOT, START, TAG_HIDDEN
from taskloom.pregel.generic import ContextT, InputT, OutputT, StateT
from taskloom.pregel.node import PregelNode
from taskloom.pregel.pregel import Pregel
from taskloom.pregel.program import EdgeWrite, merge_state_writes
from taskloom.pregel.schema import mapper_for
from taskloom.pregel.write import Declared, StateWrite

if TYPE_CHECKING:
    from taskloom.pregel.graph.spec import Ends, StateNodeSpec
    from taskloom.pregel.graph.state import StateGraph


@final
class CompiledStateGraph(Pregel[StateT, ContextT, InputT, OutputT]):
    """What `StateGraph.compile` returns; its builder is `builder`.

    Example:
        >>> from taskloom.pregel import START, StateGraph
        >>> builder = StateGraph(dict)
        >>> _ = builder.add_node("work", lambda state: {"done": True}).add_edge(START, "work")
        >>> builder.compile().invoke({})
        {'done': True}
    """

    builder: StateGraph

    def migrate_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring a checkpoint of an older format up to date, in place."""
        from taskloom.pregel.graph.migrate import migrate

        super().migrate_checkpoint(checkpoint)
        if checkpoint["channel_versions"] and checkpoint.get("v", 1) < 3:
            migrate(checkpoint, set(self.nodes), list(self.builder.edges))


def kept_classes(builder: StateGraph) -> Iterator[Any]:
    """Classes that the program says it keeps: in its states, and as the form of answers."""
    yield from builder.schemas
    for spec in builder.nodes.values():
        yield from answer_classes(spec.runnable.source)
        inner = getattr(spec.runnable.subgraph, "builder", None)
        if inner is not None:
            yield from kept_classes(inner)


def _declared(ends: Ends) -> list[Declared]:
    labels = dict(ends) if isinstance(ends, dict) else dict.fromkeys(ends)
    return [(end if end == END else BRANCH_TO + end, label) for end, label in labels.items()]


class _Assembly:
    def __init__(self, builder: StateGraph) -> None:
        self.builder = builder
        self.mappers: dict[Any, Callable[[Any], Any] | None] = {}
        self.nodes: dict[str, PregelNode] = {}
        self.channels: dict[str, Any] = {
            **builder.channels,
            **builder.managed,
            START: EphemeralValue(builder.input_schema),
        }

    def keys_of(self, schema: Any) -> list[str]:
        return list(self.builder.schemas[schema])

    def mapper_of(self, schema: Any) -> Callable[[Any], Any] | None:
        if schema not in self.mappers:
            self.mappers[schema] = mapper_for(self.keys_of(schema), schema)
        return self.mappers[schema]

    def add_start(self) -> None:
        specs = self.builder.schemas[self.builder.input_schema]
        keys = [key for key, spec in specs.items() if isinstance(spec, BaseChannel)]
        self.nodes[START] = PregelNode(
            tags=[TAG_HIDDEN], triggers=[START], channels=START, writers=[StateWrite(keys)]
        )

    def add_node(self, name: str, spec: StateNodeSpec) -> None:
        keys = self.keys_of(spec.input_schema)
        single = keys == [ROOT]
        trigger = BRANCH_TO + name
        self.channels[trigger] = (
            LastValueAfterFinish(Any, trigger) if spec.defer else EphemeralValue(Any, guard=False)
        )
        self.nodes[name] = PregelNode(
            triggers=[trigger],
            channels=ROOT if single else keys,
            mapper=self.mapper_of(spec.input_schema),
            writers=[StateWrite([*self.builder.channels], _declared(spec.ends))],
            metadata=spec.metadata,
            retry_policy=spec.retry_policy,
            cache_policy=spec.cache_policy,
            is_error_handler=spec.is_error_handler,
            error_handler_node=spec.error_handler_node,
            bound=spec.runnable,
            timeout=spec.timeout,
            options=spec.options,
        )

    def add_edge(self, start: str, end: str) -> None:
        if end != END:
            self.nodes[start].writers.append(EdgeWrite(BRANCH_TO + end, None))

    def add_join(self, starts: Sequence[str], end: str) -> None:
        if end == END:
            return
        name = f"join:{'+'.join(starts)}:{end}"
        deferred = self.builder.nodes[end].defer
        barrier = NamedBarrierValueAfterFinish if deferred else NamedBarrierValue
        self.channels[name] = barrier(str, set(starts))
        self.nodes[end].triggers.append(name)
        for start in starts:
            self.nodes[start].writers.append(EdgeWrite(name, start))

    def add_branch(self, start: str, branch: Branch) -> None:
        builder = self.builder
        schema = branch.input_schema
        if schema is None:
            node = builder.nodes.get(start)
            schema = builder.state_schema if node is None else node.input_schema
        keys = [key for key in self.keys_of(schema) if key not in builder.managed]
        select: str | list[str] = ROOT if keys == [ROOT] else keys
        managed = [key for key in self.keys_of(schema) if key in builder.managed]
        writer = BranchWriter(branch, select, self.mapper_of(schema), managed)
        self.nodes[start].writers.append(writer)


def assemble(builder: StateGraph, **options: Any) -> CompiledStateGraph:
    """Compile a builder."""
    made = _Assembly(builder)
    made.add_start()
    for name, spec in builder.nodes.items():
        made.add_node(name, spec)
    for start, end in builder.edges:
        made.add_edge(start, end)
    for starts, end in builder.waiting_edges:
        made.add_join(starts, end)
    for start, branches in builder.branches.items():
        for branch in branches.values():
            made.add_branch(start, branch)
    for node in made.nodes.values():
        node.writers = merge_state_writes(node.writers)
    outputs = [
        key
        for key, spec in builder.schemas[builder.output_schema].items()
        if isinstance(spec, BaseChannel)
    ]
    shown = list(builder.channels)
    graph = CompiledStateGraph(
        nodes=made.nodes,
        channels=made.channels,
        input_channels=START,
        stream_mode="updates",
        output_channels=ROOT if outputs == [ROOT] else outputs,
        stream_channels=ROOT if shown == [ROOT] else shown,
        context_schema=builder.context_schema,
        **options,
    )
    graph.builder = builder
    graph.builder_channels = frozenset(builder.channels)
    graph.output_mapper = mapper_for(outputs, builder.output_schema)
    graph.state_mapper = mapper_for(shown, builder.state_schema)
    return graph
