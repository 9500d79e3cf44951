"""The `tools` stream: beginnings and ends of LangChain's tools that nodes call."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from functools import cache
from typing import TYPE_CHECKING, Any

from taskloom.pregel.constants import NS_SEP, PUSH, TAG_NOSTREAM
from taskloom.pregel.context import ambient_task
from taskloom.pregel.errors import GraphDrained, GraphInterrupt

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop


def shown_at(loop: Loop, metadata: dict[str, Any], tags: list[str] | None) -> Any:
    """The namespace of what a callback tells of, or None if the run's reader is not to see it."""
    if not metadata or TAG_NOSTREAM in (tags or ()):
        return None
    ns = _ns_of_graph(metadata)
    own = tuple(loop.ns.split(NS_SEP)) if loop.ns else ()
    task = ambient_task()
    mine = ns == own or (task is not None and task.loop is loop)
    return ns if mine or (loop.stream is not None and loop.stream.subgraphs) else None


def _ns_of_graph(metadata: dict[str, Any]) -> tuple[str, ...]:
    """The namespace of the graph that a task runs in, by the task's metadata.

    It is the task's own without the last part; without one more for each task that called it.
    """
    parts = str(metadata.get("langgraph_checkpoint_ns", "")).split(NS_SEP)
    path, last = metadata.get("langgraph_path", ()), len(parts) - 1
    while len(path) == 4 and path[0] == PUSH and path[3] is True:
        path, last = path[1], last - 1
    return tuple(parts[: max(last, 0)])


class _Tools:
    """Shows what a run's tools do: that they begin, what they say meanwhile, how they end."""

    run_inline = True  # LangChain must call it where the tool runs, so that nothing is overtaken

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.loop = loop
        self.running: dict[Any, tuple[tuple[str, ...], str, Any]] = {}

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: Any,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A tool begins."""
        ns = shown_at(self.loop, metadata or {}, tags)
        if ns is None:
            return
        call = more.get("tool_call_id") or str(run_id)
        self.running[run_id] = (ns, call, self._lend_writer(ns, call))
        name = (serialized or {}).get("name") or more.get("name") or ""
        given = {} if inputs is None else {"input": inputs}
        self._show(ns, "tool-started", call, tool_name=name, **given)

    def on_tool_end(self, output: Any, *, run_id: Any, **more: Any) -> None:
        """A tool has ended."""
        found = self._ended(run_id)
        if found is not None:
            self._show(found[0], "tool-finished", found[1], output=output)

    def on_tool_error(self, error: BaseException, *, run_id: Any, **more: Any) -> None:
        """A tool has failed; one that asks a question has not, and runs again."""
        found = self._ended(run_id)
        if found is not None and not isinstance(error, GraphInterrupt | GraphDrained):
            self._show(found[0], "tool-error", found[1], message=str(error))

    def _show(self, ns: tuple[str, ...], event: str, call: str, **more: Any) -> None:
        if self.loop.stream is not None:
            self.loop.stream.put_own((ns, "tools", {"event": event, "tool_call_id": call, **more}))

    def _lend_writer(self, ns: tuple[str, ...], call: str) -> Any:
        """Let a tool of LangGraph's `ToolNode` say something: it looks for its writer there."""
        theirs: Any = sys.modules.get("langgraph.pregel._tools")
        if theirs is None:
            return None

        def write(delta: Any) -> None:
            self._show(ns, "tool-output-delta", call, delta=delta)

        return theirs._tool_call_writer, theirs._tool_call_writer.set(write)

    def _ended(self, run_id: Any) -> tuple[tuple[str, ...], str] | None:
        found = self.running.pop(run_id, None)
        if found is None:
            return None
        ns, call, lent = found
        if lent is not None:
            variable, token = lent
            with contextlib.suppress(ValueError):  # it may end in another context
                variable.reset(token)
        return ns, call


@cache
def tool_handler_class() -> Any:
    """The class of the handler, which is LangChain's."""
    base = importlib.import_module("langchain_core.callbacks").BaseCallbackHandler
    return types.new_class("Tools", (_Tools, base))
