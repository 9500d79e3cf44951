"""tools/find_python: the newest and the oldest interpreter that works, and why one does not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "find_python"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")


def fake(folder: Path, name: str, says: str) -> None:
    """An interpreter whose answer to the tool's question is given."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)


def find(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(
        ["/bin/sh", str(TOOL), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fake(tmp_path, "python3.91", "echo serves 3.91.2 /far/python3.91")
    fake(tmp_path, "python3.92", "echo serves 3.92.0 /far/python3.92")
    return tmp_path


def test_newest_that_serves_is_found(folder: Path) -> None:
    assert find(folder).stdout == "/far/python3.92\n"


def test_interpreter_that_does_not_run_is_passed_over(folder: Path) -> None:
    fake(folder, "python3.93", "echo no such version >&2; exit 127")
    assert find(folder).stdout == "/far/python3.92\n"


def test_free_threaded_and_unreleased_ones_are_not_taken_by_themselves(folder: Path) -> None:
    fake(folder, "python3.93", "echo loose 3.93.0 /far/python3.93")
    assert find(folder).stdout == "/far/python3.92\n"


def test_newest_patch_stands_for_its_minor_version(folder: Path) -> None:
    fake(folder, "python3.94", "echo serves 3.91.10 /far/newer/python3.91")
    assert find(folder, "--all").stdout.split()[-2:] == ["/far/newer/python3.91", "/far/python3.92"]


def test_check_says_why_an_interpreter_does_not_serve(folder: Path) -> None:
    fake(folder, "old", "echo problem /far/old is Python 3.8.1: too old")
    found = find(folder, "--check", str(folder / "old"))
    assert (found.returncode, found.stdout) == (1, "/far/old is Python 3.8.1: too old\n")


def test_check_of_an_interpreter_that_serves_says_nothing(folder: Path) -> None:
    found = find(folder, "--check", str(folder / "python3.91"))
    assert (found.returncode, found.stdout) == (0, "")
