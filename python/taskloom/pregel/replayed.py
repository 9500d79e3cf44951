"""Batch-reduced cells of threads that LangGraph stored: as writes to be replayed, with a full
value now and then. Once such a thread has gone on here, its cells are stored like any others."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from taskloom.pregel.channels.delta import unwrapped
from taskloom.pregel.effect import Effect
from taskloom.pregel.missing import MISSING

if TYPE_CHECKING:
    from taskloom.pregel.pregel import Pregel


def refill(graph: Pregel, saved: Any, saver: Any) -> Generator[Effect, Any, None]:
    """Give a stored checkpoint the values of such cells, in place.

    Args:
        graph: whose cells they are.
        saved: the checkpoint with its config, or None.
        saver: where it and those before it are stored.
    """
    names = graph.program.batch_reduced
    if saved is None or not names:
        return
    values = saved.checkpoint["channel_values"]
    versions = saved.checkpoint["channel_versions"]
    for name in names:
        if name in values:
            values[name] = unwrapped(values[name])
    missing = [name for name in names if name in versions and name not in values]
    if not missing or not hasattr(saver, "get_delta_channel_history"):
        return
    options = {"config": saved.config, "channels": missing}
    found = yield Effect("get_delta_channel_history", (), options)
    for name, history in found.items():
        seed = unwrapped(history.get("seed", MISSING))
        if seed is MISSING and not history["writes"]:
            continue
        cell: Any = graph.channels[name].from_checkpoint(seed)
        cell.replay_writes(history["writes"])
        values[name] = cell.get()
