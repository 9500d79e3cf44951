"""Traces drawn along time: as SVG, and as text for a terminal.

Each lane is a thread. A bar is a task, with its name where that fits; what ran inside another task
stands below it. Bars that are too narrow to be seen are drawn as one. The critical path has a heavy
outline.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, NamedTuple, final

from taskloom.observe.report import format_seconds

if TYPE_CHECKING:
    from taskloom.observe.trace import Trace, TraceRecord

__all__ = ["Timeline"]

#: Of the drawing, in pixels.
WIDTH, LEFT, RIGHT, TOP, ROW, BAR, LETTER = 960, 96, 24, 58, 30, 22, 6.6
#: What is narrower is drawn together with its neighbours.
NARROW = 0.7

_FILL = {
    "done": "#7fb3d5",
    "suspended": "#b9d7ea",
    "failed": "#e07a6b",
    "cancelled": "#c3c7cc",
    "running": "#f2d377",
    "ended": "#b5d6a7",
    "aborted": "#d9a5d0",
    "skipped": "#e4e6e9",
}
_STROKE = {
    "done": "#3f7fa8",
    "suspended": "#6d9dbb",
    "failed": "#a83c2d",
    "cancelled": "#868c94",
    "running": "#b08d1e",
    "ended": "#5d8f4a",
    "aborted": "#8f4a83",
    "skipped": "#a9adb3",
}
_CRITICAL = "#1b2a41"
_LETTER = {
    "done": "█",
    "suspended": "▒",
    "failed": "x",
    "cancelled": "/",
    "running": ">",
    "ended": "|",
    "aborted": "!",
    "skipped": "-",
}


class _Bar(NamedTuple):
    """A bar of one lane: so many records, of which `record` is the first."""

    record: TraceRecord
    start: float
    end: float
    depth: int
    records: int
    critical: bool


@final
class Timeline:
    """A trace drawn along time; made by `Trace.timeline`.

    `print(timeline)` shows it in a terminal, a notebook shows it as a picture.

    >>> from taskloom.observe.trace import Trace, TraceRecord
    >>> trace = Trace([
    ...     TraceRecord("load", "done", 0.0, 0.5, 0.0, 0, "worker 0"),
    ...     TraceRecord("save", "failed", 0.5, 1.0, 0.0, 0, "worker 0", sources=(0,)),
    ... ])
    >>> print(trace.timeline().text(width=20))
    worker 0 |[load====][xsave===]|
             0               1.00 s
    2 records: 1 done, 1 failed
    critical path, 1.00 s of 1.00 s: load -> save
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<timeline of {len(self.trace)} records>"

    def _repr_svg_(self) -> str:
        return self.svg()

    def _bars(self, narrow: float) -> dict[str, list[_Bar]]:
        """The bars of each lane; those shorter than `narrow` seconds are joined."""
        trace = self.trace
        critical = set(trace._critical)
        lanes: dict[str, list[_Bar]] = {lane: [] for lane in trace.lanes}
        open_ends: dict[str, list[float]] = {lane: [] for lane in trace.lanes}
        for place, record in enumerate(trace.records):
            end = max(trace.duration, record.start) if record.end is None else record.end
            ends = open_ends[record.lane]
            # The first row that is free by now.
            free = (row for row, last_end in enumerate(ends) if last_end <= record.start)
            depth = next(free, len(ends))
            ends[depth : depth + 1] = [end]
            bars = lanes[record.lane]
            bar = _Bar(record, record.start, end, depth, 1, place in critical)
            last = bars[-1] if bars else None
            if (
                last is not None
                and last.depth == depth
                and end - record.start < narrow
                and record.start - last.end < narrow
                and (last.records > 1 or last.end - last.start < narrow)
                and last.record.status == record.status
            ):
                bars[-1] = last._replace(
                    end=end, records=last.records + 1, critical=last.critical or bar.critical
                )
            else:
                bars.append(bar)
        return lanes

    def svg(self, width: int = WIDTH) -> str:
        """The text of an SVG file, `width` pixels wide.

        >>> from taskloom.observe.trace import Trace
        >>> Trace([]).timeline().svg()[:4]
        '<svg'
        """
        trace = self.trace
        span = trace.duration or 1e-9
        scale = (width - LEFT - RIGHT) / span
        lanes = self._bars(NARROW / scale)
        parts: list[str] = []
        top = TOP
        for lane, bars in lanes.items():
            rows = max((bar.depth for bar in bars), default=0) + 1
            height = rows * ROW
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{width - LEFT - RIGHT}" height="{height - 4}" '
                'fill="#f4f6f8"/>'
                f'<text x="{LEFT - 8}" y="{top + BAR / 2 + 6}" text-anchor="end" fill="#333">'
                f"{escape(lane)}</text>"
            )
            # The critical ones last, so that their outline is whole.
            for bar in sorted(bars, key=lambda bar: (bar.depth, bar.critical)):
                parts.append(_svg_bar(bar, scale, top + 2 + bar.depth * ROW))
            top += height
        bottom = top
        axis = [
            f'<line x1="{LEFT + at * scale:.1f}" y1="{TOP - 6}" x2="{LEFT + at * scale:.1f}" '
            f'y2="{bottom}" stroke="#d5dae0"/><text x="{LEFT + at * scale:.1f}" y="{TOP - 11}" '
            f'text-anchor="middle" fill="#666">{_tick_label(at)}</text>'
            for at in _ticks(span)
        ]
        if trace.stopped is not None:
            x = LEFT + min(max(trace.stopped, 0.0), span) * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="#a83c2d" '
                'stroke-width="1.5" stroke-dasharray="5 3"/>'
                f'<text x="{x + 4:.1f}" y="{bottom + 11}" fill="#a83c2d">cancelled</text>'
            )
            bottom += 14
        notes = [self._summary(), *self._notes()]
        said = "".join(
            f'<text x="{LEFT}" y="{bottom + 16 + 16 * place}" fill="#444">'
            f"{escape(_cut(note, int((width - LEFT) / LETTER)))}</text>"
            for place, note in enumerate(notes)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{bottom + 16 * len(notes) + 12}" font-family="sans-serif" font-size="12">'
            '<rect width="100%" height="100%" fill="white"/>'
            f"{self._legend()}{''.join(axis)}{''.join(parts)}{said}</svg>"
        )

    def _legend(self) -> str:
        shown = [
            status
            for status in _FILL
            if any(record.status == status for record in self.trace.records)
        ]
        x, parts = float(LEFT), []
        for label, fill, stroke, heavy in (
            *((status, _FILL[status], _STROKE[status], 1) for status in shown),
            ("critical path", "white", _CRITICAL, 2),
        ):
            parts.append(
                f'<rect x="{x:.0f}" y="10" width="14" height="12" rx="2" fill="{fill}" '
                f'stroke="{stroke}" stroke-width="{heavy}"/>'
                f'<text x="{x + 20:.0f}" y="20" fill="#333">{label}</text>'
            )
            x += 36 + len(label) * LETTER
        return "".join(parts)

    def html(self) -> str:
        """A page of its own with the drawing, which needs nothing from elsewhere."""
        title = escape(f"timeline: {self._summary()}")
        return (
            f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title></head>'
            f"<body>{self.svg()}</body></html>\n"
        )

    def text(self, width: int = 72) -> str:
        """The drawing for a terminal, its lanes `width` letters wide."""
        trace = self.trace
        span = trace.duration or 1e-9
        scale = width / span
        label = max((len(lane) for lane in trace.lanes), default=0)
        lines = []
        for lane, bars in self._bars(1 / scale).items():
            rows = max((bar.depth for bar in bars), default=0) + 1
            cells = [[" "] * width for _ in range(rows)]
            for bar in bars:
                first = min(int(bar.start * scale), width - 1)
                last = max(min(round(bar.end * scale), width), first + 1)
                cells[bar.depth][first:last] = _text_bar(bar, last - first)
            for row, letters in enumerate(cells):
                name = lane if row == 0 else ""
                lines.append(f"{name:<{label}} |{''.join(letters)}|")
        end = format_seconds(trace.duration)
        lines.append(f"{'':<{label}} 0{end:>{width + 1}}" if trace.records else "nothing ran")
        lines.append(self._summary())
        lines += self._notes()
        return "\n".join(lines)

    def _summary(self) -> str:
        trace = self.trace
        counts: dict[str, int] = {}
        for status in (*(r.status for r in trace.records), *(n.status for n in trace.left_out)):
            counts[status] = counts.get(status, 0) + 1
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
        total = len(trace.records)
        text = f"{total} record{'s' * (total != 1)}" + (f": {said}" if said else "")
        return text + (f"; {trace.dropped} dropped for want of room" if trace.dropped else "")

    def _notes(self) -> Iterator[str]:
        trace = self.trace
        path = trace.critical_path()
        if len(path) > 1:
            busy = sum(record.duration or 0.0 for record in path)
            names = [record.name for record in path]
            if len(names) > 12:
                names = [*names[:6], f"({len(names) - 11} more)", *names[-5:]]
            yield (
                f"critical path, {format_seconds(busy)} of {format_seconds(trace.duration)}: "
                + " -> ".join(names)
            )
        if trace.left_out:
            names = [node.name for node in trace.left_out]
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            yield f"never started: {', '.join(names[:8])}{more}"


