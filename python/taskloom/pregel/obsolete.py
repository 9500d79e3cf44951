"""Options under the names that they had in earlier releases of LangGraph."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypedDict


class OldGraphOptions(TypedDict, total=False):
    """What `StateGraph` took once."""

    input: Any
    output: Any
    config_schema: Any


class OldNodeOptions(TypedDict, total=False):
    """What `add_node` took once."""

    input: Any
    retry: Any


class OldTaskOptions(TypedDict, total=False):
    """What `task` took once."""

    retry: Any


class OldEntrypointOptions(TypedDict, total=False):
    """What `entrypoint` took once."""

    retry: Any
    config_schema: Any


_ALIKE = 4  # letters that two names begin with, so that one may be meant by the other
_TODAY = {
    "input": "input_schema",
    "output": "output_schema",
    "config_schema": "context_schema",
    "retry": "retry_policy",
}


def renamed(
    where: Callable[..., Any], given: Mapping[str, Any], old: type[Any], *, depth: int = 3
) -> dict[str, Any]:
    """Options by the names that they have today; each is warned about.

    Args:
        where: what they were given to.
        given: the options that are none of today's.
        old: the typed dict of those that there were.
        depth: how many calls the caller's is away, for the warnings.

    Raises:
        TypeError: one is unknown; the message has the nearest name.
    """
    name = where.__qualname__.removesuffix(".__init__")
    found = {}
    for key, value in given.items():
        if key not in old.__annotations__:
            known = [
                p for p in inspect.signature(where).parameters if p not in ("self", "obsolete")
            ]
            begun = [other for other in known if other[:_ALIKE] == key[:_ALIKE]]
            near = begun or difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known)}"
            raise TypeError(f"{name} has no option {key!r}{hint}")
        today = _TODAY[key]
        warnings.warn(
            f"{name}: {key!r} is called {today!r} today", DeprecationWarning, stacklevel=depth
        )
        found[today] = value
    return found
