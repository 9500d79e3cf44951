"""How far runs and executors are, and the line that says so."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import taskloom
from taskloom.observe._live import LiveLine
from taskloom.observe.progress import ExecutorProgress, ProgressItem, RunProgress, bar


@pytest.fixture
def executor() -> Iterator[taskloom.Executor]:
    with taskloom.Executor(2) as executor:
        yield executor


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_run_that_is_over_has_counts_that_add_up(executor: taskloom.Executor, mode: Any) -> None:
    g = taskloom.Graph()
    bad = g.add(int, "x")
    g.add(abs, bad)
    g.add(int, "1")
    progress = executor.run(g, mode=mode, check=False).progress()
    assert progress == RunProgress(total=3, done=1, failed=1, skipped=1, cancelled=0, running=0)
    assert (progress.ended, progress.waiting) == (3, 0)


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_run_that_goes_on_says_how_far_it_is(executor: taskloom.Executor, mode: Any) -> None:
    seen: list[Any] = []

    def look() -> None:
        (live,) = executor._live
        run = live()
        assert run is not None
        seen.append(run.progress())

    g = taskloom.Graph()
    node = g.add(int, "1")
    for _ in range(2):
        node = g.add(abs, node)
    looker = g.add(look)
    looker.after(node)
    g.add(int, "1").after(looker)
    executor.run(g, mode=mode)
    assert (seen[0].ended, seen[0].running) == (3, 1)


def test_an_executor_tells_of_its_tasks_runs_and_scopes(executor: taskloom.Executor) -> None:
    seen: list[Any] = []

    def work() -> None:
        task = taskloom.current_task()
        assert task is not None
        task.progress(1, 4)
        seen.append(executor.progress())

    with taskloom.Scope(executor=executor, name="all"):
        executor.options(name="work").submit(work).result()
    (progress,) = seen
    assert progress.running == 1
    assert [str(item) for item in progress.items] == [
        "scope all, 0 children",
        "task work [#####               ]  25%",
    ]
    assert executor.progress().items == ()


def test_a_live_run_is_among_the_items(executor: taskloom.Executor) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        go_on.wait()

    g = taskloom.Graph()
    g.add(hold)
    run = executor.start(g)
    began.wait()
    assert str(executor.progress()).endswith("run of 1 nodes [                    ]   0%")
    go_on.set()
    run.result()
    assert executor.progress().items == ()


def test_a_line_is_painted_over_itself_and_ends_with_the_end(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    g.add(int, "1")
    run = executor.run(g)
    stream = Terminal()
    line = LiveLine(run, stream=stream, clock=lambda: 0.0)
    with line:
        line.paint()
    text = stream.getvalue()
    assert text.count("\r[####################] 100% 1 of 1 nodes, 0 ns") >= 2
    assert text.endswith("\n")


def test_nothing_is_written_where_there_is_no_terminal(executor: taskloom.Executor) -> None:
    g = taskloom.Graph()
    g.add(int, "1")
    stream = io.StringIO()
    with LiveLine(executor.run(g), stream=stream):
        pass
    assert stream.getvalue() == ""


def test_a_run_shows_its_progress_on_standard_error(
    executor: taskloom.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    g = taskloom.Graph()
    g.add(int, "1")
    executor.run(g, progress=True)
    assert "1 of 1 nodes" in stream.getvalue()


def test_a_bar_stays_within_its_width() -> None:
    assert [bar(done, 4, width=4) for done in (-1, 0, 2, 9)] == [
        "[    ]   0%",
        "[    ]   0%",
        "[##  ]  50%",
        "[####] 100%",
    ]


def test_what_is_a_part_of_something_stands_below_it(executor: taskloom.Executor) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(str(executor.progress()))

    def load() -> None:
        task = taskloom.current_task()
        assert task is not None
        task.progress(1, 2)
        inner = taskloom.Graph()
        inner.add(look)
        executor.run(inner, mode="serial")

    with taskloom.Scope(executor=executor, name="all") as scope:
        scope.options(name="load").spawn(load).result()
    lines = seen[0].splitlines()[1:]
    assert lines[0].startswith("  scope all, ")
    assert lines[1:] == [
        "  └─ task load [##########          ]  50%",
        "     └─ run of 1 nodes [                    ]   0%",
    ]


def test_a_run_in_a_node_stands_below_its_run(executor: taskloom.Executor) -> None:
    seen: list[Any] = []
    inner = taskloom.Graph()
    inner.add(lambda: seen.append(executor.progress()))
    outer = taskloom.Graph()
    outer.add(lambda: executor.run(inner, mode="serial"))
    outer.add(int)
    executor.run(outer, mode="serial")
    assert [(item.name, item.depth) for item in seen[0].items] == [
        ("of 2 nodes", 0),
        ("of 1 nodes", 1),
    ]


def test_nested_scopes_are_a_tree(executor: taskloom.Executor) -> None:
    with (
        taskloom.Scope(executor=executor, name="outer"),
        taskloom.Scope(executor=executor, name="inner"),
    ):
        text = str(executor.progress())
    assert text.splitlines()[1:] == [
        "  scope outer, 0 children",
        "  └─ scope inner, 0 children",
    ]


def test_branches_are_drawn_to_those_that_follow() -> None:
    def item(name: str, depth: int) -> ProgressItem:
        return ProgressItem("scope", name, None, None, depth)

    items = (item("a", 0), item("b", 1), item("c", 2), item("d", 1), item("e", 0))
    progress = ExecutorProgress(0, 0, 0, 0, 0, 0, items)
    assert str(progress).splitlines()[1:] == [
        "  scope a",
        "  ├─ scope b",
        "  │  └─ scope c",
        "  └─ scope d",
        "  scope e",
    ]


def test_a_scope_of_a_child_stands_below_its_scope(executor: taskloom.Executor) -> None:
    seen: list[str] = []

    async def child() -> None:
        async with taskloom.Scope(name="inner"):
            seen.append(str(executor.progress()))

    with taskloom.Scope(executor=executor, name="outer") as scope:
        scope.spawn(child)
    assert [line.split(",")[0] for line in seen[0].splitlines()[1:]] == [
        "  scope outer",
        "  └─ scope inner",
    ]


def report(done: float, total: float) -> None:
    task = taskloom.current_task()
    assert task is not None
    task.progress(done, total)


def test_a_task_stands_below_the_one_that_submitted_it(executor: taskloom.Executor) -> None:
    seen: list[str] = []

    def child() -> None:
        report(1, 4)
        seen.append(str(executor.progress()))

    def parent() -> None:
        report(1, 2)
        executor.options(name="child").submit(child).result()

    executor.options(name="parent").submit(parent).result()
    assert seen[0].splitlines()[1:] == [
        "  task parent [##########          ]  50%",
        "  └─ task child [#####               ]  25%",
    ]


def test_a_node_that_is_a_task_of_its_own_stands_below_its_run(
    executor: taskloom.Executor,
) -> None:
    seen: list[str] = []

    def node() -> None:
        report(1, 2)
        # Without a GIL the task may begin a moment before its run has noted it.
        while "└─" not in (shown := str(executor.progress())):
            taskloom.checkpoint()
        seen.append(shown)

    g = taskloom.Graph()
    g.options(name="node", timeout=60).add(node)
    executor.run(g)
    assert seen[0].splitlines()[1:] == [
        "  run of 1 nodes [                    ]   0%",
        "  └─ task node [##########          ]  50%",
    ]


class Screen(Terminal):
    """A terminal that understands what the live lines use, and keeps what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [""]
        self.row = self.column = 0

    def write(self, text: str) -> int:
        for up, kind, plain in re.findall(r"\x1b\[(\d*)([AKJ])|([\r\n]|[^\x1b\r\n]+)", text):
            row = self.rows[self.row]
            if kind == "A":
                self.row -= int(up)
            elif kind:
                self.rows[self.row] = row[: self.column]
                if kind == "J":
                    del self.rows[self.row + 1 :]
            elif plain == "\r":
                self.column = 0
            elif plain == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            else:
                end = self.column + len(plain)
                self.rows[self.row] = row[: self.column].ljust(self.column) + plain + row[end:]
                self.column = end
        return len(text)


