"""Nodes as a graph's author describes them: what they subscribe to, read, run and write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, final

from taskloom.pregel.callee import Callee, coerce
from taskloom.pregel.policy import CachePolicy, RetryPolicy, TimeoutPolicy
from taskloom.pregel.write import ChannelWrite, ChannelWriteEntry

SYNC_TIMEOUT = (
    "Node timeouts are only supported for async nodes because sync Python execution cannot be "
    "safely cancelled in-process. {kind} {name!r} is sync."
)


def as_policies(policy: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
    """One or several retry policies as a tuple.

    Raises:
        TypeError: something else was given.
        ValueError: a policy allows no attempt.
    """
    if policy is None:
        return ()
    several = isinstance(policy, Sequence) and not isinstance(policy, RetryPolicy)
    policies: Any = tuple(policy) if several else (policy,)
    for each in policies:
        if not isinstance(each, RetryPolicy):
            raise TypeError(f"retry_policy is a RetryPolicy, or several, not {each!r}")
        if each.max_attempts < 1:
            raise ValueError(
                f"max_attempts={each.max_attempts}: the first attempt counts, so give 1 or more"
            )
    return policies  # type: ignore[no-any-return]


def as_cache_policy(policy: CachePolicy[Any] | None) -> CachePolicy[Any] | None:
    """The policy as it is.

    Raises:
        TypeError: it is none.
    """
    if policy is None or isinstance(policy, CachePolicy):
        return policy
    raise TypeError(f"cache_policy is a CachePolicy, such as CachePolicy(ttl=60), not {policy!r}")


class PregelNode:
    """A node of a `Pregel` graph.

    Args:
        channels: the cells that it reads: one for its value, a list for a dict of them.
        triggers: the cells whose change makes it due.
        mapper: applied to what it reads.
        writers: make writes of what it returns.
        tags: `TAG_HIDDEN` leaves it out of streams.
        metadata: added to its tasks' metadata.
        bound: what it runs; None passes its input on to the writers.
        retry_policy: how it is retried.
        cache_policy: how its writes are cached.
        is_error_handler: it runs when another node fails.
        error_handler_node: the node that runs when this one fails.
        subgraphs: the graph that it runs, if that cannot be seen from `bound`.
        timeout: seconds, a timedelta or a `TimeoutPolicy` for each attempt; async nodes only.
        options: priority, resources and place for the executor.
    """

    def __init__(
        self,
        *,
        channels: str | list[str],
        triggers: Sequence[str],
        mapper: Callable[[Any], Any] | None = None,
        writers: list[Any] | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        bound: Any = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        is_error_handler: bool = False,
        error_handler_node: str | None = None,
        subgraphs: Sequence[Any] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.channels = channels
        self.triggers = list(triggers)
        self.mapper = mapper
        self.writers = list(writers or ())
        self.tags = list(tags or ())
        self.metadata = dict(metadata or {})
        self.bound: Callee | None = None if bound is None else coerce(bound)
        self.retry_policy = as_policies(retry_policy)
        self.cache_policy = cache_policy
        self.is_error_handler = is_error_handler
        self.error_handler_node = error_handler_node
        self.timeout = TimeoutPolicy.coerce(timeout)
        self.options = dict(options or {})
        if subgraphs is not None:
            self.subgraphs = list(subgraphs)
        else:
            found = self.bound.subgraph if self.bound is not None else None
            self.subgraphs = [found] if found is not None else []

    def copy(self, update: Mapping[str, Any] | None = None) -> PregelNode:
        """A node like this one with some attributes changed."""
        twin = PregelNode.__new__(PregelNode)
        twin.__dict__.update(self.__dict__)
        twin.writers = list(self.writers)
        twin.triggers = list(self.triggers)
        twin.__dict__.update(update or {})
        return twin


class _Sequence:
    """Several callables, each given what the one before returned."""

    def __init__(self, *steps: Callee) -> None:
        self.steps = steps

    def callee(self) -> Callee:
        steps = self.steps
        name = steps[0].name
        if any(step.injected for step in steps):
            raise TypeError(
                "NodeBuilder.do() was called more than once with functions that take config, "
                "runtime or the like; combine them in one function"
            )
        if all(step.func is not None for step in steps):

            def run(value: Any) -> Any:
                for step in steps:
                    if step.func is not None:
                        value = step.func(value)
                return value

            return Callee(run, run, None, name)

        async def arun(value: Any) -> Any:
            for step in steps:
                if step.afunc is not None:
                    value = await step.afunc(value)
                elif step.func is not None:
                    value = step.func(value)
            return value

        return Callee(arun, None, arun, name)


@final
class NodeBuilder:
    """Builds a node step by step.

    Example:
        >>> from taskloom.pregel import NodeBuilder, Pregel
        >>> from taskloom.pregel.channels import EphemeralValue, LastValue
        >>> double = NodeBuilder().subscribe_only("a").do(lambda a: a * 2).write_to("b")
        >>> app = Pregel(
        ...     nodes={"double": double},
        ...     channels={"a": EphemeralValue(int), "b": LastValue(int)},
        ...     input_channels="a",
        ...     output_channels="b",
        ... )
        >>> assert app.invoke(21) == 42
    """

    def __init__(self) -> None:
        self._channels: str | list[str] = []
        self._triggers: list[str] = []
        self._tags: list[str] = []
        self._metadata: dict[str, Any] = {}
        self._writes: list[ChannelWriteEntry] = []
        self._steps: list[Callee] = []
        self._retry: list[RetryPolicy] = []
        self._cache: CachePolicy[Any] | None = None
        self._timeout: TimeoutPolicy | None = None

    def subscribe_only(self, channel: str) -> Self:
        """Run when `channel` changes, with its value as input.

        Raises:
            ValueError: the node has subscribed already.
        """
        if self._channels:
            raise ValueError(
                "Cannot subscribe to single channels when other channels are already subscribed to"
            )
        self._channels = channel
        self._triggers.append(channel)
        return self

    def subscribe_to(self, *channels: str, read: bool = True) -> Self:
        """Run when any of `channels` changes; with `read`, their values are in the input dict.

        Raises:
            ValueError: the node has subscribed to a single cell.
        """
        if isinstance(self._channels, str):
            raise ValueError("Cannot subscribe to channels when subscribed to a single channel")
        if read:
            self._channels.extend(channels)
        self._triggers.extend(channels)
        return self

    def read_from(self, *channels: str) -> Self:
        """Put these cells' values into the input dict, without running when they change.

        Raises:
            ValueError: the node has subscribed to a single cell.
        """
        if isinstance(self._channels, str):
            raise ValueError("Cannot read additional channels when subscribed to single channels")
        self._channels.extend(channels)
        return self

    def do(self, node: Any) -> Self:
        """Run `node`; called again, run the next with what this returned."""
        self._steps.append(coerce(node))
        return self

    def write_to(self, *channels: str | ChannelWriteEntry, **kwargs: Any) -> Self:
        """Write what the node returns to `channels`; by keyword, a constant or a function of it."""
        for channel in channels:
            entry = ChannelWriteEntry(channel) if isinstance(channel, str) else channel
            self._writes.append(entry)
        for channel, value in kwargs.items():
            if callable(value):
                self._writes.append(ChannelWriteEntry(channel, mapper=value))
            else:
                self._writes.append(ChannelWriteEntry(channel, value=value))
        return self

    def meta(self, *tags: str, **metadata: Any) -> Self:
        """Add tags and metadata."""
        self._tags.extend(tags)
        self._metadata.update(metadata)
        return self

    def add_retry_policies(self, *policies: RetryPolicy) -> Self:
        """Retry by the first of these policies that matches."""
        self._retry.extend(policies)
        return self

    def add_cache_policy(self, policy: CachePolicy[Any]) -> Self:
        """Take results from the graph's cache."""
        self._cache = policy
        return self

    def set_timeout(self, timeout: float | timedelta | TimeoutPolicy | None) -> Self:
        """Limit each attempt to `timeout` seconds; async nodes only."""
        self._timeout = TimeoutPolicy.coerce(timeout)
        return self

    def build(self) -> PregelNode:
        """The node."""
        bound: Callee | None = None
        if len(self._steps) == 1:
            bound = self._steps[0]
        elif self._steps:
            bound = _Sequence(*self._steps).callee()
        return PregelNode(
            channels=self._channels,
            triggers=self._triggers,
            tags=self._tags,
            metadata=self._metadata,
            writers=[ChannelWrite(self._writes)],
            bound=bound,
            retry_policy=self._retry,
            cache_policy=self._cache,
            timeout=self._timeout,
        )
