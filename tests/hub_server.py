"""A Hugging Face hub on this machine: its addresses, headers, redirects and ranges, and the ways in which it fails."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants, file_download

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/[\w.-]+/(.+)")


class Hub:
    """What is served, and how well.

    Attributes:
        repositories: Files by repository and name.
        cut_after: Bytes after which a download of weights ends, one for each coming one; whole when it is empty.
        pause_after: Bytes after which downloads wait for `go_on`, if it is not 0.
        wrong_sums: Names of files whose announced checksum is not theirs.
        other_headers: What files are announced with instead of what is true.
        status: Answer everything with it, if it is not 0.
        asked: Method, path and range of every request so far.
        tokens: The authorization that each path was last asked with.
        storage: Where files' content is, on another host than the hub, as far as names go.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.cut_after: list[int] = []
        self.pause_after = 0
        self.go_on = Event()
        self.wrong_sums: set[str] = set()
        self.other_headers: dict[str, str] = {}
        self.status = 0
        self.asked: list[tuple[str, str, str | None]] = []
        self.tokens: dict[str, str | None] = {}
        self.endpoint = ""
        self.storage = ""

    @property
    def downloads(self) -> list[str | None]:
        """The range that each download of weights asked for."""
        weights = [(method, span) for method, path, span in self.asked if re.match(r"/content/.*(?<!\.json)$", path)]
        return [span for method, span in weights if method == "GET"]


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process ask `hub`, as HF_ENDPOINT and HF_HUB_CACHE would make one that starts, and lose no time."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)  # what a broken connection may lose
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)  # between tries


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers at `endpoint` as long as the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    hub.storage = f"http://localhost:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        self.hub.tokens[path] = self.headers.get("Authorization")
        if self.hub.status:
            self._send(self.hub.status, {})
        elif path.startswith("/content/"):
            repository, name = path.removeprefix("/content/").rsplit("/", 1)
            content = self.hub.repositories[repository][name]
            self._send_small(content) if name.endswith(".json") else self._send_content(content)
        elif match := _RESOLVE.fullmatch(path):
            self._resolve(*match.groups())
        else:
            self._send(404, {})

    def _resolve(self, repository: str, name: str) -> None:
        if repository not in self.hub.repositories:
            self._send(404, {"X-Error-Code": "RepoNotFound"})
            return
        content = self.hub.repositories[repository].get(name)
        if content is None:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        right = content if name not in self.hub.wrong_sums else content + b"!"
        announced = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{hashlib.sha256(right).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.hub.storage}/content/{repository}/{name}",
        }
        self._send(302, announced | self.hub.other_headers)

    def _send_small(self, content: bytes) -> None:
        self._send(200, {}, content, len(content))

    def _send_content(self, content: bytes) -> None:
        start, headers = 0, {}
        if span := self.headers.get("Range"):
            start = int(span.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        cut = self.hub.cut_after.pop(0) if self.hub.cut_after and self.command == "GET" else len(rest)
        self._send(206 if start else 200, headers, rest, cut)

    def _send(self, status: int, headers: dict[str, str], content: bytes = b"", cut: int = 0) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            pause = min(self.hub.pause_after or cut, cut)
            self._write(content[:pause])
            if pause < cut:
                self.hub.go_on.wait()
            self._write(content[pause:cut])
            self.close_connection |= cut < len(content)

    def _write(self, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # nobody is waiting for it any more
            self.wfile.write(content)
