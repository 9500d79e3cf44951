"""Run configs: merged from the graph's, the caller's and, in a node, the surrounding task's."""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_MAP,
    CHECKPOINT_NS,
    CONF,
    COORDINATES,
    DEFAULT_RECURSION_LIMIT,
    NS_END,
    NS_SEP,
)
from taskloom.pregel.context import get_config as get_config
from taskloom.pregel.context import get_store as get_store
from taskloom.pregel.context import get_stream_writer as get_stream_writer
from taskloom.pregel.types import RunnableConfig as RunnableConfig

KNOWN_KEYS = frozenset(RunnableConfig.__annotations__)
# Kept in a checkpoint's metadata when they are in `configurable`, so that it can be filtered by.
_TO_METADATA = (
    "thread_id",
    "checkpoint_id",
    "checkpoint_ns",
    "task_id",
    "run_id",
    "assistant_id",
    "graph_id",
)


def _refuse(key: str, value: Any) -> None:
    if key in COORDINATES:
        raise ValueError(
            f"config has no key {key!r} of its own; "
            f"pass it as {{'configurable': {{{key!r}: {value!r}}}}}"
        )
    near = difflib.get_close_matches(key, KNOWN_KEYS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(KNOWN_KEYS))}"
    raise ValueError(f"config has no key {key!r}{hint}")


def _join_callbacks(held: Any, more: Any) -> Any:
    """The callbacks of two configs together: lists of handlers, or managers of LangChain."""
    if not held or not more or held is more:
        return more or held
    if isinstance(held, list) and isinstance(more, list):
        return [*held, *more]
    if not isinstance(held, list) and not isinstance(more, list):
        return held.merge(more)
    manager: Any
    manager, handlers = (more, held) if isinstance(held, list) else (held, more)
    joined = manager.copy()
    for handler in handlers:
        joined.add_handler(handler, True)
    return joined


def merge_configs(*configs: Mapping[str, Any] | None) -> RunnableConfig:
    """One config of several: later ones win, tags and callbacks add up, metadata merges.

    Raises:
        ValueError: a config has an unknown key.
        TypeError: it, or a part of it, is no dict.
    """
    merged: dict[str, Any] = {}
    for config in configs:
        if config is None:
            continue
        if not isinstance(config, dict | Mapping):
            raise TypeError(f"a config is a dict, such as {{'configurable': {{}}}}, not {config!r}")
        for key, value in config.items():
            if key not in KNOWN_KEYS:
                _refuse(key, value)
            if value is None:
                continue
            if key in (CONF, "metadata"):
                if not isinstance(value, Mapping):
                    raise TypeError(f"{key!r} in a config is a dict, not {value!r}")
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "callbacks":
                merged[key] = _join_callbacks(merged.get(key), value)
            elif key == "tags":
                merged[key] = [*merged.get(key, ()), *value]
            else:
                merged[key] = value
    return cast(RunnableConfig, merged)


def ensure_config(*configs: Mapping[str, Any] | None) -> RunnableConfig:
    """A config with every key that a run relies on."""
    merged = merge_configs(*configs)
    merged.setdefault("tags", [])
    merged.setdefault("metadata", {})
    merged.setdefault("callbacks", None)
    merged.setdefault("recursion_limit", DEFAULT_RECURSION_LIMIT)
    merged.setdefault("configurable", {})
    return merged


def checkpoint_metadata_of(config: RunnableConfig) -> dict[str, Any]:
    """The config's metadata, with what of `configurable` a saver may filter by."""
    metadata = dict(config.get("metadata") or {})
    configurable = config.get("configurable") or {}
    for key in _TO_METADATA:
        if key not in metadata and configurable.get(key):
            metadata[key] = configurable[key]
    return metadata


def configurable_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The `configurable` of a config; empty if it has none."""
    return config.get(CONF) or {}


def patch_configurable(config: Mapping[str, Any], patch: Mapping[str, Any]) -> RunnableConfig:
    """A copy of `config` with some keys of `configurable` changed."""
    return cast(RunnableConfig, {**config, CONF: {**config.get(CONF, {}), **patch}})


def patch_checkpoint_map(config: RunnableConfig | None, metadata: Any) -> RunnableConfig | None:
    """A copy of `config` that says which checkpoints of the graphs around it belong to it."""
    parents = metadata.get("parents") if metadata else None
    if config is None or not parents:
        return config
    configurable = configurable_of(config)
    here = {configurable[CHECKPOINT_NS]: configurable[CHECKPOINT_ID]}
    return patch_configurable(config, {CHECKPOINT_MAP: {**parents, **here}})


def recast_ns(ns: str) -> str:
    """A namespace without task ids: the names of the nodes on the way."""
    return NS_SEP.join(part.split(NS_END)[0] for part in ns.split(NS_SEP) if not part.isdigit())


def public_config(config: RunnableConfig | None) -> RunnableConfig | None:
    """A config reduced to the `configurable` keys that a user may see."""
    if config is None:
        return None
    configurable = config.get("configurable", {})
    return {CONF: {k: v for k, v in configurable.items() if not k.startswith("__pregel_")}}
