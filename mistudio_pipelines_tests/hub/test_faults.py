"""The table: what a failed request means."""

import errno
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.hub.faults import (
    LONGEST_BACKOFF_SECONDS,
    LONGEST_OBEYED_WAIT_SECONDS,
    RETRIES,
    Fault,
    FaultKind,
    classify,
    retry_after_seconds,
    wait_before_retry,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (400, {}, FaultKind.FAIL),
        (401, {}, FaultKind.NEEDS_AUTHENTICATION),
        (401, {"X-Error-Code": "GatedRepo"}, FaultKind.NEEDS_AUTHENTICATION),
        (401, {"X-Error-Code": "RepoNotFound"}, FaultKind.NOT_FOUND),
        (403, {}, FaultKind.NEEDS_ACCESS),
        (403, {"x-error-code": "GatedRepo"}, FaultKind.NEEDS_ACCESS),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, FaultKind.GONE),
        (404, {}, FaultKind.NOT_FOUND),
        (404, {"X-Error-Code": "RevisionNotFound"}, FaultKind.NOT_FOUND),
        (404, {"X-Error-Code": "EntryNotFound"}, FaultKind.NOT_FOUND),
        (408, {}, FaultKind.RETRY),
        (410, {}, FaultKind.GONE),
        (416, {}, FaultKind.FAIL),
        (425, {}, FaultKind.RETRY),
        (429, {}, FaultKind.WAIT_FOR_RATE_LIMIT),
        (451, {}, FaultKind.GONE),
        (500, {}, FaultKind.RETRY),
        (501, {}, FaultKind.FAIL),
        (502, {}, FaultKind.RETRY),
        (503, {}, FaultKind.RETRY),
        (504, {}, FaultKind.RETRY),
        (524, {}, FaultKind.RETRY),
        (302, {}, FaultKind.FAIL),
        (None, {}, FaultKind.FAIL),
    ],
)
def test_each_status_has_one_meaning(status, headers, kind):
    assert classify(status, headers).kind is kind


def wrapped(cause):
    try:
        try:
            raise cause
        except Exception as error:
            raise LocalEntryNotFoundError("Cannot find the file in the cache. Check your connection.") from error
    except LocalEntryNotFoundError as error:
        return error


def http_error(status, **headers):
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("GET", "https://hub.example/x"))
    return HfHubHTTPError("misleading text", response=response)


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        (httpx2.ConnectError("refused"), FaultKind.RETRY),
        (httpx2.ConnectTimeout("slow"), FaultKind.RETRY),
        (httpx2.ReadTimeout("slow"), FaultKind.RETRY),
        (httpx2.ReadError("reset"), FaultKind.RETRY),
        (httpx2.RemoteProtocolError("incomplete body"), FaultKind.RETRY),
        (httpx2.ProxyError("proxy"), FaultKind.RETRY),
        (httpx2.UnsupportedProtocol("ftp"), FaultKind.FAIL),
        (httpx2.TooManyRedirects("circle"), FaultKind.FAIL),
        (ConnectionResetError(), FaultKind.RETRY),
        (TimeoutError(), FaultKind.RETRY),
        (socket.gaierror(-2, "unknown host"), FaultKind.RETRY),
        (OSError(errno.ENETUNREACH, "no network"), FaultKind.RETRY),
        (OSError(errno.ENOSPC, "full"), FaultKind.DISK_FULL),
        (OSError(errno.EDQUOT, "quota"), FaultKind.DISK_FULL),
        (OSError(errno.EROFS, "read-only"), FaultKind.FAIL),
        (PermissionError(errno.EACCES, "no"), FaultKind.FAIL),
        (OfflineModeIsEnabled("offline"), FaultKind.FAIL),
        (ssl.SSLCertVerificationError(1, "self-signed"), FaultKind.FAIL),
        (ssl.SSLEOFError(8, "eof"), FaultKind.RETRY),
        (http_error(503), FaultKind.RETRY),
        (http_error(404), FaultKind.NOT_FOUND),
        (http_error(429), FaultKind.WAIT_FOR_RATE_LIMIT),
        (ValueError("a bug"), FaultKind.FAIL),
        (KeyError("a bug"), FaultKind.FAIL),
    ],
)
def test_each_exception_has_one_meaning_also_inside_another(exception, kind):
    """A 503 used to surface as "not found in the cache": what counts is the cause."""
    assert classify(exception=exception).kind is kind
    assert classify(exception=wrapped(exception)).kind is kind


def test_a_full_disk_counts_more_than_the_connection_that_broke_because_of_it():
    error = wrapped(OSError(errno.ENOSPC, "full"))
    assert classify(200, {}, error).kind is FaultKind.DISK_FULL


def test_a_circle_of_causes_ends():
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert classify(exception=first).kind is FaultKind.FAIL


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=12;t=55'}, None),
        ({"RateLimit": '"resolvers";r=0;t=30', "Retry-After": "60"}, 60.0),
    ],
)
def test_what_the_server_asks_for_is_read(headers, seconds):
    assert retry_after_seconds(headers, now=NOW) == seconds


def test_the_wait_is_carried_by_the_fault():
    assert classify(429, {"Retry-After": "7"}) == Fault(FaultKind.WAIT_FOR_RATE_LIMIT, 7.0, "HTTP 429")
    assert classify(503, {"Retry-After": "7"}).retry_after_seconds == 7.0


HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "RateLimit", "X-Error-Code", "X-Error-Message"]) | st.text(max_size=5),
    st.text(max_size=30),
)


@given(st.none() | st.integers(100, 999), HEADERS)
def test_any_answer_is_classified_and_no_client_error_is_retried(status, headers):
    fault = classify(status, headers)
    assert fault.retry_after_seconds is None or fault.retry_after_seconds >= 0
    if status is not None and 400 <= status < 500 and status not in (408, 421, 425, 429):
        assert not fault.transient


KINDS = st.sampled_from(FaultKind)
CHANCES = st.floats(0, 1)


@given(KINDS, st.none() | st.floats(0, 1e6), st.integers(1, 10), CHANCES)
def test_only_transient_faults_are_retried_and_three_times_at_most(kind, asked, failures, chance):
    wait = wait_before_retry(Fault(kind, asked), failures, chance)
    if not Fault(kind).transient or failures > RETRIES:
        assert wait is None
    elif asked is None:
        assert 0 < wait <= LONGEST_BACKOFF_SECONDS
    elif asked <= LONGEST_OBEYED_WAIT_SECONDS:
        assert asked <= wait <= asked + 1
    else:
        assert wait is None


@given(CHANCES, CHANCES)
def test_backoff_grows_from_one_failure_to_the_next(one_chance, other_chance):
    fault = Fault(FaultKind.RETRY)
    waits = [wait_before_retry(fault, failures, one_chance) for failures in range(1, RETRIES + 1)]
    assert waits == sorted(waits)
    assert wait_before_retry(fault, 1, other_chance) <= wait_before_retry(fault, 2, one_chance)
