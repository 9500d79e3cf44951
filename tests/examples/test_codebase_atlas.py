"""The atlas: the graph finds what a plain loop finds, and the command reports it."""

from __future__ import annotations

import json
from pathlib import Path

import codebase_atlas
import pytest
import taskloom

NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three modules that import each other, a broken one, and a file that is no Python."""
    root = tmp_path / "tree"
    files = {
        "pack/__init__.py": "",
        "pack/a.py": "from . import b\nimport os\n\ndef f(x):\n    return 1 if x else 2\n",
        "pack/b.py": "import pack.a\n\nclass B:\n    def m(self): ...\n",
        "main.py": "from pack import a, b\n",
        "broken.py": "def f(:\n",
        "notes.txt": "not Python",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 16])
def test_the_graph_finds_what_a_loop_finds(tree: Path, pieces: int) -> None:
    graph, node = codebase_atlas.atlas_graph(str(tree), NOTHING, pieces=pieces)
    assert taskloom.run(graph)[node] == codebase_atlas.one_by_one(str(tree), NOTHING)


def test_the_import_graph_of_a_tree(tree: Path) -> None:
    atlas = codebase_atlas.one_by_one(str(tree), NOTHING)
    assert atlas.imports.edges == {
        "main": ("pack.a", "pack.b"),
        "pack": (),
        "pack.a": ("pack.b",),
        "pack.b": ("pack.a",),
    }
    assert atlas.most_imported == (("pack.a", 2), ("pack.b", 2))
    assert atlas.imports.outside == {"os": 1}
    assert [name for name, _ in atlas.page_ranks] == ["pack.a", "pack.b", "main", "pack"]
    assert sum(rank for _, rank in atlas.page_ranks) == pytest.approx(1)


@pytest.mark.parametrize("place", ["thread", "process"])
def test_the_command_reports_and_writes_what_it_found(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    found = tmp_path / "atlas.json"
    arguments = ["--path", str(tree), "--json", str(found), "--place", place, "--no-compare"]
    assert codebase_atlas.main([*arguments, "--workers", "2"]) == 0
    shown = capsys.readouterr().out
    assert "4 modules   10 lines   1 classes   2 functions" in shown
    assert "broken.py  not Python: invalid syntax, line 1" in shown
    assert "Not Python, passed over: 1 files  1 .txt" in shown
    written = json.loads(found.read_text())
    assert [module["name"] for module in written["modules"]] == ["main", "pack", "pack.a", "pack.b"]
    assert [Path(file["path"]).name for file in written["skipped"]] == ["broken.py"]


def test_an_empty_tree_is_an_empty_atlas(tmp_path: Path) -> None:
    assert codebase_atlas.main(["--path", str(tmp_path), "--place", "thread", "--no-compare"]) == 0


def test_a_path_that_is_no_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        codebase_atlas.main(["--path", "/no/such/folder"])
    assert "--path: /no/such/folder is no folder" in capsys.readouterr().err
