"""Runs two small graphs for the timelines in docs/pictures/runs/: python tools/draw_timelines.py

The pictures are of real runs, so that they differ a little each time.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import taskloom

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "runs"


def work(seconds: float, *_before: object) -> None:
    time.sleep(seconds)


def complete() -> taskloom.Run:
    """Files are fetched and parsed; one cannot be, and what needs it is skipped."""
    g = taskloom.Graph()
    parsed = []
    for number, size in enumerate((0.03, 0.05, 0.02, 0.06)):
        fetched = g.options(name=f"fetch {number}").add(work, size)
        parsed.append(g.options(name=f"parse {number}").add(work, 0.02, fetched))
    broken = g.options(name="fetch 4").add(int, "not a number")
    g.options(name="parse 4").add(work, 0.02, broken)
    joined = g.options(name="join").add(work, 0.015, *parsed)
    g.options(name="write").add(work, 0.02, joined)
    g.options(name="log", timeout=5.0).add(work, 0.03)
    with taskloom.Executor(2) as executor:
        return executor.run(g, trace=True, check=False)


def cancelled() -> taskloom.Run:
    """Six steps, cancelled while the third goes on."""
    third = threading.Event()

    def begin(number: int, *_before: object) -> None:
        if number == 3:
            third.set()
        time.sleep(0.03)

    g = taskloom.Graph()
    for lane in ("a", "b"):
        node = None
        for number in range(1, 7):
            before = () if node is None else (node,)
            node = g.options(name=f"step {lane}{number}").add(begin, number, *before)
    with taskloom.Executor(2) as executor:
        run = executor.start(g, trace=True)
        third.wait()
        time.sleep(0.012)
        run.cancel()
        run.wait()
    return run


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, make in {"timeline": complete, "cancelled": cancelled}.items():
        run = make()
        run.trace.save(PICTURES / f"{name}.svg")
        print(run.trace.timeline())
        run.exceptions()


if __name__ == "__main__":
    main()
