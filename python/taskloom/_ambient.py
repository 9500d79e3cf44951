"""The graph that a `with Graph()` block fills, which does not travel to other threads."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from taskloom.graph import Graph

__all__ = ["ambient", "ambient_graph"]

# The thread's id goes with the graph, because submit and run copy context variables to workers.
ambient: ContextVar[tuple[Graph, int] | None] = ContextVar("taskloom ambient graph", default=None)


def ambient_graph() -> Any:
    """The graph of the innermost open `with Graph()` block of this thread, or None.

    >>> from taskloom._ambient import ambient_graph
    >>> ambient_graph() is None
    True
    """
    found = ambient.get()
    if found is None or found[1] != threading.get_ident():
        return None
    return found[0]
