"""A graph compiled once and run many times: serially, in parallel, in the background, watched.

python examples/plan_reuse.py
"""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from typing import Any

import taskloom
from taskloom import Context, Graph
from taskloom.errors import ValueFreedError


def words_in(text: str) -> list[str]:
    return text.lower().split()


def main() -> None:
    g = Graph()
    words = g.options(name="words").add(words_in, g.resource("text"))
    counts = g.options(name="counts").add(Counter, words)
    commonest = g.options(name="commonest").add(max, words, key=len)
    plan = g.compile(keep=[counts])
    print(plan.dump())

    def given() -> Context:
        return Context(text="To be or not to be")

    with taskloom.Executor(2) as executor:
        for mode in ("serial", "parallel", "auto"):
            run = executor.run(plan, mode=mode, context=given())
            assert (run[counts]["be"], run[commonest]) == (2, "not")
        try:
            run[words]
        except ValueFreedError as error:
            print("freed:", error)

        background = executor.start(plan, context=given())
        assert background.result()[commonest] == "not"

        # Several threads may run one plan at once, each run with values of its own.
        found: list[str] = []

        def one_more() -> None:
            found.append(executor.run(plan, context=given())[commonest])

        threads = [threading.Thread(target=one_more) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == ["not"] * 3

        events: list[tuple[str, str]] = []
        executor.run(
            plan,
            mode="serial",
            context=given(),
            on_event=lambda event: events.append((event.kind, event.node.name)),
        )
        print("events:", *events[:4])
        assert events[:2] == [("started", "text#0"), ("finished", "text#0")]

        where: Any = executor.call(lambda: (taskloom.worker_index(), taskloom.worker_count()))
        print("a worker knows its number, and how many there are:", where)

        again, node = pickle.loads(pickle.dumps((plan, commonest)))
        assert executor.run(again, context=given())[node] == "not"


if __name__ == "__main__":
    main()
