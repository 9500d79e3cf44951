"""State graphs: cyclic graphs whose nodes share a state, run in supersteps (Pregel).

    graph       StateGraph, the builder; compiled to
    pregel      Pregel: invoke, stream, get_state, update_state, and their async forms
    func        the functional API: entrypoint, task
    channels    the cells that hold the state (the name is LangGraph's)
    types       Send, Command, Interrupt, policies, snapshots
    program     a graph as flat tables
    loop        the superstep loop; drive_sync and drive_async run it
    checkpoint  where threads are stored
    store       what is remembered beside threads

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.pregel.cache import InMemoryCache as InMemoryCache
    from taskloom.pregel.config import RunnableConfig as RunnableConfig
    from taskloom.pregel.constants import END as END
    from taskloom.pregel.constants import START as START
    from taskloom.pregel.context import get_config as get_config
    from taskloom.pregel.context import get_runtime as get_runtime
    from taskloom.pregel.context import get_store as get_store
    from taskloom.pregel.context import get_stream_writer as get_stream_writer
    from taskloom.pregel.errors import GraphDrained as GraphDrained
    from taskloom.pregel.errors import GraphInterrupt as GraphInterrupt
    from taskloom.pregel.errors import GraphRecursionError as GraphRecursionError
    from taskloom.pregel.errors import InvalidUpdateError as InvalidUpdateError
    from taskloom.pregel.errors import NodeError as NodeError
    from taskloom.pregel.errors import NodeTimeoutError as NodeTimeoutError
    from taskloom.pregel.errors import RecursionLimitError as RecursionLimitError
    from taskloom.pregel.func import entrypoint as entrypoint
    from taskloom.pregel.func import task as task
    from taskloom.pregel.graph import CompiledStateGraph as CompiledStateGraph
    from taskloom.pregel.graph import MessagesState as MessagesState
    from taskloom.pregel.graph import StateGraph as StateGraph
    from taskloom.pregel.graph import add_messages as add_messages
    from taskloom.pregel.graph.message import RemoveMessage as RemoveMessage
    from taskloom.pregel.graph.message import push_message as push_message
    from taskloom.pregel.managed import IsLastStep as IsLastStep
    from taskloom.pregel.managed import RemainingSteps as RemainingSteps
    from taskloom.pregel.pregel import NodeBuilder as NodeBuilder
    from taskloom.pregel.pregel import Pregel as Pregel
    from taskloom.pregel.runtime import RunControl as RunControl
    from taskloom.pregel.runtime import Runtime as Runtime
    from taskloom.pregel.store import BaseStore as BaseStore
    from taskloom.pregel.store import InMemoryStore as InMemoryStore
    from taskloom.pregel.types import CachePolicy as CachePolicy
    from taskloom.pregel.types import Command as Command
    from taskloom.pregel.types import Durability as Durability
    from taskloom.pregel.types import GraphOutput as GraphOutput
    from taskloom.pregel.types import Interrupt as Interrupt
    from taskloom.pregel.types import Overwrite as Overwrite
    from taskloom.pregel.types import PregelTask as PregelTask
    from taskloom.pregel.types import RetryPolicy as RetryPolicy
    from taskloom.pregel.types import Send as Send
    from taskloom.pregel.types import StateSnapshot as StateSnapshot
    from taskloom.pregel.types import StateUpdate as StateUpdate
    from taskloom.pregel.types import StreamMode as StreamMode
    from taskloom.pregel.types import StreamWriter as StreamWriter
    from taskloom.pregel.types import TimeoutPolicy as TimeoutPolicy
    from taskloom.pregel.types import interrupt as interrupt

_MODULES = {
    "cache": ("InMemoryCache",),
    "config": ("RunnableConfig",),
    "constants": ("END", "START"),
    "context": ("get_config", "get_runtime", "get_store", "get_stream_writer"),
    "errors": (
        "GraphDrained",
        "GraphInterrupt",
        "GraphRecursionError",
        "InvalidUpdateError",
        "NodeError",
        "NodeTimeoutError",
        "RecursionLimitError",
    ),
    "func": ("entrypoint", "task"),
    "graph": ("CompiledStateGraph", "MessagesState", "StateGraph", "add_messages"),
    "graph.message": ("RemoveMessage", "push_message"),
    "managed": ("IsLastStep", "RemainingSteps"),
    "pregel": ("NodeBuilder", "Pregel"),
    "runtime": ("RunControl", "Runtime"),
    "store": ("BaseStore", "InMemoryStore"),
    "types": (
        "CachePolicy",
        "Command",
        "Durability",
        "GraphOutput",
        "Interrupt",
        "Overwrite",
        "PregelTask",
        "RetryPolicy",
        "Send",
        "StateSnapshot",
        "StateUpdate",
        "StreamMode",
        "StreamWriter",
        "TimeoutPolicy",
        "interrupt",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = tuple(sorted(_HOMES))  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
