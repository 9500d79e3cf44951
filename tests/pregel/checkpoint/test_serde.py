"""Values come back from bytes as they went in, and only classes that are allowed do."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import threading
import types
import uuid
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskloom.pregel.checkpoint.serde.base import SerializationError, SerializerProtocol
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

STRICT = JsonPlusSerializer()
OPEN = JsonPlusSerializer(allowed_msgpack_modules=True)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    tags: tuple[str, ...] = ()


class Pair(NamedTuple):
    left: Any
    right: Any


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    pass


def roundtrip(value: Any, serde: JsonPlusSerializer = STRICT) -> Any:
    return serde.loads_typed(serde.dumps_typed(value))


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True and 1.0, and takes nan for equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    return bool(one == other)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.times(),
    st.timedeltas(),
)
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_nested_values_come_back_with_their_types(value: Any) -> None:
    assert same(roundtrip(value, OPEN), value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset({"a"}),
        collections.deque([1, 2], maxlen=5),
        collections.OrderedDict(b=1, a=2),
        collections.Counter("aab"),
        collections.defaultdict(list, a=[1]),
        datetime(2024, 5, 1, 12, 30, 1, 5, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime(2024, 10, 27, 2, 30, fold=1),
        timezone(timedelta(hours=2), "mine"),
        UTC,
        date(2024, 5, 1),
        time(1, 2, 3, tzinfo=UTC),
        timedelta(days=-1, microseconds=3),
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        complex(1, -2),
        range(1, 10, 3),
        pathlib.Path("/tmp/x"),
        pathlib.PurePosixPath("a/b"),
        pathlib.PureWindowsPath("c:/x"),
        ipaddress.ip_address("::1"),
        ipaddress.ip_network("10.0.0.0/8"),
        re.compile("a+", re.IGNORECASE),
        uuid.UUID(int=7),
        types.SimpleNamespace(a=1),
        2**70,
        -(2**70),
        {2**70: "wide key"},
        {frozenset({1}): (1, 2)},
        ...,
        "a lone \ud800",
        {"\ud800": "as a key"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_standard_library_values_need_no_permission(value: Any) -> None:
    found = roundtrip({"inside": [value]})["inside"][0]
    assert found == value
    assert type(found) is type(value)


def test_a_bounded_deque_keeps_its_bound() -> None:
    assert roundtrip(collections.deque([1], maxlen=3)).maxlen == 3


def test_fold_of_a_local_time_is_kept() -> None:
    assert roundtrip(datetime(2024, 10, 27, 2, 30, fold=1)).fold == 1


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2),
        Frozen("a", ("b",)),
        Pair([1], {"k": Point(3)}),
        Colour.BLUE,
        Permission.READ | Permission.WRITE,
        Name("Ada"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_allowed_classes_come_back_as_such(value: Any) -> None:
    serde = JsonPlusSerializer(
        allowed_msgpack_modules=[Point, Frozen, Pair, Colour, Permission, Name]
    )
    found = roundtrip([value], serde)[0]
    assert found == value
    assert type(found) is type(value)


def test_a_class_may_be_allowed_by_its_name() -> None:
    serde = JsonPlusSerializer(allowed_msgpack_modules=[(Point.__module__, "Point")])
    assert roundtrip(Point(1), serde) == Point(1)


def test_rebuilding_a_value_runs_none_of_its_class() -> None:
    calls = []

    @dataclasses.dataclass
    class Loud:
        x: int

        def __post_init__(self) -> None:
            calls.append(self.x)

    serde = JsonPlusSerializer(allowed_msgpack_modules=[Loud])
    data = serde.dumps_typed(Loud(1))
    calls.clear()
    assert serde.loads_typed(data).x == 1
    assert calls == []


def test_a_field_that_the_class_gained_since_takes_its_default() -> None:
    @dataclasses.dataclass
    class Before:
        x: int

    @dataclasses.dataclass
    class After:
        x: int
        extra: list[int] = dataclasses.field(default_factory=list)

    After.__qualname__ = Before.__qualname__
    data = JsonPlusSerializer(allowed_msgpack_modules=[Before]).dumps_typed(Before(1))
    found = JsonPlusSerializer(allowed_msgpack_modules=[After]).loads_typed(data)
    assert found == After(1, [])


def test_storing_a_class_that_is_not_allowed_says_which_where_and_how_to_allow_it() -> None:
    with pytest.raises(SerializationError) as caught:
        STRICT.dumps_typed({"users": [1, Point(1)]})
    message = str(caught.value)
    assert f"{Point.__module__}.Point" in message
    assert "['users'][1]" in message
    assert f"allowed_msgpack_modules=[({Point.__module__!r}, 'Point')]" in message


def test_reading_a_class_that_is_not_allowed_imports_nothing() -> None:
    data = OPEN.dumps_typed(Point(1))
    data = (data[0], data[1].replace(Point.__module__.encode(), b"x" * len(Point.__module__)))
    with pytest.raises(SerializationError, match="not on the allow-list"):
        STRICT.loads_typed(data)


def test_reading_a_name_that_is_no_data_class_is_refused() -> None:
    data = OPEN.dumps_typed(Pair(1, 2))
    name = Pair.__module__.encode()
    assert name in data[1]
    serde = JsonPlusSerializer(allowed_msgpack_modules=[(Point.__module__, "Pear")])
    with pytest.raises(SerializationError, match="cannot be imported"):
        serde.loads_typed((data[0], data[1].replace(b"Pair", b"Pear")))


def test_a_class_that_changed_its_nature_is_not_rebuilt() -> None:
    class Point:
        pass

    Point.__qualname__ = "Point"
    Point.__module__ = __name__
    data = OPEN.dumps_typed(globals()["Point"](1))
    with pytest.raises(SerializationError, match="changed its nature"):
        JsonPlusSerializer(allowed_msgpack_modules=[Point]).loads_typed(data)


def test_what_has_no_data_cannot_be_stored() -> None:
    with pytest.raises(SerializationError, match=r"at \['lock'\] of type _thread\.lock"):
        OPEN.dumps_typed({"lock": threading.Lock()})


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SerializationError, match="contains itself"):
        STRICT.dumps_typed(loop)


def test_an_exception_is_kept_as_text() -> None:
    assert roundtrip({"error": ValueError("no")}) == {"error": "ValueError('no')"}


def test_pickle_is_written_only_if_asked() -> None:
    serde = JsonPlusSerializer(pickle_fallback=True)
    tag, _ = serde.dumps_typed({"plain": 1})
    assert tag == "msgpack"
    assert roundtrip(Point(4), serde) == Point(4)
    assert serde.dumps_typed(Point(4))[0] == "pickle"


def test_pickle_is_read_only_if_asked() -> None:
    data = JsonPlusSerializer(pickle_fallback=True).dumps_typed(Point(4))
    with pytest.raises(SerializationError, match="pickle_fallback=True"):
        STRICT.loads_typed(data)


def test_an_unknown_tag_is_named() -> None:
    with pytest.raises(SerializationError, match="'yaml'"):
        STRICT.loads_typed(("yaml", b""))


def test_widening_the_list_leaves_the_first_serializer_as_it_was() -> None:
    wider = STRICT.with_msgpack_allowlist([Point])
    assert roundtrip(Point(1), wider) == Point(1)
    with pytest.raises(SerializationError):
        STRICT.dumps_typed(Point(1))


def test_an_entry_that_is_no_class_is_refused() -> None:
    with pytest.raises(TypeError, match="a class or a"):
        JsonPlusSerializer(allowed_msgpack_modules=["Point"])  # type: ignore[list-item]


def test_a_class_made_in_a_function_comes_back_from_the_serializer_that_stored_it() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    assert roundtrip(Local(3), JsonPlusSerializer(allowed_msgpack_modules=True)) == Local(3)


@pytest.mark.parametrize("value", [None, b"raw", "text", 7, [1], {}], ids=repr)
def test_plain_values_take_the_direct_road(value: Any) -> None:
    assert same(roundtrip(value), value)


def test_it_is_a_serializer_for_other_savers_too() -> None:
    assert isinstance(STRICT, SerializerProtocol)


def test_pydantic_models_keep_their_nested_types() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        when: date

    class Outer(pydantic.BaseModel):
        inner: Inner
        items: list[Inner]

    serde = JsonPlusSerializer(allowed_msgpack_modules=[Inner, Outer])
    value = Outer(inner=Inner(when=date(2024, 1, 1)), items=[Inner(when=date(2025, 1, 1))])
    found = roundtrip(value, serde)
    assert found == value
    assert type(found.items[0]) is Inner
    assert found.model_fields_set == value.model_fields_set


class TestNumpy:
    np = pytest.importorskip("numpy")

    @pytest.mark.parametrize("dtype", ["<i4", ">f8", "?", "<U3", "<M8[us]", "<c16"])
    def test_arrays_keep_type_and_shape(self, dtype: str) -> None:
        value = self.np.zeros((2, 3), dtype)
        found = roundtrip({"a": value})["a"]
        assert found.dtype == value.dtype
        assert found.shape == (2, 3)
        assert (found == value).all()

    def test_an_array_that_came_back_can_be_written_to(self) -> None:
        found = roundtrip(self.np.arange(3))
        found[0] = 9
        assert found.tolist() == [9, 1, 2]

    def test_column_order_is_kept(self) -> None:
        value = self.np.asfortranarray(self.np.arange(6).reshape(2, 3))
        found = roundtrip(value)
        assert found.flags.f_contiguous
        assert (found == value).all()

    def test_an_empty_array_is_kept(self) -> None:
        assert roundtrip(self.np.zeros((0, 4))).shape == (0, 4)

    def test_scalars_keep_their_type(self) -> None:
        found = roundtrip([self.np.float32(1.5)])[0]
        assert type(found) is self.np.float32
        assert found == 1.5

    def test_arrays_of_objects_are_refused(self) -> None:
        with pytest.raises(SerializationError, match="no portable bytes"):
            STRICT.dumps_typed(self.np.array([object()]))
