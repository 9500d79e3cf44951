"""What the package exports, and the files in tests/public_api/ that pin it.

A module is public when it is `taskloom` itself or has an `__all__`; its public names are those in
`__all__`. Each public module has a file there, with one `name kind` a line. `make api` runs this to
write them anew, so that a change of the public names shows in the diff of the change that made it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import taskloom

PINS = Path(__file__).resolve().parent.parent / "tests" / "public_api"


def public_modules() -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The public modules by name; and those that cannot be imported, with what they lack."""
    found, lacking = {"taskloom": taskloom}, {}
    for walked in pkgutil.walk_packages(taskloom.__path__, "taskloom."):
        if any(part.startswith("_") for part in walked.name.split(".")):
            continue
        try:
            module = importlib.import_module(walked.name)
        except ModuleNotFoundError as error:
            missing = error.name or "?"
            if missing.partition(".")[0] == "taskloom":
                raise
            lacking[walked.name] = missing
            continue
        if hasattr(module, "__all__"):
            found[walked.name] = module
    return found, lacking


def kind(value: object) -> str:
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    if inspect.ismodule(value):
        return "module"
    return "function" if inspect.isroutine(value) else "value"


def exports(module: ModuleType) -> list[str]:
    """One `name kind` for each public name of a module, sorted."""
    return sorted(f"{name} {kind(getattr(module, name))}" for name in set(module.__all__))


def pin_of(name: str) -> Path:
    return PINS / f"{name}.txt"


def main() -> None:
    modules, lacking = public_modules()
    for name, missing in lacking.items():
        print(f"left as it was: {name}, which needs {missing}")
    for pin in PINS.glob("taskloom*.txt"):
        if pin.stem not in modules and pin.stem not in lacking:
            pin.unlink()
    for name, module in modules.items():
        pin_of(name).write_text("\n".join(exports(module)) + "\n")
    print(f"pinned {len(modules)} modules in {PINS}")


if __name__ == "__main__":
    main()
