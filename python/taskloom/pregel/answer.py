"""What an answer to a question of a node must look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_INVALID = "_taskloom_invalid_answer"


def is_invalid_resume(error: BaseException) -> bool:
    """Whether `error` was raised because an answer did not fit the `response_schema`.

    Nothing has been stored then, and the question can be answered again.
    """
    return getattr(error, _INVALID, False) is True


def checked_by(response_schema: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    """What is shown of a schema, as JSON Schema, and what validates an answer by it, if anything.

    Args:
        response_schema: a JSON Schema dict, which is only shown; or a pydantic model, dataclass or
            TypedDict.
    """
    if response_schema is None or isinstance(response_schema, dict):
        return response_schema, None
    from pydantic import TypeAdapter

    adapter: Any = TypeAdapter(response_schema)

    def check(answer: Any) -> Any:
        try:
            return adapter.validate_python(answer)
        except Exception as error:
            setattr(error, _INVALID, True)
            raise

    return adapter.json_schema(), check
