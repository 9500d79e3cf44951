"""`compile(check_aliasing=True)` warns of a value that is in use elsewhere and yet changed."""

from __future__ import annotations

import functools
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import taskloom
from taskloom import AliasingWarning, Graph, Node, copy, forward, read, take, write

SHARED = [3, 1, 2]

MODES = {"write": write, "forward": forward, "take": take}


def fresh() -> list[int]:
    return [3, 1, 2]


def from_globals() -> list[int]:
    return SHARED


def same(value: Any) -> Any:
    return value


async def fresh_later() -> list[int]:
    return [3, 1, 2]


async def shared_later() -> list[int]:
    return SHARED


def nothing(value: Any) -> None:
    pass


def warned(graph: Graph, check: bool = True, mode: str = "serial") -> list[str]:
    """The messages of one run of a graph."""
    plan = graph.compile(check_aliasing=check)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with taskloom.Executor(2) as executor:
            executor.run(plan, mode=mode)  # type: ignore[arg-type]
    assert all(warning.category is AliasingWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def used(make: Callable[[], Any], mode: str = "write", **options: Any) -> Graph:
    graph = Graph()
    made = graph.options(name="made", **options).add(make)
    graph.options(name="user").add(nothing, MODES[mode](made))
    return graph


@pytest.mark.parametrize("mode", MODES)
def test_a_fresh_object_is_silent(mode: str) -> None:
    assert warned(used(fresh, mode)) == []


@pytest.mark.parametrize("mode", MODES)
def test_an_object_of_a_module_is_reported(mode: str) -> None:
    assert len(warned(used(from_globals, mode))) == 1


def test_the_report_names_the_nodes_the_holder_and_the_mend() -> None:
    assert warned(used(from_globals)) == [
        "node 'made' returned an object of type 'list' that is still in use elsewhere (in the "
        f"globals of {__name__}), and node 'user' writes to it: let 'user' use copy(made), or let "
        "'made' return a fresh object"
    ]


def test_it_is_off_unless_asked_for() -> None:
    assert warned(used(from_globals), check=False) == []
    assert Graph.compile.__kwdefaults__ is not None
    assert Graph.compile.__kwdefaults__["check_aliasing"] is False


def test_it_warns_once_for_each_run() -> None:
    plan = used(from_globals).compile(check_aliasing=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            taskloom.run(plan, mode="serial")
    assert len(caught) == 3


def test_a_warning_that_is_an_error_fails_the_node() -> None:
    plan = used(from_globals).compile(check_aliasing=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AliasingWarning)
        run = taskloom.run(plan, mode="serial", check=False)
    assert isinstance(run.exceptions()[plan.nodes[0]], AliasingWarning)


def returning_its_input(mode: Callable[[Any], Any]) -> tuple[Graph, Node[Any]]:
    graph = Graph()
    first = graph.options(name="first").add(fresh)
    second = graph.options(name="second").add(same, mode(first))
    return graph, second


def test_an_input_that_is_returned_is_reported_with_its_node() -> None:
    graph, second = returning_its_input(read)
    graph.options(name="third").add(nothing, take(second))
    assert warned(graph) == [
        "node 'second' returned its argument 0, the value of 'first', which it only reads, and "
        "node 'third' takes it: let 'third' use copy(second), or let 'second' return a fresh "
        "object or use forward(first)"
    ]


def test_a_constant_that_is_returned_is_reported() -> None:
    graph = Graph()
    made = graph.add(same, [1, 2])
    graph.add(nothing, write(made))
    assert "returned its argument 0, which it only reads" in warned(graph)[0]


@pytest.mark.parametrize("mode", [copy, take, forward])
def test_an_input_that_is_its_own_may_be_returned(mode: Callable[[Any], Any]) -> None:
    graph, second = returning_its_input(mode)
    graph.add(nothing, write(second))
    assert warned(graph) == []


def test_an_input_that_is_written_to_and_returned_is_reported() -> None:
    graph, second = returning_its_input(write)
    graph.add(nothing, write(second))
    assert "returned its argument 0, the value of 'first', and" in warned(graph)[0]


def test_a_taker_that_returns_another_input_is_reported() -> None:
    graph = Graph()
    first, kept = graph.add(fresh), graph.options(name="kept").add(fresh)
    second = graph.add(lambda taken, *, other: other, take(first), other=kept)
    graph.add(nothing, write(second))
    assert "its argument 'other', the value of 'kept'" in warned(graph)[0]


class Big:
    """Something that can be referred to weakly."""


ALIVE: list[bool] = []


def drop(big: Big) -> list[int]:
    seen = weakref.ref(big)
    del big
    ALIVE.append(seen() is not None)
    return [1]


async def same_later(value: Any) -> Any:
    return value


def test_who_takes_a_value_is_its_only_owner_while_watched() -> None:
    ALIVE.clear()
    graph = Graph()
    graph.add(nothing, write(graph.add(drop, take(graph.add(Big)))))
    assert warned(graph) == []
    assert ALIVE == [False]


def test_what_a_coroutine_took_it_may_return() -> None:
    graph = Graph()
    second = graph.add(same_later, take(graph.add(fresh)))
    graph.add(nothing, write(second))
    assert warned(graph) == []


@pytest.mark.parametrize(
    "value", [None, 7, 1.5, "text", b"bytes", (1, ("a", None)), frozenset({1}), len, list, pytest]
)
def test_what_cannot_be_changed_is_silent(value: object) -> None:
    assert warned(used(lambda: value)) == []


def test_readers_alone_are_silent() -> None:
    graph = Graph()
    made = graph.add(from_globals)
    graph.add(nothing, made)
    graph.add(nothing, copy(made))
    assert warned(graph) == []


def test_a_value_of_the_context_is_silent() -> None:
    graph = Graph()
    graph.add(nothing, write(graph.resource("box")))
    plan = graph.compile(check_aliasing=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taskloom.run(plan, mode="serial", context=taskloom.Context(box=[1]))


def test_an_object_whose_parts_refer_to_it_is_silent() -> None:
    def tree() -> dict[str, Any]:
        root: dict[str, Any] = {}
        root["children"] = [{"parent": root}, {"parent": root}]
        return root

    assert warned(used(tree)) == []


def test_an_object_whose_parts_refer_to_it_is_reported_if_others_do_too() -> None:
    root: dict[str, Any] = {}
    root["child"] = {"parent": root}
    assert "(in a closure, a dict)" in warned(used(lambda: root))[0]


def test_an_object_of_an_instance_is_reported() -> None:
    class Store:
        def __init__(self) -> None:
            self.items = [1]

        def get(self) -> list[int]:
            return self.items

    assert "(in an instance of " in warned(used(Store().get))[0]


def test_a_result_that_is_cached_is_reported() -> None:
    assert len(warned(used(functools.lru_cache(fresh)))) == 1


def test_an_object_that_a_retry_returns_is_looked_at_once() -> None:
    assert warned(used(fresh, retry=3)) == []
    assert len(warned(used(from_globals, retry=3))) == 1


@pytest.mark.parametrize("mode", MODES)
def test_nodes_that_are_awaited_are_looked_at(mode: str) -> None:
    assert warned(used(fresh_later, mode)) == []
    assert len(warned(used(shared_later, mode))) == 1


def test_a_coroutine_that_is_looked_at_keeps_its_name() -> None:
    names = []

    async def named() -> list[int]:
        task = taskloom.current_task()
        names.append(task and task.name)
        return [1]

    graph = Graph()
    graph.add(nothing, write(graph.add(named)))
    warned(graph, check=False)
    warned(graph)
    assert names[0] is not None
    assert names[0] == names[1]


def test_nodes_that_are_submitted_are_looked_at() -> None:
    assert warned(used(fresh, timeout=60)) == []
    assert len(warned(used(from_globals, timeout=60))) == 1


def test_a_process_gives_a_copy() -> None:
    assert warned(used(from_globals, place="process")) == []


@pytest.mark.parametrize("make", [fresh, from_globals])
def test_the_case_of_a_branch_is_looked_at(make: Callable[[], list[int]]) -> None:
    graph = Graph()
    value = graph.branch(graph.add(bool, 1), {True: lambda g: g.add(make), False: None})
    graph.add(nothing, write(value))
    assert len(warned(graph)) == (make is from_globals)


def test_a_parallel_run_is_looked_at_as_well() -> None:
    assert warned(used(fresh), mode="parallel") == []
    assert len(warned(used(from_globals), mode="parallel")) == 1


def test_a_pickled_plan_still_looks() -> None:
    plan = pickle.loads(pickle.dumps(used(from_globals).compile(check_aliasing=True)))
    with pytest.warns(AliasingWarning, match="node 'made'"):
        taskloom.run(plan, mode="serial")
