from __future__ import annotations

import pytest
from taskloom.scheduling.resources import Limit, Resources
from taskloom.scheduling.units import parse_bytes


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("2 GiB", 2 << 30), ("500MB", 500_000_000), (" 1.5 kib ", 1536), ("7", 7), (3.9, 3), (0, 0)],
)
def test_amounts_of_memory_are_read(text: str | float, bytes_: int) -> None:
    assert parse_bytes(text) == bytes_


@pytest.mark.parametrize("text", ["", "GiB", "2 GB/s", "-1", -1, float("nan"), float("inf"), True])
def test_what_is_no_amount_of_memory_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="no amount of memory"):
        parse_bytes(text)


def test_resources_with_equal_needs_are_equal() -> None:
    assert Resources(memory="1 KiB", cpu=1) == Resources(cpu=1.0, memory=1024, io=0)
    assert hash(Resources(memory="1 KiB", cpu=1)) == hash(Resources(cpu=1.0, memory=1024))


def test_resources_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Resources(cpu=1).cpu = 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "much", True])
def test_an_amount_that_is_no_number_from_zero_up_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match=r"cpu=\.\.\."):
        Resources(cpu=amount)  # type: ignore[arg-type]


def test_a_limit_given_as_an_amount_is_explained() -> None:
    with pytest.raises(TypeError, match="amounts are keywords"):
        Resources(0.5)  # type: ignore[arg-type]


def test_slots_bound_how_many_run_at_once() -> None:
    limit = Limit("gpu", 2)
    assert [limit.acquire_nowait() for _ in range(3)] == [True, True, False]
    limit.release()
    assert limit.acquire_nowait()


def test_a_rate_lets_one_start_per_interval() -> None:
    clock = Clock()
    limit = Limit("api", rate=5.0, clock=clock)
    starts = []
    for tick in range(40):
        clock.now = tick / 20
        if limit.acquire_nowait():
            starts.append(clock.now)
    assert starts == pytest.approx([0.2 * n for n in range(10)])


def test_an_idle_rate_saves_up_to_its_burst() -> None:
    clock = Clock()
    limit = Limit("api", rate=1.0, burst=3, clock=clock)
    clock.now = 100.0
    assert [limit.acquire_nowait() for _ in range(4)] == [True, True, True, False]
    assert limit.ready_in() == pytest.approx(1.0)


def test_undoing_a_start_gives_its_token_back() -> None:
    limit = Limit("api", rate=1.0, clock=Clock())
    assert limit.acquire_nowait()
    limit.undo()
    assert limit.acquire_nowait()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "limits nothing"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"rate": 1.0, "burst": 0}, "burst must be at least 1"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limit("x", **options)  # type: ignore[arg-type]


def test_releasing_more_often_than_acquiring_is_an_error() -> None:
    with pytest.raises(ValueError, match="more often than acquired"):
        Limit("gpu", 1).release()
