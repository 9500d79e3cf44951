"""Latches that the tests of the executor share."""

from __future__ import annotations

import threading
from typing import Any


class Gate:
    """Keeps one worker busy until it is opened."""

    def __init__(self, executor: Any) -> None:
        self._opened = threading.Event()
        entered = threading.Event()
        self.future = executor.submit(self._run, entered)
        assert entered.wait(30)

    def _run(self, entered: threading.Event) -> None:
        entered.set()
        assert self._opened.wait(30)

    def open(self) -> None:
        self._opened.set()
