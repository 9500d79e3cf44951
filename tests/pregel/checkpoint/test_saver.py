"""What every saver of ours does: the same tests for each of them."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from taskloom.pregel import START, StateGraph
from taskloom.pregel.checkpoint.base import BaseCheckpointSaver
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.serde.base import SerializationError
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer
from taskloom.pregel.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from .conftest import MakeSaver
from .records import Writer, newest, steps, where

Saver = BaseCheckpointSaver[Any]
LONG_AGO = "2001-01-01T00:00:00.000000+00:00"


@dataclasses.dataclass
class Thing:
    x: int


# -- values -----------------------------------------------------------------------------------


def test_a_checkpoint_comes_back_as_it_was(saver: Saver) -> None:
    writer = Writer(saver)
    writer.seen = {"node": {"a": 1}}
    config = writer.put(a=[1, "two"], b={"k": (3, 4)})
    found = newest(saver)
    assert found.config == config
    assert found.checkpoint["channel_values"] == {"a": [1, "two"], "b": {"k": (3, 4)}}
    assert found.checkpoint["channel_versions"] == writer.versions
    assert found.checkpoint["versions_seen"] == {"node": {"a": 1}}
    assert found.checkpoint.get("updated_channels") == ["a", "b"]
    assert found.metadata == {"source": "loop", "step": -1, "parents": {}}


def test_a_cell_that_did_not_change_keeps_its_value(saver: Saver) -> None:
    writer = Writer(saver)
    writer.put(a=[1], b=[2])
    writer.put(a=[3])
    assert newest(saver).checkpoint["channel_values"] == {"a": [3], "b": [2]}


def test_an_older_checkpoint_keeps_its_values(saver: Saver) -> None:
    writer = Writer(saver)
    first = writer.put(a=[1], b=[2])
    writer.put(a=[3])
    found = saver.get_tuple(first)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": [1], "b": [2]}


def test_changing_a_value_later_does_not_change_the_past(saver: Saver) -> None:
    messages = [{"text": "first"}]
    writer = Writer(saver)
    writer.put(messages=messages)
    messages[0]["text"] = "changed"
    messages.append({"text": "second"})
    assert newest(saver).checkpoint["channel_values"] == {"messages": [{"text": "first"}]}


def test_changing_what_was_read_does_not_change_the_store(saver: Saver) -> None:
    Writer(saver).put(a=[1])
    newest(saver).checkpoint["channel_values"]["a"].append(2)
    newest(saver).checkpoint["channel_versions"].clear()
    assert newest(saver).checkpoint["channel_values"] == {"a": [1]}


def test_a_growing_list_is_whole_in_every_checkpoint(saver: Saver) -> None:
    writer = Writer(saver)
    items: list[str] = []
    for number in range(60):
        items.append(f"message number {number}")
        writer.put(items=items)
    lengths = [len(found.checkpoint["channel_values"]["items"]) for found in saver.list(where())]
    assert lengths == list(range(60, 0, -1))
    assert newest(saver).checkpoint["channel_values"]["items"] == items


def test_a_value_that_is_edited_anywhere_is_right_in_every_checkpoint(saver: Saver) -> None:
    writer = Writer(saver)
    items = [f"item number {number}" for number in range(40)]
    past = []
    for number in range(40):
        items[(number * 7) % 40] = f"changed in step {number}"
        if number % 5 == 0:
            del items[number % 30]
            items.insert(3, "inserted")
        writer.put(items=items)
        past.append(list(items))
    read = [found.checkpoint["channel_values"]["items"] for found in saver.list(where())]
    assert read == past[::-1]


def test_versions_of_a_wide_graph_are_right_in_every_checkpoint(saver: Saver) -> None:
    writer = Writer(saver)
    writer.seen = {f"node {number}": {"a": 0} for number in range(50)}
    writer.put(**{f"cell_{number}": number for number in range(100)})
    past = []
    for number in range(60):
        writer.seen[f"node {number % 50}"] = {"a": number}
        if number == 40:
            del writer.seen["node 7"]
            del writer.versions["cell_99"], writer.values["cell_99"]
        writer.put(**{f"cell_{number % 3}": number, f"new_{number // 20}": number})
        past.append((dict(writer.versions), dict(writer.values), dict(writer.seen)))
    read = [
        (c["channel_versions"], c["channel_values"], c["versions_seen"])
        for c in (found.checkpoint for found in saver.list(where(), limit=60))
    ]
    assert read == past[::-1]


def test_a_cell_without_content_has_a_version_and_no_value(saver: Saver) -> None:
    writer = Writer(saver)
    writer.put(a=1, gone=2)
    del writer.values["gone"]
    writer.versions["gone"] = version = saver.get_next_version(writer.versions["gone"], None)
    writer.put(a=3)
    found = newest(saver).checkpoint
    assert found["channel_values"] == {"a": 3}
    assert found["channel_versions"]["gone"] == version


def test_two_branches_of_a_thread_keep_their_own_values(saver: Saver) -> None:
    writer = Writer(saver)
    fork = writer.put(a=["root"])
    versions = dict(writer.versions)
    left = writer.put(a=["root", "left"])
    writer.config, writer.versions = fork, versions
    right = writer.put(a=["root", "right"])
    for config, last in ((left, "left"), (right, "right")):
        found = saver.get_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"]["a"] == ["root", last]
        assert found.parent_config == fork


def test_metadata_of_the_configuration_is_kept(saver: Saver) -> None:
    writer = Writer(saver)
    writer.config["configurable"]["user"] = "ada"
    writer.config["metadata"] = {"ticket": 12, "object": object()}
    writer.put(a=1)
    assert newest(saver).metadata == {
        "source": "loop",
        "step": -1,
        "parents": {},
        "user": "ada",
        "ticket": 12,
    }


def test_a_value_that_cannot_be_stored_names_its_cell(saver: Saver) -> None:
    with pytest.raises(SerializationError) as caught:
        Writer(saver).put(plain=1, lock=threading.Lock())
    assert "'lock'" in "".join(caught.value.__notes__)


def test_a_failed_put_leaves_nothing_behind(saver: Saver) -> None:
    with pytest.raises(SerializationError):
        Writer(saver).put(plain=1, lock=threading.Lock())
    assert saver.get_tuple(where()) is None


def test_a_saver_with_more_classes_shares_the_store(make_saver: MakeSaver) -> None:
    narrow = make_saver(serde=JsonPlusSerializer())
    wide = narrow.with_allowlist([Thing])
    with pytest.raises(SerializationError):
        Writer(narrow).put(a=Thing(1))
    Writer(wide).put(a=Thing(1))
    assert newest(wide).checkpoint["channel_values"] == {"a": Thing(1)}
    with pytest.raises(SerializationError):
        newest(narrow)


# -- pending writes ---------------------------------------------------------------------------


def test_pending_writes_come_in_the_order_of_task_paths(saver: Saver) -> None:
    config = Writer(saver).put(a=1)
    saver.put_writes(config, [("a", 1), ("b", 2)], "task-1", "path-2")
    saver.put_writes(config, [("a", 3)], "task-2", "path-1")
    assert newest(saver).pending_writes == [
        ("task-2", "a", 3),
        ("task-1", "a", 1),
        ("task-1", "b", 2),
    ]


def test_writes_of_a_task_are_stored_once(saver: Saver) -> None:
    config = Writer(saver).put(a=1)
    saver.put_writes(config, [("a", "first")], "task")
    saver.put_writes(config, [("a", "again")], "task")
    assert newest(saver).pending_writes == [("task", "a", "first")]


def test_reserved_writes_are_replaced(saver: Saver) -> None:
    config = Writer(saver).put(a=1)
    for answer in ("one", "two"):
        saver.put_writes(config, [(RESUME, answer), (ERROR, answer)], "task")
    assert newest(saver).pending_writes == [("task", RESUME, "two"), ("task", ERROR, "two")]


def test_a_reserved_write_does_not_hide_a_plain_one(saver: Saver) -> None:
    config = Writer(saver).put(a=1)
    saver.put_writes(config, [(INTERRUPT, "ask")], "task")
    saver.put_writes(config, [("a", 2)], "task")
    assert newest(saver).pending_writes == [("task", INTERRUPT, "ask"), ("task", "a", 2)]


def test_writes_belong_to_one_checkpoint(saver: Saver) -> None:
    writer = Writer(saver)
    first = writer.put(a=1)
    saver.put_writes(first, [("a", 2)], "task")
    writer.put(a=2)
    assert newest(saver).pending_writes == []


def test_a_batch_stores_all_that_is_put_in_it(saver: Saver) -> None:
    writer = Writer(saver)
    config = writer.put(a=1)
    with saver.batch():
        saver.put_writes(config, [("a", 2)], "task")
        writer.put(a=2)
    assert newest(saver).checkpoint["channel_values"] == {"a": 2}
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [("task", "a", 2)]


# -- looking up -------------------------------------------------------------------------------


def test_an_unknown_thread_has_no_checkpoint(saver: Saver) -> None:
    assert saver.get_tuple(where("nobody")) is None
    assert saver.get(where("nobody")) is None
    assert list(saver.list(where("nobody"))) == []


def test_namespaces_are_apart(saver: Saver) -> None:
    Writer(saver).put(a="outer")
    Writer(saver, namespace="sub:1").put(a="inner")
    assert newest(saver).checkpoint["channel_values"] == {"a": "outer"}
    assert newest(saver, namespace="sub:1").checkpoint["channel_values"] == {"a": "inner"}


# -- forgetting -------------------------------------------------------------------------------


def test_deleting_a_thread_leaves_the_others(saver: Saver) -> None:
    for thread_id in ("one", "two"):
        Writer(saver, thread_id).put(a=1)
        config = Writer(saver, thread_id, "sub").put(a=1)
        saver.put_writes(config, [("a", 1)], "task")
    saver.delete_thread("one")
    assert list(saver.list(where("one"))) == []
    assert len(list(saver.list(where("two")))) == 2


def test_a_deleted_thread_can_begin_anew(saver: Saver) -> None:
    writer = Writer(saver)
    for number in range(3):
        writer.put(a=["x" * 300, number])
    saver.delete_thread("t")
    Writer(saver).put(a=["x" * 300, 9])
    assert newest(saver).checkpoint["channel_values"] == {"a": ["x" * 300, 9]}
    assert newest(saver).parent_config is None


def test_deleting_a_run_leaves_the_values_of_others(saver: Saver) -> None:
    writer = Writer(saver)
    writer.put(a=["x" * 300], metadata={"run_id": "one"})
    writer.put(b=2, metadata={"run_id": "two"})
    saver.delete_for_runs(["one"])
    assert steps(saver, where()) == [0]
    assert newest(saver).checkpoint["channel_values"] == {"a": ["x" * 300], "b": 2}


def test_a_copied_thread_goes_its_own_way(saver: Saver) -> None:
    writer = Writer(saver)
    config = writer.put(a=["x" * 300])
    saver.put_writes(config, [("a", 1)], "task")
    saver.copy_thread("t", "copy")
    writer.put(a=["x" * 300, 1])
    copied = newest(saver, "copy")
    assert copied.checkpoint["channel_values"] == {"a": ["x" * 300]}
    assert copied.pending_writes == [("task", "a", 1)]
    saver.delete_thread("t")
    assert newest(saver, "copy").checkpoint["channel_values"] == {"a": ["x" * 300]}


def test_pruning_keeps_the_newest_of_each_namespace(saver: Saver) -> None:
    for namespace in ("", "sub"):
        writer = Writer(saver, namespace=namespace)
        for number in range(3):
            writer.put(a=["x" * 300, number], b=["y" * 300])
    saver.prune(["t"])
    for namespace in ("", "sub"):
        assert steps(saver, where(namespace=namespace)) == [1]
        values = newest(saver, namespace=namespace).checkpoint["channel_values"]
        assert values == {"a": ["x" * 300, 2], "b": ["y" * 300]}


def test_an_unknown_way_to_prune_is_refused(saver: Saver) -> None:
    with pytest.raises(ValueError, match="'keep_latest', 'delete'"):
        saver.prune(["t"], strategy="oldest")


# -- retention --------------------------------------------------------------------------------


def test_only_the_last_checkpoints_are_kept(make_saver: MakeSaver) -> None:
    saver = make_saver(keep_last=3)
    writer = Writer(saver)
    for number in range(200):
        writer.put(a=number, b=["x" * 300, number // 50])
        assert len(list(saver.list(where()))) == min(3, number + 1)
    assert [found.checkpoint["channel_values"]["a"] for found in saver.list(where())] == [
        199,
        198,
        197,
    ]
    assert newest(saver).checkpoint["channel_values"]["b"] == ["x" * 300, 3]


def test_old_checkpoints_go_and_the_newest_stays(make_saver: MakeSaver) -> None:
    saver = make_saver(max_age=3600)
    writer = Writer(saver)
    writer.put(a=1, ts=LONG_AGO)
    writer.put(a=2, ts=LONG_AGO)
    assert steps(saver, where()) == [0]
    writer.put(a=3)
    writer.put(a=4)
    assert steps(saver, where()) == [2, 1]


def test_subgraph_calls_of_dropped_checkpoints_go_with_them(make_saver: MakeSaver) -> None:
    saver = make_saver(keep_last=2)
    outer = Writer(saver)
    lasting = Writer(saver, namespace="lasting")
    for number in range(200):
        config = outer.put(a=number)
        parents = {"parents": {"": config["configurable"]["checkpoint_id"]}}
        Writer(saver, namespace=f"sub:{number}").put(a=number, metadata=parents)
        if number == 0:
            lasting.put(a="kept", metadata=parents)
    namespaces = {found.config["configurable"]["checkpoint_ns"] for found in saver.list(where())}
    assert {"", "lasting", "sub:199", "sub:198"} <= namespaces
    assert len(namespaces) < 80
    assert newest(saver, namespace="lasting").checkpoint["channel_values"] == {"a": "kept"}


@pytest.mark.parametrize("option", [{"keep_last": 0}, {"max_age": 0}, {"max_age": -1}])
def test_a_retention_that_keeps_nothing_is_refused(
    make_saver: MakeSaver, option: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        make_saver(**option)


# -- versions, threads, asynchrony ------------------------------------------------------------


def test_versions_grow_and_branches_do_not_share_them(saver: Saver) -> None:
    first = saver.get_next_version(None, None)
    second = saver.get_next_version(first, None)
    assert first < second < saver.get_next_version(second, None)
    assert saver.get_next_version(first, None) != second


def test_threads_may_store_side_by_side(saver: Saver) -> None:
    def work(number: int) -> None:
        writer = Writer(saver, f"t{number % 4}", f"ns{number}")
        for step in range(20):
            config = writer.put(a=["x" * 300, step])
            saver.put_writes(config, [("a", step)], "task")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    for number in range(8):
        found = newest(saver, f"t{number % 4}", f"ns{number}")
        assert found.checkpoint["channel_values"] == {"a": ["x" * 300, 19]}
        assert found.pending_writes == [("task", "a", 19)]


def test_the_asynchronous_methods_do_the_same(saver: Saver) -> None:
    async def main() -> None:
        config = Writer(saver).put(a=1)
        found = await saver.aget_tuple(where())
        assert found == saver.get_tuple(where())
        assert found is not None
        assert await saver.aget(where()) == found.checkpoint
        await saver.aput_writes(config, [("a", 2)], "task")
        checkpoint = {**found.checkpoint, "id": "f" * 36}
        await saver.aput(config, checkpoint, {"step": 7}, {})  # type: ignore[arg-type]
        assert [f.metadata.get("step") async for f in saver.alist(where())] == [7, -1]
        assert [f.pending_writes async for f in saver.alist(config)] == [[("task", "a", 2)]]
        await saver.acopy_thread("t", "copy")
        await saver.aprune(["t"])
        assert len([f async for f in saver.alist(where())]) == 1
        await saver.adelete_for_runs(["none"])
        await saver.adelete_thread("t")
        assert len([f async for f in saver.alist(None)]) == 2

    asyncio.run(main())


def test_the_history_of_a_cell_stops_at_its_last_stored_value(saver: Saver) -> None:
    writer = Writer(saver)
    config = writer.put(other=0)
    saver.put_writes(config, [("a", 1), ("other", 5)], "task")
    config = writer.put(other=5)
    saver.put_writes(config, [("a", 2)], "task")
    config = writer.put(other=6)
    saver.put_writes(config, [("a", 3)], "task")
    history = saver.get_delta_channel_history(config=config, channels=["a", "other"])
    assert history["a"] == {"writes": [("task", "a", 1), ("task", "a", 2)]}
    assert history["other"] == {"writes": [], "seed": 5}
    later = asyncio.run(saver.aget_delta_channel_history(config=config, channels=["a", "other"]))
    assert later == history


def test_versions_that_came_as_text_grow_as_text() -> None:
    stored = "00000000000000000000000000000009.0.6759219622820284"
    after: Any = InMemorySaver().get_next_version(stored, None)
    assert stored < after < InMemorySaver().get_next_version(after, None)


def test_a_serializer_of_the_users_own_hears_of_every_checkpoint() -> None:
    class Faulty(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            raise ValueError("no room")

    graph = StateGraph(str).add_node("node", lambda state: "").add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver(serde=Faulty()))
    with pytest.raises(ValueError, match="no room"):
        compiled.invoke("", {"configurable": {"thread_id": "1"}})
