"""The values that graphs and users exchange: how they are made, when they are equal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from taskloom.pregel import (
    START,
    CachePolicy,
    Command,
    CompiledStateGraph,
    GraphOutput,
    Interrupt,
    Overwrite,
    Pregel,
    PregelTask,
    RetryPolicy,
    Send,
    StateGraph,
    StateSnapshot,
    StateUpdate,
    TimeoutPolicy,
)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (Send("a", {"x": 1}), Send("a", {"x": 1}), Send("a", {"x": 2})),
        (Send("a", 1), Send(node="a", arg=1), Send("b", 1)),
        (Send("a", 1, timeout=2), Send("a", 1, timeout=timedelta(seconds=2)), Send("a", 1)),
        (Command(goto="a"), Command(goto="a"), Command(goto="b")),
        (Command(update={"x": 1}), Command(update={"x": 1}), Command(update={"x": 2})),
        (Interrupt("a", "1"), Interrupt(value="a", id="1"), Interrupt("a", "2")),
        (Overwrite([1]), Overwrite(value=[1]), Overwrite([2])),
        (StateUpdate({"x": 1}, "a"), StateUpdate({"x": 1}, as_node="a"), StateUpdate({"x": 1})),
        (PregelTask("1", "a", ()), PregelTask("1", "a", ()), PregelTask("2", "a", ())),
        (GraphOutput(1), GraphOutput(1, ()), GraphOutput(2)),
        (RetryPolicy(max_attempts=2), RetryPolicy(max_attempts=2), RetryPolicy()),
        (CachePolicy(ttl=5), CachePolicy(ttl=5), CachePolicy(ttl=6)),
        (TimeoutPolicy(run_timeout=1), TimeoutPolicy(run_timeout=1), TimeoutPolicy()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_equal_by_their_content(one: Any, same: Any, other: Any) -> None:
    assert one == same
    assert one != other


def test_sends_that_are_equal_have_one_hash() -> None:
    assert len({Send("a", 1), Send("a", 1), Send("a", 2)}) == 2


def test_a_command_shows_what_it_was_given() -> None:
    assert repr(Command(goto="a", update={"x": 1})) == "Command(update={'x': 1}, goto='a')"


def test_an_interrupt_that_an_old_version_stored_can_be_made_again() -> None:
    old = Interrupt("q", ns=["a:b", "c:d"], resumable=True, when="during")
    assert old == Interrupt.from_ns("q", "a:b|c:d")


def test_a_snapshot_is_a_tuple_of_eight() -> None:
    fields = ("values", "next", "config", "metadata", "created_at", "parent_config")
    assert StateSnapshot._fields == (*fields, "tasks", "interrupts")


def test_an_output_of_version_two_can_be_asked_for_its_cells() -> None:
    output = GraphOutput({"x": 1}, (Interrupt("q", "1"),))
    assert output["x"] == 1
    assert output["__interrupt__"] == (Interrupt("q", "1"),)
    assert "y" not in output


@pytest.mark.parametrize("count", [1, 2, 4])
def test_graphs_take_as_many_type_parameters_as_are_given(count: int) -> None:
    parameters = (dict, int, dict, dict)[:count]
    builder = StateGraph[parameters](dict).add_node("work", lambda state: {"done": True})
    assert builder.add_edge(START, "work").compile().invoke({}) == {"done": True}
    assert Pregel[parameters].__args__ == CompiledStateGraph[parameters].__args__ == parameters
