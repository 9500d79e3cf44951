"""Classes that a state schema declares need no entry in the allow-list."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, Optional, TypedDict, TypeVar

import pytest
from taskloom.pregel import END, START, Command, StateGraph, entrypoint, interrupt, task
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.serde.base import SerializationError
from taskloom.pregel.checkpoint.serde.declared import allowing, declared_classes
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

T = TypeVar("T")


class Size(enum.Enum):
    SMALL = 1


@dataclass
class Item:
    size: Size
    inside: Item | None = None


class Pair(NamedTuple):
    left: Item
    right: int


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Undeclared:
    x: int


class State(TypedDict, total=False):
    items: Annotated[list[Item], lambda a, b: a + b]
    anything: Any


class Odd(TypedDict):
    unknown: "NoSuchName"  # type: ignore[name-defined]  # noqa: F821, UP037


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (State, {Item, Size}),
        (list[dict[str, tuple[Pair, ...]]], {Pair, Item, Size}),
        (Optional[Item], {Item, Size}),  # noqa: UP045
        (Item | None, {Item, Size}),
        (Box[Pair], {Box, Pair, Item, Size}),
        (Sequence[Size], {Size}),
        (Callable[[Size], int], {Size}),
        (type[Any] | int | str, set()),
        (Odd, set()),
        (dict, set()),
    ],
    ids=str,
)
def test_every_class_in_an_annotation_is_found(annotation: Any, expected: set[type]) -> None:
    assert declared_classes([annotation]) == expected


def test_a_saver_that_takes_everything_is_left_as_it_is() -> None:
    saver = InMemorySaver()
    assert allowing(saver, [State]) is saver


@pytest.mark.parametrize("saver", [None, True, False])
def test_what_is_no_saver_is_left_as_it_is(saver: Any) -> None:
    assert allowing(saver, [State]) is saver


def graph_of(value: Any) -> StateGraph[State]:
    graph = StateGraph(State)
    graph.add_node("node", lambda state: value)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph


CONFIG: Any = {"configurable": {"thread_id": "1"}}


def test_a_declared_class_is_stored_and_comes_back_in_another_saver(tmp_path: Path) -> None:
    graph = graph_of({"items": [Item(Size.SMALL, Item(Size.SMALL))]})
    for _ in range(2):
        with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
            result = graph.compile(checkpointer=saver).invoke({"items": []}, CONFIG)
    assert result["items"] == [Item(Size.SMALL, Item(Size.SMALL))] * 2


def test_a_class_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
        compiled = graph_of({"anything": Undeclared(1)}).compile(checkpointer=saver)
        with pytest.raises(SerializationError, match="Undeclared"):
            compiled.invoke({"items": []}, CONFIG, durability="sync")


@dataclass
class Answer:
    good: bool


def ask_for_form(state: State) -> dict[str, Any]:
    return {"anything": interrupt("?", response_schema=Answer)}


@task
def asked() -> Any:
    return interrupt("?", response_schema=Answer)


@pytest.mark.parametrize("nested", [False, True])
def test_an_answer_of_the_form_that_was_asked_for_is_stored(tmp_path: Path, nested: bool) -> None:
    graph = StateGraph(State).add_node("ask", ask_for_form).add_edge(START, "ask")
    if nested:
        graph = StateGraph(State).add_node("inner", graph.compile()).add_edge(START, "inner")
    answer: Any = Command(resume={"good": True})
    for given in ({"items": []}, answer):
        with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
            graph.compile(checkpointer=saver).invoke(given, CONFIG)
    with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
        state = graph.compile(checkpointer=saver).get_state(CONFIG)
    assert state.values["anything"] == Answer(True)


def test_an_answer_that_a_called_task_asks_for_is_stored(tmp_path: Path) -> None:
    def flow(name: str) -> Any:
        return asked().result()

    answer: Any = Command(resume={"good": True})
    for given in ("x", answer):
        with SqliteSaver.from_conn_string(tmp_path / "file") as saver:
            result = entrypoint(checkpointer=saver)(flow).invoke(given, CONFIG)
    assert result == Answer(True)
