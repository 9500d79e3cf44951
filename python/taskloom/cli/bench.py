"""`taskloom bench`: hands over to benches/run.py of the checkout that the package runs from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from taskloom.cli.problem import UsageProblem


def _programme() -> Path:
    checkout = Path(__file__).resolve().parents[3]
    for root in (checkout, Path.cwd()):
        programme = root / "benches" / "run.py"
        if programme.exists() and (root / "rust" / "core").exists():
            return programme
    raise UsageProblem(
        "benches come with the source, not with an installed package: run this in a checkout "
        "(after `make bench`, which installs what the benches compare with)"
    )


def bench(names: Sequence[str], *, only_list: bool) -> int:
    """Run the benches named, or all of them; returns the exit status of the run."""
    flags = ["--list"] if only_list else []
    command = [sys.executable, str(_programme()), *flags, *names]
    return subprocess.run(command, check=False).returncode
