"""The cache of nodes' results in a file."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from taskloom.pregel import START, CachePolicy, StateGraph
from taskloom.pregel.cache.sqlite import SqliteCache

KEY = (("node", "a"), "k")


class State(TypedDict):
    given: int
    found: Annotated[list[int], operator.add]


def test_what_was_cached_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with SqliteCache(path=path) as cache:
        cache.set({KEY: ([("x", {"n": 1})], None)})
    with SqliteCache(path=path) as cache:
        assert [tuple(w) for w in cache.get([KEY])[KEY]] == [("x", {"n": 1})]


def test_what_has_expired_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("taskloom.pregel.cache.sqlite.time.time", lambda: now[0])
    with SqliteCache(path=":memory:") as cache:
        cache.set({KEY: (1, 10)})
        assert cache.get([KEY]) == {KEY: 1}
        now[0] = 1010.0
        assert cache.get([KEY]) == {}


def test_clearing_a_namespace_leaves_the_others() -> None:
    other = (("node", "b"), "k")
    with SqliteCache(path=":memory:") as cache:
        cache.set({KEY: (1, None), other: (2, None)})
        cache.clear([KEY[0]])
        assert cache.get([KEY, other]) == {other: 2}
        cache.clear()
        assert cache.get([other]) == {}


def test_a_cached_node_does_not_run_again_in_another_process_of_the_graph(tmp_path: Path) -> None:
    ran = []

    def work(state: State) -> Any:
        ran.append(state["given"])
        return {"found": [state["given"] * 2]}

    def run() -> Any:
        with SqliteCache(path=tmp_path / "cache.sqlite") as cache:
            builder = StateGraph(State)
            builder.add_node("work", work, cache_policy=CachePolicy())
            builder.add_edge(START, "work")
            return builder.compile(cache=cache).invoke({"given": 4})

    assert run() == run() == {"given": 4, "found": [8]}
    assert ran == [4]


def test_the_async_methods_do_what_the_others_do() -> None:
    async def use() -> Any:
        with SqliteCache(path=":memory:") as cache:
            await cache.aset({KEY: ("v", None)})
            found = await cache.aget([KEY])
            await cache.aclear()
            return found, await cache.aget([KEY])

    assert asyncio.run(use()) == ({KEY: "v"}, {})
