"""What a node takes moves into its call, whatever it calls and however the call ends."""

from __future__ import annotations

import functools
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import Graph, RetryTask, copy, take

MODES: list[Any] = ["serial", "parallel"]

pytestmark = pytest.mark.parametrize("mode", MODES)


class Thing:
    """Something that a test can see the end of."""

    def __init__(self) -> None:
        self.items = [1, 2]

    def gone(self, reference: list[weakref.ref[Thing]]) -> bool:
        del self
        return reference[-1]() is None


class Maker:
    """Makes things, and keeps weak references to them."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Thing]] = []

    def __call__(self) -> Thing:
        thing = Thing()
        self.made.append(weakref.ref(thing))
        return thing

    def swallow(self, thing: Thing) -> bool:
        del thing
        return self.made[-1]() is None


def test_a_bound_method_has_the_last_reference(mode: Any) -> None:
    make, g = Maker(), Graph()
    node = g.add(make.swallow, take(g.add(make)))
    plan = g.compile()
    assert [taskloom.run(plan, mode=mode)[node] for _ in range(3)] == [True] * 3


def test_the_self_of_a_method_can_be_taken(mode: Any) -> None:
    make, g = Maker(), Graph()
    node = g.add(Thing.gone, take(g.add(make)), make.made)
    assert taskloom.run(g, mode=mode)[node] is True


def test_several_values_are_taken_by_one_node(mode: Any) -> None:
    make, g = Maker(), Graph()

    def swallow(one: Thing, kept: Thing, *, two: Thing) -> list[bool]:
        del one, two
        return [reference() is None for reference in make.made]

    things = [g.add(make), g.add(make).after(), g.add(make)]
    things[1].after(things[0])
    things[2].after(things[1])
    node = g.add(swallow, take(things[0]), things[1], two=take(things[2]))
    assert taskloom.run(g, mode=mode)[node] == [True, False, True]


def test_an_object_that_stands_behind_two_taken_values_is_gone_when_both_are(mode: Any) -> None:
    make, g = Maker(), Graph()

    def swallow(one: Thing, two: Thing) -> tuple[bool, bool]:
        del one
        before = make.made[-1]() is None
        del two
        return before, make.made[-1]() is None

    thing = g.add(make)
    same = g.add(lambda thing: thing, thing)
    node = g.add(swallow, take(thing), take(same))
    assert taskloom.run(g, mode=mode)[node] == (False, True)


def test_what_a_taker_hands_on_lives_on(mode: Any) -> None:
    make, g = Maker(), Graph()
    last = g.add(make)
    for _ in range(50):
        last = g.add(lambda thing: thing, take(last))
    node = g.add(lambda thing: thing.items, take(last))
    assert taskloom.run(g, mode=mode)[node] == [1, 2]
    assert make.made[-1]() is None


def test_an_object_with_other_owners_outlives_its_taker(mode: Any) -> None:
    shared, g = Thing(), Graph()
    before = sys.getrefcount(shared)
    node = g.add(lambda thing: thing.items, take(g.add(lambda: shared)))
    plan = g.compile()
    for _ in range(100):
        assert taskloom.run(plan, mode=mode)[node] == [1, 2]
    assert sys.getrefcount(shared) == before
    assert shared.items == [1, 2]


def test_small_values_that_live_for_ever_can_be_taken(mode: Any) -> None:
    g = Graph()
    nodes = [g.add(lambda x: x, take(g.add(lambda value=value: value))) for value in (None, 1, "")]
    plan = g.compile()
    for _ in range(100):
        run = taskloom.run(plan, mode=mode)
        assert [run[node] for node in nodes] == [None, 1, ""]


def test_a_taker_that_fails_has_freed_its_value(mode: Any) -> None:
    make, g = Maker(), Graph()

    def fail(thing: Thing) -> None:
        del thing
        raise ValueError("on purpose")

    node = g.add(fail, take(g.add(make)))
    run = taskloom.run(g, mode=mode, check=False)
    assert make.made[-1]() is None
    assert isinstance(run.exceptions()[node], ValueError)


def test_a_call_that_does_not_fit_frees_what_it_was_to_take(mode: Any) -> None:
    make, g = Maker(), Graph()

    def picky(*things: Thing) -> None:
        raise AssertionError

    node = g.add(picky, take(g.add(make)))
    # What was checked when the node was added is not what is called now.
    picky.__code__ = (lambda: None).__code__
    run = taskloom.run(g, mode=mode, check=False)
    assert isinstance(run.exceptions()[node], TypeError)
    assert make.made[-1]() is None


def test_a_call_too_deep_in_others_frees_what_it_was_to_take(mode: Any) -> None:
    make, g = Maker(), Graph()

    def deep(thing: Thing) -> int:
        return 1 + deep(thing)

    node = g.add(deep, take(g.add(make)))
    run = taskloom.run(g, mode=mode, check=False)
    assert isinstance(run.exceptions()[node], RecursionError)
    del run
    gc.collect()
    assert make.made[-1]() is None


def test_a_generator_has_what_its_function_took(mode: Any) -> None:
    make, g = Maker(), Graph()

    def several(thing: Thing) -> Any:
        yield thing.items
        del thing
        yield make.made[-1]() is None

    node = g.add(several, take(g.add(make)))
    run = taskloom.run(g, mode=mode)
    assert list(run[node]) == [[1, 2], True]


@pytest.mark.parametrize(
    "function",
    [
        len,
        list,
        ",".join,
        str.split,
        functools.partial(max, 3),
        type("Held", (), {"__init__": lambda self, value: None}),
    ],
)
def test_what_is_no_function_in_python_may_take_too(
    mode: Any, function: Callable[..., Any]
) -> None:
    value: Any = 7 if isinstance(function, functools.partial) else "a b"
    g = Graph()
    node = g.add(function, take(g.add(lambda: value)))
    plan = g.compile()
    for _ in range(3):
        got = taskloom.run(plan, mode=mode)[node]
        assert got == function(value) or type(got) is function


def test_a_node_that_has_taken_cannot_be_called_again(mode: Any) -> None:
    g = Graph()

    def again(thing: list[int]) -> None:
        del thing
        raise RetryTask

    node = g.add(again, take(g.add(list)))
    run = taskloom.run(g, mode=mode, check=False)
    assert "has taken its argument" in str(run.exceptions()[node])


def test_a_taker_that_is_skipped_frees_its_value(mode: Any) -> None:
    make, g = Maker(), Graph()
    bad = g.add(int, "x")
    g.add(lambda thing, _: None, take(g.add(make)), bad)
    taskloom.run(g, mode=mode, check=False).exceptions()
    assert make.made[-1]() is None


@pytest.mark.parametrize("way", ["a window", "a list beside it", "the calling thread"])
def test_a_taker_that_is_called_in_another_way_has_the_last_reference(mode: Any, way: str) -> None:
    make, g = Maker(), Graph()

    def swallow(thing: Thing, _: object = None) -> bool:
        del thing
        return make.made[-1]() is None

    options: dict[str, dict[str, Any]] = {
        "a window": {"max_concurrency": 1},
        "the calling thread": {"place": "caller"},
    }
    more = [[g.add(int)]] if way == "a list beside it" else []
    node = g.options(**options.get(way, {})).add(swallow, take(g.add(make)), *more)
    assert taskloom.run(g, mode=mode)[node] is True


def flat() -> list[Any]:
    return [
        [1, "two", 3.0, None, True, b"six", 7j],
        {"a": 1, 2: "b"},
        {1, 2, 3},
        (1, "two"),
        bytearray(b"abc"),
        "text",
        5,
        None,
    ]


def nested() -> list[Any]:
    inner = [1]
    thing = Thing()
    return [[inner, inner], {"a": inner}, ([1],), {(1, 2)}, frozenset([1]), thing, [thing, thing]]


@pytest.mark.parametrize("place", range(8))
def test_a_copy_of_a_flat_value_is_equal_and_apart(mode: Any, place: int) -> None:
    g = Graph()
    value = flat()[place]
    x = g.add(lambda: value)
    mine = g.add(lambda mine: mine, copy(x))
    got = taskloom.run(g, mode=mode)[mine]
    assert got == value
    assert type(got) is type(value)
    assert (got is value) == isinstance(value, (tuple, str, int, type(None)))


@pytest.mark.parametrize("place", range(7))
def test_a_copy_of_a_nested_value_is_deep_and_keeps_what_is_shared(mode: Any, place: int) -> None:
    g = Graph()
    value = nested()[place]
    mine = g.add(lambda mine: mine, copy(g.add(lambda: value)))
    got = taskloom.run(g, mode=mode)[mine]
    assert type(got) is type(value)
    if isinstance(value, list):
        assert got[0] is got[1]
        assert got[0] is not value[0]
    elif isinstance(value, dict):
        assert got["a"] is not value["a"]
    elif isinstance(value, tuple):
        assert got[0] is not value[0]
    elif isinstance(value, Thing):
        assert got is not value
        assert got.items is not value.items
    else:
        assert got == value


def test_a_subclass_of_a_list_is_copied_as_what_it_is(mode: Any) -> None:
    class Row(list[int]):
        label = "row"

    row = Row([1, 2])
    row.label = "mine"
    g = Graph()
    mine = g.add(lambda mine: mine, copy(g.add(lambda: row)))
    got = taskloom.run(g, mode=mode)[mine]
    assert (type(got), got, got.label) == (Row, [1, 2], "mine")
    assert got is not row


def test_each_attempt_gets_a_copy_of_its_own(mode: Any) -> None:
    attempts: list[list[int]] = []

    def spoil(mine: list[int]) -> int:
        attempts.append(list(mine))
        mine.append(0)
        if len(attempts) < 3:
            raise RetryTask
        return len(mine)

    g = Graph()
    x = g.add(lambda: [1])
    node = g.add(spoil, copy(x))
    run = taskloom.run(g.compile(keep=[x]), mode=mode)
    assert attempts == [[1]] * 3
    assert (run[node], run[x]) == (2, [1])


def test_each_attempt_of_a_retry_gets_a_copy_of_its_own(mode: Any) -> None:
    attempts: list[list[int]] = []

    def spoil(mine: list[int]) -> int:
        attempts.append(list(mine))
        mine.append(0)
        if len(attempts) < 3:
            raise ValueError("on purpose")
        return len(mine)

    g = Graph()
    node = g.options(retry=3).add(spoil, copy(g.add(lambda: [1])))
    assert taskloom.run(g, mode=mode)[node] == 2
    assert attempts == [[1]] * 3


def test_a_copier_that_fails_fails_its_node(mode: Any) -> None:
    def fail(value: list[int]) -> list[int]:
        raise ValueError("no copy")

    g = Graph()
    x = g.add(list, "ab")
    node, other = g.add(len, copy(x, fail)), g.add(len, x)
    run = taskloom.run(g, mode=mode, check=False)
    assert str(run.exceptions()[node]) == "no copy"
    assert run[other] == 2


def test_copies_stand_beside_other_arguments(mode: Any) -> None:
    def mix(*values: Any, key: list[int]) -> list[Any]:
        for value in values:
            if isinstance(value, list):
                value.append(0)
        key.append(9)
        return [*values, key]

    g = Graph()
    x, y = g.add(lambda: [1]), g.add(lambda: [2])
    node = g.add(mix, 5, copy(x), [g.add(int)], key=copy(y))
    run = taskloom.run(g.compile(keep=[x, y]), mode=mode)
    assert run[node] == [5, [1, 0], [0, 0], [2, 9]]
    assert (run[x], run[y]) == ([1], [2])


def test_a_node_may_copy_one_value_and_stand_for_another(mode: Any) -> None:
    g = Graph()
    x, y = g.add(lambda: [1]), g.add(lambda: [2])
    both = g.add(lambda mine, own: own.extend(mine), copy(x), taskloom.forward(y))
    assert taskloom.run(g, mode=mode)[both] == [2, 1]
