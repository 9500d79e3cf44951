"""Checks of a graph before it is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from taskloom.pregel.callee import waits_in_thread
from taskloom.pregel.channels import BaseChannel
from taskloom.pregel.constants import RESERVED
from taskloom.pregel.node import SYNC_TIMEOUT, PregelNode


def _as_keys(keys: str | Sequence[str] | None) -> Sequence[str]:
    if keys is None:
        return ()
    return (keys,) if isinstance(keys, str) else keys


def validate_durability(durability: str) -> None:
    """Refuse a way to store that there is not.

    Raises:
        ValueError: there is none of that name.
    """
    if durability not in ("sync", "async", "exit"):
        raise ValueError(f"durability must be 'sync', 'async' or 'exit', not {durability!r}")


def validate_limits(config: Mapping[str, Any]) -> None:
    """Refuse limits of a run that let it do nothing.

    Raises:
        ValueError: one is below 1; the message names it.
        TypeError: one is no number.
    """
    for name in ("recursion_limit", "max_concurrency"):
        limit = config.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int | float):
            raise TypeError(f"{name} must be a number, not {limit!r}")
        if limit < 1:
            raise ValueError(f"{name} must be at least 1, not {limit}")


def warn_no_cache(name: str) -> None:
    """Say that the results of a node are not cached although it has a policy for that."""
    warnings.warn(
        f"The cache policy of node {name!r} has no effect: the graph has no cache; "
        "give one to compile(cache=...)",
        stacklevel=6,
    )


def validate_version(version: str) -> None:
    """Refuse a form of results that there is not.

    Raises:
        ValueError: there is none of that name.
    """
    if version not in ("v1", "v2"):
        raise ValueError(f"version must be 'v1' or 'v2', not {version!r}")


def validate_stops(where: Any, nodes: Mapping[str, Any]) -> None:
    """Refuse to stop a run at nodes that there are not.

    Raises:
        ValueError: a node does not exist; the message names it.
    """
    for name in () if where == "*" else where:
        if name not in nodes:
            raise ValueError(f"Interrupt node `{name}` not found; the graph has {', '.join(nodes)}")


def validate_keys(keys: str | Sequence[str] | None, channels: Mapping[str, Any]) -> None:
    """Check that cells exist.

    Raises:
        ValueError: one does not; the message names it.
    """
    for key in _as_keys(keys):
        if key not in channels:
            raise ValueError(f"Key {key} not in channels")


def validate_graph(
    nodes: Mapping[str, PregelNode],
    channels: Mapping[str, Any],
    *,
    input_channels: str | Sequence[str],
    output_channels: str | Sequence[str],
    stream_channels: str | Sequence[str] | None,
    interrupts: Sequence[str | Sequence[str]],
) -> None:
    """Check that a graph's names fit together.

    Raises:
        ValueError: a name is reserved, or unknown where it is used.
        TypeError: a node is none.
    """
    cells = {key for key, spec in channels.items() if isinstance(spec, BaseChannel)}
    known = repr(sorted(cells))[:100]
    for key in channels:
        if key in RESERVED:
            raise ValueError(f"Channel name '{key}' is reserved")
    subscribed: set[str] = set()
    for name, node in nodes.items():
        if name in RESERVED:
            raise ValueError(f"Node name '{name}' is reserved")
        if not isinstance(node, PregelNode):
            raise TypeError(f"Invalid node type {type(node)}, expected PregelNode or NodeBuilder")
        bound = node.bound
        if (
            node.timeout is not None
            and bound is not None
            and (bound.afunc is None or waits_in_thread(bound.source))
        ):
            raise ValueError(SYNC_TIMEOUT.format(kind="Node", name=name))
        elsewhere = [key for key in ("place", "resources") if key in node.options]
        if elsewhere and node.bound is not None and node.bound.func is None:
            raise ValueError(
                f"Node {name!r} is async and runs on the event loop: {elsewhere[0]!r} is not for it"
            )
        subscribed.update(node.triggers)
        for key in _as_keys(node.channels):
            if key not in channels:
                raise ValueError(
                    f"Node {name} reads channel '{key}' not in known channels: '{known}'"
                )
    for key in sorted(subscribed):
        if key not in cells:
            raise ValueError(f"Subscribed channel '{key}' not in known channels: '{known}'")
    for key in _as_keys(input_channels):
        if key not in cells:
            raise ValueError(f"Input channel '{key}' not in known channels: '{known}'")
    if isinstance(input_channels, str):
        if input_channels not in subscribed:
            raise ValueError(f"Input channel {input_channels} is not subscribed to by any node")
    elif not subscribed.intersection(input_channels):
        raise ValueError(
            f"None of the input channels {input_channels} are subscribed to by any node"
        )
    for key in (*_as_keys(output_channels), *_as_keys(stream_channels)):
        if key not in cells:
            raise ValueError(f"Output channel '{key}' not in known channels: '{known}'")
    for where in interrupts:
        for name in () if where == "*" else where:
            if name not in nodes:
                raise ValueError(f"Node {name} not in nodes")
