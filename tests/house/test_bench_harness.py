"""benches/harness.py: contenders take turns, figures are per unit, what cannot run is named."""

from __future__ import annotations

import harness
import pytest
from harness import Contender, Unavailable, Workload


def test_contenders_take_turns_after_one_warm_up_each() -> None:
    calls: list[str] = []
    workload = Workload("w", "what", unit="bytes")

    @workload.contender("a")
    def a() -> Contender:
        yield lambda: calls.append("a") or 1

    @workload.contender("b")
    def b() -> Contender:
        yield lambda: calls.append("b") or 1

    workload.measure()
    assert calls == ["a", "b"] * (1 + harness.REPEATS)


def test_every_contender_is_measured_at_least_five_times() -> None:
    workload = Workload("w", "what", unit="bytes", repeats=1)

    @workload.contender("a")
    def a() -> Contender:
        yield lambda: 1

    assert len(workload.measure()["samples"]["a"]) >= 5


def test_returned_seconds_are_shown_in_the_unit() -> None:
    workload = Workload("w", "what", unit="µs/task")

    @workload.contender("a")
    def a() -> Contender:
        yield lambda: 2e-6

    assert workload.measure()["samples"]["a"][0] == 2.0


def test_contender_that_is_not_available_is_left_out_by_name() -> None:
    workload = Workload("w", "what", unit="bytes", aim=1)

    @workload.contender("first")
    def first() -> Contender:
        raise Unavailable("no such thing here")
        yield

    @workload.contender("lacking")
    def lacking() -> Contender:
        import no_such_package  # noqa: F401

        yield

    @workload.contender("peer")
    def peer() -> Contender:
        yield lambda: 1

    text = harness.report(workload.measure())
    assert "first                              left out: no such thing here" in text
    assert "left out: needs the package no_such_package" in text
    assert "met" not in text


def test_contender_is_torn_down() -> None:
    ended: list[bool] = []
    workload = Workload("w", "what", unit="bytes")

    @workload.contender("a")
    def a() -> Contender:
        yield lambda: 1
        ended.append(True)

    workload.measure()
    assert ended == [True]


@pytest.fixture
def record() -> dict[str, object]:
    return {
        "name": "w",
        "what": "some work",
        "unit": "ns/node",
        "aim": 30.0,
        "first": "ours",
        "more_is_better": False,
        "samples": {"ours": [31.0, 20.0, 25.0], "theirs": [1000.0, 2500.0, 4000.0]},
        "left_out": {},
        "notes": {"theirs": "fewer nodes"},
    }


def test_report_has_median_spread_ratio_and_whether_the_aim_is_met(
    record: dict[str, object],
) -> None:
    ours, theirs = (" ".join(line.split()) for line in harness.report(record).splitlines()[2:])
    assert ours == "ours 25 ns/node (20 to 31) aim ≤ 30: met"
    assert theirs == "theirs 2,500 ns/node (1,000 to 4,000) × 100 [fewer nodes]"


def test_a_figure_from_elsewhere_stands_beside_those_of_the_run(
    record: dict[str, object],
) -> None:
    record["beside"] = "C++: 48 ns"
    assert harness.report(record).splitlines()[-1].strip() == "beside, not of this run: C++: 48 ns"
    assert harness.markdown([record]).endswith("theirs 2,500 (× 100); C++: 48 ns |")


def test_table_has_a_row_with_aim_and_factors(record: dict[str, object]) -> None:
    row = harness.markdown([record]).splitlines()[2]
    assert row == "| some work (`w`) | 25 ns/node | ≤ 30 | theirs 2,500 (× 100) |"
