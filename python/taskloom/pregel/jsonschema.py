"""JSON schemas of what graphs take and return. Needs pydantic."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints, is_typeddict

from taskloom.pregel.constants import ROOT
from taskloom.pregel.schema import is_pydantic

if TYPE_CHECKING:
    from taskloom.pregel.pregel import Pregel


def _of_type(schema: Any, title: str | None = None) -> dict[str, Any]:
    from pydantic import TypeAdapter, create_model

    if is_typeddict(schema) and sys.version_info < (3, 12):
        # pydantic cannot look into typing.TypedDict there.
        hints = get_type_hints(schema)
        required: Any = schema.__required_keys__
        typed: Any = {k: (t, ...) if k in required else (t, None) for k, t in hints.items()}
        return create_model(schema.__name__, **typed).model_json_schema()
    adapter: Any = TypeAdapter(schema)
    found: dict[str, Any] = adapter.json_schema()
    if is_dataclass(schema):
        _relax(found, schema)
    return found if title is None or "title" in found else {"title": title, **found}


def _relax(found: dict[str, Any], schema: Any) -> None:
    """Let a dataclass's fields be left out that may be None, as LangGraph does."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        optional = type(None) in get_args(hints[field.name])
        if optional and field.default is MISSING and field.default_factory is MISSING:
            found["required"].remove(field.name)
            found["properties"][field.name]["default"] = None
    if not found.get("required", True):
        del found["required"]


def _of_cells(graph: Pregel, keys: str | Sequence[str], attribute: str, title: str) -> Any:
    if isinstance(keys, str):
        return _of_type(getattr(graph.channels[keys], attribute), title)
    from pydantic import create_model

    typed: Any = {key: (getattr(graph.channels[key], attribute), None) for key in keys}
    return create_model(title, **typed).model_json_schema()


def _model(schema: Any, title: str) -> Any:
    from pydantic import RootModel, create_model

    if is_pydantic(schema):
        return schema
    return create_model(title, __base__=RootModel[schema])


def _model_of_cells(graph: Pregel, keys: str | Sequence[str], attribute: str, title: str) -> Any:
    if isinstance(keys, str):
        return _model(getattr(graph.channels[keys], attribute), title)
    from pydantic import create_model

    typed: Any = {key: (getattr(graph.channels[key], attribute), None) for key in keys}
    return create_model(title, **typed)


def input_model(graph: Pregel) -> Any:
    """A pydantic model of what `invoke` takes."""
    builder = getattr(graph, "builder", None)
    title = f"{graph.name}Input"
    if builder is not None:
        return _model(builder.input_schema, title)
    return _model_of_cells(graph, graph.input_channels, "UpdateType", title)


def output_model(graph: Pregel) -> Any:
    """A pydantic model of what `invoke` returns."""
    builder = getattr(graph, "builder", None)
    title = f"{graph.name}Output"
    if builder is not None:
        return _model(builder.output_schema, title)
    return _model_of_cells(graph, graph.output_channels, "ValueType", title)


def input_schema(graph: Pregel) -> dict[str, Any]:
    """The schema of what `invoke` takes."""
    builder = getattr(graph, "builder", None)
    title = f"{graph.name}Input"
    if builder is not None and ROOT not in builder.schemas[builder.input_schema]:
        return _of_type(builder.input_schema)
    found: dict[str, Any] = _of_cells(graph, graph.input_channels, "UpdateType", title)
    return found


def output_schema(graph: Pregel) -> dict[str, Any]:
    """The schema of what `invoke` returns."""
    builder = getattr(graph, "builder", None)
    title = f"{graph.name}Output"
    if builder is not None and ROOT not in builder.schemas[builder.output_schema]:
        return _of_type(builder.output_schema)
    found: dict[str, Any] = _of_cells(graph, graph.output_channels, "ValueType", title)
    return found


def context_schema(graph: Pregel) -> dict[str, Any] | None:
    """The schema of the context, or None.

    Raises:
        ValueError: the context's class has no schema.
    """
    schema = graph.context_schema
    if schema is None:
        return None
    if is_pydantic(schema) or hasattr(schema, "__annotations__"):
        return _of_type(schema)
    raise ValueError(
        f"Invalid context schema type: {schema}. Must be a BaseModel, TypedDict or dataclass."
    )
