"""Tasks that direct the flow: try again, end a branch, abort the run; and errors made into values.

python examples/flow_control.py
"""

from __future__ import annotations

import taskloom
from taskloom import AbortBranch, AbortRun, Retry, RetryTask, catch
from taskloom.errors import RunAborted

BUSY = iter([True, True, False])


def fetch(name: str, error: BaseException | None = None) -> str:
    if error is None:
        raise OSError(f"{name}: no connection")  # the second attempt is told of it
    return f"{name}=12,x,7"


def wait_for_turn(text: str) -> str:
    if next(BUSY):
        raise RetryTask(delay=0.001)
    return text


def fields(text: str) -> list[str]:
    found = text.partition("=")[2].split(",")
    if found == [""]:
        raise AbortBranch([])  # nothing to do further down
    return found


def check(numbers: list[int]) -> None:
    if sum(numbers) > 10:
        raise AbortRun(f"{sum(numbers)} is too much")


def main() -> None:
    g = taskloom.Graph()
    retry = Retry(3, delay=0.001, jitter=0.5, on=OSError, pass_error="error")
    text = g.add(wait_for_turn, g.options(retry=retry).add(fetch, "a"))
    parse = catch(int, {ValueError: 0})
    numbers = g.add(lambda found: [parse(item) for item in found], g.add(fields, text))
    empty = g.add(fields, "b=")
    never = g.add(len, empty)
    plan = g.compile(keep=[numbers])
    run = taskloom.run(plan)
    print("numbers:", run[numbers], "| ok:", run.ok)
    print(run.why(never))
    assert run[numbers] == [12, 0, 7]
    assert (run.ok, run[empty]) == (True, [])

    limited = taskloom.Graph()
    limited.options(name="check").add(check, [5, 6])
    said = ""
    try:
        taskloom.run(limited)
    except RunAborted as aborted:
        said = str(aborted)
    print(said)
    assert said == "node 'check' aborted the run: 11 is too much"


if __name__ == "__main__":
    main()
