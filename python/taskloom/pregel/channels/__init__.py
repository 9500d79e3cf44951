"""Cells: what a state graph remembers between supersteps, under LangGraph's names."""

from taskloom.pregel.channels.any_value import AnyValue
from taskloom.pregel.channels.base import BaseChannel
from taskloom.pregel.channels.binop import BinaryOperatorAggregate
from taskloom.pregel.channels.delta import DeltaChannel
from taskloom.pregel.channels.ephemeral_value import EphemeralValue
from taskloom.pregel.channels.last_value import LastValue, LastValueAfterFinish
from taskloom.pregel.channels.named_barrier_value import (
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
)
from taskloom.pregel.channels.topic import Topic
from taskloom.pregel.channels.untracked_value import UntrackedValue

__all__ = (
    "AnyValue",
    "BaseChannel",
    "BinaryOperatorAggregate",
    "DeltaChannel",
    "EphemeralValue",
    "LastValue",
    "LastValueAfterFinish",
    "NamedBarrierValue",
    "NamedBarrierValueAfterFinish",
    "Topic",
    "UntrackedValue",
)
