"""Values that each run is given anew: by name, by type, borrowed, and one at a time for writers.

python examples/context_values.py
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import taskloom
from taskloom import Context, Graph, Write
from taskloom.errors import GraphError


@dataclass
class Settings:
    factor: int


@dataclass
class Journal:
    lines: list[str] = field(default_factory=list)


def scaled(number: int, settings: Settings) -> int:
    return number * settings.factor


def note(journal: Write[Journal], number: int) -> None:
    journal.lines.append(f"got {number}")


def main() -> None:
    g = Graph()
    result = g.add(scaled, g.resource("number"), g.from_context(Settings))
    g.add(note, g.from_context(Journal), result)
    plan = g.compile(keep=[result])

    journal = Journal()
    for number in (1, 2):
        run = taskloom.run(plan, context=Context(Settings(10), journal, number=number))
        print(run[result])
    print(*journal.lines, sep="\n")
    assert journal.lines == ["got 10", "got 20"]

    # What a run was given it does not keep.
    watched = weakref.ref(journal)
    del journal
    assert watched() is None

    refused = ""
    try:
        taskloom.run(plan, context=Context(Journal(), number=3))
    except GraphError as error:
        refused = str(error)
    print(refused)
    assert "Settings" in refused


if __name__ == "__main__":
    main()
