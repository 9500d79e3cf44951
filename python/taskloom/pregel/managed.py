"""Values that the engine provides and no node writes: how many supersteps are left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from inspect import isclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeGuard, TypeVar

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop


V = TypeVar("V")


class ManagedValue(ABC, Generic[V]):
    """Base of values computed for a task; annotate a state key with the subclass."""

    @staticmethod
    @abstractmethod
    def get(loop: Loop) -> V:
        """The value for the superstep that `loop` is about to run."""


def is_managed_value(value: Any) -> TypeGuard[type[ManagedValue[Any]]]:
    """Whether `value` is a class of managed values."""
    return isclass(value) and issubclass(value, ManagedValue)


class IsLastStepManager(ManagedValue[bool]):
    """True in the last superstep that the recursion limit allows."""

    @staticmethod
    def get(loop: Loop) -> bool:
        return loop.step == loop.stop - 1


class RemainingStepsManager(ManagedValue[int]):
    """How many supersteps the recursion limit still allows."""

    @staticmethod
    def get(loop: Loop) -> int:
        return loop.stop - loop.step


IsLastStep = Annotated[bool, IsLastStepManager]
RemainingSteps = Annotated[int, RemainingStepsManager]
