"""Traces as Chrome's trace events, which Perfetto and chrome://tracing show.

The format is the "Trace Event Format" of the Chromium project: complete events ("X") with times in
microseconds, flow events ("s", "f") for what waited for what, metadata ("M") for names.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.observe.trace import Trace

__all__ = ["chrome_trace"]

# Colour names that the viewers know.
_COLOURS = {"failed": "terrible", "cancelled": "grey", "running": "good"}


def chrome_trace(trace: Trace) -> str:
    """The text of a JSON file.

    >>> from taskloom.observe.trace import Trace, TraceRecord
    >>> trace = Trace([TraceRecord("load", "done", 0.0, 0.5, 0.0, 0, "worker 0")])
    >>> import json
    >>> json.loads(chrome_trace(trace))["traceEvents"][-1]["dur"]
    500000.0
    """
    process = os.getpid()
    numbers = {lane: place for place, lane in enumerate(trace.lanes)}
    events: list[dict[str, Any]] = [_named(process, None, "process_name", "taskloom")]
    for lane, thread in numbers.items():
        events.append(_named(process, thread, "thread_name", lane))
        events.append(
            {
                "ph": "M",
                "pid": process,
                "tid": thread,
                "name": "thread_sort_index",
                "args": {"sort_index": thread},
            }
        )
    flows = 0
    for record in trace.records:
        thread = numbers[record.lane]
        end = trace.duration if record.end is None else record.end
        event: dict[str, Any] = {
            "ph": "X",
            "cat": "task",
            "name": record.name,
            "pid": process,
            "tid": thread,
            "ts": record.start * 1e6,
            "dur": (end - record.start) * 1e6,
            "args": {"status": record.status},
        }
        if record.queued is not None:
            event["args"]["queued_us"] = record.queued * 1e6
        if record.status in _COLOURS:
            event["cname"] = _COLOURS[record.status]
        for place in record.sources:
            source = trace.records[place]
            if source.end is None:
                continue
            flows += 1
            common = {"cat": "waits", "name": "waits for", "pid": process, "id": flows}
            events.append(
                {"ph": "s", "tid": numbers[source.lane], "ts": source.end * 1e6, **common}
            )
            events.append({"ph": "f", "bp": "e", "tid": thread, "ts": record.start * 1e6, **common})
        events.append(event)
    about = {"dropped": trace.dropped, "began": trace.began}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about})


def _named(process: int, thread: int | None, what: str, name: str) -> dict[str, Any]:
    event: dict[str, Any] = {"ph": "M", "pid": process, "name": what, "args": {"name": name}}
    if thread is not None:
        event["tid"] = thread
    return event
