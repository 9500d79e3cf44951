"""Finds what `FILE[:NAME]` means: a graph, a plan, or a flow function that builds a graph."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from taskloom._taskloom import Plan
from taskloom.cli.problem import UsageProblem
from taskloom.graph import Graph

# The name that is looked for when a file holds no graph and none is given.
FLOW = "flow"


def split_target(target: str) -> tuple[Path, str | None]:
    """The file and the name in `FILE[:NAME]`.

    >>> split_target("jobs.py:nightly")[1]
    'nightly'
    >>> split_target("jobs.py")[1] is None
    True
    """
    file, colon, name = target.rpartition(":")
    if colon and name.isidentifier() and not Path(target).exists():
        return Path(file), name
    return Path(target), None


def load(file: Path) -> ModuleType:
    """Run a Python file as a module of its own name, its folder importable as for a script."""
    if not file.exists():
        raise UsageProblem(f"there is no file {file}; give FILE or FILE:NAME")
    if not file.is_file():
        raise UsageProblem(f"{file} is not a file; give FILE or FILE:NAME")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # The file's own name, so that a process can import what it is sent by name; unless that hides
    # a module which is loaded already.
    name = file.stem if file.stem not in sys.modules else f"{file.stem}_to_run"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageProblem(f"{file} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def choose(module: ModuleType, name: str | None, file: Path) -> object:
    """The object meant by a name; without one the only graph or plan, else the function `flow`."""
    found = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    if name is not None:
        if name in vars(module):
            return vars(module)[name]
        near = difflib.get_close_matches(name, found, 1)
        hint = f"; did you mean {file}:{near[0]}?" if near else ""
        raise UsageProblem(f"{file} defines no {name!r}{hint}")
    graphs = [key for key, value in found.items() if isinstance(value, Graph | Plan)]
    if len(graphs) == 1:
        return found[graphs[0]]
    if len(graphs) > 1:
        choice = " or ".join(f"{file}:{key}" for key in graphs)
        raise UsageProblem(f"{file} has several graphs: give {choice}")
    if callable(found.get(FLOW)):
        return found[FLOW]
    functions = [
        key
        for key, value in found.items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    hint = f"; give one of its functions, as {file}:{functions[-1]}" if functions else ""
    raise UsageProblem(f"{file} has no graph, no plan and no function {FLOW!r}{hint}")


def arguments_from(words: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from `NAME=VALUE` words; a value that is no Python literal is text.

    >>> arguments_from(["n=3", "where=here"])
    {'n': 3, 'where': 'here'}
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageProblem(f"{word!r} is no NAME=VALUE for the flow function")
        try:
            given[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            given[name] = value
    return given


def _graph_of(flow: Callable[..., object], label: str, given: dict[str, Any]) -> Graph | Plan:
    """What a flow function builds: the graph it returns, or the tasks it calls."""
    function = getattr(flow, "function", flow)
    try:
        signature = inspect.signature(function)
        signature.bind(**given)
    except TypeError as error:
        shown = f"{label}{inspect.signature(function)}"
        raise UsageProblem(f"{error}; {shown} is called with NAME=VALUE words") from None
    except ValueError:
        pass  # A builtin without a signature: it says by itself what it lacks.
    with Graph() as graph:
        made = flow(**given)
    if isinstance(made, Graph | Plan):
        return made
    if len(graph) == 0:
        raise UsageProblem(
            f"{label} built no graph: it calls no taskloom.task and returns no Graph or Plan"
        )
    return graph


def resolve(target: str, words: Sequence[str]) -> Graph | Plan:
    """The graph or plan meant by `FILE[:NAME]`, and by `NAME=VALUE` words for a flow function."""
    arguments_from(words)  # What is wrong with them is said before anything is loaded.
    return from_module(load(split_target(target)[0]), target, words)


def from_module(module: ModuleType, target: str, words: Sequence[str]) -> Graph | Plan:
    """As `resolve`, of a file that was loaded."""
    file, name = split_target(target)
    given = arguments_from(words)
    chosen = choose(module, name, file)
    label = name or FLOW
    if isinstance(chosen, Graph | Plan):
        if given:
            raise UsageProblem(f"{target} is a graph, which takes no arguments ({words[0]})")
        return chosen
    if callable(chosen):
        return _graph_of(chosen, label, given)
    raise UsageProblem(f"{target} is neither a graph, a plan nor a function: it is {chosen!r}")
