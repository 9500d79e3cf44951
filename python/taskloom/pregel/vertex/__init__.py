"""Vertex programs: what each vertex of a graph does in a superstep, run until all are content.

    fold        how messages to one vertex, and contributions to one total, become one
    program     `VertexProgram`: one call a vertex, plain Python, no dependencies
    edges       `EdgeList`: edges as arrays (numpy from here on)
    delivery    messages along the edges, combined where they arrive
    vector      `VectorProgram`: one call a superstep, for all vertices at once
    algorithms  page rank, connected components, shortest paths, in both forms

The model is Pregel's (Malewicz et al., "Pregel: a system for large-scale graph processing", 2010):
in superstep s a vertex sees the messages sent to it in s-1, changes its value, sends messages that
arrive in s+1, and may vote to halt; a message wakes it up. The program ends when all vertices have
halted and no message is under way.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskloom.pregel.vertex.program import SuperstepLimitError as SuperstepLimitError
from taskloom.pregel.vertex.program import Vertex as Vertex
from taskloom.pregel.vertex.program import VertexProgram as VertexProgram
from taskloom.pregel.vertex.program import VertexResult as VertexResult

if TYPE_CHECKING:
    from taskloom.pregel.vertex.algorithms import connected_components as connected_components
    from taskloom.pregel.vertex.algorithms import pagerank as pagerank
    from taskloom.pregel.vertex.algorithms import shortest_paths as shortest_paths
    from taskloom.pregel.vertex.edges import EdgeList as EdgeList
    from taskloom.pregel.vertex.execute import run as run
    from taskloom.pregel.vertex.vector import VectorProgram as VectorProgram
    from taskloom.pregel.vertex.vector import VectorStep as VectorStep

_HOMES = {
    "EdgeList": "edges",
    "VectorProgram": "vector",
    "VectorStep": "vector",
    "connected_components": "algorithms",
    "pagerank": "algorithms",
    "run": "execute",
    "shortest_paths": "algorithms",
}

__all__ = [
    "EdgeList",
    "SuperstepLimitError",
    "VectorProgram",
    "VectorStep",
    "Vertex",
    "VertexProgram",
    "VertexResult",
    "connected_components",
    "pagerank",
    "run",
    "shortest_paths",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
