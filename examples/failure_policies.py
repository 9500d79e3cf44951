"""What a failed node means to the others, and how to find out why something was not done.

python examples/failure_policies.py
"""

from __future__ import annotations

import taskloom
from taskloom import Graph, Retry
from taskloom.errors import RunFailed


def broken() -> int:
    raise OSError("the disk is full")


def outcomes(policy: str) -> list[str]:
    """How four nodes end: one that fails, one given its value, one only after it, one beside it."""
    g = Graph(on_error=policy)
    bad = g.options(name="bad").add(broken)
    nodes = [bad, g.add(abs, bad), g.add(int).after(bad), g.add(int)]
    run = taskloom.run(g, mode="serial", check=False)
    return [run.why(node).status for node in nodes]


def stubborn() -> tuple[str, list[int]]:
    """A node that is tried again, and told of the error before."""
    calls: list[int] = []

    def fetch(error: Exception | None = None) -> str:
        calls.append(len(calls) + 1)
        if error is None:
            raise ConnectionError("try again")
        return f"done after: {error}"

    g = Graph()
    node = g.options(retry=Retry(3, on=ConnectionError, pass_error="error")).add(fetch)
    return taskloom.run(g)[node], calls


def main() -> None:
    for policy in ("cancel_dependents", "cancel_run", "continue"):
        print(f"{policy:18}", *outcomes(policy))
    assert outcomes("cancel_dependents") == ["failed", "skipped", "skipped", "done"]
    assert outcomes("cancel_run") == ["failed", "skipped", "skipped", "cancelled"]
    assert outcomes("continue") == ["failed", "skipped", "done", "done"]

    g = Graph()
    bad = g.options(name="bad").add(broken)
    last = g.options(name="last").add(str, g.options(name="middle").add(abs, bad))
    try:
        taskloom.run(g)
    except RunFailed as failed:
        print("the run:", *failed.exceptions)
    run = taskloom.run(g, check=False)
    print("the last node:", run.why(last))
    assert run.why(last).chain == (last, g.node("middle"), bad)

    value, calls = stubborn()
    print(value)
    assert (value, calls) == ("done after: try again", [1, 2])


if __name__ == "__main__":
    main()
