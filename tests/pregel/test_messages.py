"""Chat messages as plain dicts: merged by id, removed, made of pairs and strings."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from taskloom.pregel import START, MessagesState, RemoveMessage, StateGraph, add_messages
from taskloom.pregel.graph.message import REMOVE_ALL_MESSAGES


@pytest.fixture(autouse=True)
def no_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "langchain_core.messages", raising=False)


def said(content: str, id: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content, "id": id}


def test_a_new_message_is_appended() -> None:
    assert add_messages([said("a", "1")], [said("b", "2")]) == [said("a", "1"), said("b", "2")]


def test_a_message_with_a_known_id_replaces_in_its_place() -> None:
    old = [said("a", "1"), said("b", "2")]
    assert add_messages(old, said("A", "1")) == [said("A", "1"), said("b", "2")]


def test_pairs_and_strings_become_messages_with_ids() -> None:
    pair, string = add_messages([], [("assistant", "hello"), "hi"])
    assert (pair["role"], pair["content"]) == ("assistant", "hello")
    assert (string["role"], string["content"]) == ("user", "hi")
    assert pair["id"] != string["id"]


def test_neither_list_is_changed() -> None:
    left, right = [said("a", "1")], [said("A", "1"), said("b", "2")]
    add_messages(left, right)
    assert left == [said("a", "1")]
    assert right == [said("A", "1"), said("b", "2")]


def test_a_removal_takes_out_the_message_with_its_id() -> None:
    old = [said("a", "1"), said("b", "2")]
    assert add_messages(old, RemoveMessage("1")) == [said("b", "2")]


def test_a_removal_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'9'"):
        add_messages([said("a", "1")], RemoveMessage("9"))


def test_all_that_stands_before_a_removal_of_all_goes() -> None:
    new = [said("b", "2"), RemoveMessage(REMOVE_ALL_MESSAGES), said("c", "3")]
    assert add_messages([said("a", "1")], new) == [said("c", "3")]


def test_of_several_messages_with_one_id_the_last_counts() -> None:
    assert add_messages([], [said("a", "1"), said("b", "1")]) == [said("b", "1")]


def test_a_dict_that_is_no_message_is_refused_with_its_keys() -> None:
    with pytest.raises(ValueError, match="text"):
        add_messages([], [{"text": "a"}])


@pytest.mark.parametrize(("left", "right", "missing"), [([], None, "left"), (None, [], "right")])
def test_one_list_alone_is_refused(left: Any, right: Any, missing: str) -> None:
    with pytest.raises(ValueError, match=f"Only received: '{missing}'"):
        add_messages(left, right)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="'bogus'"):
        add_messages([], [], format="bogus")


def test_a_state_of_messages_merges_what_nodes_return() -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("reply", lambda state: {"messages": [("assistant", "hello")]})
    builder.add_edge(START, "reply")
    messages = builder.compile().invoke({"messages": "hi"})["messages"]
    assert [(m["role"], m["content"]) for m in messages] == [("user", "hi"), ("assistant", "hello")]
