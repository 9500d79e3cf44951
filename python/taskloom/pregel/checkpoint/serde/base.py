"""What a saver asks of a serializer, and the error it raises."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


class SerializationError(TypeError):
    """A value cannot be written to, or read from, a checkpoint as things are configured.

    The message names the type, where in the value it was found, and how to allow it.
    """


@runtime_checkable
class SerializerProtocol(Protocol):
    """Turns a value into a tagged byte string and back.

    The tag says how the bytes were made, so that one store can hold values written under
    several settings.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return `(tag, bytes)` for a value."""
        ...

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a `(tag, bytes)` pair."""
        ...
