"""What the loop asks its driver for, and what stands for input among tasks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.pregel.constants import INPUT

if TYPE_CHECKING:
    from taskloom.pregel.tasks import Task


class Effect(NamedTuple):
    """Something that a driver does for the loop: a call of the saver, or waiting for it."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] | None = None


RUN = Effect("run")
"""Run the tasks of the superstep to their ends."""
DRAIN = Effect("drain")
"""Wait until everything handed to the saver is stored."""

Steps = Generator[Effect, Any, None]


class NullTask:
    """Stands for the run's input where a task is expected: it has writes and no trigger."""

    __slots__ = ("name", "triggers", "writes")

    def __init__(self, writes: list[tuple[str, Any]], name: str = INPUT) -> None:
        self.name = name
        self.triggers: tuple[str, ...] = ()
        self.writes = writes


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """Tasks in the order in which their writes are applied: nodes by name, then sends."""
    return sorted(tasks, key=_order)


def _order(task: Task) -> tuple[int, str, int]:
    origin = task.failed or task
    return (0, origin.name, 0) if origin.index < 0 else (1, "", origin.index)
