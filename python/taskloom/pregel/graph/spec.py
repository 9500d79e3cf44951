"""What a state graph's builder keeps about a node."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from taskloom.pregel.callee import Callee
from taskloom.pregel.policy import CachePolicy, RetryPolicy, TimeoutPolicy
from taskloom.pregel.types import Command
from taskloom.pregel.updates import annotated_keys

Ends = Sequence[str] | Mapping[str, str]


@dataclass(slots=True)
class StateNodeSpec:
    """A node of a `StateGraph` before it is compiled."""

    runnable: Callee
    metadata: dict[str, Any] | None
    input_schema: Any
    retry_policy: tuple[RetryPolicy, ...] = ()
    cache_policy: CachePolicy[Any] | None = None
    is_error_handler: bool = False
    error_handler_node: str | None = None
    ends: Ends = ()
    defer: bool = False
    timeout: TimeoutPolicy | None = None
    options: dict[str, Any] = field(default_factory=dict)
    writes: tuple[str, ...] | None = None


def _hints(action: Any) -> dict[str, Any]:
    try:
        if inspect.isfunction(action) or inspect.ismethod(action):
            return get_type_hints(action)
        call = getattr(action, "__call__", None)  # noqa: B004
        return get_type_hints(call) if inspect.ismethod(call) else {}
    except (NameError, TypeError):
        return {}


def inferred_schema(action: Any) -> type | None:
    """The class of a callable's first parameter, if it has annotated keys itself."""
    hints = _hints(action)
    try:
        first = next(iter(inspect.signature(action).parameters), None)
        hint = hints.get(first or "")
        if isinstance(hint, type) and get_type_hints(hint):
            return hint
    except (NameError, TypeError, ValueError):
        pass
    return None


def inferred_ends(action: Any) -> tuple[str, ...]:
    """Where the commands that a callable is annotated to return may go."""
    returned = _hints(action).get("return")
    if get_origin(returned) in (Union, types.UnionType):
        options = get_args(returned)
    else:
        options = (returned,)
    for option in options:
        arguments = get_args(option)
        if get_origin(option) is Command and arguments and get_origin(arguments[0]) is Literal:
            return tuple(get_args(arguments[0]))
    return ()


def inferred_writes(action: Any) -> tuple[str, ...] | None:
    """The keys of the class that a callable is annotated to return; None if it says nothing."""
    returned = _hints(action).get("return")
    if not isinstance(returned, type) or issubclass(returned, Command):
        return None
    return annotated_keys(returned) or None
