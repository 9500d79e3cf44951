"""Every example in a docstring runs and prints what it says, native classes included."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import taskloom

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def module_names() -> list[str]:
    walked = pkgutil.walk_packages(taskloom.__path__, "taskloom.")
    return ["taskloom", *(found.name for found in walked if not found.name.endswith("__main__"))]


def load(name: str) -> ModuleType:
    """Import a module; skip the test when what it lacks is an optional dependency."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"", "taskloom"}:
            raise
        pytest.skip(f"needs the optional dependency {error.name}")


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """What the module defines and may carry an example: itself, its functions, classes, methods."""
    yield module.__name__, module
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        yield f"{module.__name__}.{name}", value
        if inspect.isclass(value):
            for member, raw in vars(value).items():
                target = getattr(raw, "__func__", getattr(raw, "fget", raw))
                if not inspect.isclass(target):
                    yield f"{module.__name__}.{name}.{member}", target


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples_run(name: str) -> None:
    module = load(name)
    parser, failures = doctest.DocTestParser(), []
    for title, value in documented(module):
        text = getattr(value, "__doc__", None)
        if not isinstance(text, str) or ">>>" not in text:
            continue
        globs = {"taskloom": taskloom, **vars(module)}
        test = parser.get_doctest(text, globs, title, getattr(module, "__file__", None), None)
        report: list[str] = []
        doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=report.append)
        failures += report
    if failures:
        sys.stdout.write("".join(failures))
        pytest.fail(f"an example in a docstring of {name} does not hold", pytrace=False)
