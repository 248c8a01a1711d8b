"""An object store on this machine that speaks as much S3 as reading takes: list, head, and get with ranges."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class ObjectStore:
    """What is stored, and how well it is served.

    Attributes:
        objects: Content by `bucket/key`.
        requests: Method, path and range of each request so far.
        whole_ranges: So many ranges are answered, later ones refused; all without it.
        short_ranges: Later ranges are ended early instead.
        refuses: Everything is refused.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    whole_ranges: int | None = None
    short_ranges: bool = False
    refuses: bool = False
    url: str = ""

    @property
    def ranges(self) -> list[str]:
        """The ranges asked for so far."""
        return [asked for method, _, asked in self.requests if method == "GET" and asked]

    def etag(self, name: str) -> str:
        return f'"{hashlib.md5(self.objects[name]).hexdigest()}"'

    def listing(self, bucket: str, prefix: str, delimiter: str) -> str:
        whole = f"{bucket}/{prefix}"
        names = sorted(name.removeprefix(f"{bucket}/") for name in self.objects if name.startswith(whole))
        below = [name for name in names if delimiter and delimiter in name[len(prefix) :]]
        direct = [name for name in names if name not in below]
        folders = sorted({prefix + name[len(prefix) :].split(delimiter)[0] + delimiter for name in below})
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(self.objects[f'{bucket}/{name}'])}</Size>"
            f"<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>{self.etag(f'{bucket}/{name}')}</ETag></Contents>"
            for name in direct
        )
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(direct) + len(folders)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}{prefixes}</ListBucketResult>"
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ObjectStore

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        url = urlsplit(self.path)
        name, query = unquote(url.path).strip("/"), {key: values[0] for key, values in parse_qs(url.query).items()}
        self.store.requests.append((self.command, name, self.headers.get("Range", "")))
        limit = self.store.whole_ranges
        late = limit is not None and len(self.store.ranges) > limit and has_body and "Range" in self.headers
        if self.store.refuses or (late and not self.store.short_ranges):
            self._send(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", {}, has_body)
        elif "list-type" in query:
            body = self.store.listing(name, query.get("prefix", ""), query.get("delimiter", ""))
            self._send(200, body.encode(), {"Content-Type": "application/xml"}, has_body)
        elif name in self.store.objects:
            self._send_object(name, has_body, is_short=late)
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", {}, has_body)

    def _send_object(self, name: str, has_body: bool, *, is_short: bool) -> None:
        content, status = self.store.objects[name], 200
        headers = {"ETag": self.store.etag(name), "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2]), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, headers, has_body, is_short=is_short)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], has_body: bool, *, is_short: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body)), "x-amz-request-id": "1"} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body[: len(body) // 2] if is_short else body)
        self.close_connection = self.close_connection or is_short


@contextmanager
def serving() -> Iterator[ObjectStore]:
    """An empty store at `url`, until the block ends."""
    store = ObjectStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": store}))
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
