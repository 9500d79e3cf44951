"""Every example runs, on a small input, and says what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

# What to call an example with so that it is done in a second or two; nothing, if not named here.
ARGUMENTS: dict[str, list[str]] = {
    "codebase_atlas.py": ["--path", str(EXAMPLES), "--rounds", "1", "--workers", "2"],
    "codebase_survey.py": [__file__],
}


@pytest.mark.parametrize("name", sorted(file.name for file in EXAMPLES.glob("*.py")))
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, EXAMPLES / name, *ARGUMENTS.get(name, [])],
        cwd=tmp_path,  # an example must not need to be started from its own folder
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    assert ended.stderr == ""
