"""A line on the terminal that says how far a run is, while it goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from taskloom.observe.progress import RunProgress, progress_of_run
from taskloom.observe.report import format_seconds

__all__ = ["LiveLine"]

#: Seconds between two looks.
INTERVAL = 0.1


class LiveLine:
    """Paints the progress of a run on one line until the block ends; nothing if nobody sees it.

    `stream` is standard error by default; where that is no terminal nothing is written.
    """

    def __init__(
        self,
        run: Any,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._began = clock()
        self._over = threading.Event()
        self._width = 0
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

    def paint(self) -> None:
        """Writes the line over what it said before."""
        text = self.line()
        self._write(f"\r{text:<{self._width}}")
        self._width = len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone: the run is what matters
            self._over.set()
