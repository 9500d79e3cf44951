"""`mode="auto"` uses whichever mode took less time."""

from __future__ import annotations

import threading

import pytest
import taskloom
from taskloom._modes import EVERY, Choice, choice_of, choice_so_far


def measured(parallel: float, serial: float) -> Choice:
    choice = Choice()
    choice.note("parallel", parallel)
    choice.note("serial", serial)
    return choice


def test_each_mode_is_tried_once_before_anything_is_decided() -> None:
    choice = Choice()
    assert choice.pick() == "parallel"
    choice.note("parallel", 1.0)
    assert choice.pick() == "serial"


def test_the_faster_mode_is_used() -> None:
    assert measured(parallel=2, serial=1).pick() == "serial"
    assert measured(parallel=1, serial=2).pick() == "parallel"


def test_a_mode_that_is_hardly_faster_does_not_take_over() -> None:
    assert measured(parallel=1.0, serial=0.95).used == "parallel"


def test_one_slow_run_changes_nothing() -> None:
    choice = measured(parallel=1, serial=2)
    choice.note("parallel", 4)
    assert choice.used == "parallel"


def test_what_is_slower_for_long_is_left() -> None:
    choice = measured(parallel=1, serial=2)
    for _ in range(20):
        choice.note("parallel", 4)
    assert choice.used == "serial"


def picks(choice: Choice, times: int) -> list[str]:
    return [choice.pick() for _ in range(times)]


def test_the_slower_mode_is_tried_again_the_more_rarely_the_slower_it_is() -> None:
    choice = measured(parallel=10, serial=1)
    interval = EVERY * 10
    assert picks(choice, interval) == ["serial"] * (interval - 1) + ["parallel"]
    assert picks(choice, interval) == ["serial"] * (interval - 1) + ["parallel"]


def test_runs_of_a_plan_find_its_mode() -> None:
    g = taskloom.Graph()
    idents = [g.add(threading.get_ident) for _ in range(4)]
    plan = g.compile()
    assert choice_so_far(plan) is None
    with taskloom.Executor(2) as executor:
        for _ in range(2):
            executor.run(plan, mode="auto")
        choice = choice_of(plan)
        assert "parallel" in str(choice)
        assert "serial" in str(choice)
        for _ in range(40):
            choice.note("serial", 0.0)
        run = executor.run(plan, mode="auto")
        assert {run[node] for node in idents} == {threading.get_ident()}
        assert executor.start(plan, mode="auto").result().ok
    assert "mode auto uses serial" in plan.dump().splitlines()[0]


def test_a_run_that_failed_is_no_measurement() -> None:
    g = taskloom.Graph()
    g.add(int, "x")
    plan = g.compile()
    with taskloom.Executor(1) as executor:
        executor.run(plan, mode="auto", check=False).exceptions()
        assert "nothing measured" in plan.dump()
        with pytest.raises(taskloom.errors.RunFailed):
            executor.run(plan, mode="auto")
