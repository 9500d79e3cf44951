"""`taskloom run`: runs a graph, plan or flow function of a file and prints what became of it."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.cli.problem import UsageProblem
from taskloom.cli.target import resolve, split_target
from taskloom.errors import ValueFreedError
from taskloom.executor import Executor
from taskloom.observe.trace import FORMATS
from taskloom.run import Run

if TYPE_CHECKING:
    from taskloom._taskloom import Node

ROWS = 50
VALUE_WIDTH = 60


def _short(value: object) -> str:
    """A value on one line, cut where it gets long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"


class Row(NamedTuple):
    """A line of the result table."""

    name: str
    status: str
    value: str
    matters: bool = True  # whether a reader of a long table would miss it


def _row(run: Run, node: Node[Any]) -> Row:
    reason = run.why(node)
    if reason.status == "done":
        try:
            return Row(node.name, "done", _short(run[node]))
        except ValueFreedError:
            return Row(node.name, "done", "", matters=False)
    if reason.status == "failed" and reason.error is not None:
        kind, text = type(reason.error).__name__, str(reason.error)
        return Row(node.name, "failed", f"{kind}: {text}" if text else kind)
    because = f"because of {reason.chain[-1].name!r}" if len(reason.chain) > 1 else ""
    return Row(node.name, reason.status, because)


def table(run: Run) -> str:
    """The result table: every node of a small run; of a large one, those that matter."""
    rows = [_row(run, node) for node in run.plan.graph.nodes]
    shown = rows
    if len(rows) > ROWS:
        shown = sorted((row for row in rows if row.matters), key=lambda row: row.status == "done")
        shown = shown[:ROWS]
    heading = Row("node", "status", "value")
    names = max(len(row.name) for row in [heading, *shown])
    statuses = max(len(row.status) for row in [heading, *shown])
    lines = [
        f"{row.name:<{names}}  {row.status:<{statuses}}  {row.value}".rstrip()
        for row in [heading, *shown]
    ]
    if len(shown) < len(rows):
        lines.append(f"… and {len(rows) - len(shown)} more")
    return "\n".join(lines)


def summary(run: Run, seconds: float) -> str:
    """One line: how many nodes, how long, how they ended."""
    ends = Counter(run.why(node).status for node in run.plan.graph.nodes)
    told = ", ".join(f"{count} {status}" for status, count in ends.most_common())
    took = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
    return f"{len(run)} nodes in {took}: {told or 'nothing to do'}"


def _print_users_part(error: BaseException) -> None:
    """Print a traceback from the user's first line on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(
        ("taskloom.", "importlib", "_frozen_importlib")
    ):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames or error.__traceback__)


def run(
    target: str,
    words: Sequence[str],
    *,
    serial: bool,
    workers: int | None,
    trace: str | None = None,
) -> int:
    """Run `FILE[:NAME]`, print its table, and return 0 if all went well, else 1.

    A path in `trace` gets the trace, in the format of its ending, and the timeline is printed.
    Errors of the nodes, and of the file itself while it is loaded, go to standard error.
    """
    if trace is not None and Path(trace).suffix not in FORMATS:
        raise UsageProblem(f"--trace {trace}: the name must end in {', '.join(FORMATS)}")
    try:
        graph = resolve(target, words)
    except UsageProblem:
        raise
    except Exception as error:
        print(f"{split_target(target)[0]} cannot be loaded:", file=sys.stderr)
        _print_users_part(error)
        return 1
    with Executor(workers) as executor:
        began = time.perf_counter()
        ended = executor.run(
            graph,
            mode="serial" if serial else "parallel",
            check=False,
            trace=trace is not None,
            progress=True,
        )
        seconds = time.perf_counter() - began
    print(table(ended))
    print(summary(ended, seconds))
    if trace is not None:
        ended.trace.save(trace)
        print(f"\n{ended.trace.timeline()}\n\ntrace written to {trace}")
    for node, raised in ended.exceptions().items():
        print(f"\nnode {node.name!r}:", file=sys.stderr)
        _print_users_part(raised)
    return 0 if ended.ok else 1
