"""Which classes a serializer may rebuild from stored bytes.

Reading a checkpoint must never be a way to run code: the bytes name a class, and only a class on
this list is looked up, by its exact module and qualified name. Builtin and standard-library values
need no entry, they have codes of their own (see `extension`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from taskloom.pregel.checkpoint.serde.base import SerializationError

ClassName: TypeAlias = tuple[str, str]
"""A class as `(module, qualified name)`."""
Allowed: TypeAlias = Iterable[tuple[str, ...] | type] | Literal[True] | None

# Values of these modules only hold data. Named as text: the modules are imported when, and only
# when, a stored value needs them.
_SAFE_PACKAGES = ("taskloom.pregel", "langchain_core.messages", "langchain_core.documents")


def class_name(cls: type) -> ClassName:
    """Return the name under which a class is stored."""
    return cls.__module__, cls.__qualname__


class AllowList:
    """The classes that may be stored and rebuilt.

    Args:
        allowed: classes, or `(module, qualified name)` pairs; `None` for the safe ones only;
            `True` for every class that holds plain data.
    """

    def __init__(self, allowed: Allowed = None) -> None:
        self.everything = allowed is True
        self._classes: dict[ClassName, type] = {}
        self._names: set[ClassName] = set()
        if allowed is not True and allowed is not None:
            for entry in allowed:
                self._add(entry)

    def _add(self, entry: tuple[str, ...] | type) -> None:
        if isinstance(entry, type):
            self._classes[class_name(entry)] = entry
        elif isinstance(entry, tuple) and len(entry) == 2:
            self._names.add((entry[0], entry[1]))
        else:
            raise TypeError(
                f"an allow-list entry is a class or a (module, name) pair, not {entry!r}"
            )

    def extended(self, extra: Iterable[tuple[str, ...] | type]) -> AllowList:
        """Return a list that allows `extra` too; this one stays as it is."""
        wider = AllowList()
        wider.everything = self.everything
        wider._classes = dict(self._classes)
        wider._names = set(self._names)
        for entry in extra:
            wider._add(entry)
        return wider

    def admits(self, cls: type) -> bool:
        """Say whether values of this class may be stored, and remember the class if so."""
        name = class_name(cls)
        if self._permits(name):
            # A class made inside a function cannot be imported again, but this process has it.
            self._classes[name] = cls
            return True
        return False

    def _permits(self, name: ClassName) -> bool:
        if self.everything or name in self._classes or name in self._names:
            return True
        return any(
            name[0] == package or name[0].startswith(package + ".") for package in _SAFE_PACKAGES
        )

    def resolve(self, module: str, qualname: str) -> type:
        """Return the class of a stored name.

        Raises:
            SerializationError: the name is not on the list, or there is no such class any more.
        """
        name = (module, qualname)
        known = self._classes.get(name)
        if known is not None:
            return known
        if not self._permits(name):
            raise SerializationError(
                f"the checkpoint holds a value of type {module}.{qualname}, which is not on the "
                f"allow-list; {how_to_allow(module, qualname)}"
            )
        try:
            found: Any = sys.modules.get(module) or importlib.import_module(module)
            for part in qualname.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise SerializationError(
                f"the checkpoint holds a value of type {module}.{qualname}, which cannot be "
                f"imported: {error}; pass the class itself in "
                "JsonPlusSerializer(allowed_msgpack_modules=[...]) if it has moved or is local"
            ) from error
        if not isinstance(found, type):
            raise SerializationError(f"{module}.{qualname} in the checkpoint is not a class")
        self._classes[name] = found
        return found


def how_to_allow(module: str, qualname: str) -> str:
    """Return the advice for a class that is missing from the list."""
    return (
        "to allow it, give the saver serde=JsonPlusSerializer("
        f"allowed_msgpack_modules=[({module!r}, {qualname!r})])"
    )
