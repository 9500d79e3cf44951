"""`taskloom run`: what FILE[:NAME] means, the table, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskloom.cli import main

JOBS = """
import taskloom

@taskloom.task
def load(count):
    return list(range(count))

@taskloom.task
def total(values):
    return sum(values)

@taskloom.task
def divide(value):
    return value / 0

def flow(count=4):
    total(load(count))

def failing():
    total(load(divide(1)))

def empty():
    pass

def returns():
    graph = taskloom.Graph()
    graph.options(name="seven").add(int, "7")
    return graph
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "jobs_of_a_test.py"
    file.write_text(JOBS)
    yield file
    sys.modules.pop("jobs_of_a_test", None)
    sys.path.remove(str(tmp_path))


def test_flow_function_is_found_and_its_result_is_shown(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(jobs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "status", "value"]
    assert lines[2].split() == ["total#1", "done", "6"]


def test_flow_function_is_given_its_arguments(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(jobs), "count=101"]) == 0
    assert "5050" in capsys.readouterr().out


def test_serial_run_gives_the_same(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--serial", str(jobs)]) == 0
    assert "total#1  done    6" in capsys.readouterr().out


def test_failed_node_gives_exit_status_1_and_its_users_line(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", f"{jobs}:failing"]) == 1
    shown = capsys.readouterr()
    assert "ZeroDivisionError" in shown.out
    assert "because of 'divide#0'" in shown.out
    assert "return value / 0" in shown.err
    assert "taskloom/cli" not in shown.err


def test_graph_that_a_function_returns_is_run(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", f"{jobs}:returns"]) == 0
    assert "seven  done    7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("suffix", "words", "told"),
    [
        (":flwo", [], "did you mean"),
        (":empty", [], "calls no taskloom.task"),
        ("", ["size=3"], "flow(count=4)"),
        ("", ["3"], "NAME=VALUE"),
        (":JOBS", [], "defines no 'JOBS'"),
    ],
)
def test_wrong_call_says_what_would_be_right(
    jobs: Path, suffix: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if words == ["3"]:
        sys.path.insert(0, str(jobs.parent))  # refused before the file is loaded
    assert main(["run", f"{jobs}{suffix}", *words]) == 2
    assert told in capsys.readouterr().err


def test_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "no/such/file.py"]) == 2
    assert "no/such/file.py" in capsys.readouterr().err


def test_error_while_the_file_is_loaded_is_the_users_own(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.write_text("x = 1\nraise RuntimeError('broken jobs')\n")
    assert main(["run", str(jobs)]) == 1
    shown = capsys.readouterr().err
    assert "line 2" in shown
    assert "broken jobs" in shown
    assert "importlib" not in shown


def test_only_graph_of_a_file_needs_no_name(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.write_text("import taskloom\ng = taskloom.Graph()\ng.add(abs, -5)\n")
    assert main(["run", str(jobs)]) == 0
    assert "abs#0  done    5" in capsys.readouterr().out


def test_several_graphs_are_offered_by_name(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.write_text("import taskloom\na, b = taskloom.Graph(), taskloom.Graph()\n")
    assert main(["run", str(jobs)]) == 2
    assert f"{jobs}:a or {jobs}:b" in capsys.readouterr().err


def test_long_table_shows_what_matters_first(
    jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.write_text(
        "import taskloom\ng = taskloom.Graph()\nnode = g.add(int)\n"
        "for _ in range(200):\n    node = g.add(abs, node)\n"
    )
    assert main(["run", str(jobs)]) == 0
    shown = capsys.readouterr().out
    assert "abs#200  done    0" in shown
    assert "… and 200 more" in shown


@pytest.mark.parametrize("word", ["0", "-1", "two"])
def test_number_of_workers_must_be_a_number_from_1_up(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--workers", word, "jobs.py"])
    assert "from 1 up" in capsys.readouterr().err
