"""Stores: values by namespace and key, beside the state of threads."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from taskloom.pregel import START, Runtime, StateGraph, entrypoint, get_store, task
from taskloom.pregel.store import BaseStore, InMemoryStore
from taskloom.pregel.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    PutOp,
    SearchOp,
)

ADA, BOB = ("users", "ada"), ("users", "bob")


def filled() -> InMemoryStore:
    store = InMemoryStore()
    store.put(ADA, "likes", {"food": "pizza", "level": 3, "tags": ["a", "b"]})
    store.put(ADA, "notes", {"food": "soup", "level": 1, "deep": {"x": 1, "y": 2}})
    store.put(BOB, "likes", {"food": "pizza", "level": 5})
    return store


def test_what_is_put_is_found_again_under_its_namespace_and_key() -> None:
    item = filled().get(ADA, "likes")
    assert item is not None
    assert (item.namespace, item.key, item.value["food"]) == (ADA, "likes", "pizza")


def test_another_namespace_holds_nothing_of_it() -> None:
    assert filled().get(("users",), "likes") is None


def test_a_put_replaces_the_value_and_keeps_the_time_of_creation() -> None:
    store = filled()
    before = store.get(ADA, "likes")
    store.put(ADA, "likes", {"food": "rice"})
    after = store.get(ADA, "likes")
    assert before is not None
    assert after is not None
    assert after.value == {"food": "rice"}
    assert after.created_at == before.created_at
    assert after.updated_at >= before.updated_at


def test_changing_a_value_outside_of_the_store_does_not_change_it() -> None:
    store, value = InMemoryStore(), {"list": [1]}
    store.put(ADA, "k", value)
    value["list"].append(2)
    found = store.get(ADA, "k")
    assert found is not None
    found.value["list"].append(3)
    again = store.get(ADA, "k")
    assert again is not None
    assert again.value == {"list": [1]}


def test_what_is_deleted_is_gone_and_its_empty_namespace_too() -> None:
    store = filled()
    store.delete(BOB, "likes")
    assert store.get(BOB, "likes") is None
    assert store.list_namespaces() == [ADA]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"food": "pizza"}, ["likes", "likes"]),
        ({"level": {"$gt": 1}}, ["likes", "likes"]),
        ({"level": {"$gte": 1, "$lt": 3}}, ["notes"]),
        ({"level": {"$ne": 5}}, ["likes", "notes"]),
        ({"level": {"$lte": 1}}, ["notes"]),
        ({"deep": {"x": 1}}, ["notes"]),
        ({"tags": ["a", "b"]}, ["likes"]),
        ({"missing": {"$gt": 1}}, []),
    ],
)
def test_a_search_selects_by_filter(given: dict[str, Any], found: list[str]) -> None:
    assert [item.key for item in filled().search(("users",), filter=given)] == found


def test_an_unknown_operator_of_a_filter_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'\$near'.*\$eq"):
        filled().search((), filter={"level": {"$near": 1}})


def test_a_search_takes_limit_and_offset() -> None:
    found = filled().search((), limit=2, offset=1)
    assert [(item.namespace[1], item.key) for item in found] == [("ada", "notes"), ("bob", "likes")]


def test_namespaces_are_listed_by_prefix_suffix_wildcard_and_depth() -> None:
    store = InMemoryStore()
    for namespace in [("a", "b", "f"), ("a", "c", "f"), ("b", "a", "f"), ("a", "b", "d", "e")]:
        store.put(namespace, "k", {})
    assert store.list_namespaces(prefix=("a", "*", "f")) == [("a", "b", "f"), ("a", "c", "f")]
    assert store.list_namespaces(suffix=("a", "f")) == [("b", "a", "f")]
    assert store.list_namespaces(prefix=("a",), max_depth=2) == [("a", "b"), ("a", "c")]
    assert store.list_namespaces(limit=1, offset=1) == [("a", "b", "f")]


@pytest.mark.parametrize("namespace", [(), ("a", ""), ("a.b",), ("langgraph", "x"), ("a", 1)])
def test_a_namespace_that_cannot_be_one_is_refused(namespace: Any) -> None:
    with pytest.raises(InvalidNamespaceError):
        InMemoryStore().put(namespace, "k", {})


def test_a_batch_reads_what_was_there_before_its_puts() -> None:
    store = filled()
    got, found, spaces, put = store.batch(
        [GetOp(BOB, "new"), SearchOp(BOB), ListNamespacesOp(), PutOp(BOB, "new", {"n": 1})]
    )
    assert (got, len(found or []), spaces, put) == (None, 1, [ADA, BOB], None)
    assert store.get(BOB, "new") is not None


def test_items_expire_by_their_own_time_to_live_or_the_stores() -> None:
    now = [0.0]
    store = InMemoryStore(ttl={"default_ttl": 2.0, "refresh_on_read": False}, clock=lambda: now[0])
    store.put(ADA, "default", {})
    store.put(ADA, "long", {}, ttl=5.0)
    store.put(ADA, "ever", {}, ttl=None)
    now[0] = 121.0  # seconds, where times to live are minutes
    assert [item.key for item in store.search(())] == ["long", "ever"]
    now[0] = 301.0
    assert store.get(ADA, "long") is None
    assert store.get(ADA, "ever") is not None


def test_reading_an_item_begins_its_time_anew() -> None:
    now = [0.0]
    store = InMemoryStore(clock=lambda: now[0])
    store.put(ADA, "k", {}, ttl=1.0)
    now[0] = 50.0
    assert store.get(ADA, "k") is not None
    now[0] = 100.0
    assert store.get(ADA, "k", refresh_ttl=False) is not None
    now[0] = 110.0
    assert store.get(ADA, "k") is None


def test_a_store_that_cannot_forget_by_time_refuses_a_time_to_live() -> None:
    class Plain(BaseStore):
        def batch(self, ops: Any) -> list[Any]:
            return [None for _ in ops]

        async def abatch(self, ops: Any) -> list[Any]:
            return self.batch(ops)

    with pytest.raises(NotImplementedError, match="ttl"):
        Plain().put(ADA, "k", {}, ttl=1.0)


def test_an_index_to_search_by_meaning_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="index"):
        InMemoryStore(index={"dims": 3})


def test_the_async_methods_do_what_the_others_do() -> None:
    async def use() -> tuple[Any, ...]:
        store = InMemoryStore()
        await store.aput(ADA, "k", {"n": 1})
        found = await store.asearch(("users",))
        spaces = await store.alist_namespaces()
        await store.adelete(ADA, "k")
        return [item.value for item in found], spaces, await store.aget(ADA, "k")

    assert asyncio.run(use()) == ([{"n": 1}], [ADA], None)


def test_an_item_is_made_again_from_its_dict() -> None:
    item = filled().get(ADA, "likes")
    assert item is not None
    assert Item(**item.dict()) == item


class State(TypedDict):
    n: int


def test_a_node_gets_the_store_by_parameter_by_runtime_and_by_call() -> None:
    store, seen = InMemoryStore(), []

    def work(state: State, runtime: Runtime[Any], *, store: BaseStore) -> State:
        seen.extend([runtime.store, store, get_store()])
        store.put(("seen",), str(state["n"]), {"n": state["n"]})
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.compile(store=store).invoke({"n": 7})
    assert seen == [store, store, store]
    assert [item.key for item in store.search(("seen",))] == ["7"]


def test_a_task_of_an_entrypoint_gets_the_store() -> None:
    store = InMemoryStore()

    @task
    def remember(n: int, *, store: BaseStore) -> int:
        store.put(("n",), "last", {"n": n})
        return n

    @entrypoint(store=store)
    def main(n: int) -> int:
        return remember(n).result()

    assert main.invoke(3) == 3
    found = store.get(("n",), "last")
    assert found is not None
    assert found.value == {"n": 3}
