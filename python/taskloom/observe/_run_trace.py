"""The trace of one run of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from taskloom.errors import OptionError
from taskloom.observe.trace import LeftOut, Trace, TraceRecord, lane_of

if TYPE_CHECKING:
    from taskloom._taskloom import Node, Plan, RunSpans

__all__ = ["trace_of_run"]


class TracedRun(Protocol):
    """What is asked of a run."""

    @property
    def plan(self) -> Plan: ...
    def done(self) -> bool: ...
    def _spans(self) -> RunSpans | None: ...
    def _stopped_at(self) -> float | None: ...
    def _mark(self, node: Node[Any]) -> tuple[Any, Node[Any] | None]: ...


def trace_of_run(run: TracedRun) -> Trace:
    """What is known of a run that is traced; a run that is not raises `OptionError`.

    A node was ready when the last of those that it waited for had ended; `queued` is counted from
    there, or from the beginning for those that waited for nothing.
    """
    record = run._spans()
    if record is None:
        raise OptionError("this run was not traced: start it with trace=True")
    spans = sorted(record.entries(), key=lambda entry: entry[1][0])
    began = spans[0][1][0] if spans else 0.0
    plan = run.plan
    places = {node.index: place for place, (node, _, _) in enumerate(spans)}
    sources: dict[int, list[int]] = {}
    for before, after, _ in plan._edges:
        if before in places and after in places:
            sources.setdefault(after, []).append(places[before])
    ends = [entry[1] for _, entry, _ in spans]
    stopped = run._stopped_at()
    return Trace(
        _records(spans, sources, ends, began),
        began=began,
        left_out=_left_out(run, places) if run.done() else (),
        stopped=None if stopped is None else stopped - began,
    )


def _records(
    spans: list[Any], sources: dict[int, list[int]], ends: list[float | None], began: float
) -> Iterable[TraceRecord]:
    for node, (start, end, worker, status), _ in spans:
        own = tuple(sources.get(node.index, ()))
        ready = max((ends[place] or start for place in own), default=began)
        yield TraceRecord(
            node.name,
            status,
            start - began,
            None if end is None else end - began,
            max(start - ready, 0.0),
            worker if worker is not None and worker >= 0 else None,
            lane_of(worker, "process"),
            node,
            own,
        )


def _left_out(run: TracedRun, places: dict[int, int]) -> list[LeftOut]:
    found = []
    for node in run.plan.order:
        if node.index not in places:
            status, _ = run._mark(node)
            found.append(LeftOut(node.name, "skipped" if status == "skipped" else "cancelled"))
    return found
