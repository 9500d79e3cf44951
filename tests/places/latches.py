"""Pipes by which a test and its tasks in processes wait for each other."""

from __future__ import annotations

import os
from pathlib import Path


class Latch:
    """Holds a task in its process: `pid()` once it runs, then `release()`."""

    def __init__(self, folder: Path) -> None:
        self.started, self.released = str(folder / "started"), str(folder / "released")
        os.mkfifo(self.started)
        os.mkfifo(self.released)
        self.args = (self.started, self.released)

    def pid(self) -> int:
        return int(Path(self.started).read_text())

    def release(self) -> None:
        Path(self.released).write_text("")
