"""tools/check_docs.py: which examples run, and which links are refused."""

from __future__ import annotations

from pathlib import Path

import check_docs
import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    return tmp_path


def page(root: Path, text: str) -> Path:
    path = root / "page.md"
    path.write_text(text)
    return path


def test_link_to_a_missing_file_is_broken(root: Path) -> None:
    found = list(check_docs.broken_links(page(root, "see [it](gone.md) and [this](page.md)")))
    assert found == ["page.md: the link gone.md leads nowhere"]


def test_link_to_a_missing_heading_is_broken(root: Path) -> None:
    text = "# A `first` Heading\n\n[good](#a-first-heading) [bad](#second)"
    assert list(check_docs.broken_links(page(root, text))) == [
        "page.md: this page has no heading #second"
    ]


def test_links_in_code_and_to_the_web_are_not_followed(root: Path) -> None:
    text = "[w](https://example.org/x) `[a](b)`\n```\n[c](d)\n```\n"
    assert list(check_docs.broken_links(page(root, text))) == []


def test_blocks_of_a_page_run_in_one_programme(root: Path) -> None:
    text = "```python\nx = 1\n```\n\n```python\nassert x == 1\n```\n"
    assert check_docs.example_problem(page(root, text)) is None


def test_failing_block_is_reported_with_its_line(root: Path) -> None:
    problem = check_docs.example_problem(page(root, "text\n\n```python\n1 / 0\n```\n"))
    assert problem is not None
    assert "line 4" in problem
    assert "ZeroDivisionError" in problem


def test_prompt_block_must_print_what_it_says(root: Path) -> None:
    assert check_docs.example_problem(page(root, "```python\n>>> 1 + 1\n2\n```\n")) is None
    assert check_docs.example_problem(page(root, "```python\n>>> 1 + 1\n3\n```\n"))


def test_block_that_says_why_is_not_run(root: Path) -> None:
    text = "<!-- not run: needs a cluster -->\n```python\n1 / 0\n```\n"
    assert check_docs.example_problem(page(root, text)) is None


def test_unclosed_block_is_refused(root: Path) -> None:
    problem = check_docs.example_problem(page(root, "```python\nx = 1\n"))
    assert problem is not None
    assert "not closed" in problem
