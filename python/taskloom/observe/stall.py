"""What is found where nothing moves, as a record that prints itself."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, final

from taskloom.observe.waiting import Waiting

__all__ = ["Stall", "WorkerStack"]


@final
class WorkerStack(NamedTuple):
    """What a thread was at: its name and its stack, as text.

    >>> WorkerStack("worker_0", "  File ...").thread
    'worker_0'
    """

    thread: str
    stack: str


@final
class Stall(NamedTuple):
    """What the watchdog found; `str(stall)` is the whole report.

    `seconds` is since when nothing happened, `queued` and `held` count tasks, `task` is the name of
    a hung one.

    >>> print(Stall("stall", 5.0, 3, 0, None, (), ()))
    no task has started or ended for 5 s: 3 queued, 0 held back, all workers busy
    """

    kind: Literal["deadlock", "stall", "hung"]
    seconds: float
    queued: int
    held: int
    task: str | None
    waits: tuple[Waiting, ...]
    stacks: tuple[WorkerStack, ...]

    def __str__(self) -> str:
        if self.kind == "hung":
            lines = [
                f"task {self.task!r} goes on {self.seconds:.3g} s after its time was up; a spare "
                "worker stands in for its thread"
            ]
        elif self.waits and not (self.queued or self.held or self.stacks):
            never = "cannot end" if self.kind == "deadlock" else "do not end"
            lines = [f"waits that {never}, for {self.seconds:.3g} s:"]
        else:
            who = "all workers busy" if self.kind == "stall" else "no worker can go on"
            lines = [
                f"no task has started or ended for {self.seconds:.3g} s: {self.queued} queued, "
                f"{self.held} held back, {who}"
            ]
        lines += [f"  {wait}" for wait in self.waits]
        for stack in self.stacks:
            lines += [f"  {stack.thread} is at:", *stack.stack.rstrip().splitlines()]
        return "\n".join(lines)


def stacks_of(threads: Any) -> Iterator[WorkerStack]:
    """What threads are at, those that are in Python code."""
    frames = sys._current_frames()
    for thread in sorted(threads, key=lambda thread: thread.name):
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            stack = [
                line
                for line in traceback.extract_stack(frame)
                if not line.filename.endswith(("threading.py", "_workers.py"))
            ]
            if stack:
                yield WorkerStack(thread.name, "".join(traceback.format_list(stack)))
