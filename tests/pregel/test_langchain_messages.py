"""Messages in a program that has imported LangChain's: the conversion, and what stays out of it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from taskloom.pregel import Overwrite, RemoveMessage, add_messages
from taskloom.pregel.channels import DeltaChannel


@pytest.fixture(autouse=True)
def langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that converts dicts and objects, and refuses what it does not know."""

    def convert(messages: list[Any]) -> list[Any]:
        if any(isinstance(message, RemoveMessage) for message in messages):
            raise NotImplementedError("unsupported message type")
        return [SimpleNamespace(**m) if isinstance(m, dict) else m for m in messages]

    module: Any = ModuleType("langchain_core.messages")
    module.BaseMessage = SimpleNamespace
    module.convert_to_messages = convert
    module.message_chunk_to_message = lambda message: message
    monkeypatch.setitem(sys.modules, "langchain_core.messages", module)


OLD = [{"role": "user", "content": "hi", "id": "1"}]


def test_dicts_are_converted() -> None:
    assert add_messages(OLD, []) == [SimpleNamespace(**OLD[0])]


def test_a_removal_is_not_handed_to_the_conversion() -> None:
    assert add_messages(OLD, RemoveMessage("1")) == []


def test_the_format_dict_keeps_dicts() -> None:
    assert add_messages(OLD, [], format="dict") == OLD


@pytest.mark.parametrize("wrapped", [False, True])
def test_messages_get_an_id_in_a_batch_reduced_cell_whose_reducer_gives_none(
    wrapped: bool,
) -> None:
    cell = DeltaChannel(lambda held, writes: [*held, *(m for write in writes for m in write)])
    written: Any = [SimpleNamespace(content="hi", id=None), SimpleNamespace(content="", id="")]
    cell.update([Overwrite(written) if wrapped else written])
    assert all(message.id for message in cell.get())
