"""Draws the pictures of docs/concurrency.md from real runs, on virtual time: the same each time.

    python tools/draw_concurrency.py

A scope's life, in a good end and after an error; and a pipeline whose last stage is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import NamedTuple

import taskloom
from taskloom import Channel, Receiver, Scope, Sender
from taskloom.errors import EndOfStream
from taskloom.scope.coroutines import run_seeded

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "concurrency"

#: Of the drawings, in pixels: the width of the names, a row's height, the margin.
NAMES, ROW, MARGIN = 96, 34, 16

COLOURS = {
    "runs": "#3b78b8",
    "waits": "#b9d3ec",
    "cleans up": "#e0a030",
    "leaves": "#d9d9d9",
    "working": "#3b78b8",
    "waits for an item": "#eef3f8",
    "waits for room": "#d97757",
}


class Bar(NamedTuple):
    """What somebody did from one time to another."""

    who: str
    what: str
    start: float
    end: float


class Mark(NamedTuple):
    """Something that happened at a time."""

    who: str
    text: str
    at: float


class Log:
    """What a run says of itself, on its own clock."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.marks: list[Mark] = []
        self.begun = taskloom.current_time()

    def now(self) -> float:
        return taskloom.current_time() - self.begun

    @contextmanager
    def doing(self, who: str, what: str) -> Iterator[None]:
        start = self.now()
        try:
            yield
        finally:
            if self.now() > start:
                self.bars.append(Bar(who, what, start, self.now()))

    def mark(self, who: str, text: str) -> None:
        self.marks.append(Mark(who, text, self.now()))


async def life(fails: bool) -> Log:
    """A scope with two children; one of them may fail."""
    log = Log()

    async def child(who: str, steps: list[float], error: Exception | None = None) -> None:
        try:
            for number, step in enumerate(steps):
                with log.doing(who, "waits" if number % 2 else "runs"):
                    await taskloom.sleep(step)
            if error is not None:
                raise error
            log.mark(who, "done")
        except taskloom.Cancelled:
            log.mark(who, "Cancelled")
            with taskloom.shield(), log.doing(who, "cleans up"):
                await taskloom.sleep(2)
            raise
        except ValueError:
            log.mark(who, "ValueError")
            raise

    try:
        async with Scope() as scope:
            log.mark("the body", "enter")
            with log.doing("the body", "runs"):
                await taskloom.sleep(2)
            log.mark("the body", "spawn a")
            scope.spawn(child, "child a", [3, 3, 1], ValueError() if fails else None)
            with log.doing("the body", "runs"):
                await taskloom.sleep(2)
            log.mark("the body", "spawn b")
            scope.spawn(child, "child b", [1, 9, 2])
            try:
                with log.doing("the body", "runs"):
                    await taskloom.sleep(3)
                with log.doing("the body", "waits"):
                    await taskloom.sleep(3)
            except taskloom.Cancelled:
                log.mark("the body", "Cancelled")
                raise
            finally:
                left = log.now()
    except* ValueError:
        pass
    log.bars.append(Bar("the body", "leaves", left, log.now()))
    log.mark("the body", "ExceptionGroup" if fails else "left")
    return log


class Fill(NamedTuple):
    """How many items a channel held from some time on."""

    at: float
    count: int


async def pipeline(samples: dict[str, list[Fill]]) -> Log:
    """A source, two stages and a slow consumer, with at most four items between any two."""
    log = Log()
    first, second, third = (Channel[int](4) for _ in range(3))
    channels = {"source → parse": first, "parse → count": second, "count → you": third}
    samples.update({name: [] for name in channels})

    async def feed(sender: Sender[int]) -> None:
        for item in range(36):
            with log.doing("source", "working"):
                await taskloom.sleep(0.2)
            with log.doing("source", "waits for room"):
                await sender.send(item)

    def stage(who: str, seconds: float) -> Callable[[Receiver[int], Sender[int]], object]:
        async def work(receiver: Receiver[int], sender: Sender[int]) -> None:
            with receiver, sender:
                while True:
                    try:
                        with log.doing(who, "waits for an item"):
                            item = await receiver.receive()
                    except EndOfStream:
                        return
                    with log.doing(who, "working"):
                        await taskloom.sleep(seconds)
                    with log.doing(who, "waits for room"):
                        await sender.send(item)

        return work

    async def slow(receiver: Receiver[int]) -> None:
        while True:
            try:
                with log.doing("you", "waits for an item"):
                    await receiver.receive()
            except EndOfStream:
                return
            with log.doing("you", "working"):
                await taskloom.sleep(1.0)

    async def watch(scope: Scope) -> None:
        while True:
            for name, channel in channels.items():
                samples[name].append(Fill(log.now(), channel.stats().current_buffer_used))
            await taskloom.sleep(0.1)

    async with Scope() as scope:
        watcher = scope.spawn(watch, scope)
        consumers = scope.consume(third, slow)
        scope.spawn(stage("count", 0.3), second.receiver(), third.sender())
        scope.spawn(stage("parse", 0.4), first.receiver(), second.sender())
        scope.produce(first, feed)
        await consumers[0]
        watcher.cancel()
    return log


