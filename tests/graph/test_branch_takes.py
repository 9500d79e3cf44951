"""Cases that take or forward a value from outside: other cases of the branch may still use it."""

from __future__ import annotations

import pickle
import random
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import taskloom
from taskloom import Context, Graph, forward, take, write
from taskloom.errors import GraphError

MODES: list[Any] = ["serial", "parallel"]

pytestmark = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


def taking(box: Any) -> Callable[[Graph], Any]:
    return lambda g: g.add("".join, take(box))


def sorting(box: Any) -> Callable[[Graph], Any]:
    return lambda g: g.add("".join, g.add(list.sort, forward(box)))


@pytest.mark.parametrize("chosen", ["take", "take too", "read", "write", "sort", "other"])
def test_a_case_may_use_what_another_case_takes(
    executor: taskloom.Executor, mode: Any, chosen: str
) -> None:
    g = Graph()
    box = g.add(list, "ba")

    def writing(g: Graph) -> Any:
        g.add(list.append, write(box), "c")
        return g.add("".join, box)

    cases = {
        "take": taking(box),
        "read": lambda g: g.add(len, box),
        "sort": sorting(box),
        "write": writing,
        "take too": taking(box),
    }
    value = g.branch(g.add(str, chosen), cases, default=lambda g: g.add("".join, box))
    expected = {"read": 2, "sort": "ab", "write": "bac"}
    plan = g.compile()
    for _ in range(3):
        assert executor.run(plan, mode=mode)[value] == expected.get(chosen, "ba")


@pytest.mark.parametrize("chosen", [0, 1])
def test_what_a_case_takes_is_gone_in_its_call(
    executor: taskloom.Executor, mode: Any, chosen: int
) -> None:
    class Thing:
        pass

    made: list[weakref.ref[Thing]] = []

    def make() -> Thing:
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    def swallow(thing: Thing) -> bool:
        del thing
        return made[-1]() is None

    g = Graph()
    thing = g.add(make)
    cases = {place: lambda g: g.add(swallow, take(thing)) for place in range(2)}
    value = g.branch(g.add(int, chosen), cases)
    assert executor.run(g, mode=mode)[value] is True


def test_what_no_case_has_taken_is_freed(executor: taskloom.Executor, mode: Any) -> None:
    class Thing:
        pass

    made: list[weakref.ref[Thing]] = []

    def make() -> Thing:
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    g = Graph()
    thing = g.add(make)
    cases = {place: lambda g: g.add(type, take(thing)) for place in range(2)}
    g.branch(g.add(int, 7), cases, default=None)
    run = executor.run(g, mode=mode)
    assert run.ok
    assert made[-1]() is None


def test_nested_cases_exclude_each_other_as_their_branches_do(
    executor: taskloom.Executor, mode: Any
) -> None:
    for outer in (0, 1):
        for inner in (0, 1):
            g = Graph()
            box = g.add(list, "ab")
            cases = {0: taking(box), 1: lambda g, box=box: g.add(len, box)}
            nested = lambda g, cases=cases: g.branch(g.resource("inner"), cases)  # noqa: E731
            value = g.branch(g.resource("outer"), {0: taking(box), 1: nested})
            given = Context(outer=outer, inner=inner)
            found = executor.run(g, mode=mode, context=given)[value]
            assert found == (2 if (outer, inner) == (1, 1) else "ab")


def test_a_use_after_the_branch_is_refused(mode: Any) -> None:
    g = Graph()
    box = g.add(list, "ab")
    g.branch(g.add(bool), {True: taking(box), False: 0})
    g.options(name="late").add(len, box)
    with pytest.raises(GraphError, match="'late' is to read the value of 'list#0' after"):
        g.compile()


def test_cases_of_two_branches_do_not_exclude_each_other(mode: Any) -> None:
    g = Graph()
    box = g.add(list, "ab")
    selector = g.add(bool)
    g.branch(selector, {True: taking(box), False: 0})
    g.branch(selector, {True: 0, False: taking(box)})
    with pytest.raises(GraphError, match="both take the value"):
        g.compile()


