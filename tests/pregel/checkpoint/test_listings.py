"""Which checkpoints a saver lists, and in which order."""

from __future__ import annotations

from typing import Any

from taskloom.pregel.checkpoint.base import BaseCheckpointSaver

from .records import Writer, steps, where

Saver = BaseCheckpointSaver[Any]


def test_checkpoints_are_listed_newest_first(saver: Saver) -> None:
    writer = Writer(saver)
    for number in range(4):
        writer.put(a=number)
    assert steps(saver, where()) == [2, 1, 0, -1]
    assert steps(saver, where(), limit=2) == [2, 1]
    assert steps(saver, where(), limit=0) == []


def test_a_listing_starts_before_a_checkpoint(saver: Saver) -> None:
    writer = Writer(saver)
    configs = [writer.put(a=number) for number in range(4)]
    assert steps(saver, where(), before=configs[2]) == [0, -1]
    assert steps(saver, where(), before=configs[2], limit=1) == [0]


def test_a_listing_filters_by_metadata(saver: Saver) -> None:
    writer = Writer(saver)
    for number in range(4):
        writer.put(a=number, metadata={"even": number % 2 == 0, "tags": [number]})
    assert steps(saver, where(), filter={"even": True}) == [1, -1]
    assert steps(saver, where(), filter={"even": True, "tags": [2]}) == [1]
    assert steps(saver, where(), filter={"even": True}, limit=1) == [1]
    assert steps(saver, where(), filter={"missing": 1}) == []


def test_a_listing_filters_by_what_is_within_metadata(saver: Saver) -> None:
    writer = Writer(saver)
    writer.put(a=1, metadata={"user": {"access-level": "public", "1st": True}, "a.b": 1})
    assert steps(saver, where(), filter={"user.access-level": "public", "a.b": 1}) == [-1]
    assert steps(saver, where(), filter={"user.1st": False}) == []
    assert steps(saver, where(), filter={"a.b.c": 1}) == []


def test_a_listing_without_thread_covers_all(saver: Saver) -> None:
    Writer(saver, "one").put(a=1)
    Writer(saver, "two", "sub").put(a=1)
    found = {
        (c.config["configurable"]["thread_id"], c.config["configurable"]["checkpoint_ns"])
        for c in saver.list(None)
    }
    assert found == {("one", ""), ("two", "sub")}


def test_a_listing_of_several_namespaces_is_newest_first_in_all(saver: Saver) -> None:
    outer, inner = Writer(saver), Writer(saver, namespace="sub")
    configs = [writer.put(a=1) for writer in (outer, inner, outer, inner)]
    assert [found.config for found in saver.list(where())] == configs[::-1]
    assert [found.config for found in saver.list(None, limit=1)] == configs[-1:]


def test_a_listing_of_one_checkpoint_has_only_it(saver: Saver) -> None:
    writer = Writer(saver)
    config = writer.put(a=1)
    writer.put(a=2)
    assert [found.config for found in saver.list(config)] == [config]
