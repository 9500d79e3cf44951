"""Branches: one case runs, the others are skipped quietly, the join has the value of the one."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch
from taskloom.errors import CycleError, GraphError

MODES: list[Any] = ["serial", "parallel"]

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def fail(*_: object) -> None:
    raise ValueError("on purpose")


def end(*_: object) -> None:
    raise AbortBranch


def test_only_the_chosen_case_runs(executor: taskloom.Executor, mode: Any) -> None:
    ran: list[str] = []

    def note(name: str, value: int) -> str:
        ran.append(name)
        return f"{name} {value}"

    def case(name: str) -> Any:
        def build(g: taskloom.Graph) -> Any:
            first = g.add(note, f"{name} first", value)
            return g.add(note, f"{name} last", value).after(first)

        return build

    g = taskloom.Graph()
    value = g.add(int, "7")
    chosen = g.add(lambda: "b")
    joined = g.branch(chosen, {name: case(name) for name in "abc"})
    last = g.add(str.upper, joined)
    for _ in range(2):
        run = executor.run(g, mode=mode)
        assert (run.ok, run[last]) == (True, "B LAST 7")
    assert ran == ["b first", "b last"] * 2


def test_nodes_of_cases_not_taken_are_skipped_and_know_why(mode: Any) -> None:
    g = taskloom.Graph()
    left, right = g.add(int, "1"), g.add(int, "2")
    joined = g.branch(g.add(bool, 1), {True: left, False: right})
    after_right = g.add(abs, right)
    run = taskloom.run(g, mode=mode)
    assert (run.ok, run[joined]) == (True, 1)
    assert [run.why(node).status for node in (right, after_right)] == ["skipped", "skipped"]
    assert "because of 'case False#" in str(run.why(after_right))
    assert "ended its branch" in str(run.why(after_right))


def test_the_default_is_for_every_other_value(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.branch(g.add(int, "9"), {1: "one"}, default=lambda g: g.add(str, "many"))
    assert taskloom.run(g, mode=mode)[joined] == "many"


def test_a_case_may_be_a_value(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.branch(g.add(int, "9"), {1: "one", 9: None})
    assert taskloom.run(g, mode=mode)[joined] is None


def test_a_case_may_come_to_several_nodes(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.branch(
        g.add(bool, 1), {True: lambda g: [g.add(int, "1"), g.add(int, "2")], False: [0]}
    )
    assert taskloom.run(g, mode=mode)[joined] == [1, 2]


def test_a_value_without_a_case_fails_the_join(mode: Any) -> None:
    for value in ("c", ["unhashable"]):
        g = taskloom.Graph()
        joined = g.branch(g.add(lambda value=value: value), {"a": 1, "b": lambda g: g.add(int)})
        last = g.add(str, joined)
        run = taskloom.run(g, mode=mode, check=False)
        assert "has no case for" in str(run.exceptions()[joined])
        assert run.why(last).status == "skipped"


def test_if_the_taken_case_fails_the_join_is_skipped_because_of_it(mode: Any) -> None:
    g = taskloom.Graph()
    bad = g.options(name="bad").add(fail)
    joined = g.branch(g.add(bool, 1), {True: bad, False: 0})
    last = g.add(str, joined)
    run = taskloom.run(g, mode=mode, check=False)
    assert list(run.exceptions()) == [bad]
    assert run.why(last).chain == (last, joined, bad)
    assert (run.why(joined).status, run.why(joined).first) == ("skipped", "failed")


def test_if_the_taken_case_ends_its_branch_the_join_is_skipped_quietly(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.branch(g.add(bool, 1), {True: g.add(end), False: 0})
    run = taskloom.run(g, mode=mode)
    assert (run.ok, run.why(joined).status, run.why(joined).first) == (True, "skipped", "ended")
    with pytest.raises(concurrent.futures.CancelledError, match="ended its branch"):
        run[joined]


def test_a_failing_case_that_is_not_taken_does_no_harm(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.branch(g.add(bool, 0), {True: g.add(fail), False: "fine"})
    assert taskloom.run(g, mode=mode)[joined] == "fine"


def test_if_the_selector_fails_everything_behind_it_is_skipped(mode: Any) -> None:
    g = taskloom.Graph()
    selector = g.add(fail)
    joined = g.branch(selector, {1: lambda g: g.add(int), 2: lambda g: g.add(str)})
    run = taskloom.run(g, mode=mode, check=False)
    assert list(run.exceptions()) == [selector]
    assert run.why(joined).status == "skipped"


def test_branches_nest(mode: Any) -> None:
    g = taskloom.Graph()
    outer, inner = g.add(int, "1"), g.add(int, "2")

    def inside(g: taskloom.Graph) -> Any:
        return g.branch(inner, {1: lambda g: g.add(str, "x"), 2: lambda g: g.add(str, "y")})

    joined = g.branch(outer, {1: inside, 2: lambda g: g.add(str, "z")})
    skipped = g.branch(outer, {2: inside, 1: "not"})
    run = taskloom.run(g, mode=mode)
    assert (run[joined], run[skipped]) == ("y", "not")


def test_tasks_called_in_a_case_are_added_to_the_open_graph(mode: Any) -> None:
    double = taskloom.task(lambda x: 2 * x)
    with taskloom.Graph() as g:
        three = g.add(int, "3")
        joined = g.branch(g.add(bool, 1), {True: lambda _: double(three), False: lambda _: three})
    assert taskloom.run(g, mode=mode)[joined] == 6


def test_a_case_may_hand_on_a_node_from_outside(mode: Any) -> None:
    g = taskloom.Graph()
    three = g.add(int, "3")
    joined = g.branch(g.add(bool, 1), {True: lambda g: three, False: lambda g: g.add(fail)})
    assert taskloom.run(g, mode=mode)[joined] == 3


def test_graph_policies_and_retries_leave_branches_alone(mode: Any) -> None:
    g = taskloom.Graph(on_error="continue", retry=taskloom.Retry(3, on=BaseException))
    ran: list[str] = []
    joined = g.branch(
        g.add(bool, 1),
        {
            True: lambda g: g.add(ran.append, "yes"),
            False: lambda g: g.add(ran.append, "no").after(g.add(ran.append, "never")),
        },
    )
    run = taskloom.run(g, mode=mode)
    assert (run.ok, run[joined], ran) == (True, None, ["yes"])


def test_a_value_that_is_read_in_cases_is_freed(mode: Any) -> None:
    g = taskloom.Graph()
    source = g.add(list, "abc")
    joined = g.branch(
        g.add(bool, 1), {True: lambda g: g.add(len, source), False: lambda g: g.add(str, source)}
    )
    run = taskloom.run(g, mode=mode)
    assert run[joined] == 3
    with pytest.raises(taskloom.errors.ValueFreedError):
        run[source]


def test_a_case_that_writes_is_joined_after_it_wrote(mode: Any) -> None:
    for flag, expected in ((1, [1, 2]), (0, [1])):
        g = taskloom.Graph()
        numbers = g.add(list, (1,))

        def grow(g: Any, numbers: Any = numbers) -> Any:
            return g.add(list.append, taskloom.forward(numbers), 2)

        def leave(g: Any, numbers: Any = numbers) -> Any:
            return numbers

        joined = g.branch(g.add(bool, flag), {True: grow, False: leave})
        assert taskloom.run(g, mode=mode)[joined] == expected


def test_options_of_a_view_are_the_joins(mode: Any) -> None:
    g = taskloom.Graph()
    joined = g.options(name="chosen").branch(g.add(bool, 1), {True: "yes", False: "no"})
    assert joined.name == "chosen"
    assert taskloom.run(g, mode=mode)["chosen"] == "yes"


def test_a_branch_in_a_subgraph_skips_for_the_right_reason(mode: Any) -> None:
    inner = taskloom.Graph()
    chosen = inner.branch(
        inner.resource("which"), {1: inner.options(name="bad").add(fail), 2: inner.add(int, "5")}
    )
    g = taskloom.Graph()
    g.add(int, "1")
    good = g.options(name="good").subgraph(inner, which=g.add(int, "2"))
    bad = g.options(name="bad").subgraph(inner, which=g.add(int, "1"))
    run = taskloom.run(g, mode=mode, check=False)
    assert run[good[chosen]] == 5
    assert run.why(bad[chosen]).chain == (bad[chosen], g.node("bad.bad"))
    assert list(run.exceptions()) == [g.node("bad.bad")]


@pytest.mark.parametrize("chosen", [True, False])
def test_the_selector_of_a_branch_in_a_subgraph_may_be_a_value(mode: Any, chosen: bool) -> None:
    inner = taskloom.Graph()
    cases: dict[bool, Any] = {True: lambda g: g.add(int, "1"), False: lambda g: g.add(int, "2")}
    inner.options(name="value").branch(inner.resource("selector"), cases)
    g = taskloom.Graph()
    made = g.subgraph(inner, selector=chosen)
    value = g.add(abs, made["value"])
    assert taskloom.run(g, mode=mode)[value] == (1 if chosen else 2)


def test_limits_and_places_are_for_the_nodes_of_cases(mode: Any) -> None:
    g = taskloom.Graph()
    with pytest.raises(taskloom.errors.OptionError, match="only hands a value on"):
        g.options(timeout=3).branch(g.add(int), {0: 1})


def test_what_makes_no_branch_is_refused(mode: Any) -> None:
    g, other = taskloom.Graph(), taskloom.Graph()
    with pytest.raises(TypeError, match="decided by a node"):
        g.branch("a", {"a": 1})  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="of another graph"):
        g.branch(g.add(int), {0: lambda _: other.add(int)})
    loop = taskloom.Graph()
    before = loop.add(int)
    selector = loop.add(bool, before)
    loop.branch(selector, {True: before})
    with pytest.raises(CycleError):
        loop.compile()


def test_the_plan_shows_the_cases(mode: Any) -> None:
    g = taskloom.Graph()
    selector = g.options(name="is it").add(bool, 1)
    joined = g.branch(selector, {True: g.options(name="yes").add(int)}, default=0)
    text = g.compile().dump()
    assert "case True#" in text
    assert f"{joined.name}  " in text
    assert "yes (join)" in text
