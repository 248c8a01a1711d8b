"""An object store on this machine that speaks as much S3 as reading and writing take.

List, head and get with ranges; put, copy, delete, and uploads in parts.
"""

import hashlib
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest


@dataclass
class ObjectStore:
    """What is stored, and how well it is served.

    Attributes:
        objects: Content by `bucket/key`.
        requests: Method, path and range of each request so far.
        whole_ranges: So many ranges are answered, later ones refused; all without it.
        short_ranges: Later ranges are ended early instead.
        refuses: Everything is refused.
        refuses_writing: Whatever would change it is refused.
        uploads: Parts by number of each upload that is not complete yet.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    whole_ranges: int | None = None
    short_ranges: bool = False
    refuses: bool = False
    refuses_writing: bool = False
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    url: str = ""

    def be_the_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have whoever asks for `s3://…` speak to this store, without credentials."""
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.url)
        monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "true")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    @property
    def ranges(self) -> list[str]:
        """The ranges asked for so far."""
        return [asked for method, _, asked in self.requests if method == "GET" and asked]

    def etag(self, name: str) -> str:
        return f'"{hashlib.md5(self.objects[name]).hexdigest()}"'

    def begin_upload(self, name: str) -> str:
        upload = f"{name}-{len(self.requests)}"
        self.uploads[upload] = {}
        return upload

    def complete_upload(self, name: str, upload: str) -> None:
        parts = self.uploads.pop(upload)
        self.objects[name] = b"".join(parts[number] for number in sorted(parts))

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


_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def _unchunked(stream: BinaryIO) -> bytes:
    """A body in chunks, each after a line with its length; what follows the last one is left out."""
    body = b""
    while length := int(stream.readline().split(b";")[0] or b"0", 16):
        body += stream.read(length)
        stream.readline()
    while stream.readline().strip():  # checksums
        pass
    return body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ObjectStore

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_PUT(self) -> None:
        self._change()

    def do_POST(self) -> None:
        self._change()

    def do_DELETE(self) -> None:
        self._change()

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The object's name, a folder's with its slash, and the query."""
        url = urlsplit(self.path)
        name = unquote(url.path).removeprefix("/")
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.store.requests.append((self.command, name, self.headers.get("Range", "")))
        return name, query

    def _change(self) -> None:
        (name, query), body, store = self._asked(), self._body(), self.store
        status, answer, headers = 200, "", {}
        if store.refuses or store.refuses_writing:
            status, answer = 403, _DENIED.decode()
        elif self.command == "DELETE":
            store.objects.pop(name, None)
            status = 204
        elif "uploads" in query:
            upload = f"<UploadId>{store.begin_upload(name)}</UploadId>"
            answer = f"<InitiateMultipartUploadResult>{upload}</InitiateMultipartUploadResult>"
        elif self.command == "POST":
            store.complete_upload(name, query["uploadId"])
            answer = f"<CompleteMultipartUploadResult><ETag>{store.etag(name)}</ETag></CompleteMultipartUploadResult>"
        elif "partNumber" in query:
            store.uploads[query["uploadId"]][int(query["partNumber"])] = body
            headers["ETag"] = '"part"'
        elif source := self.headers.get("x-amz-copy-source"):
            store.objects[name] = store.objects[unquote(source).removeprefix("/")]
            answer = f"<CopyObjectResult><ETag>{store.etag(name)}</ETag></CopyObjectResult>"
        else:
            store.objects[name] = body
            headers["ETag"] = store.etag(name)
        self._send(status, answer.encode(), headers, has_body=True)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        else:
            body = _unchunked(self.rfile)
        return _unchunked(io.BytesIO(body)) if "aws-chunked" in self.headers.get("Content-Encoding", "") else body

    def _answer(self, *, has_body: bool) -> None:
        name, query = self._asked()
        limit = self.store.whole_ranges
        late = limit is not None and len(self.store.ranges) > limit and has_body and "Range" in self.headers
        if self.store.refuses or (late and not self.store.short_ranges):
            self._send(403, _DENIED, {}, has_body)
        elif "list-type" in query:
            body = self.store.listing(name.strip("/"), query.get("prefix", ""), query.get("delimiter", ""))
            self._send(200, body.encode(), {"Content-Type": "application/xml"}, has_body)
        elif name in self.store.objects:
            self._send_object(name, has_body, is_short=late)
        elif "/" not in name:
            self._send(200, b"", {}, has_body)
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
