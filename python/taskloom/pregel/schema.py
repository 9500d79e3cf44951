"""From a state schema (TypedDict, dataclass, pydantic model, one annotated type) to cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from inspect import Parameter, isclass, signature
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

from taskloom.pregel.channels import (
    BaseChannel,
    BinaryOperatorAggregate,
    DeltaChannel,
    LastValue,
)
from taskloom.pregel.constants import ROOT
from taskloom.pregel.managed import ManagedValue, is_managed_value

Specs = dict[str, BaseChannel[Any, Any, Any] | type[ManagedValue[Any]]]


def is_pydantic(schema: Any) -> bool:
    """Whether `schema` is a pydantic model class (without importing pydantic)."""
    return isclass(schema) and hasattr(schema, "model_fields") and hasattr(schema, "model_validate")


def check_schema(schema: Any) -> None:
    """See that a schema can be one.

    Raises:
        TypeError: it is neither a class nor an annotation.
    """
    marks = ("__annotations__", "__supertype__", "__value__")
    if isinstance(schema, type) or get_args(schema) or any(hasattr(schema, m) for m in marks):
        return
    if schema is not Any:
        raise TypeError(
            "a state's schema is a TypedDict, a dataclass, a pydantic model or an annotated type, "
            f"not {schema!r}"
        )


def cells_of(schema: Any) -> Specs:
    """The cells and managed values that a schema's keys ask for.

    A schema without annotated keys is one cell named `__root__`.

    Raises:
        ValueError: a reducer does not take two arguments.
    """
    if not hasattr(schema, "__annotations__"):
        return {ROOT: _cell(ROOT, schema, managed=False)}
    hints = get_type_hints(schema, include_extras=True)
    return {name: _cell(name, hint) for name, hint in hints.items() if name != "__slots__"}


def _cell(
    name: str, hint: Any, *, managed: bool = True
) -> BaseChannel[Any, Any, Any] | type[ManagedValue[Any]]:
    while get_origin(hint) in (Required, NotRequired):
        hint = get_args(hint)[0]
    provided = _managed(hint)
    if provided is not None:
        if not managed:
            raise ValueError(f"A managed value cannot be the whole state: {hint!r}")
        return provided
    cell = _annotated_cell(hint) or _reduced_cell(hint)
    if cell is None:
        return LastValue(hint, name)
    cell.key = name
    return cell


def _annotated_cell(hint: Any) -> BaseChannel[Any, Any, Any] | None:
    for item in getattr(hint, "__metadata__", ()):
        if isinstance(item, DeltaChannel):
            return item.of_type(getattr(hint, "__origin__", hint))
        if isinstance(item, BaseChannel):
            return item
        if isclass(item) and issubclass(item, BaseChannel):
            return item(getattr(hint, "__origin__", hint))
    return None


def _reduced_cell(hint: Any) -> BinaryOperatorAggregate[Any] | None:
    meta = getattr(hint, "__metadata__", ())
    if not meta or not callable(meta[-1]):
        return None
    reducer: Callable[[Any, Any], Any] = meta[-1]
    try:
        parameters = signature(reducer).parameters.values()
    except ValueError:  # a builtin without a signature, such as dict.__or__
        return BinaryOperatorAggregate(hint, reducer)
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    if sum(p.kind in positional for p in parameters) != 2:
        raise ValueError(
            f"Invalid reducer signature. Expected (a, b) -> c. Got {signature(reducer)}"
        )
    return BinaryOperatorAggregate(hint, reducer)


def _managed(hint: Any) -> type[ManagedValue[Any]] | None:
    meta = getattr(hint, "__metadata__", ())
    if meta:
        candidate = get_origin(meta[-1]) or meta[-1]
        if is_managed_value(candidate):
            return candidate
    inner = get_args(hint)
    if get_origin(hint) is not None and inner:
        return _managed(inner[0])
    return None


def mapper_for(keys: Sequence[str], schema: Any) -> Callable[[Any], Any] | None:
    """What turns a dict of cell values into what a node of this schema takes, or None for dicts."""
    if list(keys) == [ROOT] or not isclass(schema):
        return None
    if not (is_pydantic(schema) or is_dataclass(schema)):
        return None

    def construct(values: dict[str, Any]) -> Any:
        return schema(**values)

    return construct
