"""Type parameters of graphs, for those who annotate: `StateGraph[State, Context, Input, Output]`.

Any number of them may be given, from the left, as in LangGraph; those left out are `Any`. At run
time they say nothing. (`typing.Generic` alone wants all of them before Python 3.13.)
"""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT", default=Any)
    ContextT = TypeVar("ContextT", default=Any)
    InputT = TypeVar("InputT", default=Any)
    OutputT = TypeVar("OutputT", default=Any)

    class OfGraph(Generic[StateT, ContextT, InputT, OutputT]):
        """A class with the type parameters of a graph."""

    class OfContext(Generic[ContextT]):
        """A class with the type of the context as its parameter."""

else:
    from typing import TypeVar

    StateT, ContextT = TypeVar("StateT"), TypeVar("ContextT")
    InputT, OutputT = TypeVar("InputT"), TypeVar("OutputT")

    class OfGraph:
        """A class with the type parameters of a graph."""

        __class_getitem__ = classmethod(GenericAlias)

    OfContext = OfGraph
