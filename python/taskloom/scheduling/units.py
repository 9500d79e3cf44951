"""Amounts as people write them."""

from __future__ import annotations

import re

__all__ = ["parse_bytes"]

_FACTORS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)},
}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(amount: int | float | str) -> int:
    """A number of bytes from a number or from text such as "2 GiB" or "500 MB".

    kB, MB, GB, TB and PB are powers of 1000; KiB, MiB, GiB, TiB and PiB are powers of 1024. Raises
    ValueError for a negative amount or for text that is no amount.

    >>> parse_bytes("2 GiB"), parse_bytes("1.5kB"), parse_bytes(64)
    (2147483648, 1500, 64)
    """
    if isinstance(amount, str):
        found = _AMOUNT.fullmatch(amount)
        if found and found[2].lower() in _FACTORS:
            return int(float(found[1]) * _FACTORS[found[2].lower()])
    elif not isinstance(amount, bool) and 0 <= amount < float("inf"):
        return int(amount)
    raise ValueError(f"{amount!r} is no amount of memory: expected e.g. '2 GiB', '500 MB' or bytes")
