"""What a graph with a checkpointer can be asked: its state, its history, and to change it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.pregel.constants import NS_SEP, TASKS
from taskloom.pregel.drive_async import aanswer
from taskloom.pregel.drive_sync import answer
from taskloom.pregel.snapshot import history, saver_of, state
from taskloom.pregel.types import RunnableConfig, StateSnapshot, StateUpdate
from taskloom.pregel.update import bulk_update

if TYPE_CHECKING:
    from taskloom.pregel.draw import Drawing
    from taskloom.pregel.node import PregelNode
    from taskloom.pregel.pregel import Pregel


class Stateful:
    """The part of `Pregel` that needs no run."""

    is_state_graph = True
    nodes: dict[str, PregelNode]
    config: RunnableConfig | None

    @property
    def _graph(self) -> Pregel:
        return self  # type: ignore[return-value]

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """The state of a thread.

        Args:
            config: names the thread, and a checkpoint if not the latest.
            subgraphs: show the states of subgraphs in the tasks that run them.

        Raises:
            ValueError: there is no checkpointer.
        """
        return answer(saver_of(self._graph, config), state(self._graph, config, subgraphs))

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """As `get_state`."""
        steps = state(self._graph, config, subgraphs)
        return await aanswer(saver_of(self._graph, config), steps)

    def get_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[StateSnapshot]:
        """The states of a thread at its checkpoints, latest first.

        Args:
            config: names the thread.
            filter: only checkpoints with this metadata.
            before: only checkpoints before the one that this config names.
            limit: at most this many.

        Raises:
            ValueError: there is no checkpointer.
        """
        options = {"filter": filter, "before": before, "limit": limit}
        yield from answer(saver_of(self._graph, config), history(self._graph, config, options))

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """As `get_state_history`."""
        options = {"filter": filter, "before": before, "limit": limit}
        steps = history(self._graph, config, options)
        for shown in await aanswer(saver_of(self._graph, config), steps):
            yield shown

    def bulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Change a thread's state by several updates; each inner sequence is one superstep.

        Returns:
            The config of the last checkpoint made.

        Raises:
            InvalidUpdateError: an update cannot be applied as the node that it names.
            ValueError: there is no update, or no checkpointer.
        """
        steps = bulk_update(self._graph, config, supersteps)
        return answer(saver_of(self._graph, config), steps)

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """As `bulk_update_state`."""
        steps = bulk_update(self._graph, config, supersteps)
        return await aanswer(saver_of(self._graph, config), steps)

    def update_state(
        self,
        config: RunnableConfig,
        values: Any,
        as_node: str | None = None,
        task_id: str | None = None,
    ) -> RunnableConfig:
        """Change a thread's state as if a node had returned `values`.

        Args:
            config: names the thread, and a checkpoint to branch off, if not the latest.
            values: the update.
            as_node: the node; the last that ran, if that is clear.
            task_id: the task that it stands for.

        Returns:
            The config of the checkpoint made.

        Raises:
            InvalidUpdateError: it is not clear which node, or it cannot write this.
            ValueError: there is no checkpointer.
        """
        return self.bulk_update_state(config, [[StateUpdate(values, as_node, task_id)]])

    async def aupdate_state(
        self,
        config: RunnableConfig,
        values: Any,
        as_node: str | None = None,
        task_id: str | None = None,
    ) -> RunnableConfig:
        """As `update_state`."""
        return await self.abulk_update_state(config, [[StateUpdate(values, as_node, task_id)]])

    def get_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Iterator[tuple[str, Pregel]]:
        """The graphs that nodes of this one run, with their namespaces.

        Args:
            namespace: only the one with this namespace.
            recurse: theirs too.
        """
        for name, node in self.nodes.items():
            if not node.subgraphs:
                continue
            if namespace is not None and namespace.split(NS_SEP)[0] != name:
                continue
            graph = node.subgraphs[0]
            if namespace is None or namespace == name:
                yield name, graph
            if recurse and (namespace is None or namespace != name):
                below = None if namespace is None else namespace[len(name) + 1 :]
                for inner, found in graph.get_subgraphs(namespace=below, recurse=True):
                    yield f"{name}{NS_SEP}{inner}", found

    async def aget_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> AsyncIterator[tuple[str, Pregel]]:
        """As `get_subgraphs`."""
        for found in self.get_subgraphs(namespace=namespace, recurse=recurse):
            yield found

    def get_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> Drawing:
        """The graph's nodes and edges, to draw.

        Args:
            config: not used; LangGraph takes it.
            xray: draw what is inside subgraphs, to this depth, or True for all.
        """
        from taskloom.pregel.draw import draw

        return draw(self._graph, xray=xray)

    async def aget_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> Drawing:
        """As `get_graph`."""
        return self.get_graph(config, xray=xray)

    @property
    def input_schema(self) -> Any:
        """A pydantic model of what `invoke` takes."""
        from taskloom.pregel.jsonschema import input_model

        return input_model(self._graph)

    @property
    def output_schema(self) -> Any:
        """A pydantic model of what `invoke` returns."""
        from taskloom.pregel.jsonschema import output_model

        return output_model(self._graph)

    def get_input_schema(self, config: Any = None) -> Any:
        """As `input_schema`; LangGraph has both."""
        return self.input_schema

    def get_output_schema(self, config: Any = None) -> Any:
        """As `output_schema`."""
        return self.output_schema

    def get_input_jsonschema(self, config: Any = None) -> dict[str, Any]:
        """The JSON schema of what `invoke` takes (needs pydantic)."""
        from taskloom.pregel.jsonschema import input_schema

        return input_schema(self._graph)

    def get_output_jsonschema(self, config: Any = None) -> dict[str, Any]:
        """The JSON schema of what `invoke` returns (needs pydantic)."""
        from taskloom.pregel.jsonschema import output_schema

        return output_schema(self._graph)

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """The JSON schema of the context, or None without one (needs pydantic)."""
        from taskloom.pregel.jsonschema import context_schema

        return context_schema(self._graph)

    def migrate_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring a checkpoint of an older format up to date, in place."""
        if checkpoint.get("v", 1) < 4 and checkpoint.get("pending_sends"):
            versions = checkpoint["channel_versions"]
            checkpoint["channel_values"][TASKS] = checkpoint.pop("pending_sends")
            versions[TASKS] = max(versions.values())
