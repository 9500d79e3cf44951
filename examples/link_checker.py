"""Checks the links of a web site: asyncio for the network, the pool for the parsing.

Without an address it serves a small site of its own and checks that:

    python examples/link_checker.py [ADDRESS] [--pages N] [--connections N]

A crawler coroutine keeps the frontier. Fetchers speak HTTP through asyncio streams, on the
background loop that `taskloom.aio` provides. Pages go through a bounded channel to parsers, plain
functions on the pool's threads, and what they find goes back to the crawler. Ctrl-C stops the
scope: every part cleans up, and what was found so far is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import taskloom
from taskloom import Channel, Executor, Receiver, Scope, Sender


@dataclass(frozen=True)
class Page:
    """A fetched page, or why it could not be fetched."""

    address: str
    status: int
    body: str = ""
    problem: str = ""


@dataclass
class Report:
    """What was found."""

    pages: int = 0
    links: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def __str__(self) -> str:
        lines = [f"{self.pages} pages, {self.links} links, {len(self.broken)} broken"]
        lines += [f"  {address}: {why}" for address, why in sorted(self.broken.items())]
        if self.interrupted:
            lines.append("interrupted: not everything was checked")
        return "\n".join(lines)


# ── The network: asyncio code, run on the background loop ────────────────────────────────────────


async def get(address: str) -> Page:
    """Fetches one page over plain HTTP/1.0."""
    parts = urlsplit(address)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            path = parts.path or "/"
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.hostname}\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
    except OSError as error:
        return Page(address, 0, problem=str(error))
    status = int(head.split(None, 2)[1])
    text = body.decode(errors="replace")
    return Page(address, status, text, "" if status < 400 else f"status {status}")


# ── The parsing: plain functions, run on the pool's threads ──────────────────────────────────────


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "link": "href", "img": "src", "script": "src"}.get(tag)
        self.found += [value for name, value in attrs if name == wanted and value]


def links_of(page: Page) -> list[str]:
    """The addresses that a page refers to, absolute and without fragments."""
    parser = _Links()
    parser.feed(page.body)
    joined = (urldefrag(urljoin(page.address, link)).url for link in parser.found)
    return [address for address in joined if address.startswith("http")]


# ── The parts, joined by channels ────────────────────────────────────────────────────────────────


async def fetch(todo: Receiver[str], pages: Sender[Page]) -> None:
    """Fetches what is asked for; one of several."""
    with todo, pages:
        async for address in todo:
            try:
                page = await taskloom.timeout(10, taskloom.aio(get(address)))
            except TimeoutError:
                page = Page(address, 0, problem="no answer within 10 s")
            await pages.send(page)


def parse(pages: Receiver[Page], found: Sender[tuple[Page, list[str]]]) -> None:
    """Parses pages on a thread; one of several."""
    with pages, found:
        for page in pages:
            found.send_blocking((page, [] if page.problem else links_of(page)))


async def crawl(start: str, report: Report, pages: int, connections: int) -> None:
    """Follows links from `start` within its host, `pages` at most."""
    host = urlsplit(start).netloc
    seen, frontier, waiting = {start}, [start], 0
    to_fetch, todo = Channel[str](connections).split()
    fetched, to_parse = Channel[Page](2 * connections).split()
    parsed, results = Channel[tuple[Page, list[str]]](2 * connections).split()
    async with Scope() as scope:
        with todo, fetched:
            for _ in range(connections):
                scope.spawn(fetch, todo.clone(), fetched.clone())
        with to_parse, parsed:
            for _ in range(2):
                scope.spawn(parse, to_parse.clone(), parsed.clone())
        with to_fetch, results:
            while frontier or waiting:
                # At most as many on their way as the channels hold: nobody waits for nobody.
                while frontier and waiting < connections:
                    await to_fetch.send(frontier.pop())
                    waiting += 1
                page, links = await results.receive()
                waiting -= 1
                report.pages += 1
                report.links += len(links)
                if page.problem:
                    report.broken[page.address] = page.problem
                for address in links:
                    inside = urlsplit(address).netloc == host
                    if inside and address not in seen and len(seen) < pages:
                        seen.add(address)
                        frontier.append(address)


def check(start: str, *, pages: int = 1_000, connections: int = 8) -> Report:
    """Checks a site and reports; Ctrl-C ends it early."""
    report = Report()
    with Executor(4) as executor:
        try:
            executor.run_coroutine(crawl, start, report, pages, connections)
        except KeyboardInterrupt:
            report.interrupted = True
    return report


# ── A site to check, when none is given ──────────────────────────────────────────────────────────


class _Site(http.server.BaseHTTPRequestHandler):
    """Pages /0 ... /99, each linked to three others; one link in ten leads nowhere."""

    def do_GET(self) -> None:
        name = self.path.strip("/") or "0"
        if not name.isdigit():
            self.send_error(404)
            return
        page = int(name)
        targets = [f"/{(page * k + 1) % 100}" for k in (2, 3, 5)]
        if page % 10 == 7:
            targets.append(f"/missing-{page}")
        body = "".join(f'<p><a href="{target}#top">more</a></p>' for target in targets).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def local_site() -> Iterator[str]:
    """Serves the site on a free port of this machine; gives its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/0"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    arguments = argparse.ArgumentParser(description="Checks the links of a web site.")
    arguments.add_argument(
        "address", nargs="?", help="where to begin; a site of its own if omitted"
    )
    arguments.add_argument("--pages", type=int, default=1_000, help="how many pages at most")
    arguments.add_argument("--connections", type=int, default=8, help="how many at once")
    given = arguments.parse_args()
    if given.address:
        print(check(given.address, pages=given.pages, connections=given.connections))
        return
    with local_site() as address:
        print(check(address, pages=given.pages, connections=given.connections))


if __name__ == "__main__":
    main()
