"""Timelines as SVG and text, and the exports of traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from taskloom.errors import OptionError
from taskloom.observe.trace import LeftOut, Trace, TraceRecord

SVG = "{http://www.w3.org/2000/svg}"


def record(name: str, start: float, end: float | None, **more: Any) -> TraceRecord:
    fields: dict[str, Any] = {"status": "done", "queued": 0.0, "worker": 0, "lane": "worker 0"}
    fields |= more
    return TraceRecord(name=name, start=start, end=end, **fields)


def titles(trace: Trace) -> list[str]:
    root = ElementTree.fromstring(trace.timeline().svg())
    return [title.text or "" for title in root.iter(f"{SVG}title")]


def test_each_record_is_a_bar_with_its_facts() -> None:
    trace = Trace([record("a", 0.0, 0.5), record("b & <c>", 0.5, 1.0, status="failed")])
    assert titles(trace) == [
        "a: done, 500 ms, ready 0 ns before",
        "b & <c>: failed, 500 ms, ready 0 ns before",
    ]


def test_bars_too_narrow_to_see_are_drawn_as_one() -> None:
    short = [record(str(n), n * 1e-5, (n + 1) * 1e-5) for n in range(1000)]
    trace = Trace([*short, record("long", 0.01, 10.0)])
    assert len(titles(trace)) == 2
    assert titles(trace)[0].startswith("1000 short ones")


def test_what_ran_inside_another_task_stands_below_it() -> None:
    text = Trace([record("outer", 0.0, 1.0), record("inner", 0.25, 0.75)]).timeline().text(20)
    assert text.splitlines()[:2] == [
        "worker 0 |[outer=============]|",
        "         |     [inner---]     |",
    ]


def test_what_overlaps_in_a_lane_takes_as_few_rows_as_can_be() -> None:
    overlapping = [record(str(n), n * 1.0, n + 2.0) for n in range(6)]
    text = Trace(overlapping).timeline().text(21)
    assert sum("|" in line for line in text.splitlines()) == 2


def test_lanes_stand_in_the_order_caller_workers_processes() -> None:
    trace = Trace(
        [
            record("p", 0.0, 1.0, worker=None, lane="process"),
            record("w10", 0.0, 1.0, worker=10, lane="worker 10"),
            record("w2", 0.0, 1.0, worker=2, lane="worker 2"),
            record("c", 0.0, 1.0, worker=None, lane="caller"),
        ]
    )
    assert trace.lanes == ("caller", "worker 2", "worker 10", "process")


def test_text_names_what_never_started_and_what_was_dropped() -> None:
    trace = Trace([record("a", 0.0, 1.0)], dropped=3, left_out=[LeftOut("b", "cancelled")])
    text = str(trace.timeline())
    assert "1 record: 1 done, 1 cancelled; 3 dropped for want of room" in text
    assert "never started: b" in text


def test_the_moment_of_cancelling_is_marked() -> None:
    svg = Trace([record("a", 0.0, 1.0)], stopped=0.5).timeline().svg()
    assert ">cancelled</text>" in svg


def test_an_empty_trace_can_be_drawn() -> None:
    assert titles(Trace([])) == []
    assert "nothing ran" in str(Trace([]).timeline())


def test_a_running_record_reaches_to_the_end_of_the_drawing() -> None:
    trace = Trace([record("a", 0.0, 2.0), record("b", 1.0, None, status="running", worker=1)])
    assert "b: running, 1.00 s, ready 0 ns before" in titles(trace)


def test_a_chrome_trace_has_lanes_bars_and_arrows() -> None:
    from taskloom.observe.chrome import chrome_trace

    trace = Trace([record("a", 0.0, 0.5), record("b", 0.5, 1.0, sources=(0,), queued=0.1)])
    events = json.loads(chrome_trace(trace))["traceEvents"]
    bars = [event for event in events if event["ph"] == "X"]
    assert [(bar["name"], bar["ts"], bar["dur"]) for bar in bars] == [
        ("a", 0.0, 500000.0),
        ("b", 500000.0, 500000.0),
    ]
    assert bars[1]["args"] == {"status": "done", "queued_us": 100000.0}
    names = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert names == ["worker 0"]
    assert [event["ph"] for event in events if event.get("cat") == "waits"] == ["s", "f"]


@pytest.mark.parametrize(
    ("ending", "beginning"), [("svg", "<svg"), ("json", "{"), ("html", "<!doctype"), ("txt", "w")]
)
def test_the_ending_of_the_file_decides_the_format(
    tmp_path: Path, ending: str, beginning: str
) -> None:
    file = tmp_path / f"trace.{ending}"
    Trace([record("a", 0.0, 1.0)]).save(file)
    assert file.read_text(encoding="utf-8").startswith(beginning)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must end in \.json"):
        Trace([]).save(tmp_path / "trace.png")


def test_a_notebook_shows_the_drawing() -> None:
    assert Trace([])._repr_svg_().startswith("<svg")
