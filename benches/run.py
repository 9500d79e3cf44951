"""Run benches: all of them, or those named.

    python benches/run.py                    all, each in a process of its own
    python benches/run.py chain-serial       one workload
    python benches/run.py graph              the workloads of benches/graph*.py, or so named
    python benches/run.py --list             what there is
    python benches/run.py --table            what build/bench/ holds, as Markdown for a page

Prints each workload with its contenders, medians and spread; samples go to build/bench/NAME.json.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import harness

FOLDER = Path(__file__).resolve().parent
SECONDS_PER_WORKLOAD = 120


def find() -> dict[str, tuple[str, harness.Workload]]:
    """Every workload by name, with the file that defines it."""
    found: dict[str, tuple[str, harness.Workload]] = {}
    for file in sorted(FOLDER.glob("*.py")):
        if file.stem in {"harness", "run"}:
            continue
        try:
            module = importlib.import_module(file.stem)
        except ModuleNotFoundError as error:
            print(f"benches/{file.name} is left out: it needs {error.name}", file=sys.stderr)
            continue
        for value in vars(module).values():
            if isinstance(value, harness.Workload):
                if found.get(value.name, (file.stem,))[0] != file.stem:
                    raise SystemExit(f"two bench files define the workload {value.name!r}")
                found[value.name] = (file.stem, value)
    return found


def chosen(names: list[str], workloads: dict[str, tuple[str, harness.Workload]]) -> list[str]:
    picked: list[str] = []
    for name in names:
        wanted = name.removesuffix(".py").removeprefix("benches/")
        hits = [key for key in workloads if key == wanted] or [
            key
            for key, (file, _) in workloads.items()
            if key.startswith(wanted) or file.startswith(wanted)
        ]
        if not hits:
            near = difflib.get_close_matches(wanted, workloads, 3, 0.4)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise SystemExit(f"there is no bench {name!r}{hint} (--list shows all)")
        picked += [hit for hit in hits if hit not in picked]
    return picked or list(workloads)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run benches, peers beside them in the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="workload or file (default: all)")
    parser.add_argument("--list", action="store_true", help="list the workloads and stop")
    parser.add_argument(
        "--table", action="store_true", help="print the saved results as Markdown and stop"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    workloads = find()
    if options.list:
        for name, (file, workload) in workloads.items():
            print(f"{name:<28} {workload.what}  (benches/{file}.py)")
        return 0
    names = chosen(options.names, workloads)
    if options.table:
        saved = [harness.RESULTS / f"{name}.json" for name in names]
        print(harness.markdown([json.loads(path.read_text()) for path in saved if path.exists()]))
        return 0
    if options.here:
        for name in names:
            harness.save(workloads[name][1].measure())
        return 0

    print(harness.heading(), flush=True)
    began, failed = time.monotonic(), []
    for name in names:
        command = [sys.executable, str(FOLDER / "run.py"), "--here", name]
        try:
            subprocess.run(command, check=True, timeout=SECONDS_PER_WORKLOAD)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"\n{name}: FAILED ({error})", flush=True)
            failed.append(name)
            continue
        record = json.loads((harness.RESULTS / f"{name}.json").read_text())
        print(harness.report(record), flush=True)
    print(
        f"\n{len(names) - len(failed)} of {len(names)} benches in {time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
