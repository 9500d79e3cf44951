"""What a store holds and what it can be asked: items, and operations as plain records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias, final

Namespace: TypeAlias = tuple[str, ...]
NamespacePath: TypeAlias = tuple[str, ...]
"""A namespace in which `"*"` stands for any one label."""
NamespaceMatchType: TypeAlias = Literal["prefix", "suffix"]
Value: TypeAlias = dict[str, Any]
Index: TypeAlias = Literal[False] | list[str] | None
"""Which fields of a value to index for queries; False for none, None for the store's choice."""


class NotProvided:
    """The type of `NOT_PROVIDED`."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_PROVIDED"


NOT_PROVIDED: Final = NotProvided()
"""Stands for a time to live that was not given, where None means for ever."""


class Item:
    """A value under a namespace and a key.

    Args:
        value: a dict.
        key: its name in the namespace.
        namespace: the path of labels that it lies under.
        created_at: when the key was first put; a datetime, or its ISO form.
        updated_at: when it was last put.
    """

    __slots__ = ("created_at", "key", "namespace", "updated_at", "value")

    def __init__(
        self,
        *,
        value: Value,
        key: str,
        namespace: Iterable[str],
        created_at: datetime | str,
        updated_at: datetime | str,
    ) -> None:
        self.value = value
        self.key = key
        self.namespace = tuple(namespace)
        self.created_at = _moment(created_at)
        self.updated_at = _moment(updated_at)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Item):
            return NotImplemented
        return self._state() == other._state()

    def __hash__(self) -> int:
        return hash((self.namespace, self.key))

    def _state(self) -> tuple[Any, ...]:
        return self.namespace, self.key, self.value, self.created_at, self.updated_at

    def dict(self) -> Value:
        """The item as a dict of plain values."""
        return {
            "namespace": list(self.namespace),
            "key": self.key,
            "value": self.value,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.dict().items())
        return f"{type(self).__name__}({shown})"


@final
class SearchItem(Item):
    """An item that a search found; `score` says how well it fits, None where that is not known."""

    __slots__ = ("score",)

    def __init__(  # noqa: PLR0917 (LangGraph's order)
        self,
        namespace: Iterable[str],
        key: str,
        value: Value,
        created_at: datetime | str,
        updated_at: datetime | str,
        score: float | None = None,
    ) -> None:
        super().__init__(
            value=value,
            key=key,
            namespace=namespace,
            created_at=created_at,
            updated_at=updated_at,
        )
        self.score = score

    def dict(self) -> Value:
        """The item as a dict of plain values."""
        return {**super().dict(), "score": self.score}


def _moment(given: datetime | str) -> datetime:
    return datetime.fromisoformat(given) if isinstance(given, str) else given


class GetOp(NamedTuple):
    """Asks for one item."""

    namespace: Namespace
    key: str
    refresh_ttl: bool = True


class SearchOp(NamedTuple):
    """Asks for the items of a namespace and of those below it."""

    namespace_prefix: Namespace
    filter: Value | None = None
    limit: int = 10
    offset: int = 0
    query: str | None = None
    refresh_ttl: bool = True


class MatchCondition(NamedTuple):
    """What a namespace must begin or end with; `"*"` in the path stands for any label."""

    match_type: NamespaceMatchType
    path: NamespacePath


class ListNamespacesOp(NamedTuple):
    """Asks which namespaces there are."""

    match_conditions: tuple[MatchCondition, ...] | None = None
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0


class PutOp(NamedTuple):
    """Stores a value under a key, or deletes the key if the value is None; `ttl` is in minutes."""

    namespace: Namespace
    key: str
    value: Value | None
    index: Index = None  # type: ignore[assignment]  # it hides tuple.index, as in LangGraph
    ttl: float | None = None


Op: TypeAlias = GetOp | SearchOp | PutOp | ListNamespacesOp
Result: TypeAlias = Item | list[Item] | list[SearchItem] | list[Namespace] | None
