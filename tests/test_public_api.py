"""The public face: pinned names, final classes, complete annotations, documented with examples.

tools/public_api.py says which names are public.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import public_api
import pytest
import taskloom

MODULES, LACKING = public_api.public_modules()
PACKAGE = Path(taskloom.__file__).parent
SUBCLASSABLE = 1 << 10  # Py_TPFLAGS_BASETYPE


def public_objects() -> dict[str, object]:
    """Every public class and function once, under the shortest name that leads to it."""
    found: dict[int, tuple[str, object]] = {}
    for module_name, module in sorted(MODULES.items(), key=lambda item: item[0].count(".")):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                found.setdefault(id(value), (f"{module_name}.{name}", value))
    return {
        name: value
        for name, value in sorted(found.values(), key=lambda item: item[0])
        if (getattr(value, "__module__", None) or "taskloom").startswith("taskloom")
    }


OBJECTS = public_objects()
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
EXCEPTIONS = {name for name, value in CLASSES.items() if issubclass(value, BaseException)}


def for_each(names: dict[str, object] | dict[str, type]) -> Callable[..., object]:
    return pytest.mark.parametrize(
        "name", sorted(names) or [pytest.param("", marks=pytest.mark.skip)]
    )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_names_are_pinned(name: str) -> None:
    pin = public_api.pin_of(name)
    pinned = set(pin.read_text().split("\n")) - {""} if pin.exists() else set()
    now = set(public_api.exports(MODULES[name]))
    assert now == pinned, (
        f"the public names of {name} changed (new: {sorted(now - pinned)}, gone: "
        f"{sorted(pinned - now)}); if that is meant, run `make api` and commit tests/public_api/"
    )


def test_every_pin_belongs_to_a_public_module() -> None:
    pins = {pin.stem for pin in public_api.PINS.glob("taskloom*.txt")}
    stale = sorted(pins - set(MODULES) - set(LACKING))
    assert not stale, f"no such public module any more: {stale}; if that is meant, run `make api`"


def test_type_checkers_see_the_names_that_are_exported() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.asname or alias.name: (node.module or "").removeprefix("taskloom.").strip(".")
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != "taskloom"
    }
    assert seen == taskloom._HOME, (
        "python/taskloom/__init__.py: the imports under TYPE_CHECKING and the table _HOME must "
        f"name the same: {set(seen.items()) ^ set(taskloom._HOME.items())}"
    )


@functools.cache
def open_classes() -> dict[str, str]:
    lines = (public_api.PINS / "open_classes.txt").read_text().splitlines()
    entries = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return {name.strip(): reason.strip() for name, _, reason in entries}


def is_final(cls: type) -> bool:
    if getattr(cls, "__final__", False) or not cls.__flags__ & SUBCLASSABLE:
        return True
    return issubclass(cls, enum.Enum) or bool(getattr(cls, "_is_protocol", False))


@for_each({name: cls for name, cls in CLASSES.items() if name not in EXCEPTIONS})
def test_public_class_is_final(name: str) -> None:
    if name in open_classes():
        assert open_classes()[name], f"tests/public_api/open_classes.txt gives no reason for {name}"
        return
    assert is_final(CLASSES[name]), (
        f"{name} can be subclassed: decorate it with typing.final (a native class: no `subclass`), "
        "or say in tests/public_api/open_classes.txt why users subclass it"
    )


def members(cls: type) -> Iterator[tuple[str, Callable[..., object]]]:
    """The public methods and properties that a class of the package defines itself."""
    for name, raw in vars(cls).items():
        value = getattr(raw, "__func__", getattr(raw, "fget", raw))
        if not name.startswith("_") and inspect.isroutine(value):
            yield name, value


def has_docstring(value: object) -> bool:
    return bool((getattr(value, "__doc__", None) or "").strip())


def has_example(value: object) -> bool:
    return ">>>" in (getattr(value, "__doc__", None) or "")


@for_each(OBJECTS)
def test_public_name_is_documented(name: str) -> None:
    value = OBJECTS[name]
    assert has_docstring(value), f"{name} has no docstring"
    if inspect.isclass(value):
        bare = [member for member, found in members(value) if not has_docstring(found)]
        assert not bare, f"these methods of {name} have no docstring: {', '.join(bare)}"


@for_each({name: value for name, value in OBJECTS.items() if name not in EXCEPTIONS})
def test_public_name_has_an_example_that_runs(name: str) -> None:
    value = OBJECTS[name]
    shown = has_example(value) or (
        inspect.isclass(value) and any(has_example(found) for _, found in members(value))
    )
    assert shown, f"no docstring of {name} has an example (a line with >>>)"


def unannotated(function: Callable[..., object]) -> list[str]:
    """What lacks an annotation in the signature of a Python function; native ones have the stub."""
    function = inspect.unwrap(function)
    if not inspect.isfunction(function):
        return []
    notes = function.__annotations__
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = [name for name in code.co_varnames[:count] if name not in {"self", "cls"}]
    return [name for name in [*names, "return"] if name not in notes]


@for_each(OBJECTS)
def test_public_name_is_annotated_completely(name: str) -> None:
    value = OBJECTS[name]
    checked = dict(members(value)) if inspect.isclass(value) else {"": value}
    if inspect.isclass(value) and "__init__" in vars(value):
        checked["__init__"] = vars(value)["__init__"]
    lacking = {member: gaps for member, found in checked.items() if (gaps := unannotated(found))}
    assert not lacking, f"{name} lacks annotations: {lacking}"


def test_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after the code, beyond those it starts with."""
    script = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_of_the_package_imports_nothing_else() -> None:
    others = {name for name in modules_after("import taskloom") if not name.startswith("taskloom")}
    assert others <= {"types", "_types"}, f"import taskloom also imports {sorted(others)}"


