"""When each task ran, where, and what it waited for; made by tracing, drawn by `timeline`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from taskloom.errors import OptionError

if TYPE_CHECKING:
    from taskloom._taskloom import Node
    from taskloom.observe.timeline import Timeline

#: The endings of files that a trace can be written to.
FORMATS = (".json", ".svg", ".html", ".txt")

__all__ = ["LeftOut", "Trace", "TraceRecord"]

Status = Literal[
    "running", "done", "suspended", "failed", "cancelled", "ended", "aborted", "skipped"
]


@final
class TraceRecord(NamedTuple):
    """One node or task of a trace. Times are seconds since the trace began.

    `end` is None while it runs. `queued` is how long it was ready before it started, None where
    nobody knows. `worker` is the worker's number, None on other threads and in processes; `lane`
    says where it ran in words. `sources` are the places of the records that it waited for, `parent`
    that of the task that submitted it. A coroutine has a record for each of its steps, of which all
    but the last have ended "suspended".

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> _ = g.options(name="one").add(pow, 2, 10)
    >>> record = taskloom.run(g, trace=True).trace.records[0]
    >>> record.name, record.status, record.queued
    ('one', 'done', 0.0)
    """

    name: str
    status: Status
    start: float
    end: float | None
    queued: float | None
    worker: int | None
    lane: str
    node: Node[Any] | None = None
    sources: tuple[int, ...] = ()
    parent: int | None = None

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return None if self.end is None else self.end - self.start


@final
class LeftOut(NamedTuple):
    """A node that a run did not start, and why not.

    >>> LeftOut("load", "skipped")
    LeftOut(name='load', status='skipped')
    """

    name: str
    status: Literal["skipped", "cancelled"]


@final
class Trace:
    """What ran when: `records` in the order of their starts; `dropped` counts what found no room.

    `began` is when the first began, in seconds of the monotonic clock. `left_out` are the nodes of
    a run that never started, `stopped` is when that was cancelled, in seconds since it began.

    In a notebook a trace shows itself as a timeline.

    >>> import taskloom
    >>> g = taskloom.Graph()
    >>> words = g.options(name="split").add(str.split, "b a")
    >>> _ = g.options(name="sort").add(sorted, words)
    >>> trace = taskloom.run(g, trace=True).trace
    >>> [record.name for record in trace.critical_path()]
    ['split', 'sort']
    """

    def __init__(
        self,
        records: Iterable[TraceRecord],
        *,
        began: float = 0.0,
        dropped: int = 0,
        left_out: Sequence[LeftOut] = (),
        stopped: float | None = None,
    ) -> None:
        self.records = tuple(records)
        self.began = began
        self.dropped = dropped
        self.left_out = tuple(left_out)
        self.stopped = stopped

    @cached_property
    def duration(self) -> float:
        """Seconds until the last record ended, or started if it still runs."""
        ends = (record.start if record.end is None else record.end for record in self.records)
        return max(ends, default=0.0)

    @cached_property
    def lanes(self) -> tuple[str, ...]:
        """Where something ran: the calling thread first, then the workers, then the rest."""
        known = {record.lane: record.worker for record in self.records}

        def place(lane: str) -> tuple[int, int, str]:
            worker = known[lane]
            if worker is not None:
                return (1, worker, lane)
            return (0 if lane == "caller" else 2, 0, lane)

        return tuple(sorted(known, key=place))

    def critical_path(self) -> tuple[TraceRecord, ...]:
        """The chain of records that decided how long it took, first to last.

        From the record that ended last, always on to the source that ended last. To be faster, one
        of these has to be.
        """
        return tuple(self.records[place] for place in self._critical)

    @cached_property
    def _critical(self) -> tuple[int, ...]:
        records = self.records
        ended = [place for place, record in enumerate(records) if record.end is not None]
        if not ended:
            return ()

        def end(place: int) -> float:
            return records[place].end or 0.0

        path = [max(ended, key=end)]
        while sources := records[path[-1]].sources:
            path.append(max(sources, key=end))
        return tuple(reversed(path))

    def timeline(self) -> Timeline:
        """The trace drawn along time: `print` it, or have it as SVG.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> _ = g.add(pow, 2, 10)
        >>> taskloom.run(g, trace=True).trace.timeline().svg()[:4]
        '<svg'
        """
        from taskloom.observe.timeline import Timeline

        return Timeline(self)

    def save(self, path: str | Path) -> None:
        """Writes the trace to a file, in the format that its ending says.

        `.json` is a Chrome trace, for ui.perfetto.dev or chrome://tracing; `.svg` and `.txt` are
        the timeline, `.html` a page with it. Raises `OptionError` for any other ending.
        """
        path = Path(path)
        if path.suffix == ".json":
            from taskloom.observe.chrome import chrome_trace

            text = chrome_trace(self)
        elif path.suffix == ".svg":
            text = self.timeline().svg()
        elif path.suffix == ".html":
            text = self.timeline().html()
        elif path.suffix == ".txt":
            text = f"{self.timeline()}\n"
        else:
            raise OptionError(
                f"{path.name!r} must end in .json (for Perfetto), .svg, .html or .txt"
            )
        path.write_text(text, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.timeline().svg()

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        from taskloom.observe.report import format_seconds

        lost = f", {self.dropped} dropped" if self.dropped else ""
        return f"<trace of {len(self)} records over {format_seconds(self.duration)}{lost}>"


def lane_of(worker: int | None, elsewhere: str) -> str:
    """How the place of a record is called; -1 is a thread from outside."""
    if worker is None:
        return elsewhere
    return "caller" if worker < 0 else f"worker {worker}"
