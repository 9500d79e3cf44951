"""Engine values that a saver gave back as plain data, because its serializer blocks their class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskloom.pregel.constants import INTERRUPT, TASKS
from taskloom.pregel.policy import TimeoutPolicy
from taskloom.pregel.types import Interrupt, Send


def send(value: Any) -> Any:
    """A `Send`, whatever form it was stored in."""
    if isinstance(value, dict) and "node" in value:
        value = (value["node"], value.get("arg"), value.get("timeout"))
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 3:
        return value
    node, arg, *rest = value
    limit = rest[0] if rest else None
    return Send(node, arg, timeout=TimeoutPolicy(**limit) if isinstance(limit, dict) else limit)


def interrupt(value: Any) -> Any:
    """An `Interrupt`, whatever form it was stored in."""
    if isinstance(value, dict) and "id" in value:
        return Interrupt(value.get("value"), value["id"], value.get("response_schema"))
    return value


def pending_writes(writes: Iterable[Any] | None) -> list[tuple[str, str, Any]]:
    """Stored writes, with the engine's values in them as such."""
    return [(str(tid), key, _written(key, value)) for tid, key, value in writes or ()]


def _written(key: str, value: Any) -> Any:
    if key == INTERRUPT:
        asked = value if isinstance(value, list | tuple) else (value,)
        return tuple(interrupt(item) for item in asked)
    return send(value) if key == TASKS else value