def test_first_executor_imports_nothing_heavy() -> None:
    if "Executor" not in taskloom.__all__:
        pytest.skip("there is no Executor yet")
    heavy = {"asyncio", "multiprocessing", "numpy", "sqlite3", "cloudpickle", "argparse", "socket"}
    found = heavy & modules_after("import taskloom; taskloom.Executor(1).shutdown()")
    assert not found, f"making an executor imports {sorted(found)}; import it where it is used"


def test_first_task_imports_nothing_that_the_standard_library_s_executor_does_without() -> None:
    heavy = {"typing", "dataclasses", "inspect", "ast", "importlib.metadata"}
    theirs = modules_after("import concurrent.futures.thread")
    ours = modules_after("import taskloom; taskloom.Executor(1).submit(int).result()")
    assert not heavy & (ours - theirs)


def test_a_shutdown_imports_nothing_that_a_first_task_does_without() -> None:
    heavy = {"typing", "dataclasses", "inspect", "ast"}
    code = "import taskloom; executor = taskloom.Executor(1); executor.submit(int).result()"
    found = modules_after(f"{code}; executor.shutdown()") - modules_after(code)
    assert not heavy & found


def parses(code: str, cache: Path) -> bool:
    """Whether a fresh interpreter parses anything for the code, all modules being compiled."""
    seen = "any(kind.__name__ == 'AST' for kind in gc.get_objects() if type(kind) is type)"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", f"import gc; {code}; print({seen})"]
    for _ in "first it writes the compiled modules", "then it reads them":
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return run.stdout.strip() == "True"


def test_first_task_has_no_source_parsed(tmp_path: Path) -> None:
    # With the first parse come the 120 classes of syntax trees; an annotated NamedTuple is enough.
    if parses("import concurrent.futures.thread", tmp_path):
        pytest.skip("the standard library's executor has some parsed by itself here")
    assert not parses("import taskloom; taskloom.Executor(1).submit(int).result()", tmp_path)
