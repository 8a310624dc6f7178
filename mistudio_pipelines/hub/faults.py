"""What a failed request means: one table from status, headers and exception to what to do about it.

What belongs here: pure decisions (is it worth trying again, and when). What does not: the sentences that people
read (`hub/refusals.py`), sleeping and sending (`hub/client.py`, `hub/fetch.py`).
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

RETRIES = 3
"""Automatic retries after a fault without progress."""

FIRST_WAIT_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_OBEYED_WAIT_SECONDS = 3600.0
"""A server that asks for a longer pause gets an error instead, so that a person decides."""


class FaultKind(StrEnum):
    """What to do about a fault."""

    RETRY = "retry"
    WAIT_FOR_RATE_LIMIT = "wait_for_rate_limit"
    NEEDS_AUTHENTICATION = "needs_authentication"
    NEEDS_ACCESS = "needs_access"
    NOT_FOUND = "not_found"
    GONE = "gone"
    DISK_FULL = "disk_full"
    FAIL = "fail"


@dataclass(frozen=True)
class Fault:
    """A classified failure.

    Attributes:
        kind: What to do about it.
        retry_after_seconds: How long the server asked us to wait, or None.
        reason: A few words on what happened, without any secret.
    """

    kind: FaultKind
    retry_after_seconds: float | None = None
    reason: str = ""

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later without any change."""
        return self.kind in (FaultKind.RETRY, FaultKind.WAIT_FOR_RATE_LIMIT)


# Statuses that mean "not now". 501 and 505 are missing: what a server does not implement it will not learn.
_TRANSIENT_STATUSES = frozenset({408, 421, 425, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 525, 527, 530})
_STATUS_KINDS = {
    401: FaultKind.NEEDS_AUTHENTICATION,
    403: FaultKind.NEEDS_ACCESS,
    404: FaultKind.NOT_FOUND,
    410: FaultKind.GONE,
    451: FaultKind.GONE,
}
# What the Hub says in X-Error-Code is more exact than its status.
_ERROR_CODE_KINDS = {
    "RepoNotFound": FaultKind.NOT_FOUND,
    "RevisionNotFound": FaultKind.NOT_FOUND,
    "EntryNotFound": FaultKind.NOT_FOUND,
}
_FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
# OSErrors of the network; those of the file system (read-only, no permission, …) will not mend themselves.
_NETWORK_ERRNOS = frozenset(
    {
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.EAGAIN,
        errno.EINTR,
    }
)


def classify(
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    exception: BaseException | None = None,
    *,
    now: datetime | None = None,
) -> Fault:
    """What a failed request means.

    Args:
        status: HTTP status, or None where no response came.
        headers: Headers of the response, names in any case.
        exception: What was raised, or None. Its causes are looked at too: libraries wrap a dropped connection or
            an HTTP error into errors of their own.
        now: The current time, for `Retry-After` dates.

    Returns:
        The fault. An HTTP status of 400 or more says more than the exception raised about it; a full disk more
        than both.
    """
    if exception is not None and any(_is_full_disk(cause) for cause in _causes(exception)):
        return Fault(FaultKind.DISK_FULL, reason="no space left on the device")
    if status is not None and status >= 400:
        return _classify_status(status, headers or {}, now)
    if exception is not None:
        return _classify_exception(exception, now)
    return Fault(FaultKind.FAIL, reason=f"unexpected HTTP status {status}")


def _classify_status(status: int, headers: Mapping[str, str], now: datetime | None) -> Fault:
    lower = {name.lower(): value for name, value in headers.items()}
    reason = f"HTTP {status}"
    if status == 429:
        return Fault(FaultKind.WAIT_FOR_RATE_LIMIT, retry_after_seconds(lower, now=now), reason)
    if status in _TRANSIENT_STATUSES:
        return Fault(FaultKind.RETRY, retry_after_seconds(lower, now=now), reason)
    code = lower.get("x-error-code", "")
    if code == "GatedRepo":
        return Fault(FaultKind.NEEDS_AUTHENTICATION if status == 401 else FaultKind.NEEDS_ACCESS, reason=reason)
    if lower.get("x-error-message", "").startswith("Access to this resource is disabled"):
        return Fault(FaultKind.GONE, reason=reason)
    return Fault(_ERROR_CODE_KINDS.get(code) or _STATUS_KINDS.get(status, FaultKind.FAIL), reason=reason)


def _classify_exception(exception: BaseException, now: datetime | None) -> Fault:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    for cause in _causes(exception):
        if isinstance(cause, OfflineModeIsEnabled):
            return Fault(FaultKind.FAIL, reason="offline mode is on (HF_HUB_OFFLINE)")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Fault(FaultKind.FAIL, reason=f"the server's certificate was refused ({cause})")
        if isinstance(cause, HfHubHTTPError):
            return _classify_status(cause.response.status_code, cause.response.headers, now)
    for cause in _causes(exception):
        if _is_network_trouble(cause):
            return Fault(FaultKind.RETRY, reason=_network_reason(cause))
    return Fault(FaultKind.FAIL, reason=type(exception).__name__)


def _is_full_disk(exception: BaseException) -> bool:
    return isinstance(exception, OSError) and exception.errno in _FULL_DISK


def _is_network_trouble(exception: BaseException) -> bool:
    import socket

    import httpx2

    if isinstance(exception, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return False
    if isinstance(exception, httpx2.TransportError | httpx2.DecodingError | httpx2.StreamError):
        return True
    if isinstance(exception, ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError):
        return True
    return isinstance(exception, OSError) and exception.errno in _NETWORK_ERRNOS


def _network_reason(exception: BaseException) -> str:
    text = str(exception).strip()
    return f"{type(exception).__name__}: {text}" if text else type(exception).__name__


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """The exception and what it came from, outermost first; ends also where the chain is a circle."""
    seen: set[int] = set()
    current: BaseException | None = exception
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """How long a server asks us to wait.

    `Retry-After` as seconds or as a date (RFC 9110, 10.2.3), and the Hub's `RateLimit` (draft-ietf-httpapi-ratelimit-
    headers-09) where nothing remains in its window; the longer one where both are there.

    Args:
        headers: Response headers, names in any case.
        now: The current time, for dates.

    Returns:
        Seconds, never negative, or None where the server does not say.
    """
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # exported lazily

    waits: list[float] = []
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit():
        waits.append(float(value[:12]))
    elif value:
        seconds = _seconds_until(value, now or datetime.now(UTC))
        if seconds is not None:
            waits.append(seconds)
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        waits.append(float(limit.reset_in_seconds))
    return max(waits, default=None)


def _seconds_until(http_date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def wait_before_retry(
    fault: Fault, failures: int, chance: float, *, first_wait: float = FIRST_WAIT_SECONDS
) -> float | None:
    """How long to wait before the next attempt.

    Exponential backoff with jitter: 0.5 to 1 times 1, 2, 4, … seconds. What the server asks for is a lower bound, to
    which jitter is added so that clients do not return all at once.

    Args:
        fault: What happened.
        failures: Faults in a row without progress, this one included (1 for the first).
        chance: A random number from 0 to 1.
        first_wait: Seconds of the first backoff.

    Returns:
        Seconds, or None where there must be no further attempt.
    """
    if not fault.transient or failures > RETRIES:
        return None
    asked = fault.retry_after_seconds
    if asked is not None and asked > LONGEST_OBEYED_WAIT_SECONDS:
        return None
    backoff = min(LONGEST_BACKOFF_SECONDS, first_wait * 2.0 ** (failures - 1)) * (0.5 + 0.5 * chance)
    return backoff if asked is None else asked + min(backoff, 1.0) * chance