def _text_bar(bar: _Bar, width: int) -> str:
    letter = _LETTER[bar.record.status]
    if bar.records > 1 or width < 3:
        return letter * width
    sign = "" if bar.record.status in ("done", "suspended") else letter
    name = f"{sign}{bar.record.name}"[: width - 2]
    return f"[{name:{'=' if bar.critical else '-'}<{width - 2}}]"


def _svg_bar(bar: _Bar, scale: float, top: float) -> str:
    record = bar.record
    left, width = LEFT + bar.start * scale, max((bar.end - bar.start) * scale, NARROW)
    stroke = _CRITICAL if bar.critical else _STROKE[record.status]
    weight = 2 if bar.critical else 0.6
    if width < 3:
        weight = min(weight, width / 3)
    if bar.records > 1:
        about = f"{bar.records} short ones, from {format_seconds(bar.start)} on"
    else:
        about = f"{record.name}: {record.status}, {format_seconds(bar.end - bar.start)}"
        about += "" if record.queued is None else f", ready {format_seconds(record.queued)} before"
    letters = int((width - 6) / LETTER)
    shown = ""
    if bar.records == 1 and letters >= 2:
        shown = (
            f'<text x="{left + 4:.1f}" y="{top + BAR / 2 + 4:.1f}" fill="#12263a">'
            f"{escape(_cut(record.name, letters))}</text>"
        )
    return (
        f'<g><title>{escape(about)}</title><rect x="{left:.2f}" y="{top:.1f}" '
        f'width="{width:.2f}" height="{BAR}" rx="2" fill="{_FILL[record.status]}" '
        f'stroke="{stroke}" stroke-width="{weight:.2g}"/>{shown}</g>'
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)] + "…"


def _ticks(span: float) -> list[float]:
    """Round moments, five to ten of them, from 0 on."""
    step = 10.0**-12
    while span / step > 10:
        step *= 10
    for part in (0.2, 0.5, 1.0):
        if span / (step * part) <= 8:
            step *= part
            break
    return [place * step for place in range(int(span / step) + 1)]


def _tick_label(at: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if at * factor >= 0.999:
            return f"{at * factor:.4g} {unit}"
    return "0" if at < 1e-12 else f"{at * 1e9:.4g} ns"
