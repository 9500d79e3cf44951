"""The `taskloom` command; one module per subcommand, imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from taskloom.cli.problem import UsageProblem


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 1 up")
    return int(word)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskloom", description="Run task graphs, look at the machine, run benches."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a graph or flow function of a Python file",
        description="Run a graph, a plan, or a function that builds one, and print what became "
        "of each node. Exit status 1 if a node failed.",
    )
    run.add_argument(
        "target",
        metavar="FILE[:NAME]",
        help="without NAME: the only graph of the file, else its function `flow`",
    )
    run.add_argument(
        "arguments", nargs="*", metavar="NAME=VALUE", help="arguments of the flow function"
    )
    run.add_argument(
        "--serial", action="store_true", help="run on one thread, in the plan's fixed order"
    )

    run.add_argument(
        "--workers", type=_count, metavar="N", help="how many workers (default: as Executor)"
    )

    run.add_argument(
        "--trace",
        metavar="OUT",
        help="write when each node ran to OUT: .json for Perfetto, .svg, .html or .txt",
    )

    graph = commands.add_parser(
        "graph",
        help="draw a graph, plan or state graph of a Python file",
        description="Draw a graph, a plan, a state graph, or what a function builds.",
    )
    graph.add_argument("target", metavar="FILE[:NAME]", help="as for `run`")
    graph.add_argument(
        "arguments", nargs="*", metavar="NAME=VALUE", help="arguments of the flow function"
    )
    graph.add_argument(
        "--format",
        choices=("mermaid", "dot", "svg", "text"),
        help="default: by the ending of OUT, else mermaid",
    )
    graph.add_argument("--output", metavar="OUT", help="write to a file, not to standard output")

    doctor = commands.add_parser("doctor", help="what this Python and this machine offer")
    doctor.add_argument("--json", action="store_true", help="print JSON instead of text")

    bench = commands.add_parser("bench", help="run benches of a checkout")
    bench.add_argument("names", nargs="*", metavar="NAME", help="workload or file (default: all)")
    bench.add_argument("--list", action="store_true", help="list the workloads")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 failed, 2 asked wrongly.

    Args:
        arguments: The words after `taskloom`; those of the process when left out.

    Example:
        >>> from taskloom.cli import main
        >>> main(["--version"])
        taskloom ...
        0
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        from taskloom._taskloom import __version__

        print(f"taskloom {__version__}")
        return 0
    try:
        match options.command:
            case "run":
                from taskloom.cli.run import run

                return run(
                    options.target,
                    options.arguments,
                    serial=options.serial,
                    workers=options.workers,
                    trace=options.trace,
                )
            case "graph":
                from taskloom.cli.graph import graph

                return graph(
                    options.target,
                    options.arguments,
                    format=options.format,
                    output=options.output,
                )
            case "doctor":
                from taskloom.cli.doctor import doctor

                return doctor(as_json=options.json)
            case "bench":
                from taskloom.cli.bench import bench

                return bench(options.names, only_list=options.list)
            case _:
                parser.print_help()
                return 2
    except UsageProblem as problem:
        print(f"taskloom {options.command}: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe left early (`taskloom doctor | head`): nothing went wrong here.
        sys.stderr.close()
        return 0
