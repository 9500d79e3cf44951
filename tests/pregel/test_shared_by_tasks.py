"""What the tasks of a run share is made once, whichever asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from taskloom.pregel import END, START, StateGraph, frame, runtime
from taskloom.pregel.context import current_task
from taskloom.pregel.stream import Stream


def run_in_a_node(body: Callable[[Any], None]) -> None:
    """Calls `body` with the run that it is a part of."""

    def node(state: dict[str, Any]) -> dict[str, Any]:
        body(current_task("this").loop)
        return {}

    graph = StateGraph(dict)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    graph.compile().invoke({})


class Interrupted:
    """Makes something, the first time while another thread asks for the same."""

    def __init__(self, make: Callable[..., Any], ask: Callable[[], Any]) -> None:
        self.make = make
        self.ask = ask
        self.found: list[Any] = []
        self.other: threading.Thread | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self.other is None:
            self.other = threading.Thread(target=lambda: self.found.append(self.ask()))
            self.other.start()
            # It comes through only if nothing holds it up.
            self.other.join(0.1)
        return self.make(*arguments)

    def both(self) -> list[Any]:
        mine = self.ask()
        assert self.other is not None
        self.other.join()
        return [mine, *self.found]


def test_tasks_that_ask_at_once_get_the_same_checkpoint_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(loop: Any) -> None:
        loop.stand_at(None)
        maker = Interrupted(frame.new_checkpoint_id, lambda: loop.checkpoint_id)
        monkeypatch.setattr(frame, "new_checkpoint_id", maker)
        first, second = maker.both()
        assert first == second

    run_in_a_node(ask)


def test_tasks_that_ask_at_once_get_the_same_control(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(loop: Any) -> None:
        maker = Interrupted(runtime.RunControl, lambda: loop.control)
        monkeypatch.setattr(runtime, "RunControl", maker)
        first, second = maker.both()
        assert first is second

    run_in_a_node(ask)


def test_reader_may_go_while_a_task_emits() -> None:
    class Left(Stream):
        """Whose reader goes away at the first look."""

        looks = 0

        @property
        def notify(self) -> Callable[[], None] | None:  # type: ignore[override]
            self.looks += 1
            return (lambda: None) if self.looks == 1 else None

        @notify.setter
        def notify(self, value: object) -> None:
            pass

    stream = Left(("custom",))
    stream.put(((), "custom", 1))
    assert list(stream.chunks) == [((), "custom", 1)]
