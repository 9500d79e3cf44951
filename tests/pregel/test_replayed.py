"""Threads whose batch-reduced cells are stored, as LangGraph does, as the writes to be replayed."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, NamedTuple, TypedDict

import pytest
from taskloom.pregel import START, StateGraph
from taskloom.pregel.channels import DeltaChannel
from taskloom.pregel.checkpoint.memory import InMemorySaver

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class _DeltaSnapshot(NamedTuple):
    value: Any


class WritesOnly(InMemorySaver):
    """Keeps a full value of the cell `log` in every so many checkpoints, wrapped, or never."""

    every = 0

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        values = dict(checkpoint["channel_values"])
        held = values.pop("log", None)
        if held is not None and self.every and metadata["step"] % self.every == 0:
            values["log"] = _DeltaSnapshot(held)
        kept = {**checkpoint, "channel_values": values}
        return super().put(config, kept, metadata, new_versions)


def extended(held: list[str], writes: list[list[str]]) -> list[str]:
    return [*held, *(item for write in writes for item in write)]


class State(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(extended)]
    plain: Annotated[list[str], operator.add]


def both(*items: str) -> Any:
    return {"log": list(items), "plain": list(items)}


def graph(saver: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([("a", lambda state: both("a")), ("b", lambda state: both("b", "b"))])
    return builder.add_edge(START, "a").compile(checkpointer=saver)


@pytest.fixture(params=[0, 3], ids=["never", "now and then"])
def saver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> InMemorySaver:
    monkeypatch.setattr(WritesOnly, "every", request.param)
    return WritesOnly()


def test_what_is_not_stored_in_full_is_replayed(saver: InMemorySaver) -> None:
    graph(saver).invoke(both("in"), CONFIG)
    graph(saver).invoke(both("more"), CONFIG)
    stored = [found.checkpoint["channel_values"] for found in saver.list(CONFIG)]
    assert any("log" not in values and values.get("plain") for values in stored)
    for state in graph(saver).get_state_history(CONFIG):
        assert state.values.get("log", []) == state.values.get("plain", [])
    now = asyncio.run(graph(saver).aget_state(CONFIG)).values
    assert now["log"] == ["in", "a", "b", "b", "more", "a", "b", "b"]


def test_a_thread_goes_on_from_and_is_updated_upon_what_is_replayed(saver: InMemorySaver) -> None:
    graph(saver).invoke(both("in"), CONFIG)
    later = graph(saver).invoke(both("more"), CONFIG)
    assert later["log"] == later["plain"]
    graph(saver).update_state(CONFIG, both("edit"), as_node="b")
    assert graph(saver).get_state(CONFIG).values["log"] == [*later["log"], "edit"]
