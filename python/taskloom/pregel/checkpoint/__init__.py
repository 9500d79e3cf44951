"""Checkpoints of state graphs: what they are (`base`), and where they are stored.

`memory` keeps them in this process, `sqlite` in one file. LangGraph's own savers work too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.pregel.checkpoint.base import BaseCheckpointSaver as BaseCheckpointSaver
    from taskloom.pregel.checkpoint.base import Checkpoint as Checkpoint
    from taskloom.pregel.checkpoint.base import CheckpointMetadata as CheckpointMetadata
    from taskloom.pregel.checkpoint.base import CheckpointTuple as CheckpointTuple
    from taskloom.pregel.checkpoint.memory import InMemorySaver as InMemorySaver
    from taskloom.pregel.checkpoint.sqlite import SqliteSaver as SqliteSaver

_HOMES = {
    "BaseCheckpointSaver": "base",
    "Checkpoint": "base",
    "CheckpointMetadata": "base",
    "CheckpointTuple": "base",
    "InMemorySaver": "memory",
    "SqliteSaver": "sqlite",
}

__all__ = [
    "BaseCheckpointSaver",
    "Checkpoint",
    "CheckpointMetadata",
    "CheckpointTuple",
    "InMemorySaver",
    "SqliteSaver",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
