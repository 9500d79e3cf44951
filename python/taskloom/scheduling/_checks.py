"""Checks of settings: each takes what a user wrote, text included, and returns the one kept form.

What makes no sense raises a `ValueError` that says only what was expected; who asks knows the name
and where the value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType

from taskloom._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from taskloom.scheduling.affinity import Realtime

    Check = Callable[[Any], Any]


def refuse(expected: str) -> ValueError:
    return ValueError(expected)


def flag(value: object) -> bool:
    """A truth value, or a word for one."""
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise refuse("true or false")


def number(
    kind: type[int] | type[float], low: float, high: float = float("inf"), *, above: bool = False
) -> Check:
    """A number from `low` (or just above it) to `high`; text is read, bool is not a number."""
    noun = "a whole number" if kind is int else "a number"
    bound = f"above {low:g}" if above else f"of at least {low:g}"
    expected = f"{noun} {bound}" + (f" and at most {high:g}" if high < float("inf") else "")

    def check(value: object) -> int | float:
        number: int | float | None = None
        if isinstance(value, str):
            try:
                number = kind(value)
            except ValueError:
                number = None
        elif isinstance(value, kind) and not isinstance(value, bool):
            number = value
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            number = float(value)
        if number is None or not (low < number if above else low <= number) or not number <= high:
            raise refuse(expected)
        return number

    return check


def or_none(check: Check, word: str = "none") -> Check:
    """What `check` takes, or None."""

    def check_or_none(value: object) -> Any:
        if value is None or (isinstance(value, str) and value.lower() == word):
            return None
        try:
            return check(value)
        except ValueError as error:
            raise refuse(f"{error}, or None") from None

    return check_or_none


def one_of(*choices: str) -> Check:
    """One of some words."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise refuse("one of " + ", ".join(map(repr, choices)))

    return check


def threads(value: object) -> int | str:
    """A number of threads, or the word for a worker's share of the processors."""
    if value == "share":
        return "share"
    try:
        return int(number(int, 1)(value))
    except ValueError as error:
        raise refuse(f"'share', or {error}") from None


def text(value: object) -> str:
    """Text."""
    if isinstance(value, str):
        return value
    raise refuse("text")


def cpus(value: object) -> tuple[int, ...] | str:
    """Processor numbers in ascending order, or the word for a placement of one on each."""
    expected = "'spread', 'compact', or processor numbers, as (0, 2) or '0-3,8'"
    if value in ("spread", "compact"):
        return str(value)
    if isinstance(value, str):
        from taskloom.scheduling.topology import parse_cpu_list

        try:
            numbers: tuple[object, ...] = parse_cpu_list(value)
        except ValueError:
            raise refuse(expected) from None
    elif isinstance(value, (list, tuple, set, frozenset, range)):
        numbers = tuple(value)
    else:
        raise refuse(expected)
    cpus = tuple(sorted({n for n in numbers if isinstance(n, int) and not isinstance(n, bool)}))
    if len(cpus) != len(numbers) or not cpus or cpus[0] < 0:
        raise refuse(expected)
    return cpus


def memory(value: object) -> int | float:
    """Bytes as an int, or a share of what there is as a float."""
    if isinstance(value, str) and value.strip().endswith("%"):
        share: object = number(float, 0, 100, above=True)(value.strip()[:-1]) / 100
    else:
        share = value
    if isinstance(share, float) and 0 < share <= 1:
        return share
    expected = "an amount of memory such as '2 GiB', or a share such as '80%' or 0.8"
    if isinstance(share, float) and not share.is_integer():
        raise refuse(expected)  # 1.5 is neither a share nor a number of bytes
    from taskloom.scheduling.units import parse_bytes

    try:
        amount = parse_bytes(share)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        amount = 0
    if amount < 1:
        raise refuse(expected)
    return amount


def variables(value: object) -> tuple[Any, ...]:
    """Context variables, or where they are; in the environment: module:NAME,module:NAME."""
    found = value.split(",") if isinstance(value, str) else value
    if isinstance(found, (list, tuple, set, frozenset)):
        names = tuple(item.strip() if isinstance(item, str) else item for item in found)
        if all(_is_address(item) for item in names):
            return names
    raise refuse('context variables, or where they are, as "package.module:NAME"')


def _is_address(item: object) -> bool:
    if not isinstance(item, str):
        return isinstance(item, ContextVar)
    module, colon, name = item.partition(":")
    return bool(module and colon) and all(part.isidentifier() for part in name.split("."))


def amounts(value: object) -> Mapping[str, float]:
    """Amounts by name; the environment's notation is gpu=2,licence=5."""
    if isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",") if part]
        value = {name.strip(): amount.strip() for name, _, amount in parts}
    amount = number(float, 0)
    if isinstance(value, Mapping):
        try:
            return MappingProxyType({text(name): amount(given) for name, given in value.items()})
        except ValueError:
            pass
    raise refuse("a mapping of resource names to amounts, as {'gpu': 2}")


def realtime(value: object) -> Realtime:
    """A real-time class from any of its notations."""
    from taskloom.scheduling.affinity import Realtime

    try:
        return Realtime.parse(value)
    except ValueError:
        expected = "a real-time class such as 'fifo' or 'rr:20', with a priority from 1 to 99"
        raise refuse(expected) from None
