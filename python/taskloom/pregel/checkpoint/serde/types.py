"""The reserved names under which a task's special writes are stored.

They are LangGraph's own, because its savers treat writes under these names specially.
"""

from dataclasses import dataclass
from typing import Any

ERROR = "__error__"
"""A task's failure, as text."""
SCHEDULED = "__scheduled__"
"""A task that has been scheduled and has written nothing yet."""
INTERRUPT = "__interrupt__"
"""What a task asks of the human in the loop."""
RESUME = "__resume__"
"""The answer to an interrupt."""
TASKS = "__pregel_tasks"
"""The cell that holds the `Send`s of a step."""


@dataclass(frozen=True, slots=True)
class DeltaSnapshot:
    """A `DeltaChannel`'s whole value as LangGraph stores it now and then; see `channels.delta`."""

    value: Any


_DeltaSnapshot = DeltaSnapshot  # the name that LangGraph's programs import
