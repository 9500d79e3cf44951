"""A looping state graph on a SQLite saver, run as a process of its own so that it can be killed.

    python killed_program.py FILE JOURNAL ROUNDS [STATEMENT]

Starts the thread, or goes on with it, to its end, and prints the final state as JSON. Each node
writes its name and round into the journal when it runs, and into the cell `log` by what it
returns. With STATEMENT the process kills itself just before the SQL statement of that number.
"""

from __future__ import annotations

import json
import operator
import os
import signal
import sys
from typing import Annotated, Any, TypedDict

from taskloom.pregel import END, START, Send, StateGraph
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

CONFIG: Any = {"configurable": {"thread_id": "looping"}, "recursion_limit": 10_000}


class State(TypedDict):
    round: int
    total: int
    log: Annotated[list[str], operator.add]
    parts: Annotated[list[int], operator.add]


def program(journal: int, rounds: int) -> StateGraph[State]:
    def ran(node: str, number: int) -> str:
        entry = f"{node} {number}"
        os.write(journal, f"{entry}\n".encode())
        return entry

    def plan(state: State) -> dict[str, Any]:
        return {"log": [ran("plan", state["round"])]}

    def fan_out(state: State) -> list[Send]:
        return [Send("work", {"round": state["round"], "part": part}) for part in range(3)]

    def work(given: dict[str, int]) -> dict[str, Any]:
        entry = ran(f"work{given['part']}", given["round"])
        return {"log": [entry], "parts": [given["round"] * given["part"]]}

    def collect(state: State) -> dict[str, Any]:
        number = state["round"]
        return {
            "log": [ran("collect", number)],
            "round": number + 1,
            "total": state["total"] * 3 % 1_000_003 + sum(state["parts"]),
        }

    def again(state: State) -> str:
        return END if state["round"] >= rounds else "plan"

    graph = StateGraph(State)
    graph.add_node("plan", plan)
    graph.add_node("work", work)
    graph.add_node("collect", collect)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", fan_out, ["work"])
    graph.add_edge("work", "collect")
    graph.add_conditional_edges("collect", again, ["plan", END])
    return graph


def kill_at(statement: int) -> Any:
    """A trace callback that kills the process before the statement of that number."""
    left = statement

    def before(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def main(file: str, journal: str, rounds: str, statement: str = "0") -> None:
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with SqliteSaver.from_conn_string(file) as saver:
        if int(statement):
            saver.conn.set_trace_callback(kill_at(int(statement)))
        graph = program(descriptor, int(rounds)).compile(checkpointer=saver)
        begun = saver.get_tuple(CONFIG) is not None
        given: Any = None if begun else {"round": 0, "total": 1, "log": [], "parts": []}
        print(json.dumps(graph.invoke(given, CONFIG, durability="sync")))


if __name__ == "__main__":
    main(*sys.argv[1:])
