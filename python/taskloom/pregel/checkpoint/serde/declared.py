"""The classes that a program declares in its schemas: what it says it keeps, a saver may keep.

An annotation in the program's own source is as good as an entry of the allow-list, and it is there
again when another process goes on with the thread.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from taskloom.pregel.checkpoint.serde.record import kind_of

S = TypeVar("S")


def declared_classes(schemas: Iterable[Any]) -> set[type]:
    """Return the classes of plain data that annotations name, in whatever they are nested.

    Args:
        schemas: classes or annotations: typed dicts, dataclasses, models, `list[Order]`, ...
    """
    found: set[type] = set()
    seen: set[Any] = set()
    for schema in schemas:
        _collect(schema, found, seen)
    return found


def _collect(annotation: Any, found: set[type], seen: set[Any]) -> None:
    if isinstance(annotation, list):  # the parameters of a callable
        for part in annotation:
            _collect(part, found, seen)
        return
    try:
        if annotation in seen:
            return
        seen.add(annotation)
    except TypeError:
        return  # an annotation that cannot be hashed names no class
    if isinstance(annotation, TypeVar):
        _collect(annotation.__bound__, found, seen)
    for part in get_args(annotation):
        _collect(part, found, seen)
    origin = get_origin(annotation)
    cls = origin if isinstance(origin, type) else annotation
    if not isinstance(cls, type) or isinstance(annotation, types.GenericAlias):
        return
    if cls.__module__ == "builtins":
        return
    if kind_of(cls) is not None and not is_typeddict(cls):
        found.add(cls)
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # a name that is not defined here: that class must be allowed by hand
        return
    for hint in hints.values():
        _collect(hint, found, seen)


def allowing(saver: S, schemas: Iterable[Any]) -> S:
    """Return a saver on the same store that also keeps the classes which schemas declare.

    Args:
        saver: one with the method `with_allowlist`; anything else is returned as it is.
        schemas: as for `declared_classes`.
    """
    widen: Any = getattr(saver, "with_allowlist", None)
    if widen is None or getattr(getattr(saver, "serde", None), "allows_everything", False):
        return saver
    classes = declared_classes(schemas)
    widened: Any = widen(sorted(classes, key=_by_name)) if classes else saver
    return widened  # type: ignore[no-any-return]


def _by_name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
