"""Keep the documentation true: run the examples of every page and follow its links.

Pages are README.md, CONTRIBUTING.md, docs/**/*.md and the README files beside the source. The
```python blocks of one page run in order in one fresh interpreter, in a scratch folder, so a page
reads as one programme. A block under a line `<!-- not run: REASON -->` is left alone. A block with
`>>>` prompts is checked as a doctest. Relative links must lead to a file that exists, and to a
heading of it where they name one. Addresses on the web are not visited.

Run by `make docs`; give page names to check only those.
"""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SECONDS_PER_PAGE = 120
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)|!\[[^\]]*\]\(([^()\s]+)\)")


class Block(NamedTuple):
    line: int
    code: str


def pages() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in ("docs", "rust", "examples", "benches"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return [page for page in found if page.exists()]


def python_blocks(text: str) -> Iterator[Block]:
    """The ```python blocks that are to run, with the line each starts on."""
    lines = text.splitlines()
    inside = runs = False
    start = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if inside and runs:
                yield Block(start, "\n".join(lines[start - 1 : number - 1]) + "\n")
            elif not inside:
                before = next((row for row in reversed(lines[: number - 1]) if row.strip()), "")
                runs = line.strip() == "```python" and not NOT_RUN.fullmatch(before.strip())
                start = number + 1
            inside = not inside
    if inside:
        raise ValueError(f"a ``` block is not closed (opened above line {start})")


def run_page(page: Path) -> None:
    """Run the blocks of one page in this interpreter; raises what the first broken one raises."""
    names: dict[str, object] = {"__name__": "__main__", "__file__": str(page)}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for block in python_blocks(page.read_text()):
        if ">>>" in block.code:
            test = doctest.DocTestParser().get_doctest(
                block.code, names, page.name, str(page), block.line - 1
            )
            runner.run(test, clear_globs=False)
            names.update(test.globs)
            if runner.failures:
                sys.exit(1)
        else:
            padded = "\n" * (block.line - 1) + block.code
            exec(compile(padded, str(page), "exec", dont_inherit=True), names)


def anchors(page: Path) -> set[str]:
    """The heading anchors of a page, made as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+?)\s*$", text, flags=re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", text)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            yield f"{page.relative_to(ROOT)}: the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{page.relative_to(ROOT)}: {name or 'this page'} has no heading #{anchor}"


def example_problem(page: Path) -> str | None:
    try:
        blocks = list(python_blocks(page.read_text()))
    except ValueError as error:
        return f"{page.relative_to(ROOT)}: {error}"
    if not blocks:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--run", str(page)],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS_PER_PAGE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{page.relative_to(ROOT)}: not done after {SECONDS_PER_PAGE} s"
    if done.returncode == 0:
        return None
    return f"{page.relative_to(ROOT)}: an example failed\n{done.stdout}{done.stderr}"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--run"]:
        run_page(Path(arguments[1]))
        return 0
    chosen = [Path(name).resolve() for name in arguments] or pages()
    problems: list[str] = []
    ran = 0
    for page in chosen:
        problems += broken_links(page)
        problem = example_problem(page)
        if problem:
            problems.append(problem)
        else:
            ran += len(list(python_blocks(page.read_text())))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(chosen)} pages, {ran} examples ran, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
