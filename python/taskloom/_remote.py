"""What a worker process knows of the task that it runs.

Read by `current_task`, if the task asks; this module imports nothing, so that it costs a process
nothing where no task does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

__all__ = ["RemoteTask", "remote_here"]

Said = tuple[float, float | None]


class RemoteTask:
    """A task in a worker process: its name, which attempt this is, and until when it should end.

    `tell` takes what the task says of its progress to the parent.

    >>> told = []
    >>> task = RemoteTask("load", 1, None, None, told.append)
    >>> task.progress = (1.0, 2.0)
    >>> told
    [(1.0, 2.0)]
    """

    __slots__ = ("_tell", "attempt", "deadline", "last_error", "name", "token")

    def __init__(
        self,
        name: str,
        attempt: int,
        deadline: float | None,
        last_error: BaseException | None,
        tell: Callable[[Said], object],
    ) -> None:
        self.name = name
        self.attempt = attempt
        self.deadline = deadline
        self.last_error = last_error
        #: Made when it is asked for. Nobody cancels it: a cancelled task's process is killed.
        self.token: object = None
        self._tell = tell

    @property
    def progress(self) -> None:
        """Only to be set: the parent has it then."""
        return None

    @progress.setter
    def progress(self, said: Said) -> None:
        self._tell(said)


remote_here: ContextVar[RemoteTask | None] = ContextVar("taskloom_remote", default=None)
