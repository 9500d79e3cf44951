"""Draws the pictures of docs/scheduling.md from runs: python tools/draw_scheduling.py

Two runs of one programme show a priority inversion, and its absence; one run over three phases
shows what `adaptive=True` makes of them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor as StandardExecutor
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import taskloom
from taskloom.observe.trace import Trace, TraceRecord

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "scheduling"


class Recorder:
    """Runs tasks that sleep and notes where and when; times are seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._workers: dict[int, int] = {}
        self.records: list[TraceRecord] = []

    def task(self, name: str, seconds: float, inside: Callable[[], object] | None = None) -> None:
        start = time.perf_counter() - self._began
        worker = self._workers.setdefault(threading.get_ident(), len(self._workers))
        time.sleep(seconds)
        if inside is not None:
            inside()
        end = time.perf_counter() - self._began
        lane = f"worker {worker}"
        self.records.append(TraceRecord(name, "done", start, end, None, worker, lane))


def inversion(executor: StandardExecutor) -> Trace:
    """An urgent task needs the result of one that is queued behind eight others."""
    seen = Recorder()
    with executor:

        def needs_low() -> None:
            executor.submit(seen.task, "low", 0.03).result()

        urgent = executor.submit(seen.task, "urgent", 0.03, needs_low)
        for number in range(8):
            executor.submit(seen.task, f"normal {number}", 0.03)
        urgent.result()
    return Trace(sorted(seen.records, key=lambda record: record.start))


BLOCK = bytes(1 << 19)
MOST = 32


def computing() -> None:
    hashlib.sha256(BLOCK)


def waiting() -> None:
    time.sleep(0.01)


PHASES = (("computing", computing, 4.0), ("waiting", waiting, 4.0), ("computing", computing, 4.0))


class Sample:
    """One point of a curve: seconds, active workers, tasks a second."""

    def __init__(self, at: float, active: int, rate: float) -> None:
        self.at, self.active, self.rate = at, active, rate


def adaptive() -> list[Sample]:
    samples: list[Sample] = []
    with taskloom.Executor(MOST, adaptive=True, adaptive_interval=0.1) as executor:
        began = time.perf_counter()
        until = 0.0
        for _, task, seconds in PHASES:
            until += seconds
            ahead = deque(executor.submit(task) for _ in range(96))
            before, looked = executor.stats(), time.perf_counter()
            while (now := time.perf_counter()) - began < until:
                ahead.popleft().result()
                ahead.append(executor.submit(task))
                if now - looked > 0.1:
                    stats = executor.stats()
                    rate = (stats.done - before.done) / (now - looked)
                    samples.append(Sample(now - began, stats.active_workers, rate))
                    before, looked = stats, now
            for future in ahead:
                future.cancel()
    return samples


WIDTH, LEFT, TOP, PANEL, GAP = 860, 84, 40, 150, 34


def curve(samples: list[Sample], value: Callable[[Sample], float], base: int, steps: bool) -> str:
    """One panel's curve as a path; its axis ends at the greatest value."""
    most, end = max(map(value, samples)), sum(seconds for _, _, seconds in PHASES)
    scale = (WIDTH - LEFT - 20) / end
    points = [
        (LEFT + sample.at * scale, base + PANEL - value(sample) / most * (PANEL - 12))
        for sample in samples
    ]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for x, y in points[1:]:
        path += f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}"
    return (
        f'<path d="{path}" fill="none" stroke="#3f7fa8" stroke-width="2"/>'
        f'<text x="{LEFT - 8}" y="{base + 16}" text-anchor="end">{most:,.0f}</text>'
        f'<text x="{LEFT - 8}" y="{base + PANEL}" text-anchor="end">0</text>'
        f'<path d="M{LEFT} {base}V{base + PANEL}H{WIDTH - 20}" fill="none" stroke="#868c94"/>'
    )


def chart(samples: list[Sample]) -> str:
    """Active workers above, throughput below, the phases shaded."""
    second = TOP + PANEL + GAP
    height = second + PANEL + 34
    end = sum(seconds for _, _, seconds in PHASES)
    scale = (WIDTH - LEFT - 20) / end
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
        'fill="#1b2a41">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    at = 0.0
    for number, (name, _, seconds) in enumerate(PHASES):
        left = LEFT + at * scale
        if number % 2:
            parts.append(
                f'<rect x="{left:.1f}" y="{TOP}" width="{seconds * scale:.1f}" '
                f'height="{second + PANEL - TOP}" fill="#eef3f7"/>'
            )
        middle = left + seconds * scale / 2
        parts.append(f'<text x="{middle:.1f}" y="{TOP - 14}" text-anchor="middle">{name}</text>')
        at += seconds
    parts.append(curve(samples, lambda sample: sample.active, TOP, steps=True))
    parts.append(curve(samples, lambda sample: sample.rate, second, steps=False))
    for text, base in (("active workers", TOP), ("tasks a second", second)):
        parts.append(f'<text x="{LEFT + 8}" y="{base + 16}" fill="#5b6572">{text}</text>')
    for tick in range(0, int(end) + 1, 2):
        x = LEFT + tick * scale
        parts.append(
            f'<text x="{x:.1f}" y="{second + PANEL + 20}" text-anchor="middle">{tick} s</text>'
        )
    return "".join(parts) + "</svg>\n"


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, executor in (
        ("inversion", ThreadPoolExecutor(2)),
        ("no-inversion", taskloom.Executor(2)),
    ):
        drawing = inversion(executor).timeline().svg(WIDTH)
        (PICTURES / f"{name}.svg").write_text(drawing)
    (PICTURES / "adaptive.svg").write_text(chart(adaptive()))


if __name__ == "__main__":
    main()
