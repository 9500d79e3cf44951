"""A store in this process's memory."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, final

from taskloom.pregel.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Namespace,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    Value,
)

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda held, given: bool(held == given),
    "$ne": lambda held, given: bool(held != given),
    "$gt": lambda held, given: float(held) > float(given),
    "$gte": lambda held, given: float(held) >= float(given),
    "$lt": lambda held, given: float(held) < float(given),
    "$lte": lambda held, given: float(held) <= float(given),
}


class _Kept:
    """An item with the time that it is kept."""

    __slots__ = ("expiry", "item", "ttl")

    def __init__(self, item: Item, ttl: float | None) -> None:
        self.item = item
        self.ttl = ttl  # seconds
        self.expiry: float | None = None

    def refresh(self, now: float) -> None:
        self.expiry = None if self.ttl is None else now + self.ttl


@final
class InMemoryStore(BaseStore):
    """Keeps copies of what is put; they end with the process. Safe to use from several threads.

    Args:
        ttl: how long items live, see `TTLConfig`; for ever by default.
        index: of LangGraph's store, for search by meaning; there is none here.
        clock: seconds that only grow, by which items age.

    Raises:
        NotImplementedError: an `index` was asked for.

    Example:
        >>> from taskloom.pregel.store.memory import InMemoryStore
        >>> store = InMemoryStore()
        >>> store.put(("users", "ada"), "likes", {"food": "pizza", "level": 3})
        >>> store.get(("users", "ada"), "likes").value
        {'food': 'pizza', 'level': 3}
        >>> [found.key for found in store.search(("users",), filter={"level": {"$gt": 2}})]
        ['likes']
        >>> store.list_namespaces(prefix=("users", "*"))
        [('users', 'ada')]
    """

    supports_ttl = True

    def __init__(
        self,
        *,
        ttl: TTLConfig | None = None,
        index: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if index is not None:
            raise NotImplementedError(
                "InMemoryStore has no index to search by meaning: leave `index` out and select by "
                "`filter`, or compile the graph with a store that has one (LangGraph's will do)"
            )
        self.ttl_config = ttl
        self._clock = clock
        self._kept: dict[Namespace, dict[str, _Kept]] = {}
        self._lock = threading.Lock()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out several operations; see `BaseStore.batch`.

        Raises:
            ValueError: a filter has an unknown operator.
            TypeError: something is no operation.
        """
        results: list[Result] = []
        puts: dict[tuple[Namespace, str], PutOp] = {}
        with self._lock:
            now = self._clock()
            for op in ops:
                if isinstance(op, PutOp):
                    puts[(op.namespace, op.key)] = op
                    results.append(None)
                elif isinstance(op, GetOp):
                    results.append(self._get_item(op, now))
                elif isinstance(op, SearchOp):
                    results.append(self._find(op, now))
                elif isinstance(op, ListNamespacesOp):
                    results.append(self._namespaces(op, now))
                else:
                    raise TypeError(f"{op!r} is no operation of a store")
            for put in puts.values():
                self._keep(put, now)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, which never waits."""
        return self.batch(ops)

    def _alive(self, namespace: Namespace, now: float) -> dict[str, _Kept]:
        """What a namespace holds, without what has expired."""
        held = self._kept.get(namespace)
        if held is None:
            return {}
        for key in [
            k for k, kept in held.items() if kept.expiry is not None and kept.expiry <= now
        ]:
            del held[key]
        if not held:
            del self._kept[namespace]
        return held

    def _get_item(self, op: GetOp, now: float) -> Item | None:
        kept = self._alive(op.namespace, now).get(op.key)
        if kept is None:
            return None
        if op.refresh_ttl:
            kept.refresh(now)
        return copy.deepcopy(kept.item)

    def _find(self, op: SearchOp, now: float) -> list[SearchItem]:
        prefix = tuple(op.namespace_prefix)
        found = [
            kept
            for namespace in list(self._kept)
            if namespace[: len(prefix)] == prefix
            for kept in self._alive(namespace, now).values()
            if not op.filter or _holds(kept.item.value, op.filter)
        ][op.offset : op.offset + op.limit]
        items = []
        for kept in found:
            if op.refresh_ttl:
                kept.refresh(now)
            item = kept.item
            value = copy.deepcopy(item.value)
            made = SearchItem(item.namespace, item.key, value, item.created_at, item.updated_at)
            items.append(made)
        return items

    def _namespaces(self, op: ListNamespacesOp, now: float) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = {
            namespace if op.max_depth is None else namespace[: op.max_depth]
            for namespace in list(self._kept)
            if self._alive(namespace, now) and all(_matches(c, namespace) for c in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]

    def _keep(self, op: PutOp, now: float) -> None:
        namespace = tuple(op.namespace)
        held = self._alive(namespace, now)
        if op.value is None:
            held.pop(op.key, None)
            if not held:
                self._kept.pop(namespace, None)
            return
        before = held.get(op.key)
        moment = datetime.now(UTC)
        item = Item(
            value=copy.deepcopy(op.value),
            key=op.key,
            namespace=namespace,
            created_at=moment if before is None else before.item.created_at,
            updated_at=moment,
        )
        kept = _Kept(item, None if op.ttl is None else op.ttl * 60)
        kept.refresh(now)
        self._kept.setdefault(namespace, {})[op.key] = kept


def _matches(condition: MatchCondition, namespace: Namespace) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    if condition.match_type == "prefix":
        part = namespace[: len(path)]
    elif condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    else:
        raise ValueError(
            f"A namespace is matched by 'prefix' or 'suffix', not by {condition.match_type!r}"
        )
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _holds(value: Any, wanted: Value) -> bool:
    """Whether a dict holds what a filter asks for."""
    return isinstance(value, dict) and all(_fits(value.get(k), w) for k, w in wanted.items())


def _fits(held: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        if not any(str(key).startswith("$") for key in wanted):
            return _holds(held, wanted)
        for name, given in wanted.items():
            compare = _COMPARISONS.get(name)
            if compare is None:
                raise ValueError(
                    f"Unknown operator {name!r} in a filter; there are {', '.join(_COMPARISONS)}"
                )
            if held is None and name not in ("$eq", "$ne"):
                return False
            if not compare(held, given):
                return False
        return True
    if isinstance(wanted, list | tuple):
        if not isinstance(held, list | tuple) or len(held) != len(wanted):
            return False
        return all(_fits(h, w) for h, w in zip(held, wanted, strict=True))
    return bool(held == wanted)
