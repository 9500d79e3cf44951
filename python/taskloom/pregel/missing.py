"""The mark of no value, where None is one."""

from __future__ import annotations

from enum import Enum
from typing import Final


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
