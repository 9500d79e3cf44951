"""Frames come through whole, however the socket cuts them."""

from __future__ import annotations

import pickle
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.places import wire


def received(data: bytes, cuts: list[int]) -> list[wire.Message]:
    """What a receiver makes of the bytes when they come in pieces of the given sizes."""
    ours, theirs = socket.socketpair()
    messages: list[wire.Message] = []
    with ours, theirs:
        theirs.setblocking(False)
        receiver = wire.Receiver(theirs)
        sizes = iter(cuts)
        while data:
            size = next(sizes, len(data))
            ours.sendall(data[:size])
            data = data[size:]
            while (message := receiver.receive()) is not None:
                messages.append(message)
    return messages


@settings(max_examples=50, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 40_000), max_size=20),
    lengths=st.lists(st.sampled_from([0, 1, 100, 20_000, 50_000]), max_size=4),
)
def test_a_frame_is_put_together_from_any_pieces(cuts: list[int], lengths: list[int]) -> None:
    value = [np.arange(length, dtype=np.uint8) for length in lengths]
    frame = b"".join(wire.encode(wire.VALUE, value))
    (message,) = received(frame, cuts)
    assert message.kind == wire.VALUE
    for back, array in zip(message.load(), value, strict=True):
        assert np.array_equal(back, array)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(1, 40_000), max_size=20), length=st.sampled_from([0, 10, 50_000]))
def test_frames_that_follow_each_other_are_told_apart(cuts: list[int], length: int) -> None:
    frames = [
        wire.encode(wire.PROGRESS, (1.0, None)),
        wire.encode(wire.VALUE, np.arange(length, dtype=np.uint8)),
        wire.encode(wire.PROGRESS, (2.0, None)),
    ]
    first, value, last = received(b"".join(piece for frame in frames for piece in frame), cuts)
    assert (first.kind, first.load()) == (wire.PROGRESS, (1.0, None))
    assert np.array_equal(value.load(), np.arange(length, dtype=np.uint8))
    assert (last.kind, last.load()) == (wire.PROGRESS, (2.0, None))


def test_a_large_array_is_referred_to_and_not_copied() -> None:
    array = np.zeros(100_000)
    body, buffer = wire.encode(wire.VALUE, array)
    assert len(body) < 1_000
    assert np.shares_memory(np.frombuffer(buffer), array)


def test_what_pickle_can_send_is_not_sent_by_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> object:
        raise AssertionError("cloudpickle was asked")

    monkeypatch.setattr(wire, "require_cloudpickle", refuse)
    assert pickle.loads(wire.dumps(len)) is len


def test_a_module_registered_by_value_is_sent_by_value() -> None:
    import cloudpickle
    import process_tasks

    by_reference = wire.dumps(process_tasks.give)
    cloudpickle.register_pickle_by_value(process_tasks)
    try:
        by_value = wire.dumps(process_tasks.give)
    finally:
        cloudpickle.unregister_pickle_by_value(process_tasks)
    assert len(by_reference) < 100 < len(by_value)
    assert pickle.loads(by_value)(5) == 5


def test_the_end_of_the_stream_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        wire.Receiver(theirs).receive()
