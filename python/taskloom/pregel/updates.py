"""State objects as updates: the keys that a class annotates, and their values."""

from __future__ import annotations

import types
import weakref
from collections.abc import Sequence
from typing import Any

from taskloom.pregel.missing import MISSING

_keys: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def annotated_keys(cls: type) -> tuple[str, ...]:
    """The names that `cls` and its bases annotate; empty for ordinary values' types."""
    known = _keys.get(cls)
    if known is not None:
        return known
    keys: list[str] = []
    for base in reversed(cls.__mro__):
        annotations = base.__dict__.get("__annotations__")  # noqa: RUF063 (its own only)
        if annotations is None and "__annotate_func__" in base.__dict__:
            annotations = getattr(base, "__annotations__", None)
        if annotations is None or isinstance(annotations, types.GetSetDescriptorType):
            continue
        keys.extend(annotations)
    return _keys.setdefault(cls, tuple(keys))


def update_as_tuples(value: Any, keys: Sequence[str]) -> list[tuple[str, Any]]:
    """The update that an instance of a state class stands for.

    A None is left out unless it was set on purpose: it was given to the pydantic model, or the
    default is another value.
    """
    given: Any = getattr(value, "model_fields_set", None)
    fields: Any = {} if given is None else getattr(type(value), "model_fields", {})
    updates: list[tuple[str, Any]] = []
    for key in keys:
        item = getattr(value, key, MISSING)
        if item is MISSING:
            continue
        if item is None and given is not None and key not in given:
            field = fields.get(key)
            if field is not None and field.default is None:
                continue
        updates.append((key, item))
    return updates