class Sheet:
    """An SVG in the making, with a time axis."""

    def __init__(self, width: int, scale: float) -> None:
        self.width = width
        self.scale = scale
        self.height = MARGIN
        self.parts: list[str] = []

    def x(self, time: float) -> float:
        return MARGIN + NAMES + time * self.scale

    def text(self, x: float, y: float, text: str, look: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>'
        )

    def line(self, x: float, top: float, bottom: float, dash: str = "3 3") -> None:
        self.parts.append(
            f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="#888" stroke-dasharray="{dash}"/>'
        )

    def title(self, text: str) -> None:
        self.text(MARGIN, self.height + 12, text, 'font-weight="bold"')
        self.height += 26

    def rows(self, log: Log, names: list[str], marks: bool) -> None:
        top = self.height
        step = ROW + (8 if marks else -8)
        for number, name in enumerate(names):
            y = top + number * step + (12 if marks else 0)
            self.text(MARGIN, y + 14, name)
            for bar in log.bars:
                if bar.who == name:
                    width = (bar.end - bar.start) * self.scale
                    self.box(self.x(bar.start), y, max(width, 0.5), 18, COLOURS[bar.what])
            for mark in log.marks if marks else ():
                if mark.who == name:
                    x = self.x(mark.at)
                    self.line(x, y - 3, y + 18, "1 0")
                    self.text(x + 2, y - 3, mark.text, 'font-size="10" fill="#444"')
        self.height = int(top + len(names) * step)

    def legend(self, names: list[str]) -> None:
        x = float(MARGIN + NAMES)
        for name in names:
            self.box(x, self.height + 4, 12, 12, COLOURS[name])
            self.text(x + 17, self.height + 14, name, 'font-size="11"')
            x += 40 + len(name) * 6.5
        self.height += 26

    def write(self, name: str) -> None:
        self.height += MARGIN
        body = "\n".join(self.parts)
        (PICTURES / name).write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="sans-serif" font-size="13">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
        )


def draw_life() -> None:
    sheet = Sheet(700, 30)
    names = ["the body", "child a", "child b"]
    for title, fails in (
        ("Leaving waits for all children", False),
        ("An error cancels the rest, and leaving waits for their cleanup", True),
    ):
        sheet.title(title)
        top = sheet.height
        log = run_seeded(life, fails)
        end = max(bar.end for bar in log.bars)
        sheet.rows(log, names, marks=True)
        sheet.line(sheet.x(end), top, sheet.height)
        sheet.height += 14
    sheet.legend(["runs", "waits", "cleans up", "leaves"])
    sheet.write("scope.svg")


def draw_pipeline() -> None:
    samples: dict[str, list[Fill]] = {}
    log = run_seeded(pipeline, samples)
    sheet = Sheet(760, 15.5)
    sheet.title("A slow consumer holds up every stage before it")
    names = ["source", "parse", "count", "you"]
    sheet.rows(log, names, marks=False)
    sheet.legend(["working", "waits for an item", "waits for room"])
    sheet.title("Items in the channels: never more than their bound of 4")
    for name, fills in samples.items():
        y = sheet.height + 26
        sheet.text(MARGIN, y, name, 'font-size="11"')
        points = "".join(f"H{sheet.x(f.at):.1f}V{y - f.count * 6.5:.1f}" for f in fills)
        end = sheet.x(fills[-1].at)
        sheet.parts.append(
            f'<path d="M{sheet.x(0):.1f} {y}{points}H{end:.1f}V{y}Z" fill="#3b78b8"/>'
            f'<path d="M{sheet.x(0):.1f} {y - 26}H{end:.1f}" stroke="#d97757" '
            f'stroke-dasharray="3 3"/>'
        )
        sheet.height += ROW + 2
    sheet.write("pipeline.svg")


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw_life()
    draw_pipeline()
