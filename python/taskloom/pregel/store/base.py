"""What a store is: a long-term memory of values by namespace and key, beside the state of threads.

A subclass answers `batch` and `abatch`; whatever else a store can be asked comes of these two.
LangGraph's own stores will do as well: a graph hands on whatever it was compiled with.
"""

# ruff: noqa: PLC0414 (names that this module exports)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, TypedDict

from taskloom.pregel.store.items import NOT_PROVIDED as NOT_PROVIDED
from taskloom.pregel.store.items import GetOp as GetOp
from taskloom.pregel.store.items import Index as Index
from taskloom.pregel.store.items import Item as Item
from taskloom.pregel.store.items import ListNamespacesOp as ListNamespacesOp
from taskloom.pregel.store.items import MatchCondition as MatchCondition
from taskloom.pregel.store.items import Namespace as Namespace
from taskloom.pregel.store.items import NamespaceMatchType as NamespaceMatchType
from taskloom.pregel.store.items import NamespacePath as NamespacePath
from taskloom.pregel.store.items import NotProvided as NotProvided
from taskloom.pregel.store.items import Op as Op
from taskloom.pregel.store.items import PutOp as PutOp
from taskloom.pregel.store.items import Result as Result
from taskloom.pregel.store.items import SearchItem as SearchItem
from taskloom.pregel.store.items import SearchOp as SearchOp
from taskloom.pregel.store.items import Value as Value


class InvalidNamespaceError(ValueError):
    """A namespace is empty, has an empty label, or one with a dot, or begins with "langgraph"."""


class TTLConfig(TypedDict, total=False):
    """How long items live.

    Attributes:
        default_ttl: minutes, for items that are put without `ttl`; for ever if it is left out.
        refresh_on_read: begin an item's time anew when it is read; True if it is left out.
    """

    default_ttl: float | None
    refresh_on_read: bool


class BaseStore(ABC):
    """Values by namespace and key, for all threads of a graph.

    Namespaces are tuples of labels, `("users", "ada")`; values are dicts.

    Example:
        >>> from taskloom.pregel import InMemoryStore
        >>> store: BaseStore = InMemoryStore()
        >>> store.put(("users", "ada"), "likes", {"food": "pizza"})
        >>> [item.value for item in store.search(("users",))]
        [{'food': 'pizza'}]
    """

    supports_ttl: bool = False
    ttl_config: TTLConfig | None = None

    @abstractmethod
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out several operations: reads see what was there before, then puts are made.

        Args:
            ops: the operations.

        Returns:
            A result for each: an item or None, a list of items, a list of namespaces, None.
        """

    @abstractmethod
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`."""

    def get(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """One item.

        Args:
            namespace: where it lies.
            key: its key.
            refresh_ttl: begin its time to live anew; as the store is configured if None.

        Returns:
            The item, or None if there is none.
        """
        return self.batch([self._get(namespace, key, refresh_ttl)])[0]  # type: ignore[return-value]

    def search(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Value | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """The items of a namespace and of those below it.

        Args:
            namespace_prefix: what their namespaces begin with; `()` for all.
            query: text to order them by, in stores that can; others ignore it.
            filter: what their values must hold: `{"kind": "note"}` for equal values,
                `{"age": {"$gte": 18}}` for comparisons by $eq, $ne, $gt, $gte, $lt, $lte.
            limit: how many at most.
            offset: how many to leave out first.
            refresh_ttl: begin their time to live anew; as the store is configured if None.

        Returns:
            The items, in the order in which they were first put unless a query orders them.

        Raises:
            ValueError: `filter` has an unknown operator.
        """
        refresh = self._refreshes(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh)
        return self.batch([op])[0]  # type: ignore[return-value]

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Value,
        index: Index = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Store a value, in place of what the key held.

        Args:
            namespace: where to.
            key: its key.
            value: a dict.
            index: which fields to index for queries, in stores that can; False for none.
            ttl: minutes until it is forgotten; None for never; by default as configured.

        Raises:
            InvalidNamespaceError: the namespace cannot be one.
            NotImplementedError: the store cannot forget by time.
        """
        self.batch([self._put(namespace, key, value, index, ttl)])

    def delete(self, namespace: Namespace, key: str) -> None:
        """Forget an item, if it is there.

        Args:
            namespace: where it lies.
            key: its key.
        """
        self.batch([PutOp(namespace, str(key), None)])

    def list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """The namespaces that hold items, sorted.

        Args:
            prefix: what they begin with; `"*"` stands for any label.
            suffix: what they end with.
            max_depth: cut them to so many labels.
            limit: how many at most.
            offset: how many to leave out first.
        """
        op = _list_op(prefix, suffix, max_depth, limit, offset)
        return self.batch([op])[0]  # type: ignore[return-value]

    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """As `get`."""
        found = await self.abatch([self._get(namespace, key, refresh_ttl)])
        return found[0]  # type: ignore[return-value]

    async def asearch(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Value | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """As `search`."""
        refresh = self._refreshes(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh)
        return (await self.abatch([op]))[0]  # type: ignore[return-value]

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Value,
        index: Index = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """As `put`."""
        await self.abatch([self._put(namespace, key, value, index, ttl)])

    async def adelete(self, namespace: Namespace, key: str) -> None:
        """As `delete`."""
        await self.abatch([PutOp(namespace, str(key), None)])

    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """As `list_namespaces`."""
        op = _list_op(prefix, suffix, max_depth, limit, offset)
        return (await self.abatch([op]))[0]  # type: ignore[return-value]

    # What the calls above stand for

    def _refreshes(self, asked: bool | None) -> bool:
        return (self.ttl_config or {}).get("refresh_on_read", True) if asked is None else asked

    def _get(self, namespace: Namespace, key: str, refresh: bool | None) -> GetOp:
        return GetOp(namespace, str(key), self._refreshes(refresh))

    def _put(
        self,
        namespace: Namespace,
        key: str,
        value: Value,
        index: Index,
        ttl: float | NotProvided | None,
    ) -> PutOp:
        check_namespace(namespace)
        if not isinstance(ttl, NotProvided) and ttl is not None and not self.supports_ttl:
            raise NotImplementedError(
                f"{type(self).__name__} cannot forget by time: leave `ttl` out, "
                "or use a store that can"
            )
        if isinstance(ttl, NotProvided):
            ttl = (self.ttl_config or {}).get("default_ttl")
        return PutOp(namespace, str(key), value, index, ttl)


def _list_op(
    prefix: NamespacePath | None,
    suffix: NamespacePath | None,
    max_depth: int | None,
    limit: int,
    offset: int,
) -> ListNamespacesOp:
    conditions: list[Any] = []
    if prefix:
        conditions.append(MatchCondition("prefix", prefix))
    if suffix:
        conditions.append(MatchCondition("suffix", suffix))
    return ListNamespacesOp(tuple(conditions), max_depth, limit, offset)


def check_namespace(namespace: Namespace) -> None:
    """Check that `namespace` can be one.

    Raises:
        InvalidNamespaceError: it cannot.
    """
    if not namespace:
        raise InvalidNamespaceError("A namespace has at least one label, as in ('users', 'ada').")
    for label in namespace:
        problem = None
        if not isinstance(label, str):
            problem = f"is a {type(label).__name__}, not text"
        elif not label:
            problem = "is empty"
        elif "." in label:
            problem = "has a dot in it"
        if problem:
            raise InvalidNamespaceError(
                f"The label {label!r} of the namespace {namespace} {problem}."
            )
    if namespace[0] == "langgraph":
        raise InvalidNamespaceError(f"'langgraph' is reserved as a first label: {namespace}.")
