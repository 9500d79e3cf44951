"""What taskloom keeps of YOrch, compiled task trees in C++: one test for each of its features."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import taskloom
from taskloom import AbortBranch, AbortRun, Context, Retry, RetryTask, catch, copy, forward, take
from taskloom.errors import GraphError, RunAborted, RunFailed, ValueFreedError


class Buffer:
    """Something that has an identity and can be changed."""

    def __init__(self, *items: int) -> None:
        self.items = list(items)

    def add(self, item: int) -> None:
        self.items.append(item)


@pytest.fixture(params=["serial", "parallel"])
def run(request: pytest.FixtureRequest) -> Any:
    def go(target: Any, **options: Any) -> taskloom.Run:
        return taskloom.run(target, mode=request.param, **options)

    return go


def test_a_tree_is_compiled_to_a_plan_that_runs_many_times(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(g.from_context(int))
    leaf = root.child(pow, 2).then(str)
    plan = g.compile()
    assert [run(plan, context=Context(n))[leaf] for n in (3, 4)] == ["9", "16"]


def test_an_argument_comes_from_the_context_by_type(run: Any) -> None:
    g = taskloom.Graph()
    leaf = g.tree(int, "2").child(lambda n, buffer: n + len(buffer.items), g.from_context(Buffer))
    assert run(g, context=Context(Buffer(7, 8, 9)))[leaf] == 5


def test_an_argument_is_a_stored_value(run: Any) -> None:
    g = taskloom.Graph()
    leaf = g.tree(int, "2").child(pow, 5)
    assert run(g)[leaf] == 32


def test_the_output_of_the_parent_is_borrowed(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(Buffer, 1)
    seen = [root.child(lambda buffer: buffer) for _ in range(2)]
    got = run(g.compile(keep=[root]))
    assert got[seen[0]] is got[seen[1]] is got[root]


def test_the_output_of_the_parent_is_mutably_borrowed(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(Buffer)
    for number in range(3):
        root.child(Buffer.add, taskloom.write(root), number)
    last = root.child(lambda buffer: list(buffer.items))
    assert run(g)[last] == [0, 1, 2]


def test_the_output_of_the_parent_is_copied(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(Buffer, 1)
    mine = root.child(lambda buffer: (buffer.add(2), buffer.items)[1], copy(root))
    theirs = root.child(lambda buffer: buffer.items)
    got = run(g)
    assert (got[mine], got[theirs]) == ([1, 2], [1])


def test_the_output_of_the_parent_is_consumed(run: Any) -> None:
    followed: list[weakref.ref[Buffer]] = []

    def make() -> Buffer:
        buffer = Buffer(1)
        followed.append(weakref.ref(buffer))
        return buffer

    def consume(buffer: Buffer) -> bool:
        del buffer
        return followed[-1]() is None

    g = taskloom.Graph()
    root = g.tree(make)
    gone = root.child(consume, take(root))
    assert run(g)[gone] is True


def test_a_direct_output_task_hands_on_what_it_returns(run: Any) -> None:
    g = taskloom.Graph()
    leaf = g.tree(str, "a b").then(str.split).then(len)
    assert run(g)[leaf] == 2


def test_a_forward_prev_task_hands_on_the_object_of_its_parent(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(Buffer, 1)
    passed = root.child(Buffer.add, forward(root), 2)
    leaf = passed.child(lambda buffer: buffer)
    got = run(g.compile(keep=[root]))
    assert got[leaf] is got[root]
    assert got[leaf].items == [1, 2]


def test_fan_out_rules_are_checked_when_the_tree_is_built() -> None:
    g = taskloom.Graph()
    root = g.options(name="root").tree(Buffer)
    root.child(id)
    root.options(name="eater").child(id, take(root))
    with pytest.raises(GraphError, match=r"'late' .* 'root', which 'eater' takes"):
        root.options(name="late").child(id)


def test_one_to_one_slots_keep_every_output(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(int, "3")
    leaf = root.child(str)
    got = run(g.compile(slots="one_to_one"))
    assert (got[root], got[leaf]) == (3, "3")


def test_compact_slots_free_an_output_after_its_last_reader(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(int, "3")
    leaf = root.child(str)
    got = run(g.compile(slots="compact"))
    assert got[leaf] == "3"
    with pytest.raises(ValueFreedError, match="keep it with"):
        got[root]


def test_a_serial_run_is_depth_first() -> None:
    taken: list[str] = []
    g = taskloom.Graph()
    root = g.tree(taken.append, "root")

    def visit(_: object, name: str) -> None:
        taken.append(name)

    first, second = root.child(visit, "1"), root.child(visit, "2")
    second.child(visit, "2.1")
    first.child(visit, "1.1").child(visit, "1.1.1")
    first.child(visit, "1.2")
    taskloom.run(g, mode="serial")
    assert taken == ["root", "1", "1.1", "1.1.1", "1.2", "2", "2.1"]


def test_a_serial_run_needs_no_recursion(run: Any) -> None:
    g = taskloom.Graph()
    tree = g.tree(int)
    for _ in range(20_000):
        tree = tree.then((1).__add__)
    assert run(g)[tree] == 20_000


def test_a_result_is_success(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(int, "3")
    got = run(g)
    assert got.ok
    assert (got.status, got[root], got.why(root.node).status) == ("done", 3, "done")


def test_a_result_is_failure_and_only_its_subtree_is_skipped(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(str, "x")
    bad = root.child(int)
    below, beside = bad.child(abs), root.child(str.upper)
    with pytest.raises(RunFailed):
        run(g)
    got = run(g, check=False)
    assert (got.why(bad.node).status, got.why(below.node).status) == ("failed", "skipped")
    assert got[beside] == "X"


def test_a_result_is_retry(run: Any) -> None:
    asked: list[int] = []

    def third_time(number: int) -> int:
        asked.append(number)
        if len(asked) % 3:
            raise RetryTask
        return number

    g = taskloom.Graph()
    leaf = g.tree(int, "5").child(third_time)
    assert run(g)[leaf] == 5
    assert asked == [5, 5, 5]


def test_a_result_is_abort_branch(run: Any) -> None:
    def stop(_: object) -> None:
        raise AbortBranch("nothing to do")

    g = taskloom.Graph()
    root = g.tree(int, "5")
    ended = root.child(stop)
    below, beside = ended.child(abs), root.child(abs)
    got = run(g)
    assert got.ok
    assert (got[ended], got[beside]) == ("nothing to do", 5)
    assert got.why(below.node).status == "skipped"


def test_a_result_is_abort_execution() -> None:
    def stop(_: object) -> None:
        raise AbortRun("enough")

    g = taskloom.Graph()
    root = g.tree(int, "5")
    root.child(stop)
    late = root.child(abs)
    with pytest.raises(RunAborted, match="enough"):
        taskloom.run(g, mode="serial")
    got = taskloom.run(g, mode="serial", check=False)
    assert got.why(late.node).status == "cancelled"


def test_an_adapter_catches_exceptions(run: Any) -> None:
    g = taskloom.Graph()
    root = g.tree(str, "x")
    value = root.child(catch(int, {ValueError: -1}))
    quiet = root.child(catch(int, {ValueError: AbortBranch}))
    below = quiet.child(abs)
    got = run(g)
    assert got.ok
    assert got[value] == -1
    assert got.why(below.node).status == "skipped"


def test_an_adapter_retries(run: Any) -> None:
    left = [ValueError(), ValueError()]

    def fails_twice(number: int) -> int:
        if left:
            raise left.pop()
        return number

    g = taskloom.Graph()
    leaf = g.tree(int, "5").options(retry=Retry(3, delay=0)).child(fails_twice)
    assert run(g)[leaf] == 5
