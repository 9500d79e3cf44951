"""The survey's plain functions: what they find in source, and what they pass over."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from codebase_survey import (
    ImportGraph,
    Listing,
    Module,
    Part,
    Skipped,
    cut,
    import_graph,
    list_files,
    merge,
    module_name,
    most_imported,
    survey,
    survey_source,
    tidy,
)


def read(source: str, *, name: str = "pack.mod", path: str = "pack/mod.py") -> Module:
    return survey_source(textwrap.dedent(source).encode(), path, name)


def module(name: str, *imports: str) -> Module:
    return Module(name, f"{name}.py", 1, 0, (), imports)


def test_lines_classes_and_functions_are_counted() -> None:
    found = read(
        """\
        class A:
            def method(self): ...
            class B:
                async def inner(self): ...
        def plain():
            def nested(): ...
        """
    )
    assert (found.lines, found.classes) == (6, 2)
    assert [(function.name, function.line) for function in found.functions] == [
        ("A.method", 2),
        ("A.B.inner", 4),
        ("plain", 5),
        ("plain.nested", 6),
    ]


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("pass", 1),
        ("if a: pass", 2),
        ("if a: pass\n elif b: pass\n else: pass", 3),
        ("for x in y: pass", 2),
        ("while a and b or c: pass", 4),
        ("try: pass\n except A: pass\n except B: pass", 3),
        ("return [x for x in y if x if y]", 4),
        ("return a if b else c", 2),
        ("match a:\n  case 1: pass\n  case _: pass", 3),
    ],
)
def test_complexity_is_one_and_one_for_each_decision(body: str, complexity: int) -> None:
    (function,) = read(f"def f():\n {body}\n").functions
    assert function.complexity == complexity


def test_decisions_of_a_nested_function_are_its_own() -> None:
    outer, inner = read(
        """\
        def outer():
            if a: pass
            def inner():
                if b and c: pass
        """
    ).functions
    assert (outer.complexity, inner.complexity) == (2, 3)


def test_imports_are_absolute() -> None:
    found = read(
        """\
        import os.path, sys
        from json import decoder as d
        from . import sibling
        from .sibling import name
        from .. import other
        from codecs import *
        """,
        name="top.pack.mod",
        path="top/pack/mod.py",
    )
    assert found.imports == (
        "codecs",
        "json.decoder",
        "os.path",
        "sys",
        "top.other",
        "top.pack.sibling",
        "top.pack.sibling.name",
    )


def test_a_package_imports_relative_to_itself() -> None:
    found = read("from . import inner", name="pack", path="pack/__init__.py")
    assert found.imports == ("pack.inner",)


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    source = "def f():\n return " + "+".join("a" * 1_500)
    assert read(source).functions[0].complexity == 1


def test_an_import_reaches_the_longest_known_module() -> None:
    part = Part((module("a", "b.c.name", "b", "json.decoder", "json"), module("b"), module("b.c")))
    assert import_graph(part) == ImportGraph(
        edges={"a": ("b", "b.c"), "b": (), "b.c": ()}, outside={"json": 1}
    )


def test_a_module_does_not_import_itself() -> None:
    assert import_graph(Part((module("a", "a"),))).edges == {"a": ()}


def test_most_imported_ranks_by_importers_then_by_name() -> None:
    graph = ImportGraph({"a": ("c", "b"), "b": ("c",), "c": (), "d": ("b", "a")}, {})
    assert most_imported(graph) == (("b", 2), ("c", 2), ("a", 1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"def f(:", "not Python: invalid syntax, line 1"),
        (b"x = 1\0", "not Python: source code string cannot contain null bytes"),
        (b"# coding: no-such\n", "not Python: "),
        (b"'\xff'", "not Python: "),
    ],
)
def test_what_is_not_python_is_reported(tmp_path: Path, data: bytes, reason: str) -> None:
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    bad.write_bytes(data)
    good.write_text("x = 1\n")
    part = survey([str(bad), str(good)], str(tmp_path))
    assert [file.path for file in part.skipped] == [str(bad)]
    assert part.skipped[0].reason.startswith(reason)
    assert [found.name for found in part.modules] == ["good"]


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    missing = str(tmp_path / "gone.py")
    assert survey([missing], str(tmp_path)).skipped == (
        Skipped(missing, "No such file or directory"),
    )


def test_the_listing_sorts_source_from_other_files(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "notes.txt", "deep/c.py", "__pycache__/d.py", ".git/e.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    listing = list_files(str(tmp_path))
    assert [Path(path).relative_to(tmp_path).as_posix() for path, _ in listing.sources] == [
        "a.py",
        "b.py",
        "deep/c.py",
    ]
    assert listing.others == {".txt": 1}


def test_a_link_to_nowhere_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere")
    (skipped,) = list_files(str(tmp_path)).skipped
    assert skipped == Skipped(str(tmp_path / "broken.py"), "No such file or directory")


def test_pieces_hold_every_file_once_and_weigh_about_the_same() -> None:
    sources = tuple((f"{number}.py", 100 * number) for number in range(100))
    pieces = cut(Listing("", sources), 8)
    assert sorted(path for piece in pieces for path in piece) == sorted(path for path, _ in sources)
    weights = [sum(100 * int(path[:-3]) for path in piece) for piece in pieces]
    assert max(weights) < 1.05 * min(weights)


def test_the_order_of_merging_leaves_no_trace() -> None:
    one, two = Part((module("a"),), (Skipped("x", ""),)), Part((module("b"),))
    listing = Listing("")
    assert tidy(merge(one, two), listing) == tidy(merge(two, one), listing)


def test_module_names_follow_the_packages(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert module_name(f"{root}/a/b.py", root) == "a.b"
    assert module_name(f"{root}/a/__init__.py", root) == "a"
    (tmp_path / "__init__.py").touch()
    assert module_name(f"{root}/a/b.py", root) == f"{tmp_path.name}.a.b"
    assert module_name(f"{root}/__init__.py", root) == tmp_path.name
