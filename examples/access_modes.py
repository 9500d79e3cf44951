"""Access modes and contexts: one buffer, filled in place, read side by side, then handed over.

python examples/access_modes.py
"""

from __future__ import annotations

import taskloom
from taskloom import Context, Forward, Take, Write, copy


def fill(buffer: Write[list[int]], start: int) -> None:
    buffer.extend(range(start, start + 3))


def order(buffer: Forward[list[int]]) -> None:
    buffer.sort(reverse=True)


def without_odd(numbers: list[int]) -> list[int]:
    while odd := [number for number in numbers if number % 2]:
        numbers.remove(odd[0])
    return numbers


def consume(numbers: Take[list[int]]) -> str:
    return " ".join(map(str, numbers))


def note(log: Write[list[str]], text: str) -> None:
    log.append(text)


def main() -> None:
    g = taskloom.Graph()
    log = g.resource("log")
    buffer = g.options(name="buffer").add(list)
    g.add(fill, buffer, 4)
    g.add(fill, buffer, 1)
    total, highest = g.add(sum, buffer), g.add(max, buffer)
    ordered = g.options(name="ordered").add(order, buffer)
    even = g.add(without_odd, copy(ordered))
    text = g.add(consume, ordered)
    g.add(note, log, text)
    plan = g.compile(keep=[text])

    mine: list[str] = []
    run = taskloom.run(plan, context=Context(log=mine))
    print("sum, highest:", run[total], run[highest])
    print("even:", run[even])
    print("log:", mine)
    assert (run[total], run[highest], run[even]) == (21, 6, [6, 4, 2])
    assert mine == ["6 5 4 3 2 1"]


if __name__ == "__main__":
    main()
