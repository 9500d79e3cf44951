"""Values of the program's own classes: stored as their fields, rebuilt without their constructors.

A constructor may check, count or open things; the value that went in had already been through it.
So a rebuilt value gets its fields as they were, and nothing of its class runs but the setters that
Python itself provides.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

from taskloom.pregel.checkpoint.serde.allowlist import AllowList, class_name
from taskloom.pregel.checkpoint.serde.base import SerializationError

DATACLASS = 40
PYDANTIC = 41
ATTRS = 42
NAMED_TUPLE = 43
ENUM = 44
SUBCLASS = 45  # of a builtin value type
NUMPY_ARRAY = 50
NUMPY_SCALAR = 51

_BUILTINS: tuple[type, ...] = (str, int, float, bytes, list, dict, set, frozenset, tuple)


class NotAllowedError(Exception):
    """A class is missing from the allow-list; the arguments are its module and name."""


def kind_of(cls: type) -> int | None:
    """Return the code of the way values of a class are stored; `None` if there is none."""
    if issubclass(cls, Enum):
        return ENUM
    if dataclasses.is_dataclass(cls):
        return DATACLASS
    if hasattr(cls, "__pydantic_validator__") and hasattr(cls, "__pydantic_fields__"):
        return PYDANTIC
    if hasattr(cls, "__attrs_attrs__"):
        return ATTRS
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return NAMED_TUPLE
    if issubclass(cls, _BUILTINS) and cls not in _BUILTINS:
        return SUBCLASS
    return None


def to_plain(obj: Any, allowed: AllowList) -> tuple[int, Any]:
    """Return `(code, plain data)` for a value.

    Raises:
        NotAllowedError: its class is not on the allow-list.
        TypeError: values of its class cannot be stored.
    """
    cls = type(obj)
    if cls.__module__ == "numpy" and (array := _numpy_to_plain(obj)) is not None:
        return array
    kind = kind_of(cls)
    if kind is None:
        raise TypeError(
            "msgpack has no form for it; make it a dataclass, a pydantic model, a named tuple, an "
            "enum or plain data, keep it in an untracked cell, or ask for pickle with "
            "JsonPlusSerializer(pickle_fallback=True)"
        )
    if not allowed.admits(cls):
        raise NotAllowedError(*class_name(cls))
    module, name = class_name(cls)
    return kind, [module, name, _TO_PLAIN[kind](obj)]


def from_plain(code: int, plain: Any, allowed: AllowList) -> Any:
    """Rebuild a value from its code and plain data.

    Raises:
        SerializationError: its class is not allowed, is gone, or is no longer of that kind.
    """
    if code in (NUMPY_ARRAY, NUMPY_SCALAR):
        return _numpy_from_plain(code, plain)
    rebuild = _FROM_PLAIN.get(code)
    if rebuild is None:
        raise SerializationError(f"the checkpoint holds an unknown extension code {code}")
    module, name, data = plain
    cls = allowed.resolve(module, name)
    if kind_of(cls) != code:
        raise SerializationError(
            f"{module}.{name} has changed its nature since the checkpoint was written"
        )
    return rebuild(cls, data)


# -- one pair of functions a kind -------------------------------------------------------------


def _dataclass_to_plain(obj: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(obj)]
    return {name: getattr(obj, name) for name in names if hasattr(obj, name)}


def _fields_from_plain(cls: type, data: dict[str, Any]) -> Any:
    obj: Any = object.__new__(cls)
    for name, value in data.items():
        object.__setattr__(obj, name, value)
    return obj


def _dataclass_from_plain(cls: Any, data: dict[str, Any]) -> Any:
    obj: Any = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in data:
            object.__setattr__(obj, field.name, data[field.name])
        elif field.default is not dataclasses.MISSING:
            # A field that the class has gained since: its default, as a new object would have.
            object.__setattr__(obj, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(obj, field.name, field.default_factory())
    return obj


def _pydantic_to_plain(obj: Any) -> list[Any]:
    state = obj.__getstate__()
    return [
        state["__dict__"],
        list(state["__pydantic_fields_set__"]),
        state["__pydantic_extra__"],
        _private(state["__pydantic_private__"]),
    ]


def _private(private: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if private is None else dict(private)


def _pydantic_from_plain(cls: Any, data: list[Any]) -> Any:
    obj = cls.__new__(cls)
    obj.__setstate__(
        {
            "__dict__": data[0],
            "__pydantic_fields_set__": set(data[1]),
            "__pydantic_extra__": data[2],
            "__pydantic_private__": data[3],
        }
    )
    return obj


def _attrs_to_plain(obj: Any) -> dict[str, Any]:
    names = [attribute.name for attribute in type(obj).__attrs_attrs__]
    return {name: getattr(obj, name) for name in names if hasattr(obj, name)}


def _enum_to_plain(obj: Any) -> list[Any]:
    # A combination of flags has no name of its own in every Python version; its value will do.
    cls = type(obj)
    return [obj.name, None] if obj.name in cls.__members__ else [None, obj.value]


def _enum_from_plain(cls: Any, data: list[Any]) -> Any:
    if data[0] is None:
        return cls(data[1])
    if data[0] not in cls.__members__:
        raise SerializationError(f"{cls.__qualname__} has no member {data[0]} any more")
    return cls[data[0]]


def _subclass_to_plain(obj: Any) -> Any:
    base = next(kind for kind in _BUILTINS if isinstance(obj, kind))
    return base(obj)


def _subclass_from_plain(cls: Any, data: Any) -> Any:
    return cls(data)


_TO_PLAIN: dict[int, Callable[[Any], Any]] = {
    DATACLASS: _dataclass_to_plain,
    PYDANTIC: _pydantic_to_plain,
    ATTRS: _attrs_to_plain,
    NAMED_TUPLE: list,
    ENUM: _enum_to_plain,
    SUBCLASS: _subclass_to_plain,
}
_FROM_PLAIN: dict[int, Callable[[Any, Any], Any]] = {
    DATACLASS: _dataclass_from_plain,
    PYDANTIC: _pydantic_from_plain,
    ATTRS: _fields_from_plain,
    NAMED_TUPLE: lambda cls, data: cls._make(data),
    ENUM: _enum_from_plain,
    SUBCLASS: _subclass_from_plain,
}


def _numpy_to_plain(obj: Any) -> tuple[int, Any] | None:
    numpy = sys.modules["numpy"]
    if isinstance(obj, numpy.ndarray):
        if obj.dtype.hasobject or obj.dtype.names is not None:
            raise TypeError(
                f"an array of dtype {obj.dtype} has no portable bytes; store plain columns"
            )
        order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
        return NUMPY_ARRAY, [obj.dtype.str, list(obj.shape), order, obj.tobytes(order)]
    if isinstance(obj, numpy.generic):
        if obj.dtype.hasobject or obj.dtype.names is not None:
            raise TypeError(f"a value of dtype {obj.dtype} has no portable bytes")
        return NUMPY_SCALAR, [obj.dtype.str, obj.tobytes()]
    return None


def _numpy_from_plain(code: int, plain: list[Any]) -> Any:
    import numpy

    if code == NUMPY_SCALAR:
        return numpy.frombuffer(plain[1], plain[0])[0]
    dtype, shape, order, raw = plain
    # A copy, because an array on top of the stored bytes could not be written to.
    return numpy.frombuffer(raw, dtype).reshape(shape, order=order).copy(order)
