"""Trees: each node has one parent, whose value flows to it, read, changed, copied or used up.

python examples/trees.py
"""

from __future__ import annotations

import taskloom
from taskloom import copy, forward, take, write


def load() -> list[str]:
    return ["pear", "apple", "fig", "apple"]


def without_short(words: list[str]) -> list[str]:
    while any(len(word) < 4 for word in words):
        words.remove(min(words, key=len))
    return words


def main() -> None:
    g = taskloom.Graph()
    words = g.options(name="words").tree(load)
    count = words.child(len)  # readers run side by side
    longest = words.child(max, key=len)
    long_ones = words.child(without_short, copy(words))  # has a list of its own
    words.child(list.append, write(words), "plum")  # changes it after the readers before it
    ordered = words.options(name="ordered").child(list.sort, forward(words))  # passes it on
    first = ordered.child(lambda items: items[0])
    text = ordered.child(" ".join, take(ordered))  # is its last user

    try:
        words.child(len)
    except taskloom.errors.GraphError as error:
        print("refused:", error)

    chain = g.tree(load).then(sorted).then("+".join)  # one after the other, each the only child
    plan = g.compile()
    assert taskloom.run(plan).ok  # as often as you like
    run = taskloom.run(plan)
    print("count, longest:", run[count], run[longest])
    print("long ones:", run[long_ones])
    print("first:", run[first])
    print("text:", run[text])
    print("a chain:", run[chain])
    assert run[text] == "apple apple fig pear plum"
    assert (run[count], run[long_ones]) == (4, ["pear", "apple", "apple"])


if __name__ == "__main__":
    main()