def painted_from_inside(executor: taskloom.Executor) -> tuple[Screen, list[list[str]]]:
    """A terminal after a run, and what it showed at three moments of that."""
    screen, shown = Screen(), list[list[str]]()
    lines: list[LiveLine] = []
    is_there = threading.Event()

    def node() -> None:
        is_there.wait()
        for done in range(3):
            report(done, 3)
            lines[0].paint()
            shown.append(list(screen.rows))

    g = taskloom.Graph()
    g.options(name="first", timeout=60).add(node)
    run = executor.start(g)
    lines.append(LiveLine(run, executor, stream=screen, clock=lambda: 0.0))
    is_there.set()
    run.result()
    with lines[0]:
        pass
    return screen, shown


def test_what_goes_on_in_a_run_is_shown_below_its_line_and_gone_in_the_end(
    executor: taskloom.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, shown = painted_from_inside(executor)
    assert [rows[0].startswith("[     ") for rows in shown] == [True] * 3
    assert [rows[1:] for rows in shown] == [
        ["  └─ task first [                    ]   0%"],
        ["  └─ task first [######              ]  33%"],
        ["  └─ task first [#############       ]  67%"],
    ]
    assert screen.rows == ["[####################] 100% 1 of 1 nodes, 0 ns", ""]


def test_a_dumb_terminal_shows_the_line_alone(
    executor: taskloom.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    _, shown = painted_from_inside(executor)
    assert [len(rows) for rows in shown] == [1] * 3


def test_of_many_parts_the_first_are_shown(
    executor: taskloom.Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    items = tuple(ProgressItem("task", str(number), 1, 2, 1) for number in range(40))
    monkeypatch.setattr("taskloom.observe._live.parts_of_run", lambda *_: items)
    g = taskloom.Graph()
    g.add(int)
    line = LiveLine(executor.run(g), executor, stream=Screen())
    lines = line.tree()
    assert len(lines) == 12
    assert lines[-1] == "  ... and 29 more"