def test_one_case_takes_once(mode: Any) -> None:
    g = Graph()
    box = g.add(list, "ab")

    def twice(g: Graph) -> Any:
        return [g.add(len, take(box)), g.add(len, take(box))]

    g.branch(g.add(bool), {True: twice, False: 0})
    with pytest.raises(GraphError, match="both take the value"):
        g.compile()


def inner_graph() -> Graph:
    g = Graph()
    box = g.options(name="box").add(list, g.resource("text"))
    cases = {True: taking(box), False: lambda g: g.add(len, box)}
    g.options(name="value").branch(g.resource("whole"), cases)
    return g


@pytest.mark.parametrize("whole", [True, False])
def test_cases_stay_apart_in_a_subgraph(
    executor: taskloom.Executor, mode: Any, whole: bool
) -> None:
    g = Graph()
    text = g.add(str, "ab")
    made = g.options(name="one").subgraph(inner_graph(), text=text, whole=whole)
    other = g.options(name="two").subgraph(inner_graph(), text=text, whole=not whole)
    ends = [g.add(repr, each["value"]) for each in (made, other)]
    run = executor.run(g, mode=mode)
    assert [run[end] for end in ends] == (["'ab'", "2"] if whole else ["2", "'ab'"])


def test_two_copies_of_a_branch_do_not_exclude_each_other(mode: Any) -> None:
    inner = Graph()
    taken = lambda g: g.add(len, take(inner.resource("box")))  # noqa: E731
    inner.branch(inner.resource("whole"), {True: taken, False: 0})
    g = Graph()
    box = g.add(list, "ab")
    g.options(name="one").subgraph(inner, box=box, whole=True)
    g.options(name="two").subgraph(inner, box=box, whole=False)
    with pytest.raises(GraphError, match="both take the value"):
        g.compile()


def test_cases_stay_apart_in_a_pickle(executor: taskloom.Executor, mode: Any) -> None:
    g = Graph()
    box = g.options(name="box").add(list, "ab")
    cases = {True: g.add(len, take(box)), False: g.options(name="shown").add(repr, box)}
    g.options(name="value").branch(g.add(bool), cases)
    again: Graph = pickle.loads(pickle.dumps(g))
    assert executor.run(again, mode=mode)["value"] == "['a', 'b']"


class Cases:
    """A branch of random cases over three lists, each with uses of its own, as plain Python too."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.graph = Graph()
        self.boxes: list[Any] = [self.graph.add(list, [number]) for number in range(3)]
        for _ in range(3):
            at = self.draw.randrange(3)
            if self.draw.random() < 0.5:
                self.boxes[at] = self.graph.add(list.reverse, forward(self.boxes[at]))
        self.expected: list[Any] = []
        self.selector = self.graph.resource("selector")
        cases = {number: self.case() for number in range(4)}
        self.value = self.graph.branch(self.selector, cases)

    def case(self) -> Callable[[Graph], Any]:
        def body(g: Graph) -> Any:
            boxes: list[Any] = list(self.boxes)
            lists: list[Any] = [[number] for number in range(3)]
            seen, wanted = [], []
            for _ in range(self.draw.randrange(1, 8)):
                at, number = self.draw.randrange(3), self.draw.randrange(100)
                if boxes[at] is None:
                    continue
                way = self.draw.choice(["read", "write", "forward", "take"])
                if way == "read":
                    seen.append(g.add(list, boxes[at]))
                    wanted.append(list(lists[at]))
                elif way == "write":
                    g.add(list.append, write(boxes[at]), number)
                    lists[at].append(number)
                elif way == "forward":
                    boxes[at] = g.add(list.append, forward(boxes[at]), number)
                    lists[at].append(number)
                else:
                    seen.append(g.add(tuple, take(boxes[at])))
                    wanted.append(tuple(lists[at]))
                    boxes[at] = None
            self.expected.append(wanted)
            return seen

        return body


@pytest.mark.parametrize("seed", range(60))
def test_random_cases_give_what_plain_python_gives(
    executor: taskloom.Executor, mode: Any, seed: int
) -> None:
    made = Cases(seed)
    plan = made.graph.compile()
    for number in (2, 0, 3, 1, 2):
        run = executor.run(plan, mode=mode, context=Context(selector=number))
        assert run[made.value] == made.expected[number]
