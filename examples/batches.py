"""Many small tasks handed over at once: to the pool, as a graph, and a window on how many run.

python examples/batches.py
"""

from __future__ import annotations

from itertools import islice

import taskloom


def square(number: int) -> int:
    return number * number


def main() -> None:
    with taskloom.Executor(2) as executor:
        # One call for all of them: the workers are woken once.
        futures = executor.submit_many(square, range(1000))
        print("sum of the futures:", sum(future.result() for future in futures))
        assert sum(future.result() for future in futures) == 332_833_500

        # The same as nodes of a graph, whose plan may be run again and again.
        g = taskloom.Graph()
        total = g.add(sum, g.map(square, range(1000)))
        plan = g.compile()
        assert [executor.run(plan)[total] for _ in range(3)] == [332_833_500] * 3

        # Results in order, as they come, with so many under way at a time.
        firsts = list(islice(executor.map(square, range(1000)), 4))
        print("the first of them:", firsts)
        assert firsts == [0, 1, 4, 9]


if __name__ == "__main__":
    main()
