"""Durations that were measured, where none were declared: they weigh the paths of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Protocol

from taskloom._taskloom import Node, Plan
from taskloom.errors import GraphError
from taskloom.graph._pickling import plan_again
from taskloom.task import Options

__all__ = ["Measured", "calibrated", "durations_of"]

#: Seconds by the index of a node.
Measured = tuple[tuple[int, float], ...]

#: A node that took less than the clock tells still took some time: 0 would mean "not known".
LEAST = 1e-9


class TracedRun(Protocol):
    """What is asked of a run."""

    @property
    def plan(self) -> Plan: ...
    @property
    def trace(self) -> Any: ...


def durations_of(options: Mapping[int, Options], measured: Measured) -> list[tuple[int, float]]:
    """The nodes whose durations are known, with the seconds: as declared, else as measured.

    >>> from taskloom.graph._calibration import durations_of
    >>> from taskloom.task import Options
    >>> durations_of({1: Options(estimated_duration=2.0)}, ((0, 0.5), (1, 0.5)))
    [(0, 0.5), (1, 2.0)]
    """
    declared = ((index, own.get("estimated_duration")) for index, own in options.items())
    found = dict(measured)
    found.update((index, seconds) for index, seconds in declared if seconds is not None)
    return list(found.items())


def calibrated(plan: Plan, sources: Iterable[Any]) -> Plan:
    """What `Plan.calibrated` returns.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> node = g.add(int)
    >>> from taskloom.graph._calibration import calibrated
    >>> calibrated(g.compile(), [{node: 0.5}])._facts.settings.measured
    ((0, 0.5),)
    """
    settings = plan._facts.settings
    if settings.version != plan.graph._version:
        raise GraphError(
            "the graph of this plan has grown since it was compiled: run and calibrate a plan of "
            "the graph as it is now"
        )
    taken: dict[int, list[float]] = {}
    for source in sources:
        pairs = _given(plan, source) if isinstance(source, Mapping) else _traced(plan, source)
        for index, seconds in pairs:
            taken.setdefault(index, []).append(max(seconds, LEAST))
    means = ((index, sum(found) / len(found)) for index, found in taken.items())
    measured = tuple(sorted({**dict(settings.measured), **dict(means)}.items()))
    return plan_again(plan.graph, settings._replace(measured=measured))


def _traced(plan: Plan, run: TracedRun) -> Iterable[tuple[int, float]]:
    """What a run says of the nodes that went well in it; others may have ended early."""
    own: Plan | None = getattr(run, "plan", None)
    if own is None:
        raise TypeError(
            "calibrated() takes runs that were traced, and mappings from nodes to seconds, not "
            f"{run!r}"
        )
    if own.graph is not plan.graph:
        raise GraphError(f"{run!r} is a run of another graph, whose durations say nothing here")
    for record in run.trace.records:
        if record.status == "done":
            yield record.node.index, record.end - record.start


def _given(plan: Plan, seconds: Mapping[Any, float]) -> Iterable[tuple[int, float]]:
    for key, duration in seconds.items():
        node = plan.graph.node(key) if isinstance(key, str) else key
        if not isinstance(node, Node) or node.graph is not plan.graph:
            raise GraphError(f"{key!r} is neither a node of this plan's graph nor the name of one")
        if not isfinite(duration) or duration < 0:
            raise ValueError(f"node {node.name!r}: {duration!r} is no duration in seconds")
        yield node.index, duration
