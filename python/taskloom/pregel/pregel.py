"""Compiled graphs: run, streamed, looked into and changed."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Self

from taskloom.pregel.cached import namespace_of
from taskloom.pregel.channels import AnyValue, BaseChannel, EphemeralValue, Topic, UntrackedValue
from taskloom.pregel.config import merge_configs
from taskloom.pregel.constants import (
    DEFAULT_RECURSION_LIMIT,
    TASKS,
)
from taskloom.pregel.executors import submit
from taskloom.pregel.generic import ContextT, InputT, OfGraph, OutputT, StateT
from taskloom.pregel.node import NodeBuilder as NodeBuilder
from taskloom.pregel.node import PregelNode as PregelNode
from taskloom.pregel.node import as_policies
from taskloom.pregel.policy import CachePolicy, RetryPolicy
from taskloom.pregel.program import Program
from taskloom.pregel.runnable import Runnables
from taskloom.pregel.types import (
    All,
    Checkpointer,
    RunnableConfig,
    StreamMode,
    ensure_valid_checkpointer,
)
from taskloom.pregel.validate import validate_graph

logger = logging.getLogger("taskloom.pregel")


class Pregel(Runnables, OfGraph[StateT, ContextT, InputT, OutputT]):
    """A graph of nodes that subscribe to cells and write cells, run in supersteps.

    Usually made by `StateGraph.compile` or `entrypoint`.

    Args:
        nodes: the nodes, by name.
        channels: the cells, by name.
        input_channels: the cell, or cells, that take the input.
        output_channels: the cell, or cells, that make the output.
        stream_channels: the cells that streams and snapshots show; all by default.
        stream_mode: what `stream` shows unless asked otherwise.
        stream_eager: show what a task emits while others run.
        interrupt_before_nodes: stop before these nodes, or "*" for all.
        interrupt_after_nodes: stop after these nodes, or "*" for all.
        step_timeout: seconds that a superstep may take.
        checkpointer: where the state is stored; True for a subgraph that keeps its own.
        store: handed to nodes that ask for it.
        cache: for nodes with a cache policy.
        retry_policy: for nodes without one.
        cache_policy: for nodes without one.
        context_schema: the type of the `context` that a run is given.
        config: merged into every run's config.
        executor: runs nodes side by side; taskloom's default executor by default.
        name: shown when the graph is a node of another.
        debug: print what happens.

    Raises:
        ValueError: names do not fit together.
        TypeError: the checkpointer cannot be one.

    Example:
        >>> from taskloom.pregel import NodeBuilder, Pregel
        >>> from taskloom.pregel.channels import EphemeralValue, LastValue
        >>> double = NodeBuilder().subscribe_only("a").do(lambda a: a * 2).write_to("b")
        >>> graph = Pregel(
        ...     nodes={"double": double},
        ...     channels={"a": EphemeralValue(int), "b": LastValue(int)},
        ...     input_channels="a",
        ...     output_channels="b",
        ... )
        >>> graph.invoke(21)
        42
    """

    def __init__(
        self,
        *,
        nodes: Mapping[str, PregelNode | NodeBuilder],
        channels: Mapping[str, Any] | None,
        input_channels: str | Sequence[str],
        output_channels: str | Sequence[str],
        stream_channels: str | Sequence[str] | None = None,
        stream_mode: StreamMode = "values",
        stream_eager: bool = False,
        interrupt_before_nodes: All | Sequence[str] = (),
        interrupt_after_nodes: All | Sequence[str] = (),
        step_timeout: float | None = None,
        checkpointer: Checkpointer = None,
        store: Any = None,
        cache: Any = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] = (),
        cache_policy: CachePolicy[Any] | None = None,
        context_schema: type | None = None,
        config: RunnableConfig | None = None,
        executor: Executor | None = None,
        name: str = "LangGraph",
        debug: bool = False,
        auto_validate: bool = True,
    ) -> None:
        self.nodes: dict[str, PregelNode] = {
            key: node.build() if isinstance(node, NodeBuilder) else node
            for key, node in nodes.items()
        }
        self.channels: dict[str, Any] = dict(channels or {})
        if TASKS in self.channels and not isinstance(self.channels[TASKS], Topic):
            raise ValueError(f"Channel '{TASKS}' is reserved and cannot be used in the graph.")
        self.channels.setdefault(TASKS, Topic(Any))
        self.input_channels = input_channels
        self.output_channels = output_channels
        self.stream_channels = stream_channels
        self.stream_mode: StreamMode = stream_mode
        self.stream_eager = stream_eager
        self.interrupt_before_nodes = interrupt_before_nodes
        self.interrupt_after_nodes = interrupt_after_nodes
        self.step_timeout = step_timeout
        self.checkpointer = ensure_valid_checkpointer(checkpointer)
        self.store = store
        self.cache = cache
        self.retry_policy = as_policies(retry_policy)
        self.cache_policy = cache_policy
        self.context_schema = context_schema
        self.config = config
        self.executor = executor
        self.name = name
        self.debug = debug
        self.schedule: Any = None
        self.builder_channels: frozenset[str] = frozenset()
        self.default_recursion_limit = DEFAULT_RECURSION_LIMIT
        self.output_mapper: Callable[[Any], Any] | None = None
        self.state_mapper: Callable[[Any], Any] | None = None
        if auto_validate:
            self.validate()

    def validate(self) -> Self:
        """Check the graph and compile it to tables.

        Raises:
            ValueError: names do not fit together.
        """
        validate_graph(
            self.nodes,
            self.channels,
            input_channels=self.input_channels,
            output_channels=self.output_channels,
            stream_channels=self.stream_channels,
            interrupts=(self.interrupt_before_nodes, self.interrupt_after_nodes),
        )
        cells = {key: spec for key, spec in self.channels.items() if key != TASKS}
        self.program = Program(self.nodes, cells, lambda: self.node_executor)
        self.stream_keys: str | Sequence[str] = self.stream_channels or [
            key for key, spec in self.channels.items() if isinstance(spec, BaseChannel)
        ]
        outputs = self.output_channels
        shown = [outputs] if isinstance(outputs, str) else outputs
        fleeting = (EphemeralValue, AnyValue, UntrackedValue, Topic)
        self.eager_output = any(isinstance(self.channels[key], fleeting) for key in shown)
        return self

    def copy(self, update: Mapping[str, Any] | None = None) -> Self:
        """A graph like this one with some attributes changed."""
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        twin.__dict__.update(update or {})
        return twin

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """A graph like this one whose runs have `config` merged into theirs.

        Raises:
            ValueError: a key is unknown.
        """
        return self.copy({"config": merge_configs(self.config, config, kwargs)})

    def get_name(self) -> str:
        """The graph's name."""
        return self.name

    # What the loop asks for

    def submit_background(self, call: Callable[[], Any]) -> Any:
        """Run `call` on the graph's executor."""
        return submit(self.executor, call)

    @property
    def node_executor(self) -> Executor:
        """The executor that runs sync nodes of async runs."""
        from taskloom.pregel.executors import default_executor

        return self.executor or default_executor()

    def warn_unknown_send(self, packet: Any) -> None:
        """Say that a send was ignored, since there is no such node."""
        logger.warning("Ignoring unknown node in pending sends: %r", packet)

    # The cache

    def clear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Forget the cached results of `nodes`, or of all.

        Raises:
            ValueError: the graph has no cache.
        """
        if self.cache is None:
            raise ValueError("No cache is set for this graph. Cannot clear cache.")
        self.cache.clear([namespace_of(self, n) for n in nodes or self.nodes if n in self.nodes])

    async def aclear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """As `clear_cache`."""
        if self.cache is None:
            raise ValueError("No cache is set for this graph. Cannot clear cache.")
        names = [n for n in nodes or self.nodes if n in self.nodes]
        await self.cache.aclear([namespace_of(self, name) for name in names])
