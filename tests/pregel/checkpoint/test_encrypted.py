"""Checkpoints whose values are encrypted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

import pytest
from taskloom.pregel import START, StateGraph
from taskloom.pregel.checkpoint.serde.encrypted import EncryptedSerializer
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer
from taskloom.pregel.checkpoint.sqlite import SqliteSaver


class Masked:
    """Stands for a cipher: flips every bit."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "mask", bytes(255 - byte for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "mask"
        return bytes(255 - byte for byte in ciphertext)


class Secret(TypedDict):
    text: str


def test_a_thread_is_stored_without_its_text_in_clear_and_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "threads.sqlite"
    builder = StateGraph(Secret)
    builder.add_node("work", lambda state: {"text": state["text"] + ", twice"})
    builder.add_edge(START, "work")
    config = {"configurable": {"thread_id": "1"}}
    with SqliteSaver.from_conn_string(path) as saver:
        saver.serde = EncryptedSerializer(Masked())
        builder.compile(checkpointer=saver).invoke({"text": "a secret"}, config)
    stored = b"".join(found.read_bytes() for found in tmp_path.iterdir())
    assert b"a secret" not in stored
    with SqliteSaver.from_conn_string(path) as saver:
        saver.serde = EncryptedSerializer(Masked())
        state = builder.compile(checkpointer=saver).get_state(config)
    assert state.values == {"text": "a secret, twice"}


def test_what_was_stored_in_clear_is_still_read() -> None:
    assert EncryptedSerializer(Masked()).loads_typed(JsonPlusSerializer().dumps_typed([1])) == [1]


def test_aes_gives_back_what_it_took_and_notices_a_changed_byte() -> None:
    pytest.importorskip("Crypto", reason="pycryptodome is not installed")
    serde = EncryptedSerializer.from_pycryptodome_aes(key=os.urandom(16))
    tag, data = serde.dumps_typed({"n": 1})
    assert serde.loads_typed((tag, data)) == {"n": 1}
    with pytest.raises(ValueError, match="MAC"):
        serde.loads_typed((tag, data[:-1] + bytes([255 - data[-1]])))


@pytest.mark.parametrize("key", [b"short", b"x" * 33])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="16, 24 or 32"):
        EncryptedSerializer.from_pycryptodome_aes(key=key)


def test_without_a_key_the_variable_that_may_hold_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LANGGRAPH_AES_KEY", raising=False)
    with pytest.raises(ValueError, match="LANGGRAPH_AES_KEY"):
        EncryptedSerializer.from_pycryptodome_aes()
