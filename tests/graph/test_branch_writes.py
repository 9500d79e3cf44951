"""Cases that write to values from outside: one that is not taken has not written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch, Context, Graph, forward, take, write
from taskloom.errors import GraphError

MODES: list[Any] = ["serial", "parallel"]

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def fail(*_: object) -> None:
    raise ValueError("on purpose")


def appending(box: Any, item: object) -> Callable[[Graph], Any]:
    return lambda g: g.add(list.append, write(box), item)


@pytest.mark.parametrize("taken", [True, False])
def test_later_users_find_the_value_as_it_is(
    executor: taskloom.Executor, mode: Any, taken: bool
) -> None:
    g = Graph()
    box = g.add(list, "a")
    g.branch(g.add(bool, taken), {True: appending(box, "b"), False: 0})
    read = g.add(list, box)
    g.add(list.append, write(box), "c")
    last = g.add("".join, take(box))
    run = executor.run(g.compile(keep=[read]), mode=mode)
    assert run.ok
    assert (run[read], run[last]) == ((["a", "b"], "abc") if taken else (["a"], "ac"))


@pytest.mark.parametrize("chosen", ["one", "two", "three"])
def test_each_case_may_write_to_the_same_value(
    executor: taskloom.Executor, mode: Any, chosen: str
) -> None:
    g = Graph()
    box = g.add(list)
    cases = {name: appending(box, name) for name in ("one", "two", "three")}
    g.branch(g.add(str, chosen), cases)
    last = g.add(list, box)
    assert executor.run(g, mode=mode)[last] == [chosen]


def test_a_value_of_the_context_is_left_as_it_was(executor: taskloom.Executor, mode: Any) -> None:
    g = Graph()
    log = g.resource("log")
    g.branch(g.add(bool), {True: appending(log, "not taken"), False: 0})
    g.add(list.append, write(log), "after")
    mine: list[str] = []
    executor.run(g, mode=mode, context=Context(log=mine))
    assert mine == ["after"]


def test_a_case_in_a_case_that_is_not_taken_has_not_written(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box = g.add(list, "a")

    def outer(g: Graph) -> Any:
        return g.branch(g.add(bool, 1), {True: appending(box, "b"), False: appending(box, "c")})

    g.branch(g.add(bool), {True: outer, False: 0})
    last = g.add("".join, box)
    assert executor.run(g, mode=mode)[last] == "a"


def test_what_is_given_a_value_of_the_case_is_left_out_with_it(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box, other = g.add(list, "a"), g.add(list, "x")
    inside: list[Any] = []

    def case(g: Graph) -> Any:
        inside.append(g.add(len, box))
        return inside[0]

    g.branch(g.add(bool), {True: case, False: 0})
    outside = g.add(list.append, write(other), inside[0])
    last = g.add(list, other)
    run = executor.run(g, mode=mode)
    assert run.why(outside).status == "skipped"
    assert run[last] == ["x"]


def test_who_comes_after_a_writer_in_a_case_is_skipped_with_it(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box = g.add(list, "a")
    writers: list[Any] = []

    def case(g: Graph) -> Any:
        writers.append(g.add(list.append, write(box), "b"))
        return writers[0]

    g.branch(g.add(bool), {True: case, False: 0})
    after = g.add(len, box).after(writers[0])
    run = executor.run(g, mode=mode)
    assert run.why(after).status == "skipped"


def test_if_the_writer_of_the_taken_case_fails_later_users_are_skipped(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box = g.add(list, "a")
    g.branch(g.add(bool, 1), {True: lambda g: g.add(fail, write(box)), False: 0})
    last = g.add(list, box)
    run = executor.run(g, mode=mode, check=False)
    assert (run.why(last).status, run.why(last).first) == ("skipped", "failed")


def test_a_failure_before_the_case_reaches_past_it(executor: taskloom.Executor, mode: Any) -> None:
    g = Graph()
    box = g.add(list, "a")
    bad = g.add(fail, write(box))
    g.branch(g.add(bool), {True: appending(box, "b"), False: 0})
    last = g.add(list, box)
    run = executor.run(g, mode=mode, check=False)
    assert run.why(last).status == "skipped"
    assert run.why(last).chain[-1] is bad


def test_a_writer_that_a_branch_ended_before_it_counts_as_not_done(
    executor: taskloom.Executor, mode: Any
) -> None:
    def end() -> None:
        raise AbortBranch

    g = Graph()
    box = g.add(list, "a")
    case = {True: lambda g: g.add(list.append, write(box), g.add(end)), False: 0}
    g.branch(g.add(bool, 1), case)
    last = g.add(list, box)
    assert executor.run(g, mode=mode).why(last).status == "skipped"


def test_if_the_selector_fails_nobody_knows_whether_it_was_written(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box = g.add(list, "a")
    g.branch(g.add(fail), {True: appending(box, "b"), False: 0})
    last = g.add(list, box)
    run = executor.run(g, mode=mode, check=False)
    assert run.why(last).first == "failed"


def test_what_a_case_takes_or_forwards_is_not_there_for_later_users(
    executor: taskloom.Executor, mode: Any
) -> None:
    g = Graph()
    box = g.add(list, "a")
    g.branch(g.add(bool), {True: lambda g: g.add(len, take(box)), False: 0})
    g.add(list, box)
    with pytest.raises(GraphError, match="take"):
        g.compile()
    g = Graph()
    box = g.add(list, "a")
    g.branch(g.add(bool), {True: lambda g: g.add(list.sort, forward(box)), False: 0})
    g.add(list.sort, write(box))
    with pytest.raises(GraphError, match="stands for that object"):
        g.compile()


class Program:
    """A random sequence of uses of a few lists, some in cases, as a graph and as plain Python."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.graph = Graph()
        self.boxes = [self.graph.add(list, [number]) for number in range(3)]
        self.lists = [[number] for number in range(3)]
        self.reads: list[tuple[Any, int]] = []
        self.count = 0
        for _ in range(12):
            self.step(self.graph, runs=True, depth=0)

    def step(self, g: Graph, *, runs: bool, depth: int) -> Any:
        at = self.random.randrange(3)
        what = self.random.randrange(5 if depth < 3 else 3)
        self.count += 1
        if what == 0:
            node = g.add(sum, self.boxes[at])
            if runs:
                self.reads.append((node, sum(self.lists[at])))
        elif what <= 2:
            node = g.add(list.append, write(self.boxes[at]), self.count)
            if runs:
                self.lists[at].append(self.count)
        else:
            chosen = self.random.randrange(3)
            cases = {
                case: self.case(runs=runs and case == chosen, depth=depth + 1) for case in range(3)
            }
            node = g.branch(g.add(int, chosen), cases)
        return node

    def case(self, *, runs: bool, depth: int) -> Callable[[Graph], Any]:
        def body(g: Graph) -> Any:
            steps = self.random.randrange(1, 3)
            return [self.step(g, runs=runs, depth=depth) for _ in range(steps)]

        return body


@pytest.mark.parametrize("seed", range(60))
def test_random_branches_give_what_plain_python_gives(
    executor: taskloom.Executor, mode: Any, seed: int
) -> None:
    program = Program(seed)
    keep = [*program.boxes, *(node for node, _ in program.reads)]
    run = executor.run(program.graph.compile(keep=keep), mode=mode)
    assert [run[box] for box in program.boxes] == program.lists
    assert [run[node] for node, _ in program.reads] == [value for _, value in program.reads]
