"""A graph as LangChain's `Runnable`, for what only that has: events, logs, pipes, maps."""

from __future__ import annotations

import importlib
import types
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from taskloom.pregel.config import merge_configs
from taskloom.pregel.runs import Runs
from taskloom.pregel.types import RunnableConfig


class Runnables(Runs):
    """The part of `Pregel` that is LangChain's, and needs it to be installed."""

    def as_runnable(self) -> Any:
        """This graph as a LangChain `Runnable`.

        Returns:
            A `Runnable` whose `invoke`, `stream` and async forms are the graph's.

        Raises:
            ModuleNotFoundError: LangChain is not installed.
        """
        return _runnable_class()(self._graph)

    def astream_events(
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """Run the graph and show LangChain's events of all that happens in it.

        Args:
            input: as for `ainvoke`.
            config: as for `ainvoke`.
            options: those of LangChain's `Runnable.astream_events` (`version`, `include_names`,
                `exclude_tags` and so on), and those of `astream`.

        Returns:
            An async iterator of events.

        Raises:
            ModuleNotFoundError: LangChain is not installed.
        """
        events: AsyncIterator[Any] = self.as_runnable().astream_events(
            input, self._limited(config), **options
        )
        return events

    def astream_log(
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """Run the graph and show LangChain's log of it, patch by patch; see `astream_events`."""
        patches: AsyncIterator[Any] = self.as_runnable().astream_log(
            input, self._limited(config), **options
        )
        return patches

    def map(self) -> Any:
        """A `Runnable` that runs the graph on each item of a list; see `as_runnable`."""
        return self.as_runnable().map()

    def pipe(self, *others: Any, name: str | None = None) -> Any:
        """A `Runnable` that hands the output to `others`, one after the other."""
        return self.as_runnable().pipe(*others, name=name)

    def __or__(self, other: Any) -> Any:
        return self.as_runnable() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.as_runnable()

    def _limited(self, config: RunnableConfig | None) -> RunnableConfig:
        """The config with a limit of supersteps, which LangChain would make 25 otherwise."""
        limit: RunnableConfig = {"recursion_limit": self._graph.default_recursion_limit}
        return merge_configs(limit, self._graph.config, config)


class _Delegate:
    """The methods of `Runnable` that a graph has itself."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.name = graph.name

    def invoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        """As the graph."""
        return self.graph.invoke(input, config, **options)

    async def ainvoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        """As the graph."""
        return await self.graph.ainvoke(input, config, **options)

    def stream(self, input: Any, config: Any = None, **options: Any) -> Any:
        """As the graph."""
        return self.graph.stream(input, config, **options)

    def astream(self, input: Any, config: Any = None, **options: Any) -> Any:
        """As the graph."""
        return self.graph.astream(input, config, **options)

    def get_graph(self, config: Any = None, *, xray: int | bool = False) -> Any:
        """The graph's drawing as LangChain's `Graph`, which draws as text, as PNG and so on."""
        return self.graph.get_graph(config, xray=xray).as_langchain()


@cache
def _runnable_class() -> Any:
    base = importlib.import_module("langchain_core.runnables").Runnable
    return types.new_class("GraphRunnable", (_Delegate, base))
