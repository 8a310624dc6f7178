"""How answers of the local Hub go over the wire: keep-alive connections, ranges, speed, and broken bodies.

What belongs here: HTTP/1.1 on threads. What does not: what the answers say (`protocol.py`).
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import unquote

from mistudio_pipelines_tests.local_hub.faults import BodyFaults, Faults
from mistudio_pipelines_tests.local_hub.messages import Answer, Question
from mistudio_pipelines_tests.local_hub.repositories import BLOCK, Blob
from mistudio_pipelines_tests.local_hub.requests import Exchange, Origin, RequestLog

SENDFILE_BLOCK = 8 << 20
TAIL = 64 << 10
"""The end of a body is handed over in one piece that fits a socket's buffer: see `Exchange.finish`."""
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE)


class Span(NamedTuple):
    """A part of a body: first byte and length."""

    start: int
    length: int


def requested_span(header: str | None, size: int) -> Span | bool | None:
    """Which part of `size` bytes a Range header asks for (RFC 9110, section 14).

    Returns:
        The part; None for the whole (no header, several ranges, or nonsense, which a server ignores); False where
        the range cannot be satisfied.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return Span(size - length, length) if length else False
    start, end = int(first), min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return Span(start, end - start + 1) if start < size else False


def block_ends(length: int, size: int, stops: frozenset[int]) -> Iterator[int]:
    """Where the blocks of a body end: after `size` bytes at most, and at each of the stops."""
    at = 0
    while at < length:
        at = min(at + size, length, *(stop for stop in stops if stop > at))
        yield at


class OriginServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One origin (host and port) of the Hub, with a thread for each connection.

    Not `http.server.HTTPServer`, which looks its own name up in the DNS when it starts.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        name: Origin,
        answer: Callable[[Question], Answer],
        faults: Faults,
        log: RequestLog,
        on_request: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.name, self.answer, self.faults, self.log, self.on_request = name, answer, faults, log, on_request
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=f"hub-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and break every open connection."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its own thread in the meantime
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news; anything else is a mistake of this server and shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _ConnectionCut(Exception):
    """A fault: the connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: OriginServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        exchange = Exchange(self.command, self.server.name, unquote(path), query, headers)
        self.server.log.add(exchange)
        try:
            self._answer(exchange, path)
        except _ConnectionCut:
            self.close_connection = True
            exchange.finish()
            self.connection.shutdown(socket.SHUT_WR)
        finally:
            exchange.finish()
            if self.server.on_request is not None:
                self.server.on_request(exchange)

    do_HEAD = do_GET
    do_POST = do_GET

    def _answer(self, exchange: Exchange, path: str) -> None:
        body = self.rfile.read(int(exchange.headers.get("content-length", "0")))
        refusal = self.server.faults.take_refusal(exchange.method, exchange.origin, exchange.path)
        if refusal is not None:
            if refusal.status == 0:
                raise _ConnectionCut
            answer = Answer(refusal.status, dict(refusal.headers), b'{"error": "A fault set by the test"}')
        else:
            answer = self.server.answer(Question(exchange.method, path, exchange.query, exchange.headers, body))
        span = Span(0, answer.body.size if isinstance(answer.body, Blob) else len(answer.body))
        if isinstance(answer.body, Blob) and answer.status == 200:
            answer, span = apply_range(answer, exchange.headers)
        self._send(exchange, answer, span)

    def _send(self, exchange: Exchange, answer: Answer, span: Span) -> None:
        exchange.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(span.length))
        if exchange.method == "HEAD" or not span.length:
            exchange.finish()
            self.end_headers()
            return
        self.end_headers()
        succeeded = answer.status in (200, 206)
        faults = self.server.faults.take_body_faults(exchange.path) if succeeded else BodyFaults()
        _BodySender(self.connection, exchange, self.server.stopping).send(answer.body, span, faults)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the request log has it all."""

    def version_string(self) -> str:
        return "local-hub"


def apply_range(answer: Answer, headers: dict[str, str]) -> tuple[Answer, Span]:
    """The part that was asked for (206), the whole (200), or 416; If-Range must name the very ETag."""
    assert isinstance(answer.body, Blob)
    size = answer.body.size
    whole = Span(0, size)
    if "if-range" in headers and headers["if-range"] != answer.headers["ETag"]:
        return answer, whole
    span = requested_span(headers.get("range"), size)
    if isinstance(span, Span):
        content_range = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
        return Answer(206, {**answer.headers, "Content-Range": content_range}, answer.body), span
    if span is False:
        return Answer(416, {**answer.headers, "Content-Range": f"bytes */{size}"}, b""), Span(0, 0)
    return answer, whole


class _BodySender:
    """Sends one body, with whatever is to go wrong with it."""

    def __init__(self, connection: socket.socket, exchange: Exchange, stopping: threading.Event) -> None:
        self._connection = connection
        self._exchange = exchange
        self._stopping = stopping

    def send(self, body: bytes | Blob, span: Span, faults: BodyFaults) -> None:
        source = body.source if isinstance(body, Blob) else body
        if isinstance(source, bytes):
            view = memoryview(source)[span.start : span.start + span.length]
            self._send_blocks(lambda at, count: view[at : at + count], span.length, faults)
            return
        with source.open("rb") as file:
            if faults.is_plain and hasattr(os, "sendfile"):
                self._send_file(file.fileno(), span)
                return

            def read(at: int, count: int) -> bytes:
                file.seek(span.start + at)
                return file.read(count)

            self._send_blocks(read, span.length, faults)

    def _send_file(self, file: int, span: Span) -> None:
        """The fast way: the kernel copies from the file to the socket."""
        sent, head = 0, max(0, span.length - TAIL)
        while sent < span.length:
            end = span.length if sent >= head else head
            if end == span.length:
                self._exchange.finish(span.length)
            count = os.sendfile(self._connection.fileno(), file, span.start + sent, min(SENDFILE_BLOCK, end - sent))
            if count == 0:
                raise _ConnectionCut  # the file on disk became shorter
            sent += count
            self._exchange.bytes_sent = max(self._exchange.bytes_sent, sent)

    def _send_blocks(self, read: Callable[[int, int], bytes | memoryview], length: int, faults: BodyFaults) -> None:
        sent, began, rate = 0, time.monotonic(), faults.bytes_per_second
        size = BLOCK if rate is None else max(1, min(TAIL, int(rate / 20)))
        stops = frozenset(at for at in (faults.cut_after, faults.stall_after, length - TAIL) if at is not None)
        for end in block_ends(length, size, stops):
            if sent == faults.stall_after:
                self._stopping.wait(faults.stall_seconds)
            block = read(sent, end - sent)
            if self._stopping.is_set() or sent == faults.cut_after or not block:
                raise _ConnectionCut
            if faults.corrupt and sent <= length // 2 < end:
                changed = bytearray(block)
                changed[length // 2 - sent] ^= 0xFF
                block = memoryview(changed)
            if end == length:
                self._exchange.finish(length)
            self._connection.sendall(block)
            sent = self._exchange.bytes_sent = end
            if rate is not None and end < length:
                self._stopping.wait(max(0.0, began + sent / rate - time.monotonic()))
