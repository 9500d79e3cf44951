"""Edges whose ends are annotated are checked when they are made."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, Optional, Protocol, TypeVar, runtime_checkable

import pytest
import taskloom
from taskloom import Graph, Write, catch, forward
from taskloom.errors import GraphError, OptionError

pytest.importorskip("beartype")

T = TypeVar("T")


class Animal:
    pass


class Dog(Animal):
    def bark(self) -> str:
        return "woof"


@runtime_checkable
class Barks(Protocol):
    def bark(self) -> str: ...


class Quacks(Protocol):
    def quack(self) -> str: ...


class Box(Generic[T]):
    pass


def made(returned: Any) -> Any:
    def make() -> Any:
        raise AssertionError("checked, not called")

    make.__annotations__["return"] = returned
    return make


def used(accepted: Any) -> Any:
    def use(it: Any) -> None:
        raise AssertionError("checked, not called")

    use.__annotations__["it"] = accepted
    return use


def accepts(returned: Any, accepted: Any) -> bool:
    g = taskloom.Graph(check_types="error")
    source = g.add(made(returned))
    try:
        g.add(used(accepted), source)
    except GraphError:
        assert len(g) == 1
        return False
    return True


FITS = [
    (int, int),
    (bool, int),
    (int, float),
    (list[int], list[float]),
    (Dog, Animal),
    (int, object),
    (int, int | None),
    (int, Optional[int]),  # noqa: UP045 - both spellings
    (None, int | None),
    (bool | int, int),
    (list[int], Sequence[int]),
    (dict[str, int], Mapping[str, int]),
    (list[int], list),
    (Literal["a"], str),
    (Annotated[int, "metres"], int),
    (int, Annotated[int, "metres"]),
    (Dog, Barks),
]

FITS_NOT = [
    (int, str),
    (float, int),
    (Animal, Dog),
    (int | None, int),
    (None, int),
    (int | str, int),
    (list[int], list[str]),
    (list[int], dict[str, int]),
    (dict[str, int], Mapping[str, str]),
    (set[int], Iterable[str]),
    (Literal["a"], Literal["b"]),
    (Animal, Barks),
]

UNDECIDABLE = [
    (Any, int),
    (int, Any),
    (list, list[int]),
    (list[Any], list[int]),
    (T, int),
    (int, T),
    (list[T], int),
    (Box[T], Box[int]),
    (int, Quacks),
    (int, "Undefined"),
]


@pytest.mark.parametrize(("returned", "accepted"), FITS)
def test_a_value_of_a_type_that_fits_is_accepted(returned: Any, accepted: Any) -> None:
    assert accepts(returned, accepted)


@pytest.mark.parametrize(("returned", "accepted"), FITS_NOT)
def test_a_value_of_a_type_that_does_not_fit_is_refused(returned: Any, accepted: Any) -> None:
    assert not accepts(returned, accepted)


@pytest.mark.parametrize(("returned", "accepted"), UNDECIDABLE)
def test_what_nobody_can_tell_passes_in_silence(returned: Any, accepted: Any) -> None:
    assert accepts(returned, accepted)


def number() -> int:
    return 1


def shout(text: str, *more: str, mark: str = "!") -> str:
    return text + "".join(more) + mark


def test_the_error_names_both_nodes_the_argument_and_both_types() -> None:
    g = taskloom.Graph(check_types="error")
    source = g.options(name="count").add(number)
    with pytest.raises(GraphError) as caught:
        g.add(shout, source)
    text = "node 'shout#1': its argument 'text' is to be str, but node 'count', whose value it gets"
    assert str(caught.value) == f"{text}, returns int"


def test_a_name_of_the_later_node_is_used() -> None:
    g = taskloom.Graph(check_types="error")
    with pytest.raises(GraphError, match="node 'loud': its argument"):
        g.options(name="loud").add(shout, g.add(number))


def test_keyword_and_variadic_arguments_are_checked() -> None:
    g = taskloom.Graph(check_types="error")
    source = g.add(number)
    with pytest.raises(GraphError, match="'mark'"):
        g.add(shout, "a", mark=source)
    with pytest.raises(GraphError, match="more'"):
        g.add(shout, "a", "b", source)


def test_a_class_is_what_it_makes_and_wants_what_its_constructor_wants() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    g = taskloom.Graph(check_types="error")
    source = g.add(number)
    with pytest.raises(GraphError, match="'name' is to be str"):
        g.add(Named, source)
    named = g.add(Named, "x")
    with pytest.raises(GraphError, match=r"returns .*Named"):
        g.add(shout, named)


def test_a_context_value_of_a_type_is_of_that_type() -> None:
    g = taskloom.Graph(check_types="error")
    g.add(shout, g.from_context(str))
    g.add(shout, g.resource("by name, of any type"))
    with pytest.raises(GraphError, match="returns dict"):
        g.add(shout, g.from_context(dict))


def test_a_node_that_an_object_was_forwarded_to_is_of_its_type() -> None:
    def grow(items: list[int]) -> None:
        items.append(1)

    def total(items: list[int]) -> int:
        return sum(items)

    def make() -> list[int]:
        return []

    g = taskloom.Graph(check_types="error")
    grown = g.add(grow, forward(g.add(make)))
    node = g.add(total, grown)
    assert taskloom.run(g)[node] == 1


def test_access_modes_in_a_signature_do_not_hide_its_types() -> None:
    def change(items: Write[list[int]]) -> None:
        items.append(1)

    g = taskloom.Graph(check_types="error")
    change.__annotations__["items"] = Write[list[int]]
    with pytest.raises(GraphError, match="'items'"):
        g.add(change, g.add(number))


def test_what_is_caught_may_be_anything() -> None:
    g = taskloom.Graph(check_types="error")
    g.add(shout, g.add(catch(number, {ValueError: "nothing"})))


def test_a_warning_comes_in_place_of_an_error_if_asked_for() -> None:
    g = taskloom.Graph(check_types="warn")
    source = g.add(number)
    for adder in (g, g.options(retry=2)):
        with pytest.warns(UserWarning, match="'text' is to be str") as caught:
            adder.add(shout, source)
        assert caught[0].filename == __file__
    assert len(g) == 3


def test_nothing_is_checked_by_default() -> None:
    g = taskloom.Graph()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.add(shout, g.add(number))


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(OptionError, match="'warn', 'error'"):
        taskloom.Graph(check_types="loudly")  # type: ignore[arg-type]


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "beartype.door", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'taskloom\[types\]'"):
        taskloom.Graph(check_types="error")


FITTING_ITEMS: list[tuple[Any, Any]] = [
    ([int, int], list[int]),
    ([int, bool], Sequence[float]),
    ([int, str], list[int | str]),
    ([int, str], list),
    ([int, str], list[Any]),
    ([int, str], object),
    ([int, str], list[T]),
    ([int, Any], list[int]),
    ([int, int], list[int] | None),
    ((int, str), tuple[int, str]),
    ((int, int), tuple[int, ...]),
    ((int, str), Sequence[int | str]),
    ((int, str), tuple[int, str] | list[int]),
    ({"a": int}, dict[str, int]),
    ({"a": int}, Mapping[str, float]),
    ([[int], [int]], list[list[int]]),
    ([(int, str)], list[tuple[int, str]]),
]
MISFITS: list[tuple[Any, Any, str]] = [
    ([int, str], list[int], "'it[1]' is to be int"),
    ([int, str], Sequence[int] | None, "'it[1]' is to be int"),
    ((int, int), tuple[int, str], "'it[1]' is to be str"),
    ((int, str), tuple[int, ...], "'it[1]' is to be int"),
    ({"a": str}, dict[str, int], "\"it['a']\" is to be int"),
    ([[int], [str]], list[list[int]], "'it[1][0]' is to be int"),
    ([int], int, "'it' is to be int, but it is a list of nodes' values"),
    ([int], tuple[int, ...], "but it is a list of nodes' values"),
    ((int, int), list[int], "but it is a tuple of nodes' values"),
]


def with_nodes(g: Graph, shape: Any) -> Any:
    """A container of hints as one of nodes that return these."""
    if isinstance(shape, dict):
        return {key: with_nodes(g, item) for key, item in shape.items()}
    if isinstance(shape, (list, tuple)):
        return type(shape)(with_nodes(g, item) for item in shape)
    return g.add(made(shape))


@pytest.mark.parametrize(("shape", "accepted"), FITTING_ITEMS)
def test_containers_of_values_that_fit_are_accepted(shape: Any, accepted: Any) -> None:
    g = Graph(check_types="error")
    g.add(used(accepted), with_nodes(g, shape))


@pytest.mark.parametrize(("shape", "accepted", "words"), MISFITS)
def test_a_value_in_a_container_that_does_not_fit_is_refused(
    shape: Any, accepted: Any, words: str
) -> None:
    g = Graph(check_types="error")
    with pytest.raises(GraphError, match=re.escape(words)):
        g.add(used(accepted), with_nodes(g, shape))


def test_the_values_of_groups_and_joins_are_checked() -> None:
    g = Graph(check_types="error")
    group = g.map(number_of, ["a", "b"])
    g.add(used(list[int]), group)
    with pytest.raises(GraphError, match=re.escape("[0]' is to be str")):
        g.add(used(list[str]), group)
    joined = g.depends_on(group[0], g.add(made(str)))
    joined.add(used(tuple[int, str]))
    with pytest.raises(GraphError, match=re.escape("[1]' is to be int")):
        joined.add(used(tuple[int, int]))


def number_of(text: str) -> int:
    return len(text)


def test_a_container_that_holds_itself_is_looked_through_once() -> None:
    items: list[Any] = [1]
    items.append(items)
    g = Graph(check_types="error")
    with pytest.raises(GraphError, match="'more' is to be int"):
        g.add(lambda_of(int), items, more=g.add(made(str)))


def lambda_of(accepted: Any) -> Any:
    def use(it: Any, more: Any) -> None:
        raise AssertionError("checked, not called")

    use.__annotations__["more"] = accepted
    return use
