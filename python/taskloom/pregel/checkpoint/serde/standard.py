"""Standard-library values that msgpack has no form for: each has an extension code of its own.

A code names a type for good: codes are never reused, because stored checkpoints hold them.
"""

from __future__ import annotations

import ipaddress
import pathlib
import re
import types
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

_FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (list, dict, set, int, float, str, bool, tuple)
}


class Standard(NamedTuple):
    """How one standard type is stored: its code, and its way to and from plain values."""

    code: int
    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]


def _datetime_to_plain(value: datetime) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.tzinfo, value.fold]


def _datetime_from_plain(plain: list[Any]) -> datetime:
    return datetime.fromisoformat(plain[0]).replace(tzinfo=plain[1], fold=plain[2])


def _time_to_plain(value: time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.tzinfo, value.fold]


def _time_from_plain(plain: list[Any]) -> time:
    return time.fromisoformat(plain[0]).replace(tzinfo=plain[1], fold=plain[2])


def _timezone_to_plain(value: timezone) -> list[Any]:
    offset = value.utcoffset(None)
    return [offset.days, offset.seconds, offset.microseconds, value.tzname(None)]


def _timezone_from_plain(plain: list[Any]) -> timezone:
    offset = timedelta(*plain[:3])
    if not offset and plain[3] == "UTC":
        return timezone.utc  # noqa: UP017 - the same object, as equality by name would not be
    unnamed = timezone(offset)
    return unnamed if unnamed.tzname(None) == plain[3] else timezone(offset, plain[3])


def _zone_key(value: zoneinfo.ZoneInfo) -> str:
    if value.key is None:
        raise ValueError("a ZoneInfo made from a file has no key to store")
    return value.key


def _factory_name(value: defaultdict[Any, Any]) -> str | None:
    factory = value.default_factory
    if factory is None:
        return None
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is not factory:
        raise ValueError(f"a defaultdict in a checkpoint needs a builtin factory, not {factory!r}")
    return name


def _defaultdict_from_plain(plain: list[Any]) -> defaultdict[Any, Any]:
    factory = None if plain[0] is None else _FACTORIES[plain[0]]
    return defaultdict(factory, plain[1])


def _path(kind: type[pathlib.PurePath]) -> Callable[[str], pathlib.PurePath]:
    def make(text: str) -> pathlib.PurePath:
        return kind(text)

    return make


_PATH = type(pathlib.Path())

STANDARD: dict[type, Standard] = {
    tuple: Standard(1, list, tuple),
    set: Standard(2, list, set),
    frozenset: Standard(3, list, frozenset),
    deque: Standard(4, lambda v: [v.maxlen, list(v)], lambda p: deque(p[1], p[0])),
    datetime: Standard(5, _datetime_to_plain, _datetime_from_plain),
    date: Standard(6, date.isoformat, date.fromisoformat),
    time: Standard(7, _time_to_plain, _time_from_plain),
    timedelta: Standard(8, lambda v: [v.days, v.seconds, v.microseconds], lambda p: timedelta(*p)),
    timezone: Standard(9, _timezone_to_plain, _timezone_from_plain),
    zoneinfo.ZoneInfo: Standard(10, _zone_key, zoneinfo.ZoneInfo),
    UUID: Standard(11, lambda v: v.bytes, lambda p: UUID(bytes=p)),
    Decimal: Standard(12, str, Decimal),
    Fraction: Standard(13, lambda v: [v.numerator, v.denominator], lambda p: Fraction(p[0], p[1])),
    complex: Standard(14, lambda v: [v.real, v.imag], lambda p: complex(p[0], p[1])),
    range: Standard(15, lambda v: [v.start, v.stop, v.step], lambda p: range(*p)),
    _PATH: Standard(16, str, _path(pathlib.Path)),
    pathlib.PurePosixPath: Standard(17, str, _path(pathlib.PurePosixPath)),
    pathlib.PureWindowsPath: Standard(18, str, _path(pathlib.PureWindowsPath)),
    ipaddress.IPv4Address: Standard(19, str, ipaddress.IPv4Address),
    ipaddress.IPv4Network: Standard(20, str, ipaddress.IPv4Network),
    ipaddress.IPv4Interface: Standard(21, str, ipaddress.IPv4Interface),
    ipaddress.IPv6Address: Standard(22, str, ipaddress.IPv6Address),
    ipaddress.IPv6Network: Standard(23, str, ipaddress.IPv6Network),
    ipaddress.IPv6Interface: Standard(24, str, ipaddress.IPv6Interface),
    re.Pattern: Standard(25, lambda v: [v.pattern, v.flags], lambda p: re.compile(p[0], p[1])),
    int: Standard(26, str, int),  # only those beyond 64 bits come here
    OrderedDict: Standard(27, dict, OrderedDict),
    Counter: Standard(28, dict, Counter),
    defaultdict: Standard(29, lambda v: [_factory_name(v), dict(v)], _defaultdict_from_plain),
    types.SimpleNamespace: Standard(30, vars, lambda p: types.SimpleNamespace(**p)),
    type(Ellipsis): Standard(31, lambda _: None, lambda _: ...),
}

BY_CODE: dict[int, Callable[[Any], Any]] = {
    entry.code: entry.from_plain for entry in STANDARD.values()
}
