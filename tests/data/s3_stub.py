"""A server of this process that speaks as much of S3 as reading takes: head, ranges and listings of objects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

ENTRY = "<Contents><Key>{}</Key><Size>{}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
LISTING = "<ListBucketResult><KeyCount>{}</KeyCount><IsTruncated>false</IsTruncated>{}</ListBucketResult>"


@contextmanager
def serving(objects: dict[str, bytes], key: str) -> Iterator[str]:
    """Serve objects ("bucket/key") to whoever signs with an access key; give the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            path = unquote(place.path).strip("/")
            asked = {name: values[0] for name, values in parse_qs(place.query).items()}
            inside = {name.partition("/")[2]: body for name, body in objects.items() if name.startswith(path + "/")}
            if f"Credential={key}/" not in self.headers.get("Authorization", ""):
                self.answer(403, b"")
            elif path in objects:
                self.part_of(objects[path])
            elif not inside or "/" in path:
                self.answer(404, b"")
            else:
                found = [(name, body) for name, body in inside.items() if name.startswith(asked.get("prefix", ""))]
                entries = "".join(ENTRY.format(name, len(body)) for name, body in sorted(found))
                self.answer(200, LISTING.format(len(found), entries).encode())

        def part_of(self, body: bytes) -> None:
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            status = 206 if "Range" in self.headers else 200
            self.answer(status, body[int(first) : int(last) + 1 if last else None])

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
