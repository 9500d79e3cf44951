"""`taskloom graph` draws what a file holds, `taskloom run --trace` writes when it ran."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskloom.cli import main

JOBS = """
import taskloom

def flow(count=2):
    graph = taskloom.Graph()
    first = graph.options(name="first").add(int, count)
    graph.options(name="second").add(abs, first)
    return graph
"""

STATES = """
from taskloom.pregel import START, StateGraph

builder = StateGraph(dict)
builder.add_node("work", lambda state: state).add_edge(START, "work")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "jobs_to_draw.py").write_text(JOBS)
    (tmp_path / "states_to_draw.py").write_text(STATES)
    yield tmp_path
    for name in ("jobs_to_draw", "states_to_draw"):
        sys.modules.pop(name, None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def test_a_graph_is_drawn_as_mermaid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(folder / "jobs_to_draw.py"), "count=3"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["flowchart TD", '    n0["first"]']


@pytest.mark.parametrize(
    ("format", "beginning"), [("dot", "digraph"), ("svg", "<svg"), ("text", "plan of 2 nodes")]
)
def test_other_formats_are_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str], format: str, beginning: str
) -> None:
    assert main(["graph", str(folder / "jobs_to_draw.py"), "--format", format]) == 0
    assert capsys.readouterr().out.startswith(beginning)


def test_the_ending_of_the_output_says_the_format(folder: Path) -> None:
    out = folder / "out.svg"
    assert main(["graph", str(folder / "jobs_to_draw.py"), "--output", str(out)]) == 0
    assert out.read_text().startswith("<svg")


def test_an_ending_that_says_nothing_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder / "out.png")
    assert main(["graph", str(folder / "jobs_to_draw.py"), "--output", out]) == 2
    assert "the ending says no format" in capsys.readouterr().err


def test_a_state_graph_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(folder / "states_to_draw.py")]) == 0
    assert "__start__ --> work" in capsys.readouterr().out


def test_a_state_graph_has_no_svg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(folder / "states_to_draw.py"), "--format", "svg"]) == 2
    assert "drawn as mermaid or dot" in capsys.readouterr().err


def test_a_run_writes_its_trace_and_shows_its_timeline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "trace.json"
    assert main(["run", str(folder / "jobs_to_draw.py"), "--trace", str(out)]) == 0
    names = {event["name"] for event in json.loads(out.read_text())["traceEvents"]}
    assert {"first", "second"} <= names
    assert "critical path" in capsys.readouterr().out


def test_a_trace_without_a_format_is_refused_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folder / "jobs_to_draw.py"), "--trace", "trace.png"]) == 2
    assert "must end in .json" in capsys.readouterr().err
