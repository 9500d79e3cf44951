"""Lines on the terminal that say how far a run is, and what goes on in it, while it does."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from taskloom.observe.progress import RunProgress, branches, parts_of_run, progress_of_run
from taskloom.observe.report import format_seconds

__all__ = ["LiveLine"]

#: Seconds between two looks.
INTERVAL = 0.1
#: How many lines there are at most below that of the run.
MOST = 12

_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


class LiveLine:
    """Paints the progress of a run until the block ends; nothing if nobody sees it.

    Below the line of the run stand the tasks, runs and scopes that are parts of it, as a tree:
    those that say how far they are. In the end the run's own line stays. `executor` is where they
    are looked for; without one there is only the line. `stream` is standard error by default; where
    that is no terminal nothing is written, and where it is a dumb one only the line.
    """

    def __init__(
        self,
        run: Any,
        executor: Any = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._executor = executor if os.environ.get("TERM", "dumb") != "dumb" else None
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._began = clock()
        self._over = threading.Event()
        self._width = 0
        self._below = 0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._is_seen():
            self._thread = threading.Thread(target=self._go_on, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._executor = None  # What went on in the run is over.
            self.paint()
            self._write("\n")

    def _is_seen(self) -> bool:
        try:
            return self._stream.isatty()
        except (AttributeError, ValueError):  # no stream, or a closed one
            return False

    def _go_on(self) -> None:
        while not self._over.wait(INTERVAL):
            self.paint()

    def line(self) -> str:
        """What the line says now."""
        progress: RunProgress = progress_of_run(self._run)
        return f"{progress}, {format_seconds(self._clock() - self._began)}"

    def tree(self) -> list[str]:
        """The lines below it."""
        if self._executor is None:
            return []
        lines = branches(parts_of_run(self._executor, self._run))
        if len(lines) > MOST:
            left = len(lines) - MOST + 1
            lines[MOST - 1 :] = [f"  ... and {left} more"]
        return lines

    def paint(self) -> None:
        """Writes the lines over what they said before."""
        text, lines = self.line(), self.tree()
        up = f"\x1b[{self._below}A" if self._below else ""
        if lines or self._below:
            # A line that the terminal breaks in two would be counted as one.
            columns = shutil.get_terminal_size().columns - 1
            shown = [line[:columns] + _CLEAR_LINE for line in (text, *lines)]
            self._write(f"{up}\r" + "\n".join(shown) + _CLEAR_BELOW)
        else:
            self._write(f"\r{text:<{self._width}}")
        self._width, self._below = len(text), len(lines)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone: the run is what matters
            self._over.set()
