"""A patch makes the new bytes from the old, and is small when little changed."""

from __future__ import annotations

import random

import ormsgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.pregel.checkpoint.patch import Chain, Patch, diff

LONG = st.integers(0, 2**32).map(
    lambda seed: [random.Random(seed + place).getrandbits(40) for place in range(150)]
)


@settings(max_examples=200, deadline=None)
@given(LONG, st.data())
def test_a_patch_rebuilds_the_new_bytes(old: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(old)))
    stop = data.draw(st.integers(start, len(old)))
    new = old[:start] + data.draw(st.lists(st.integers(0, 9), max_size=5)) + old[stop:]
    before, after = ormsgpack.packb(old), ormsgpack.packb(new)
    patch = diff(before, after)
    if patch is not None:
        assert patch.apply(before) == after


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(250, 600), st.integers(0, 600))
def test_repeated_bytes_do_not_confuse_a_patch(
    start: bytes, end: bytes, before: int, after: int
) -> None:
    old, new = b"\x91" + start + b"a" * before + end, b"\x92" + end + b"a" * after + start
    patch = diff(old, new)
    if patch is not None:
        assert patch.apply(old) == new


def test_an_appended_item_costs_little() -> None:
    items = [f"message {number}" for number in range(1000)]
    patch = diff(ormsgpack.packb(items), ormsgpack.packb([*items, "one more"]))
    assert patch is not None
    assert len(patch.pack()) < 64


def test_an_item_changed_in_the_middle_costs_little() -> None:
    items = [f"message {number}" for number in range(1000)]
    before = ormsgpack.packb(items)
    items[500] = "changed"
    patch = diff(before, ormsgpack.packb(items))
    assert patch is not None
    assert len(patch.pack()) < 96


def test_growing_past_the_size_of_a_short_header_is_a_patch_still() -> None:
    items = ["x" * 50 for _ in range(15)]
    before, after = ormsgpack.packb(items), ormsgpack.packb([*items, "y"])
    patch = diff(before, after)
    assert patch is not None
    assert patch.apply(before) == after


def test_unlike_values_get_no_patch() -> None:
    assert diff(ormsgpack.packb(["a" * 500]), ormsgpack.packb(["b" * 500])) is None


def test_small_values_get_no_patch() -> None:
    assert diff(ormsgpack.packb([1, 2]), ormsgpack.packb([1, 2, 3])) is None


def test_a_packed_patch_unpacks_to_itself() -> None:
    patch = Patch(b"\x92", 1, 300, b"middle", 12)
    assert Patch.unpack(patch.pack()) == patch


def test_a_chain_starts_afresh_before_its_patches_outweigh_the_value() -> None:
    items = ["x" * 40 for _ in range(20)]
    chain = Chain(0, "msgpack", ormsgpack.packb(items))
    stored, whole = 0, 0
    for version in range(1, 2001):
        items.append("y" * 40)
        raw = ormsgpack.packb(items)
        patch = chain.advance(version, "msgpack", raw)
        whole += patch is None
        stored += len(raw) if patch is None else len(patch.pack())
    assert 2 < whole < 100
    assert stored < 8 * len(raw)


def test_a_chain_does_not_mix_kinds_of_bytes() -> None:
    chain = Chain(0, "msgpack", b"\x91" + b"a" * 500)
    assert chain.advance(1, "pickle", b"\x91" + b"a" * 501) is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_a_patch_keeps_whatever_both_ends_have_in_common(seed: int, data: st.DataObject) -> None:
    made = random.Random(seed)
    common, end = made.randbytes(made.randrange(300, 900)), made.randbytes(made.randrange(300))
    old = b"\xdc\x01\x00" + common + b"A" * made.randrange(60) + end
    new = b"\xdc\x01\x07" + common + b"B" * made.randrange(60) + end
    patch = diff(old, new)
    assert patch is not None
    assert patch.apply(old) == new
    assert set(patch.middle) <= {ord("B")}
