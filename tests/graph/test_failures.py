"""What a failing node does to the others, and how a run tells of it."""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import traceback
from typing import Any

import pytest
import taskloom
from taskloom.errors import RunFailed

Mode = Any
MODES = ["serial", "parallel"]

pytestmark = pytest.mark.parametrize("mode", MODES)


def fail(*_: object) -> None:
    raise ValueError("on purpose")  # the user's line


def test_what_depends_on_a_failed_node_is_skipped_and_the_rest_runs(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.add(fail)
    child = g.add(str, bad)
    grandchild = g.add(str, child)
    order_only = g.add(int).after(bad)
    other = g.add(int, "7")
    run = taskloom.run(g, mode=mode, check=False)
    assert run.status == "failed"
    assert run[other] == 7
    statuses = [run.why(node).status for node in (bad, child, grandchild, order_only, other)]
    assert statuses == ["failed", "skipped", "skipped", "skipped", "done"]


def test_continue_lets_order_only_dependents_go_on(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.options(on_error="continue").add(fail)
    reader = g.add(str, bad)
    order_only = g.add(int, "7").after(bad)
    run = taskloom.run(g, mode=mode, check=False)
    assert run[order_only] == 7
    assert run.why(reader).status == "skipped"
    assert not run.ok


def test_a_graph_that_continues_skips_only_what_needs_a_missing_value(mode: Mode) -> None:
    g = taskloom.Graph(on_error="continue")
    bad = g.add(fail)
    reader = g.add(str, bad)
    after_reader = g.add(int, "7").after(reader)
    run = taskloom.run(g, mode=mode, check=False)
    assert run.why(reader).status == "skipped"
    assert run[after_reader] == 7


def test_cancel_run_starts_nothing_more(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.options(on_error="cancel_run").add(fail)
    later = g.add(int).after(g.add(int).after(bad))
    run = taskloom.run(g, mode=mode, check=False)
    assert run.status == "failed"
    assert run.why(later).status in ("skipped", "cancelled")


def test_run_raises_a_group_that_carries_the_run(mode: Mode) -> None:
    g = taskloom.Graph()
    one, two = g.options(name="one").add(fail), g.add(int, "x")
    g.add(str, one)
    with pytest.raises(RunFailed, match="2 of 3 nodes failed") as caught:
        taskloom.run(g, mode=mode)
    assert isinstance(caught.value, ExceptionGroup)
    assert caught.value.run is not None
    assert set(caught.value.run.exceptions()) == {one, two}
    assert sorted(map(str, caught.value.exceptions))[-1] == "on purpose"


def test_parts_of_the_group_still_carry_the_run(mode: Mode) -> None:
    g = taskloom.Graph()
    g.add(fail)
    g.add(int, "x")
    g.add(open, "/does/not/exist")
    with pytest.raises(RunFailed) as caught:
        taskloom.run(g, mode=mode)
    matching, rest = caught.value.split(OSError)
    assert isinstance(matching, RunFailed)
    assert isinstance(rest, RunFailed)
    assert matching.run is rest.run is caught.value.run
    assert (len(matching.exceptions), len(rest.exceptions)) == (1, 2)


def test_asking_for_the_value_of_a_failed_node_raises_its_error(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.add(fail)
    child = g.add(str, bad)
    run = taskloom.run(g, mode=mode, check=False)
    with pytest.raises(ValueError, match="on purpose"):
        run[bad]
    with pytest.raises(concurrent.futures.CancelledError, match="because of 'fail#0'"):
        run[child]


def test_the_traceback_ends_at_the_users_line_and_a_note_names_the_node(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.options(name="the bad one").add(fail)
    run = taskloom.run(g, mode=mode, check=False)
    error = run.exceptions()[bad]
    assert traceback.extract_tb(error.__traceback__)[-1].line == (
        'raise ValueError("on purpose")  # the user\'s line'
    )
    assert error.__notes__ == ["in node 'the bad one'"]


def test_asking_twice_does_not_lengthen_the_traceback(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.add(fail)
    run = taskloom.run(g, mode=mode, check=False)
    lengths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="on purpose") as caught:
            run[bad]
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths[0] == lengths[2]


def test_why_follows_the_chain_to_the_first_cause(mode: Mode) -> None:
    g = taskloom.Graph()
    bad = g.options(name="bad").add(fail)
    middle = g.options(name="middle").add(str, bad)
    last = g.options(name="last").add(str, middle)
    reason = taskloom.run(g, mode=mode, check=False).why(last)
    assert reason.chain == (last, middle, bad)
    assert isinstance(reason.error, ValueError)
    assert str(reason) == (
        "node 'last' was skipped, because of 'middle', because of 'bad', which failed: "
        "ValueError: on purpose"
    )


def test_a_retry_succeeds_when_an_attempt_does(mode: Mode) -> None:
    answers = iter([ValueError(1), ValueError(2), "done"])

    def flaky() -> str:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    g = taskloom.Graph()
    node = g.options(retry=3).add(flaky)
    assert taskloom.run(g, mode=mode)[node] == "done"


def test_a_retry_gives_up_on_other_errors_and_notes_the_attempts(mode: Mode) -> None:
    calls: list[int] = []

    def flaky() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyError
        raise OSError

    g = taskloom.Graph(retry=taskloom.Retry(5, on=OSError))
    node = g.add(flaky)
    run = taskloom.run(g, mode=mode, check=False)
    assert isinstance(run.exceptions()[node], KeyError)
    assert "attempt 2 of 5" in run.exceptions()[node].__notes__
    assert len(calls) == 2


def test_an_error_nobody_asked_for_is_logged_when_the_run_is_dropped(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    g = taskloom.Graph()
    g.options(name="lost").add(fail)
    with caplog.at_level(logging.ERROR, "taskloom"):
        taskloom.run(g, mode=mode, check=False)
        gc.collect()
    assert "node 'lost'" in caplog.text
    assert "on purpose" in caplog.text


def test_an_error_that_was_asked_for_is_not_logged(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    g = taskloom.Graph()
    g.add(fail)
    with pytest.raises(RunFailed):
        taskloom.run(g, mode=mode)
    taskloom.run(g, mode=mode, check=False).exceptions()
    gc.collect()
    assert not caplog.text


def test_a_request_to_stop_is_raised_as_it_is_and_ends_the_run(mode: Mode) -> None:
    g = taskloom.Graph()

    def interrupt() -> None:
        raise KeyboardInterrupt

    node = g.add(interrupt)
    later = g.add(int).after(g.add(int).after(node))
    with pytest.raises(KeyboardInterrupt):
        taskloom.run(g, mode=mode)
    run = taskloom.run(g, mode=mode, check=False)
    assert run.why(later).status in ("skipped", "cancelled")


def test_an_argument_that_cannot_be_built_fails_its_node(mode: Mode) -> None:
    g = taskloom.Graph()
    unhashable = g.add(list)
    node = g.add(len, {unhashable: 1})
    run = taskloom.run(g, mode=mode, check=False)
    assert isinstance(run.exceptions()[node], TypeError)


def test_a_plan_that_failed_runs_again(mode: Mode) -> None:
    answers = iter([ValueError("first"), 5])

    def flaky() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    g = taskloom.Graph()
    node = g.add(flaky)
    last = g.add(abs, node)
    plan = g.compile()
    assert taskloom.run(plan, mode=mode, check=False).exceptions()
    assert taskloom.run(plan, mode=mode)[last] == 5
