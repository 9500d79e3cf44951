"""What a checkpoint says besides values comes back from memory as it was, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from taskloom.pregel.checkpoint.base import empty_checkpoint
from taskloom.pregel.checkpoint.memory import InMemorySaver

WHERE: dict[str, Any] = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}

METADATA = {
    "plain": {"source": "loop", "step": 3, "score": 0.5, "kept": True, "note": None},
    "with a map of plain values": {"parents": {"": "a", "inner": "b"}, "step": -1},
    "with an empty map": {"parents": {}},
    "with a list": {"tags": ["a", ["b"]], "step": 1},
    "with a map in a map": {"writes": {"node": {"key": [1]}}},
    "with a long number": {"step": 2**70},
    "empty": {},
}


def stored(**changes: Any) -> Any:
    saver = InMemorySaver()
    metadata = changes.pop("metadata", {})
    saver.put(WHERE, {**empty_checkpoint(), **changes}, metadata, {})
    return saver.get_tuple(WHERE)


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    assert stored(metadata=metadata).metadata == metadata


@pytest.mark.parametrize("updated", [None, [], ["b", "a"]])
def test_updated_cells_come_back_in_their_order(updated: list[str] | None) -> None:
    assert stored(updated_channels=updated).checkpoint["updated_channels"] == updated


@pytest.mark.parametrize("version", [1, 2**40, 1.5, "0001.5"])
def test_versions_of_any_kind_come_back(version: Any) -> None:
    versions = {"a": version, "b": version}
    seen = {"node": {"a": version}, "other": {}}
    found = stored(channel_versions=versions, versions_seen=seen).checkpoint
    assert (found["channel_versions"], found["versions_seen"]) == (versions, seen)


def test_a_checkpoint_does_not_change_with_the_maps_that_it_was_made_of() -> None:
    saver = InMemorySaver()
    versions, metadata = {"a": 1}, {"parents": {"": "x"}}
    seen = {"node": {"a": 1}}
    made = {**empty_checkpoint(), "channel_versions": versions, "versions_seen": seen}
    saver.put(WHERE, made, metadata, {})
    versions["a"] = seen["node"]["a"] = 2
    metadata["parents"][""] = "y"
    found = saver.get_tuple(WHERE)
    assert found is not None
    assert found.checkpoint["channel_versions"] == {"a": 1}
    assert found.checkpoint["versions_seen"] == {"node": {"a": 1}}
    assert found.metadata == {"parents": {"": "x"}}


def test_what_was_read_does_not_change_what_is_stored() -> None:
    saver = InMemorySaver()
    saver.put(WHERE, {**empty_checkpoint(), "channel_versions": {"a": 1}}, {"parents": {"": 1}}, {})
    first = saver.get_tuple(WHERE)
    assert first is not None
    first.checkpoint["channel_versions"]["a"] = 9
    first.metadata["parents"][""] = 9
    second = saver.get_tuple(WHERE)
    assert second is not None
    assert second.checkpoint["channel_versions"] == {"a": 1}
    assert second.metadata["parents"] == {"": 1}


def test_metadata_that_no_form_exists_for_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match="odd"):
        stored(metadata={"odd": object()})
