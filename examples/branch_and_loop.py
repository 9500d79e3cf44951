"""A value decides which nodes run, and how often: a branch of two cases and a loop with a bound.

python examples/branch_and_loop.py
"""

from __future__ import annotations

import taskloom


def kind_of(text: str) -> str:
    return "number" if text.lstrip("-").isdigit() else "words"


def collatz(n: int) -> int:
    return 3 * n + 1 if n % 2 else n // 2


def main() -> None:
    g = taskloom.Graph()
    text = g.options(name="text").add(str.strip, " 27 ")
    result = g.options(name="result").branch(
        g.add(kind_of, text),
        {
            "number": lambda g: g.loop(
                collatz, g.add(int, text), until=lambda n: n == 1, max_iterations=1000
            ),
            "words": lambda g: g.add(len, g.add(str.split, text)),
        },
    )
    said = g.add("{} came to {}".format, text, result)
    run = taskloom.run(g)
    print(run[said])
    skipped = [node for node in g.nodes if run.why(node).status == "skipped"]
    print("not taken:", ", ".join(node.name for node in skipped))
    assert run[said] == "27 came to 1"
    assert [node.function for node in skipped] == [str.split, len]


if __name__ == "__main__":
    main()
