"""What a saver remembers of the namespaces that it wrote to last.

All of it can be read from the file, or done without; it is here so that the next step need not.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from taskloom.pregel.checkpoint.frame import Frame
from taskloom.pregel.checkpoint.patch import Chain

_REMEMBERED = 128  # lines


@dataclass(slots=True)
class Line:
    """One namespace of a thread."""

    number: int
    count: int
    """How many checkpoints it has."""
    root: str
    """The newest checkpoint of the root namespace that it belongs to."""
    frame: Frame = field(default_factory=lambda: Frame("", {}, {}))
    chains: dict[str, Chain] = field(default_factory=dict)
    since_sweep: int = 0


class Lines:
    """The lines used last, by thread and namespace."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[str, str], Line] = OrderedDict()

    def get(self, thread_id: str, namespace: str) -> Line | None:
        """Return what is remembered of a line."""
        found = self._lines.get((thread_id, namespace))
        if found is not None:
            self._lines.move_to_end((thread_id, namespace))
        return found

    def add(self, thread_id: str, namespace: str, line: Line) -> Line:
        """Remember a line, and forget the one that was used longest ago."""
        self._lines[thread_id, namespace] = line
        if len(self._lines) > _REMEMBERED:
            self._lines.popitem(last=False)
        return line

    def forget_thread(self, thread_id: str) -> None:
        """Forget the lines of a thread."""
        for key in [key for key in self._lines if key[0] == thread_id]:
            del self._lines[key]

    def forget(self) -> None:
        """Forget all lines."""
        self._lines.clear()

    def numbered(self, number: int) -> Line | None:
        """Return what is remembered of the line with this number."""
        return next((line for line in self._lines.values() if line.number == number), None)
