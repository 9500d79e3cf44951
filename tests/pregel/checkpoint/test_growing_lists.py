"""A list that only grows is stored by what was added to it; whatever else happens to it is seen."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom._taskloom import _Outline
from taskloom.pregel.checkpoint.base import empty_checkpoint
from taskloom.pregel.checkpoint.memory import InMemorySaver
from taskloom.pregel.checkpoint.serde import jsonplus
from taskloom.pregel.checkpoint.serde.base import SerializationError
from taskloom.pregel.ids import checkpoint_id

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def message(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"message {number} " * 8, "calls": [{"n": number}]}


def put(saver: InMemorySaver, version: int, value: list[Any]) -> str:
    checkpoint = empty_checkpoint()
    checkpoint["id"] = checkpoint_id(version)
    checkpoint["channel_values"] = {"log": value}
    checkpoint["channel_versions"] = {"log": version}
    saver.put(CONFIG, checkpoint, {"source": "loop", "step": version}, {"log": version})
    return checkpoint["id"]


def stored(saver: InMemorySaver, id: str) -> Any:
    found = saver.get_tuple({"configurable": {**CONFIG["configurable"], "checkpoint_id": id}})
    assert found is not None
    return found.checkpoint["channel_values"]["log"]


def append(log: list[Any], number: int) -> list[Any]:
    return [*log, message(number)]


def append_many(log: list[Any], number: int) -> list[Any]:
    return [*log, *(message(number + place) for place in range(20))]


def change_in_place(log: list[Any], number: int) -> list[Any]:
    log[number % len(log)]["content"] = f"changed {number}"
    return append(log, number)


def change_deep_inside(log: list[Any], number: int) -> list[Any]:
    log[number % len(log)]["calls"].append(number)
    return log


def change_a_number_inside(log: list[Any], number: int) -> list[Any]:
    log[number % len(log)]["calls"][0]["n"] = number + 1000
    return append(log, number)


def remove(log: list[Any], number: int) -> list[Any]:
    return [*log[: number % len(log)], *log[number % len(log) + 1 :], message(0)]


def shorten(log: list[Any], number: int) -> list[Any]:
    return log[: max(1, len(log) - 2)]


def swap(log: list[Any], number: int) -> list[Any]:
    return [*reversed(log)]


def rename_a_key(log: list[Any], number: int) -> list[Any]:
    first = log[0]
    first["renamed"] = first.pop("role", None)
    return append(log, number)


def keep(log: list[Any], number: int) -> list[Any]:
    return list(log)


def add_an_object(log: list[Any], number: int) -> list[Any]:
    return [*log, {"role": {1, number}, "calls": [{}]}]


CHANGES = (append, append, append, append_many, change_in_place, change_deep_inside)
CHANGES += (change_a_number_inside, remove, shorten, swap, rename_a_key, keep, add_an_object)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(CHANGES), min_size=5, max_size=40))
def test_every_version_is_read_back_as_it_was_stored(changes: list[Any]) -> None:
    saver = InMemorySaver()
    log = [message(number) for number in range(4)]
    kept: list[tuple[str, Any]] = []
    for version, change in enumerate(changes, 1):
        log = change(log, version)
        id = put(saver, version, log)
        kept.append((id, copy.deepcopy(log)))
    for id, value in kept:
        assert stored(saver, id) == value


@pytest.mark.parametrize("length", [15, 16, 65_535, 65_536])
def test_lists_may_outgrow_the_header_of_their_length(length: int) -> None:
    saver = InMemorySaver()
    log = ["item of some length"] * (length - 2)
    ids = [put(saver, version, log + ["x"] * version) for version in range(5)]
    assert [len(stored(saver, id)) for id in ids] == [length - 2 + more for more in range(5)]


def test_what_was_stored_before_is_not_turned_into_bytes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = 0
    real = jsonplus._packb

    def counting(value: Any, *rest: Any) -> bytes:
        nonlocal packed
        raw = real(value, *rest)
        packed += len(raw)
        return raw

    monkeypatch.setattr(jsonplus, "_packb", counting)
    saver = InMemorySaver()
    log: list[Any] = []
    for version in range(400):
        log = append(log, version)
        put(saver, version, log)
    size = len(real(log))
    assert packed < 15 * size  # as a whole in every step it would be 200 times the size


def test_an_item_that_cannot_be_stored_is_named_by_its_place() -> None:
    saver = InMemorySaver()
    log = [message(number) for number in range(10)]
    for version in range(1, 4):
        log = append(log, version)
        put(saver, version, log)
    with pytest.raises(SerializationError, match=r"\[13\]"):
        put(saver, 4, [*log, object()])
    longer = [*log, message(14), message(15)]
    assert stored(saver, put(saver, 5, longer)) == longer


def test_an_outline_knows_how_many_items_are_as_they_were() -> None:
    outline, log = _Outline(), [message(1), message(2)]
    assert outline.grown(log) == 0  # nothing was known
    assert outline.grown([*log, message(3)]) == 2
    assert outline.grown(log) == 0  # one is gone
    assert outline.grown(log) == 2


def test_an_outline_sees_that_equal_values_of_another_type_are_a_change() -> None:
    outline = _Outline()
    outline.grown([1, 2.0])
    assert outline.grown([True, 2.0]) == 0


def test_an_outline_takes_nothing_down_of_what_is_no_plain_data() -> None:
    outline, log = _Outline(), [message(1), {1: "a key that is no text"}]
    assert [outline.grown(log), outline.grown(log)] == [0, 0]


def test_an_outline_of_a_list_that_contains_itself_ends() -> None:
    log: list[Any] = []
    log.append(log)
    assert _Outline().grown(log) == 0
