"""Checkpoints of earlier formats of LangGraph, whose cells had other names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from taskloom.pregel.constants import BRANCH_TO, END, INTERRUPT, START


def migrate(
    checkpoint: dict[str, Any], nodes: Collection[str], edges: Sequence[tuple[str, str]]
) -> None:
    """Rename the control cells of a checkpoint older than format 3, in place."""
    for key in list(checkpoint["channel_versions"]):
        if key.startswith("start:"):
            _rename(checkpoint, key, [key.split(":")[1]], nodes)
        elif key.startswith("branch:") and key.count(":") == 3:
            _rename(checkpoint, key, [key.split(":")[-1]], nodes)
    for key in list(checkpoint["channel_versions"]):
        if key in nodes and key != START:
            ends = [end for start, end in edges if start == key and end != END]
            _rename(checkpoint, key, ends, nodes, always=True)


def _rename(
    checkpoint: dict[str, Any],
    key: str,
    targets: Sequence[str],
    nodes: Collection[str],
    *,
    always: bool = False,
) -> None:
    targets = [target for target in targets if target in nodes]
    if not targets and not always:
        return
    versions, values = checkpoint["channel_versions"], checkpoint["channel_values"]
    seen = checkpoint["versions_seen"]
    version = versions.pop(key)
    stored = key in values
    value = values.pop(key, None)
    noted = {name: seen[name].pop(key) for name in list(seen) if key in seen[name]}
    for target in targets:
        new = BRANCH_TO + target
        versions[new] = max(versions[new], version) if new in versions else version
        if stored and new not in values:
            values[new] = value
        for name in (target, INTERRUPT):
            if name in noted:
                before = seen[name].get(new)
                seen[name][new] = noted[name] if before is None else max(noted[name], before)
