"""The `taskloom` command: subcommands, exit statuses, what a wrong call is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import taskloom
from taskloom.cli import main


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"taskloom {taskloom.__version__}\n"


def test_module_and_script_are_the_same_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "taskloom", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"taskloom {taskloom.__version__}\n"


def test_no_subcommand_prints_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "doctor" in capsys.readouterr().out


def test_unknown_subcommand_names_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["docter"])
    assert left.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_doctor_tells_the_interpreter_and_the_gil(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert sys.executable in text
    assert "GIL" in text


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this platform")
def test_doctor_tells_the_affinity_that_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    only = min(before)
    os.sched_setaffinity(0, {only})
    try:
        main(["doctor", "--json"])
    finally:
        os.sched_setaffinity(0, before)
    facts = {fact["name"]: fact["value"] for fact in json.loads(capsys.readouterr().out)}
    assert facts["affinity"] == str(only)


def test_bench_outside_a_checkout_says_where_benches_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("taskloom.cli.bench.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["bench"]) == 2
    assert "checkout" in capsys.readouterr().err


def test_bench_of_an_unknown_name_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "no-such-workload"]) == 1
    assert "no-such-workload" in capfd.readouterr().err
