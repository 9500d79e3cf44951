"""Taking the results of tasks from the graph's cache."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from taskloom.pregel.policy import CacheKey

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.tasks import Task

NAMESPACE = "__pregel_ns_writes"


def identifier(func: Any) -> str:
    """What a function is known by from one process to the next."""
    module = getattr(func, "__module__", None)
    name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None)
    return f"{module}.{name}" if module is not None and name is not None else "__dynamic__"


def namespace_of(loop_or_graph: Any, name: str) -> tuple[str, ...]:
    """Where a node's results are cached."""
    node = loop_or_graph.program.nodes[name]
    source = None if node.callee is None else node.callee.source
    return (NAMESPACE, identifier(source), name)


def set_cache_key(task: Task) -> bool:
    """Give a task its cache key, if it has a policy. Returns whether it has one."""
    if task.cache_key is not None:
        return True
    loop = task.loop
    policy = task.node.node.cache_policy
    if policy is None and not task.node.is_error_handler and task.parent is None:
        policy = loop.graph.cache_policy
    if policy is None or task.node.callee is None:
        return False
    if task.parent is None:
        key = policy.key_func(task.input)
        ns = namespace_of(loop, task.name)
    else:
        args, kwargs = task.input
        key = policy.key_func(*args, **kwargs)
        ns = (NAMESPACE, identifier(task.node.callee.source))
    data = key.encode() if isinstance(key, str) else key
    task.cache_key = CacheKey(ns, blake2b(data, digest_size=16).hexdigest(), policy.ttl)
    return True


def match_cached(loop: Loop, tasks: Iterable[Task]) -> None:
    """Give tasks the writes that the cache has for them."""
    keyed = _keyed(tasks)
    if loop.cache is not None and keyed:
        _take(loop, keyed, loop.cache.get(tuple(keyed)))


async def amatch_cached(loop: Loop, tasks: Iterable[Task]) -> None:
    """As `match_cached`, asking the cache asynchronously."""
    keyed = _keyed(tasks)
    if loop.cache is not None and keyed:
        _take(loop, keyed, await loop.cache.aget(tuple(keyed)))


def _keyed(tasks: Iterable[Task]) -> dict[tuple[tuple[str, ...], str], list[Task]]:
    keyed: dict[tuple[tuple[str, ...], str], list[Task]] = {}
    for task in tasks:
        if not task.writes and set_cache_key(task) and task.cache_key is not None:
            keyed.setdefault((task.cache_key.ns, task.cache_key.key), []).append(task)
    return keyed


def _take(loop: Loop, keyed: dict[Any, list[Task]], found: Any) -> None:
    for key, writes in found.items():
        for task in keyed[key]:
            task.writes.extend(tuple(write) for write in writes)
            task.cached = True
            if loop.persistence is not None:
                loop.note_writes(task, task.writes)
            loop.show_writes(task, task.writes, cached=True)
