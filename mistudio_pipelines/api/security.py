"""Keeps other sites and other hosts away, on the level of ASGI, before any endpoint sees a request.

There is no login: whoever reaches the port may do everything. So the port is on the loopback interface, and what a
browser could be tricked into is refused here: other host names (DNS rebinding), requests of other sites, bodies that
forms of other sites could send. What belongs here: decisions on headers, pure, and the middleware that applies them.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from mistudio_pipelines.api.errors import unexpected
from mistudio_pipelines.api.settings import ApiSettings, is_path_prefix
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.secrets import scrub
from mistudio_pipelines.logs import log_event

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = Callable[[Scope, MistudioError], Response]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_JSON_BYTES = 1_000_000
JSON_TYPE = "application/json"
UPLOAD_TYPE = "application/octet-stream"

# They only look, although what they are asked needs a body.
_READING_POSTS = re.compile(r"/api/(?:datasets/plan|datasets/[^/]+/tokenizations/estimate)\Z")
_UPLOAD = re.compile(r"/api/uploads/[^/]+\Z")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?\Z")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def refuse_request(method: str, path: str, headers: Headers, settings: ApiSettings) -> MistudioError | None:
    """Why a request is refused before anybody looks at it, or None.

    Args:
        method: Of the request.
        path: Without the prefix of a proxy.
        headers: Of the request.
        settings: Of the API.
    """
    host = _single(headers, "host")
    if host is None or not is_allowed_host(host, settings.allowed_hosts):
        return MistudioError(
            ErrorCode.HOST_NOT_ALLOWED,
            "This server does not answer under that host name.",
            "Use http://127.0.0.1, or name the host with `--allowed-host`.",
        )
    if (method not in READING_METHODS or path.startswith("/api/")) and not is_own_site(method, host, headers):
        return MistudioError(
            ErrorCode.CROSS_SITE,
            "Requests from other sites are refused.",
            "Use the panel's own pages, or a program that is not a browser.",
        )
    if method in READING_METHODS:
        return None
    if settings.read_only and not _READING_POSTS.match(path):
        return MistudioError(
            ErrorCode.READ_ONLY,
            "This server only shows datasets: it runs in read-only mode.",
            "Start it without `--read-only` to change anything.",
        )
    return _refuse_body(path, headers) if path.startswith("/api/") else None


def is_allowed_host(host: str, allowed: tuple[str, ...]) -> bool:
    """True where a Host header names the loopback interface or a host that was allowed; the port does not matter."""
    found = _HOST.match(host.lower())
    return found is not None and found[1] in LOOPBACK_NAMES | {name.lower() for name in allowed}


def is_own_site(method: str, host: str, headers: Headers) -> bool:
    """True where no header says that another site sent the request; programs that are not browsers send none.

    Reading is allowed from wherever a person comes by a link, but not for other sites' scripts and pictures.
    """
    site = headers.get("sec-fetch-site", "same-origin")
    if method in READING_METHODS:
        return site in ("same-origin", "none") or headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin")
    if origin is None and "referer" in headers:
        origin = headers["referer"]
    is_own = origin is None or urlsplit_host(origin) == host.lower()
    return is_own and site in ("same-origin", "none")


def urlsplit_host(origin: str) -> str:
    """Host and port of an origin as a Host header says them; empty for `null` and whatever is not http."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _refuse_body(path: str, headers: Headers) -> MistudioError | None:
    """Only content types that a form of another site cannot send."""
    length = headers.get("content-length", "0")
    has_body = length != "0" or "transfer-encoding" in headers
    is_upload = _UPLOAD.match(path) is not None
    expected = UPLOAD_TYPE if is_upload else JSON_TYPE
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and given != expected:
        return MistudioError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"The body must be {expected}.", "Say so in the header Content-Type."
        )
    # The server reads no more than the length that was said, so that saying it is all that is needed.
    is_small = length.isdigit() and len(length) < 10 and int(length) <= LARGEST_JSON_BYTES
    if not is_upload and ("transfer-encoding" in headers or not is_small):
        return MistudioError(
            ErrorCode.BODY_TOO_LARGE,
            f"A body says its length and has at most {LARGEST_JSON_BYTES:,} bytes.",
            "Send less; files go to /api/uploads.",
        )
    return None


def traceback_of(failure: Exception) -> str:
    """Where an unforeseen error came from, without what was being worked on."""
    return "".join(traceback.format_exception(failure, limit=-8))


def _single(headers: Headers, name: str) -> str | None:
    """A header that is there exactly once."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


class SecurityMiddleware:
    """Refuses what `refuse_request` refuses, limits bodies, and puts the headers for browsers on every answer.

    Args:
        app: What is behind it.
        settings: Of the API.
        answer: Makes the answer to what is refused, and to what failed in a way that nobody foresaw.
    """

    def __init__(self, app: Application, settings: ApiSettings, answer: Answer) -> None:
        self._app = app
        self._settings = settings
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        self._take_prefix(scope, headers)
        path = path_without_prefix(scope)
        secure = _with_headers(send, path)
        error = refuse_request(scope["method"], path, headers, self._settings)
        started = time.monotonic()
        status = 0

        async def noting_status(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await secure(message)

        try:
            if error is None:
                try:
                    await self._app(scope, receive, noting_status)
                except Exception as failure:  # noqa: BLE001  (nothing above may see it: it could hold what was asked)
                    log_event("request_failed", level="error", path=path, reason=scrub(traceback_of(failure)))
                    error = None if status else unexpected()
            if error is not None:
                await self._answer(scope, error)(scope, receive, noting_status)
        finally:
            if scope["method"] not in READING_METHODS:
                seconds = round(time.monotonic() - started, 3)
                log_event("api_request", method=scope["method"], path=path, status=status, seconds=seconds)

    def _take_prefix(self, scope: Scope, headers: Headers) -> None:
        if self._settings.trust_forwarded_prefix:
            prefix = (headers.get("x-forwarded-prefix") or "").rstrip("/")
            if is_path_prefix(prefix):
                scope["root_path"] = prefix


def path_without_prefix(scope: Scope) -> str:
    """The path as the routes know it, whether or not the proxy has taken its prefix away."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(prefix) :] if prefix and path.startswith(prefix + "/") else path


def _with_headers(send: Send, path: str) -> Send:
    async def secure(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                answer.setdefault(name, value)
            if path.startswith("/api/"):
                # Texts may be confidential, and every answer is only true now.
                answer.setdefault("cache-control", "no-store")
        await send(message)

    return secure
