"""The cells one by one: what they make of writes, when they are empty, what is stored."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from taskloom.pregel import InvalidUpdateError
from taskloom.pregel.channels import (
    AnyValue,
    BaseChannel,
    BinaryOperatorAggregate,
    DeltaChannel,
    EphemeralValue,
    LastValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    Topic,
    UntrackedValue,
)
from taskloom.pregel.errors import EmptyChannelError
from taskloom.pregel.missing import MISSING

Cell = BaseChannel[Any, Any, Any]

CELLS: dict[str, Callable[[], Cell]] = {
    "last": lambda: LastValue(int),
    "last after finish": lambda: LastValueAfterFinish(int),
    "any": lambda: AnyValue(int),
    "ephemeral": lambda: EphemeralValue(int),
    "untracked": lambda: UntrackedValue(int),
    "topic": lambda: Topic(int),
    "accumulating topic": lambda: Topic(int, accumulate=True),
    "barrier": lambda: NamedBarrierValue(str, {"a", "b"}),
    "barrier after finish": lambda: NamedBarrierValueAfterFinish(str, {"a", "b"}),
}
each = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


def written(make: Callable[[], Cell]) -> Cell:
    """A cell with something in it."""
    cell = make()
    if isinstance(cell, NamedBarrierValue | NamedBarrierValueAfterFinish):
        cell.update(["a"])
        cell.update(["b"])
    else:
        cell.update([3])
    return cell


@each
def test_a_new_cell_is_empty(make: Callable[[], Cell]) -> None:
    cell = make()
    assert not cell.is_available()
    with pytest.raises(EmptyChannelError):
        cell.get()


@each
def test_no_writes_leave_an_empty_cell_as_it_was(make: Callable[[], Cell]) -> None:
    cell = make()
    assert cell.update([]) is False
    assert not cell.is_available()


@each
def test_what_a_checkpoint_stores_makes_the_same_cell_again(make: Callable[[], Cell]) -> None:
    cell = written(make)
    cell.finish()
    again = make().from_checkpoint(cell.checkpoint())
    if isinstance(cell, UntrackedValue):
        assert cell.checkpoint() is MISSING
        assert not again.is_available()
    else:
        assert again.is_available()
        assert again.get() == cell.get()


@each
def test_a_copy_does_not_change_with_its_original(make: Callable[[], Cell]) -> None:
    cell = written(make)
    copy = cell.copy()
    before = copy.checkpoint()
    cell.consume()
    cell.update([])
    cell.finish()
    assert copy.checkpoint() == before


@each
def test_cells_made_alike_are_equal_and_unlike_another_kind(make: Callable[[], Cell]) -> None:
    assert make() == make()
    assert make() != BinaryOperatorAggregate(int, operator.add)


@pytest.mark.parametrize("make", [lambda: LastValue(int), lambda: EphemeralValue(int)])
def test_two_plain_writes_in_a_superstep_are_refused(make: Callable[[], Cell]) -> None:
    with pytest.raises(InvalidUpdateError, match="only one value per step"):
        make().update([1, 2])


def test_a_last_value_stays_until_it_is_written_again() -> None:
    cell = LastValue(int)
    assert cell.update([1])
    assert not cell.update([])
    assert cell.get() == 1
    assert cell.update([2])
    assert cell.get() == 2


def test_an_any_value_takes_the_last_of_several_and_goes_when_nobody_writes() -> None:
    cell = AnyValue(int)
    assert cell.update([1, 2])
    assert cell.get() == 2
    assert cell.update([])
    assert not cell.is_available()


def test_an_ephemeral_value_lasts_one_superstep() -> None:
    cell = EphemeralValue(int)
    cell.update([1])
    assert cell.get() == 1
    assert cell.update([])
    assert not cell.is_available()


def test_an_unguarded_ephemeral_value_takes_the_last_of_several() -> None:
    cell = EphemeralValue(int, guard=False)
    cell.update([1, 2])
    assert cell.get() == 2


def test_a_topic_holds_what_one_superstep_wrote_lists_flattened() -> None:
    cell = Topic(int)
    cell.update([1, [2, 3]])
    assert cell.get() == [1, 2, 3]
    assert cell.update([])
    assert not cell.is_available()


def test_an_accumulating_topic_keeps_what_was_written_before() -> None:
    cell = Topic(int, accumulate=True)
    cell.update([1])
    assert not cell.update([])
    cell.update([2, 2])
    assert cell.get() == [1, 2, 2]


def test_a_reduced_cell_begins_with_the_empty_value_of_its_type() -> None:
    cell = BinaryOperatorAggregate(list, operator.add)
    assert cell.get() == []
    cell.update([[1], [2]])
    assert cell.get() == [1, 2]


def test_a_reduced_cell_of_a_type_without_empty_value_begins_with_its_first_write() -> None:
    cell = BinaryOperatorAggregate(Callable[[], int], lambda held, new: new)
    assert not cell.is_available()


def test_a_barrier_opens_when_all_of_its_names_were_written() -> None:
    cell = NamedBarrierValue(str, {"a", "b"})
    assert cell.update(["a"])
    assert not cell.is_available()
    assert not cell.update(["a"])
    cell.update(["b"])
    assert cell.is_available()


def test_a_barrier_closes_when_what_it_triggers_has_run() -> None:
    cell = written(CELLS["barrier"])
    assert cell.consume()
    assert not cell.is_available()
    assert not cell.consume()


@pytest.mark.parametrize("kind", ["barrier", "barrier after finish"])
def test_a_barrier_refuses_a_name_that_it_does_not_wait_for(kind: str) -> None:
    with pytest.raises(InvalidUpdateError, match="Value c not in"):
        CELLS[kind]().update(["c"])


@pytest.mark.parametrize("kind", ["last after finish", "barrier after finish"])
def test_a_cell_for_deferred_nodes_opens_when_the_run_would_end_and_closes_when_used(
    kind: str,
) -> None:
    cell = written(CELLS[kind])
    assert not cell.is_available()
    assert cell.finish()
    assert not cell.finish()
    assert cell.is_available()
    assert cell.consume()
    assert not cell.is_available()


def test_a_write_closes_a_deferred_value_until_the_next_finish() -> None:
    cell = LastValueAfterFinish(int)
    cell.update([1])
    cell.finish()
    cell.update([2])
    assert not cell.is_available()
    cell.finish()
    assert cell.get() == 2


def test_a_batch_reduced_cell_has_its_types_empty_value_when_a_run_begins() -> None:
    cell = DeltaChannel(lambda held, writes: held, dict).from_checkpoint(MISSING)
    assert cell.get() == {}
